"""The terminal: tables by rich, for people. Names are text, never markup."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgekit import units
from edgekit.candidate import StepRecord
from edgekit.errors import printable
from edgekit.graph import Costs, NodeCost, TensorSpec
from edgekit.judging import Check, Ruling, Verdict, left_out
from edgekit.measurement import Layers, Measurement, Sustained
from edgekit.pruning.listing import ChannelGroups, ListedGroup
from edgekit.report import layered, story, view
from edgekit.report.course import courses, spark, told
from edgekit.result import Result

STYLES: dict[Ruling, str] = {"pass": "green", "fail": "bold red", "inconclusive": "yellow"}
_SHOWN_NODES = 20
_SHOWN_SKIPS = 20
_SHOWN_NAMES = 1


class Profiled(Protocol):
    """What `edgekit.profile` returns, as far as it is shown."""

    @property
    def measurement(self) -> Measurement:
        """The raw evidence."""
        ...

    @property
    def regressions(self) -> tuple[Check, ...]:
        """Empty when a model was measured alone."""
        ...


class Inspected(Protocol):
    """What `edgekit.inspect` returns, as far as it is shown."""

    @property
    def name(self) -> str: ...  # noqa: D102  # as the attribute is called
    @property
    def opset(self) -> int: ...  # noqa: D102  # as above
    @property
    def size_bytes(self) -> int: ...  # noqa: D102  # as above
    @property
    def inputs(self) -> tuple[TensorSpec, ...]: ...  # noqa: D102  # as above
    @property
    def outputs(self) -> tuple[TensorSpec, ...]: ...  # noqa: D102  # as above
    @property
    def costs(self) -> Costs: ...  # noqa: D102  # as above
    @property
    def groups(self) -> ChannelGroups | None: ...  # noqa: D102  # as above


def render(result: Result) -> RenderableType:
    """Return the candidates, the budgets and the verdict of a result."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("candidate", "p50", "p95", "ratio", "size", "accuracy", "drop", "ruling"):
        is_text = name in {"candidate", "ruling"}
        table.add_column(name, justify="left" if is_text else "right", no_wrap=not is_text)
    for row in view.rows(result):
        table.add_row(
            _text(f"{row.name} *" if row.chosen else row.name, style="bold" if row.chosen else ""),
            *(
                _text(cell.text)
                for cell in (row.p50, row.p95, row.ratio, row.size, row.accuracy, row.drop)
            ),
            _ruling(row.ruling),
        )
    parts: list[RenderableType] = [table]
    found = result.verdict_of(result.chosen)
    if found is not None:
        parts += [Text(), verdict(found)]
    parts += [Text(), _text(view.headline(result), style=STYLES[result.ruling])]
    parts += [_text(f"{result.reason}.")]
    parts += [_text(f"note: {note}", style="dim") for note in result.notes]
    return Group(*parts)


def verdict(found: Verdict) -> RenderableType:
    """Return the budgets of a verdict, each with its ruling and its reason."""
    parts: list[RenderableType] = [_checks(view.checks_in_order(found))]
    parts += [_text(f"note: {remark}", style="yellow") for remark in found.remarks]
    if found.null_control == "fail":
        parts.append(_text(f"null control failed: {found.null_reason}", style="yellow"))
    return Group(*parts)


def profile(measured: Profiled) -> RenderableType:
    """Return every figure of a measurement, and whether it regressed."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("metric")
    table.add_column("value", justify="right")
    table.add_column("interval")
    for name, cell in view.measured_figures(measured.measurement):
        table.add_row(name, _text(cell.text), _text(cell.spread))
    setup = measured.measurement.setup
    threads = f"{setup.threads} thread{'s' if setup.threads != 1 else ''}"
    line = f"{setup.device or 'nothing timed'}: {setup.runtime}, {threads}, batch {setup.batch}"
    found = measured.measurement
    parts: list[RenderableType] = [_text(found.candidate), _text(line), table]
    if disturbed := left_out(found.blocks):
        parts.append(_text(disturbed, style="yellow"))
    if found.layers is not None:
        parts.append(_layers(found.layers))
    if found.sustained is not None:
        parts.append(_sustained(found.sustained))
    parts += [_text(f"note: {note}") for note in found.notes]
    if measured.regressions:
        parts.append(_checks(measured.regressions))
    return Group(*parts)


def _layers(found: Layers) -> RenderableType:
    """Return the layers that take most, in the order of execution."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("layer", "time", "share", "rate", "at best", "limit"):
        words = name == "layer"
        table.add_column(
            name, justify="left" if words else "right", no_wrap=not words, overflow="fold"
        )
    every = layered.rows(found)
    longest = sorted(every, key=lambda row: -row.seconds)[:_SHOWN_NODES]
    for row in (row for row in every if row in longest):
        name = f"{row.name} + {row.holds}" if row.holds else row.name
        figures = (row.time, row.share, row.rate, row.best, row.limit)
        table.add_row(*map(_text, (name, *figures)))
    more = len(every) - len(longest)
    return Group(
        table,
        *([_text(f"and {more} that take less (--json has all)", style="dim")] if more else []),
        _text(layered.total(found)),
        _text(layered.NOTE, style="dim"),
    )


