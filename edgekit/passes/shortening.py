"""How the pass prune takes out whole residual blocks: alone, or before it takes channels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.candidate import Skip
from edgekit.errors import UsageError
from edgekit.graph import Model
from edgekit.graph.costs import costs
from edgekit.passes.contract import Context
from edgekit.passes.plans import SecondsOf
from edgekit.pruning.blocks import Block, blocks
from edgekit.pruning.depth import (
    Depth,
    Removal,
    cost_shares,
    greedy_removals,
    latency_shares,
    lone_effects,
    seconds_to_try,
    shallower,
)

if TYPE_CHECKING:
    from edgekit.passes.prune import Prune

_LONGEST_S = 30.0
"""Channels can go at once; blocks are tried first where that takes no longer."""


def blocks_to_remove(
    asked: Prune,
    context: Context,
    dense: Model,
    share: float,
    folder: Path,
    *,
    seconds_of: SecondsOf,
) -> tuple[Depth, list[Skip]]:
    """Return the blocks without which `share` of the model is left, and what cannot go.

    Raises:
        UsageError: no data.
        UnreachableError: the blocks are too little of the model.
    """
    if context.data is None:
        raise UsageError("blocks are chosen by what they do to answers", where="--data")
    found, refused = blocks(dense, context.shapes)
    depth = shallower(
        dense,
        found,
        _savings(asked, context, dense, found, seconds_of),
        share=1 - share,
        data=context.data,
        workspace=folder,
        progress=_progress(context),
    )
    return depth, [*refused, *depth.skipped]


def blocks_to_try(
    asked: Prune, context: Context, dense: Model
) -> tuple[tuple[Block, ...], tuple[Skip, ...]]:
    """Return the blocks that may go before channels do; none, and why, where trying takes long."""
    if asked.granularity != "mixed" or asked.ratios or context.data is None:
        return (), ()
    found, _ = blocks(dense, context.shapes)
    seconds = seconds_to_try(costs(dense, context.shapes).macs, found)
    if seconds <= _LONGEST_S:
        return found, ()
    effort = f"trying all {len(found)} would take about {seconds / 60:.0f} min"
    skip = Skip(where="residual blocks", reason=f"{effort}; --granularity blocks does it")
    return (), (skip,)


def removals(
    asked: Prune,
    context: Context,
    dense: Model,
    candidates: Sequence[Block],
    *,
    share: float,
    folder: Path,
    seconds_of: SecondsOf,
) -> Iterator[Removal]:
    """Yield blocks to remove before channels are, each on top of those before it.

    Args:
        asked: the pass.
        context: of the pass.
        dense: the model.
        candidates: of `blocks_to_try`; those that save nothing stay.
        share: that is to be left.
        folder: for temporary files.
        seconds_of: latencies of models on the device; called for a limit of latency alone.
    """
    if context.data is None or not candidates:
        return
    savings = _savings(asked, context, dense, candidates, seconds_of)
    paying = [block for block in candidates if savings[block.name] > 0]
    alone = lone_effects(
        dense, paying, data=context.data, workspace=folder, progress=_progress(context)
    )
    yield from greedy_removals(
        dense,
        paying,
        savings,
        alone,
        share=1 - share,
        data=context.data,
        workspace=folder,
        progress=_progress(context),
    )


def _savings(
    asked: Prune,
    context: Context,
    dense: Model,
    found: Sequence[Block],
    seconds_of: SecondsOf,
) -> dict[str, float]:
    if asked.max_latency_s:
        return latency_shares(dense, found, seconds_of)
    return cost_shares(dense, found, context.shapes, parameters=bool(asked.keep_params))


def _progress(context: Context) -> Callable[[int, int], None]:
    return partial(context.progress, "measuring what blocks are worth")
