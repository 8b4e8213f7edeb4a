"""Which residual blocks go: those that are missed least for what they cost.

How much a block is missed is measured at the outputs, on samples held out, after what comes before
it was fitted to make up for it; without that, the losses of two or three blocks say nothing.

Source: Gromov et al. 2024 (The Unreasonable Ineffectiveness of the Deeper Layers) removes layers by
what they change; the order here is the lazy greedy one of Minoux 1978.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.candidate import Skip
from edgekit.dataset import Dataset
from edgekit.errors import UnreachableError
from edgekit.graph import Model, costs
from edgekit.pruning.blocks import Block, twins, without
from edgekit.pruning.effects import Effect, effect
from edgekit.pruning.losses import SAMPLES, Progress
from edgekit.pruning.reconstruction import reconstructed
from edgekit.pruning.survey import parted

FITTED_SAMPLES = 256
_MACS_A_SECOND = 1e12 / 30
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """One block that goes.

    Attributes:
        saved: share of the model that is gone with this block and those before it.
        effect: of this block and those before it together.
    """

    block: Block
    saved: float
    effect: Effect


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """Which blocks go.

    Attributes:
        removals: in the order in which they were chosen.
        alone: by block, what its removal alone does; all candidates have an entry.
        skipped: the candidates that stay, with the reason.
    """

    removals: tuple[Removal, ...]
    alone: Mapping[str, Effect]
    skipped: tuple[Skip, ...]

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks that go; one within another of them is not listed."""
        return outermost([removal.block for removal in self.removals])


def shallower(
    model: Model,
    candidates: Sequence[Block],
    savings: Mapping[str, float],
    *,
    share: float,
    data: Dataset,
    workspace: Path,
    progress: Progress | None = None,
) -> Depth:
    """Return the blocks to remove until `share` of the model is gone.

    Args:
        model: dense, with constants as initializers.
        candidates: blocks of it.
        savings: by block name the share of the model that it is, of `cost_shares` or
            `latency_shares`; a block that saves nothing stays.
        share: above 0.
        data: unlabelled; every fifth sample is held out.
        workspace: for temporary files.
        progress: called with (forms of the model measured, at most so many).

    Raises:
        UnreachableError: all blocks together are less than `share`.
        ModelError: the model does not run on the data.
    """
    paying = [block for block in candidates if savings[block.name] > 0]
    _check_reachable(paying, savings, share)
    alone = lone_effects(model, paying, data=data, workspace=workspace, progress=progress)
    removals = tuple(
        greedy_removals(
            model,
            paying,
            savings,
            alone,
            share=share,
            data=data,
            workspace=workspace,
            progress=progress,
        )
    )
    gone = [removal.block for removal in removals]
    staying = {
        block.name: f"it changes the outputs by {alone[block.name].loss:.1%} of their variance"
        for block in _left(paying, gone)
    } | {block.name: "nothing is saved by it" for block in candidates if block not in paying}
    return Depth(
        removals=removals,
        alone=alone,
        skipped=tuple(Skip(where=name, reason=reason) for name, reason in staying.items()),
    )


def lone_effects(
    model: Model,
    candidates: Sequence[Block],
    *,
    data: Dataset,
    workspace: Path,
    progress: Progress | None = None,
) -> dict[str, Effect]:
    """Return by block what its removal alone does; the arguments are those of `shallower`."""
    found = {}
    for number, block in enumerate(candidates, 1):
        found[block.name] = _effect(model, [block], data, workspace)
        if progress is not None:
            progress(number, _most_trials(candidates))
    return found