def _sustained(run: Sustained) -> RenderableType:
    """Return latency over time with what was seen beside it, and the steady state."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for course in courses(run):
        table.add_row(_text(course.name), _text(spark(course.values)), _text(course.spread))
    return Group(
        _text(f"sustained for {run.seconds:g} s, {run.window_s:g} s a window"),
        table,
        _text(told(run)),
        *(_text(reason, style="yellow") for reason in run.disturbed),
    )


def inspection(found: Inspected, *, every: bool = False) -> RenderableType:
    """Return inputs, outputs and what each node costs; or the channel groups where it has them.

    Args:
        found: the model seen from outside.
        every: all nodes in graph order; otherwise those that weigh most.
    """
    costs = found.costs
    if found.groups is not None:
        return Group(_text(f"{found.name} (opset {found.opset})"), groups(found.groups))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("node", "type", "output", "parameters", "multiply-adds", "share"):
        table.add_column(name, justify="left" if name in {"node", "type"} else "right")
    nodes = costs.nodes if every else _heaviest(costs)
    for node in nodes:
        share = node.macs / costs.macs if costs.macs else 0.0
        table.add_row(
            _text(node.name),
            _text(node.op_type),
            _text(" x ".join(map(str, node.output_shape))),
            f"{node.parameters:,}",
            f"{node.macs:,}",
            f"{100 * share:.1f} %",
        )
    left_out = len(costs.nodes) - len(nodes)
    total = (
        f"{costs.parameters:,} parameters, {costs.macs:,} multiply-adds, "
        f"{units.show(costs.peak_activation_bytes, 'B')} of activations at most, "
        f"{units.show(found.size_bytes, 'B')} on disk"
    )
    return Group(
        _text(f"{found.name} (opset {found.opset})"),
        *(_text(f"  input   {_spec(spec)}") for spec in found.inputs),
        *(_text(f"  output  {_spec(spec)}") for spec in found.outputs),
        table,
        *([_text(f"and {left_out} lighter nodes (--all)", style="dim")] if left_out else []),
        _text(total),
    )


def groups(found: ChannelGroups) -> RenderableType:
    """Return the channel groups: what half of each would save, and why some must stay."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("group", "made with", "read by", "channels", "half", "saves"):
        words = name in {"group", "made with", "read by"}
        table.add_column(
            name, justify="left" if words else "right", no_wrap=not words, overflow="fold"
        )
    pinned = [group for group in found.groups if group.pinned_by is not None]
    for group in found.groups:
        if group.pinned_by is None:
            table.add_row(
                _text(group.name),
                _text(_few(group.made_by[1:])),
                _text(_few(group.read_by)),
                str(group.channels) + (f" x {group.width}" if group.width > 1 else ""),
                str(group.half),
                units.percent(_share(group.half_saves_macs, found.macs)),
            )
    return Group(
        *([table] if len(pinned) < len(found.groups) else []),
        *(_text(_pinned(group), style="yellow") for group in pinned),
        *([_text(f"residual blocks that can go whole: {_blocks(found)}")] if found.blocks else []),
        _text(
            f"{len(found.groups)} groups with {sum(g.channels for g in found.groups)} channels, "
            f"{len(pinned)} pinned; half: rounded to what kernels that block by {found.multiple} "
            "like; saves: of the multiply-adds"
        ),
        _text(
            f"down to {units.percent(_share(found.least_macs, found.macs))} of the multiply-adds "
            f"and {units.percent(_share(found.least_parameters, found.parameters))} of the "
            "parameters can be reached by removing channels alone"
        ),
    )


def record(found: StepRecord) -> RenderableType:
    """Return what one step did, and what it left alone and why."""
    counts = found.facts.get("counts") or {}
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("group")
    table.add_column("channels", justify="right")
    for name, change in counts.items():
        table.add_row(_text(name), _text(str(change)))
    shown = {
        name: ", ".join(value) if isinstance(value, list) else value
        for name, value in found.facts.items()
        if value and isinstance(value, str | int | float | list)
    }
    lines = [_text(f"{name}: {text}") for name, text in story.facts(shown)]
    skips = [_text(f"left alone: {skip.where}: {skip.reason}") for skip in found.skipped]
    more = len(skips) - _SHOWN_SKIPS
    return Group(
        *([table] if counts else []),
        *lines,
        *skips[:_SHOWN_SKIPS],
        *([_text(f"... and {more} more")] if more > 0 else []),
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def _blocks(found: ChannelGroups) -> str:
    return ", ".join(
        f"{block.name} (saves {units.percent(_share(block.saves_macs, found.macs))})"
        for block in found.blocks
    )


def _pinned(group: ListedGroup) -> str:
    line = f"pinned: {group.name} ({group.channels})"
    if group.pinned_by is None:
        return line
    elsewhere = group.pinned_by.where != group.name
    return f"{line}: {group.pinned_by.reason}" + f", at {group.pinned_by.where}" * elsewhere


def _few(names: tuple[str, ...]) -> str:
    """Return the first name and how many more: a table is no list."""
    more = f" +{len(names) - _SHOWN_NAMES}" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(names[:_SHOWN_NAMES]) + more


def _checks(checks: Sequence[Check]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("budget", no_wrap=True)
    table.add_column("ruling", no_wrap=True)
    table.add_column("why")
    for check in checks:
        table.add_row(_text(check.budget.text), _ruling(check.ruling), _text(check.reason))
    return table


def _text(text: str, style: str = "") -> Text:
    return Text(printable(text), style=style)


def _ruling(ruling: Ruling | None) -> Text:
    return _text(view.NOTHING) if ruling is None else _text(ruling, style=STYLES[ruling])


def _heaviest(costs: Costs) -> tuple[NodeCost, ...]:
    heaviest = sorted(costs.nodes, key=lambda node: (-node.macs, -node.parameters))[:_SHOWN_NODES]
    kept = {id(node) for node in heaviest}
    return tuple(node for node in costs.nodes if id(node) in kept)


def _spec(spec: TensorSpec) -> str:
    shape = "?" if spec.shape is None else " x ".join(str(axis) or "?" for axis in spec.shape)
    return f"{spec.name}  {spec.dtype}  {shape}"
