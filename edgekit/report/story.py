"""How a result came about, as text for people: setup, method, steps, refusals, costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgekit import units
from edgekit.judging import left_out, usable
from edgekit.report import explained
from edgekit.result import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a step left as it was: the step, the places, and the reason they share."""

    step: str
    where: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Linted:
    """What the lint says: how grave, the places, what they share, and what can be done."""

    severity: str
    where: tuple[str, ...]
    what: str
    remedy: str


def method_lines(result: Result) -> tuple[str, ...]:
    """Say how it was measured and judged, one sentence each."""
    measurement = result.measurement_of(result.chosen) or next(iter(result.measurements), None)
    if measurement is None:
        return ()
    found = []
    counted = usable(measurement.blocks)
    if counted:
        samples = sum(len(run.samples) for block in counted for run in block.runs)
        found.append(
            f"{len(counted)} blocks of four fresh processes each, in the order original, "
            f"candidate, candidate, original: {samples} timed inferences."
        )
        found.append(
            "Ratios compare within a block and allow for stopping early; percentiles hold by order "
            "statistics and between blocks; each bound of an interval is wrong in at most 5 % of "
            "all cases."
        )
    elif measurement.setup.device is None:
        found.append(f"Nothing was timed: there was no device of target {result.target!r}.")
    found += [
        f"{item.candidate}: {told}."
        for item in result.measurements
        if (told := left_out(item.blocks))
    ]
    verdict = result.verdict_of(result.chosen)
    if verdict is not None and counted:
        found.append(f"Null control: {verdict.null_control}; {verdict.null_reason}.")
    accuracy = measurement.accuracy
    if accuracy is not None:
        where = "by this host's runtime (simulated)" if accuracy.simulated else "on the device"
        judged = f"judged by {accuracy.metric}" if accuracy.labelled else "without labels"
        found.append(
            f"{len(accuracy.values)} samples were answered {where} by original and candidate, "
            f"{judged}."
        )
    return tuple(found)


def setup_lines(result: Result) -> tuple[tuple[str, str], ...]:
    """Return what was measured where, as (name, value)."""
    measurement = result.measurement_of(result.chosen) or next(iter(result.measurements), None)
    found = [("model", result.model), ("target", result.target)]
    if measurement is not None:
        setup = measurement.setup
        found += [
            ("device", setup.device or "none: nothing was timed"),
            ("runtime", setup.runtime),
            ("threads", str(setup.threads)),
            ("batch", str(setup.batch)),
        ]
        found += [
            (f"input {name}", " x ".join(map(str, shape))) for name, shape in setup.shapes.items()
        ]
        found += [(_label(key), _setting(key, value)) for key, value in setup.environment.items()]
    found += [(f"{name} of the host", version) for name, version in result.versions.items()]
    found.append(("sha256 of the original", result.original_sha256))
    found.append(("sha256 of the chosen model", result.chosen_candidate.sha256))
    if result.created:
        found.append(("created", result.created))
    if result.seconds:
        found.append(("time in all", units.show(result.seconds, "s")))
    if result.peak_memory_bytes:
        found.append(("peak memory of the job", units.show(result.peak_memory_bytes, "B")))
    return tuple(found)


def left_alone(result: Result) -> tuple[Left, ...]:
    """Return what the steps left alone, places with the same reason together."""
    grouped: dict[tuple[str, str], list[str]] = {}
    steps = [*result.chosen_candidate.steps, *result.declined]
    for step in steps:
        for skip in step.skipped:
            grouped.setdefault((step.name, skip.reason), []).append(skip.where)
        if not step.changed and not step.skipped:
            grouped.setdefault((step.name, "it changed nothing"), []).append("the model")
    return tuple(
        Left(step=step, where=tuple(where), reason=reason)
        for (step, reason), where in grouped.items()
    )


def linted(result: Result) -> tuple[Linted, ...]:
    """Return the findings about the chosen candidate, places with the same finding together."""
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for found in result.lint:
        key = (found.severity, found.what, found.remedy)
        grouped.setdefault(key, []).append(found.where)
    return tuple(
        Linted(severity=severity, where=tuple(where), what=what, remedy=remedy)
        for (severity, what, remedy), where in grouped.items()
    )


def cost_lines(result: Result) -> tuple[tuple[str, str, str], ...]:
    """Return (what, original, chosen) of the costs by the graph; empty where none are known."""
    before, after = result.original_cost, result.cost
    same = result.chosen_candidate.sha256 == result.original_sha256
    if before is None or after is None or same:
        return ()
    return (
        ("parameters", f"{before.parameters:,}", f"{after.parameters:,}"),
        ("multiply-adds", f"{before.macs:,}", f"{after.macs:,}"),
        ("weights and activations", units.show(before.bytes, "B"), units.show(after.bytes, "B")),
        (
            "activations at most",
            units.show(before.peak_activation_bytes, "B"),
            units.show(after.peak_activation_bytes, "B"),
        ),
    )


def facts(values: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Return parameters or facts of a step as (name, value); empty ones are left out.

    What is told in a table of its own, as explanations are, is left out, too.
    """
    return tuple(
        (_label(name), _setting(name, value))
        for name, value in values.items()
        if value not in ({}, (), [], None, "") and name != explained.FACT
    )


def _fact(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping) and any(isinstance(inner, Mapping) for inner in value.values()):
        return "; ".join(f"{name}: {_fact(inner)}" for name, inner in value.items())
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_fact(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        shown = ", ".join(_fact(item) for item in value[:8])
        return f"{shown}, ... ({len(value)} in all)" if len(value) > 8 else shown  # noqa: PLR2004  # one line
    return str(value)


def _label(key: str) -> str:
    return key.removesuffix("_bytes").replace("_", " ")


def _setting(key: str, value: object) -> str:
    if key.endswith("_bytes") and isinstance(value, int):
        return units.show(value, "B")
    is_share = key.startswith("share") or key.endswith(" kept")
    if is_share and isinstance(value, int | float):
        return units.percent(value)
    return _fact(value)
