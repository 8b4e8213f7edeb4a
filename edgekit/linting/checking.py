"""The lint of a model for a target, before any device is touched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgekit.errors import UsageError
from edgekit.graph import Model, infer_shapes
from edgekit.linting.engines import engine_findings
from edgekit.linting.finding import SEVERITIES, Finding
from edgekit.linting.kernels import kernel_findings
from edgekit.linting.quantized import form_findings
from edgekit.linting.speed import slow_findings
from edgekit.target import Engine, Target


def lint(model: Model, target: Target) -> tuple[Finding, ...]:
    """Return what `target` would reject or not run as it should; empty for a clean graph.

    That is the form of Q/DQ pairs, and the operators, version and types of the runtime's engine.
    What is only slow by the target's facts is not among it; see `check`.
    """
    return tuple(_findings(model, target, ()))


def check(
    model: Model,
    target: Target,
    *,
    engines: Sequence[str] = (),
    shapes: dict[str, tuple[int, ...]] | None = None,
) -> tuple[Finding, ...]:
    """Return everything to know of `model` before it meets a `target`, worst first.

    Beside what `lint` finds: what is slow by the target's facts, and, where this machine is of the
    target's kind, what onnxruntime itself leaves in float.

    Args:
        model: a float or a quantized graph.
        target: whose facts count.
        engines: optional ones to ask for, too: `dla`, `xnnpack`.
        shapes: of inputs with dynamic axes.

    Raises:
        UsageError: the target has no such engine.
        ModelError: a shape does not fit its input.
    """
    seen = infer_shapes(model, shapes)
    found = [
        *_findings(seen, target, engines),
        *kernel_findings(model, target),
        *slow_findings(seen, target),
    ]
    return tuple(sorted(found, key=lambda finding: SEVERITIES.index(finding.severity)))


def _findings(model: Model, target: Target, engines: Sequence[str]) -> Iterator[Finding]:
    yield from form_findings(model, target)
    for engine in target.engines:
        if engine.name == target.runtimes[0]:
            yield from engine_findings(model, engine, asked=False)
    for name in engines:
        yield from engine_findings(model, _engine(target, name), asked=True)


def _engine(target: Target, name: str) -> Engine:
    for engine in target.engines:
        if engine.name == name:
            return engine
    optional = [engine.name for engine in target.engines if engine.name != target.runtimes[0]]
    raise UsageError(
        f"the target has no {name}",
        where=f"--{name}",
        found=target.name,
        expected=f"one of {', '.join(optional)}" if optional else "",
        remedy="leave the option out",
    )
