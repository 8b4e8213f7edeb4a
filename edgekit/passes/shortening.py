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
    affordable,
    cost_shares,
    greedy_removals,
    latency_shares,
    shallower,
)

if TYPE_CHECKING:
    from edgekit.passes.prune import Prune


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


def removals(
    asked: Prune,
    context: Context,
    dense: Model,
    share: float,
    folder: Path,
    *,
    seconds_of: SecondsOf,
) -> Iterator[Removal]:
    """Yield blocks to remove before channels are, each on top of those before it.

    Nothing where there is no data, no block that saves something, or where trying the blocks
    would take long.
    """
    if context.data is None:
        return
    found, _ = blocks(dense, context.shapes)
    if not found or not affordable(costs(dense, context.shapes).macs, found):
        return
    savings = _savings(asked, context, dense, found, seconds_of)
    yield from greedy_removals(
        dense,
        [block for block in found if savings[block.name] > 0],
        savings,
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
