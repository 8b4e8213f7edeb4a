"""How the pass prune gets from a dense model to a smaller one: blocks, then rounds of channels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.candidate import Skip
from edgekit.errors import UnreachableError, WithinBudgetError
from edgekit.graph import Model
from edgekit.passes.contract import Context, Effort
from edgekit.passes.plans import other_plans, plan
from edgekit.passes.rounds import Round, State
from edgekit.passes.shortening import blocks_to_remove, blocks_to_try, removals
from edgekit.passes.surveying import round_of
from edgekit.pruning import allocation, criteria, schedule
from edgekit.pruning.analysis import couple
from edgekit.pruning.attention import rotated
from edgekit.pruning.blocks import Block, twins, without
from edgekit.pruning.budget import Counts, macs_cost, parameters_cost
from edgekit.pruning.coupling import Coupling
from edgekit.pruning.criteria import Scores
from edgekit.pruning.depth import outermost
from edgekit.pruning.effects import effect
from edgekit.pruning.merging import merged
from edgekit.pruning.preparing import prepared
from edgekit.pruning.reconstruction import reconstructed
from edgekit.pruning.surgery import removed
from edgekit.pruning.survey import parted, turned
from edgekit.pruning.targets import composed
from edgekit.pruning.unfusing import unfused

if TYPE_CHECKING:
    from edgekit.passes.prune import Prune

_DEEP = 0.4
"""A smaller share is reached in two rounds."""
_TRIES = 2
"""How often a latency that was missed is aimed at again, a little below."""
_CLOSER = 0.97
_TWICE = 2
"""How much more than the best so far blocks alone may change the answers to be tried."""


class Shrinking:
    """One application of the pass.

    Attributes:
        skipped: what was left alone, and why.
        ways: those tried last.
    """

    def __init__(self, asked: Prune, context: Context, folder: Path) -> None:
        """Take in what is asked for, what may be used, and an empty folder."""
        self.asked = asked
        self.context = context
        self.folder = folder
        self.skipped: list[Skip] = []
        self.criterion = criteria.find(asked.criterion)
        self.ways: list[State] = []
        self._blocks: tuple[Block, ...] = ()

    def ready(self, model: Model) -> tuple[Model, dict[str, Scores]]:
        """Return the model in the form that is pruned, equal in its answers.

        Returns:
            the model; scores of the groups that are turned widths of attention heads, by name.
        """
        model, _names, refused = unfused(prepared(model), self.context.shapes)
        self.skipped.extend(refused)
        if self.context.data is None or self.asked.granularity not in {"mixed", "channels"}:
            return model, {}
        self.context.progress("turning attention heads", 0, 0)
        model, rotations, refused = rotated(model, self.context.data, self.folder)
        self.skipped.extend(refused)
        coupling = self.coupled(model)
        return model, turned(coupling, coupling.free, rotations)

    def coupled(self, model: Model) -> Coupling:
        """Return the channels of a model, at the granularity asked for."""
        heads = self.asked.granularity == "heads"
        return couple(model, self.context.shapes, heads=heads)

    def shrunk(self, dense: Model, energies: Mapping[str, Scores]) -> State:
        """Return the model after all rounds.

        Args:
            dense: as `ready` returns it.
            energies: scores that are known, by group name.
        """
        whole, share = self._budget(dense)
        if self.asked.granularity == "blocks":
            return self._shallower(dense, share)
        self._blocks, costly = blocks_to_try(self.asked, self.context, dense)
        self.skipped.extend(costly)
        state = self._in_rounds(dense, energies, whole, share)
        if not (limit_s := self.asked.max_latency_s):
            return state
        found_s = self._seconds([dense, state.model], "decide")[1]
        for _ in range(_TRIES):
            if found_s <= limit_s:
                break
            share *= _CLOSER * limit_s / found_s
            state = self._in_rounds(dense, energies, whole, share)
            found_s = self._seconds([dense, state.model], "decide")[1]
        if found_s <= limit_s:
            return replace(state, seconds=found_s)
        found, limit = f"{found_s * 1e6:.0f} us", f"at most {limit_s * 1e6:.0f} us"
        raise UnreachableError(
            "the latency was not reached", where="prune", found=found, expected=limit
        )

    def _budget(self, dense: Model) -> tuple[float, float]:
        """Return what the dense model costs, and the share that may stay; 1 for single ratios."""
        if self.asked.ratios:
            return 1.0, 1.0
        if self.asked.keep_macs:
            return macs_cost(self.coupled(dense), ()).dense, self.asked.keep_macs
        if self.asked.keep_params:
            return parameters_cost(self.coupled(dense), ()).dense, self.asked.keep_params
        (whole_s,) = self._seconds([dense])
        if self.asked.max_latency_s >= whole_s:
            raise WithinBudgetError(
                "the model is within the budget already",
                where="prune",
                found=f"{whole_s * 1e6:.0f} us",
                expected=f"a limit below that, not {self.asked.max_latency_s * 1e6:.0f} us",
            )
        return whole_s * 1e6, self.asked.max_latency_s / whole_s

    def _in_rounds(
        self, dense: Model, energies: Mapping[str, Scores], whole: float, share: float
    ) -> State:
        """Return the model with this share of its cost; single ratios are cut once."""
        rounds = self.asked.rounds or (2 if share < _DEEP else 1)
        steps = 1 if self.asked.ratios else rounds
        if self.asked.schedule == "polynomial":
            _, first, *later = schedule.polynomial(1.0, share, steps + 1)
        else:
            first, *later = schedule.iterative(share, steps)
        state, here = start = self._first(dense, energies, whole, first)
        for keep in later:
            here = self._round(dense, state, {}, whole * keep)
            state = self._cut(here, *plan(self.asked, here, self._seconds))
        ways = other_plans(self.asked, here, self._seconds, timed=state.time is not None)
        others = [self._cut(here, *way) for way in ways.items()]
        if later and not self.asked.rounds:
            here = replace(start[1], limit=whole * share)
            name, counts = plan(self.asked, here, self._seconds)
            once = {name: counts, **other_plans(self.asked, here, self._seconds, timed=False)}
            others += [self._cut(here, f"{way}, in one round", n) for way, n in once.items()]
        self.ways = [self._timed(dense, one) for one in (state, *others)]
        return min(self.ways, key=lambda one: one.price)

    def _first(
        self, dense: Model, energies: Mapping[str, Scores], whole: float, keep: float
    ) -> tuple[State, Round]:
        """Return the model after the first round, and what was known before it.

        It starts from the whole model, or without residual blocks as long as that is better; not
        where those alone change the answers so much that it would have to take half the time.
        """
        best: tuple[State, Round] | None = None
        unreached: UnreachableError | None = None
        for start in self._starts(dense, frozenset(energies), keep):
            if best is not None and start.loss > _TWICE * best[0].loss:
                break
            ready = self._refitted(dense, start) if start.gone else start
            here = self._round(dense, ready, energies, whole * keep)
            try:
                way = plan(self.asked, here, self._seconds)
            except UnreachableError as error:
                unreached = unreached or error
                continue
            state = self._timed(dense, self._cut(here, *way))
            if best is not None and best[0].price <= state.price:
                break
            best = state, here
        if best is None:
            raise unreached or AssertionError
        return best

    def _starts(self, dense: Model, known: frozenset[str], keep: float) -> Iterator[State]:
        """Yield the whole model, then shorter ones with what the answers change by that alone."""
        yield State(model=dense, kept=_whole, turned=known)
        gone: list[Block] = []
        for removal in removals(
            self.asked,
            self.context,
            dense,
            self._blocks,
            share=keep,
            folder=self.folder,
            seconds_of=self._seconds,
        ):
            gone.append(removal.block)
            blocks = outermost(gone)
            yield State(
                model=without(dense, blocks),
                kept=_whole,
                turned=known,
                gone=blocks,
                effect=removal.effect,
            )

    def _shallower(self, dense: Model, share: float) -> State:
        """Remove whole residual blocks, then fit all layers to the dense model."""
        depth, skipped = blocks_to_remove(
            self.asked, self.context, dense, share, self.folder, seconds_of=self._seconds
        )
        self.skipped.extend(skipped)
        state = State(model=without(dense, depth.blocks), kept=_whole, gone=depth.blocks)
        return self._refitted(dense, state)

    def _seconds(self, models: Sequence[Model], effort: Effort = "screen") -> list[float]:
        """Return the latencies of models on the device."""
        self.context.progress("measuring what is slow", 0, 0)
        return self.context.seconds_of(models, effort)

    def _timed(self, dense: Model, state: State) -> State:
        """Return the state with its latency, where there is a device and a choice to make."""
        self.context.progress("measuring what is slow", 0, 0)
        pair = [dense, state.model]
        found = None if self.asked.ratios else self.context.latencies_of(pair, "decide")
        return state if found is None else replace(state, time=found[1].value / found[0].value)

    def _round(
        self, dense: Model, state: State, energies: Mapping[str, Scores], limit: float
    ) -> Round:
        """Find out what must be known before more is removed."""
        return round_of(
            self.asked,
            self.context,
            self.folder,
            dense=dense,
            state=state,
            coupling=self.coupled(state.model),
            energies=energies,
            limit=limit,
        )

    def _cut(self, here: Round, way: str, counts: Counts) -> State:
        """Return the model with these counts, refitted, and what that does to its answers."""
        coupling, survey, state = here.coupling, here.survey, here.state
        keep = allocation.flags(coupling, survey.groups, survey.scores, counts)
        if self.criterion.merges:
            coupling = replace(coupling, model=merged(coupling, survey.groups, keep))
        kept = composed(state.kept, partial(coupling.kept, keep=keep))
        model = removed(coupling, keep)
        return self._refitted(here.dense, replace(state, model=model, kept=kept, chosen=way))

    def _refitted(self, dense: Model, state: State) -> State:
        """Fit what is left to the dense model, and see what the answers have changed."""
        data = self.context.data
        if data is None:
            return state
        if self.asked.reconstruct:
            model, fits = reconstructed(
                dense,
                state.model,
                state.kept,
                data,
                self.folder,
                twins=twins(dense, state.gone),
                progress=partial(self.context.progress, "refitting"),
            )
            state = replace(state, model=model, fits=fits)
        held_out = parted(data)[1]
        return replace(state, effect=effect(dense, state.model, held_out, self.folder))


def _whole(_value: str, _axis: int) -> None:
    """Say of every axis that all of it is left."""