def greedy_removals(
    model: Model,
    candidates: Sequence[Block],
    savings: Mapping[str, float],
    alone: Mapping[str, Effect],
    *,
    share: float,
    data: Dataset,
    workspace: Path,
    progress: Progress | None = None,
) -> Iterator[Removal]:
    """Yield blocks to remove, one on top of the other, until `share` of the model is gone.

    Greedy: the block goes whose removal, on top of what is gone, adds the least loss for what it
    saves. What a block added when it was last tried is taken as the least that it adds now.

    Args:
        model: as of `shallower`.
        candidates: those of its blocks that save something.
        savings: as of `shallower`.
        alone: of `lone_effects` for these candidates.
        share: as of `shallower`.
        data: as of `shallower`.
        workspace: as of `shallower`.
        progress: as of `shallower`; `lone_effects` counts among the forms measured.
    """
    tried = len(candidates)

    def effect_of(gone: Sequence[Block]) -> Effect:
        nonlocal tried
        found = _effect(model, gone, data, workspace)
        tried += 1
        if progress is not None:
            progress(tried, _most_trials(candidates))
        return found

    fresh = dict(alone)
    added = {name: effect.loss for name, effect in fresh.items()}
    gone: list[Block] = []
    saved = loss = 0.0

    def price(block: Block) -> float:
        more = min(_saved([*gone, block], savings), share) - saved
        return added[block.name] / max(more, _ROUNDING)

    while saved < share - _ROUNDING and (left := _left(candidates, gone)):
        best = min(left, key=price)
        if best.name not in fresh:
            fresh[best.name] = effect_of([*gone, best])
            added[best.name] = fresh[best.name].loss - loss
            continue
        gone.append(best)
        saved, loss = _saved(gone, savings), fresh[best.name].loss
        yield Removal(block=best, saved=saved, effect=fresh[best.name])
        fresh = {}


def seconds_to_try(model_macs: int, candidates: Sequence[Block]) -> float:
    """Return about how long it takes to try each of the blocks once."""
    return len(candidates) * model_macs * (2 * FITTED_SAMPLES + 2 * SAMPLES) / _MACS_A_SECOND


def outermost(removed: Sequence[Block]) -> tuple[Block, ...]:
    """Return the blocks that are not within another one."""
    return tuple(block for block in removed if not any(_within(block, one) for one in removed))


def cost_shares(
    model: Model,
    candidates: Sequence[Block],
    shapes: dict[str, tuple[int, ...]],
    *,
    parameters: bool = False,
) -> dict[str, float]:
    """Return by block the share of the model's multiply-adds, or parameters, that it is."""
    if not parameters:
        total = max(costs(model, shapes).macs, 1)
        return {block.name: block.macs / total for block in candidates}
    whole = max(costs(model, shapes).parameters, 1)
    rest = (costs(without(model, [block]), shapes).parameters for block in candidates)
    return {block.name: 1 - left / whole for block, left in zip(candidates, rest, strict=True)}


def latency_shares(
    model: Model,
    candidates: Sequence[Block],
    latencies_of: Callable[[Sequence[Model]], Sequence[float]],
) -> dict[str, float]:
    """Return by block the share of the model's latency that goes with it.

    Args:
        model: dense.
        candidates: blocks of it.
        latencies_of: measures several models against the first of them, seconds.
    """
    whole, *others = latencies_of([model, *(without(model, [block]) for block in candidates)])
    return {block.name: 1 - other / whole for block, other in zip(candidates, others, strict=True)}


def _most_trials(candidates: Sequence[Block]) -> int:
    return len(candidates) * (len(candidates) + 1) // 2


def _check_reachable(
    candidates: Sequence[Block], savings: Mapping[str, float], share: float
) -> None:
    whole = _saved(candidates, savings)
    if not 0 < share <= whole + _ROUNDING:
        raise UnreachableError(
            "the budget cannot be reached by removing blocks",
            where="prune",
            found=f"{share:.1%} to go",
            expected=f"more than 0 and at most {whole:.1%}, which is in residual blocks",
            remedy="remove channels, too",
        )


def _saved(removed: Sequence[Block], savings: Mapping[str, float]) -> float:
    return sum(savings[block.name] for block in outermost(removed))


def _left(candidates: Sequence[Block], gone: Sequence[Block]) -> list[Block]:
    return [
        block
        for block in candidates
        if block not in gone and not any(_within(block, one) for one in gone)
    ]


def _within(block: Block, other: Block) -> bool:
    return set(block.nodes) < set(other.nodes)


def _effect(model: Model, removed: Sequence[Block], data: Dataset, workspace: Path) -> Effect:
    """Return what a removal does once the layers before the removed blocks are fitted anew."""
    fitted, held_out = parted(data)
    reduced = without(model, removed)
    others = twins(model, removed)
    if others:
        reduced, _ = reconstructed(
            model,
            reduced,
            lambda _name, _axis: None,
            fitted,
            workspace,
            samples=FITTED_SAMPLES,
            twins=others,
            twins_only=True,
        )
    return effect(model, reduced, held_out, workspace, samples=SAMPLES)
