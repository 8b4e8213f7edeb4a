"""How the pass prune gets from a dense model to a smaller one: blocks, then rounds of channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgekit.candidate import Skip
from edgekit.errors import UnreachableError, UsageError
from edgekit.graph import Model
from edgekit.passes.contract import Context, Effort
from edgekit.passes.plans import Round, plans
from edgekit.pruning import allocation, criteria, schedule
from edgekit.pruning.analysis import couple
from edgekit.pruning.attention import rotated
from edgekit.pruning.blocks import blocks, twins, without
from edgekit.pruning.budget import Counts, macs_cost, parameters_cost
from edgekit.pruning.constraints import Allowed, constrained
from edgekit.pruning.coupling import ChannelGroup, Coupling
from edgekit.pruning.criteria import Scores
from edgekit.pruning.depth import latency_shares, mac_shares, shallower
from edgekit.pruning.effects import Effect, effect
from edgekit.pruning.fitting import LayerFit
from edgekit.pruning.latencies import liked
from edgekit.pruning.merging import merged
from edgekit.pruning.preparing import prepared
from edgekit.pruning.reconstruction import reconstructed
from edgekit.pruning.surgery import removed
from edgekit.pruning.survey import Survey, parted, ranked, surveyed, turned
from edgekit.pruning.targets import Kept, composed
from edgekit.pruning.unfusing import unfused

if TYPE_CHECKING:
    from edgekit.passes.prune import Prune

_DEEP = 0.4
"""A smaller share is reached in two rounds."""
_TRIES = 2
"""How often a latency that was missed is aimed at again, a little below."""
_CLOSER = 0.97
_TIME_WEIGHT = 2
"""Half the time is worth four times the change of the outputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A model on its way.

    Attributes:
        kept: positions of the dense model's axes that are left.
        turned: groups whose channels lie in the order of what they are worth.
        fits: what became of each layer when it was last fitted.
        effect: what the answers of held-out samples have changed; None without samples.
        chosen: which of several ways was taken.
    """

    model: Model
    kept: Kept
    turned: frozenset[str] = frozenset()
    fits: tuple[LayerFit, ...] = ()
    effect: Effect | None = None
    chosen: str = ""


class Shrinking:
    """One application of the pass.

    Attributes:
        skipped: what was left alone, and why.
        ways: those tried last, each with the change of outputs and the latency against the dense
            model (1 where nothing was timed).
    """

    def __init__(self, asked: Prune, context: Context, folder: Path) -> None:
        """Take in what is asked for, what may be used, and an empty folder."""
        self.asked = asked
        self.context = context
        self.folder = folder
        self.skipped: list[Skip] = []
        self.criterion = criteria.find(asked.criterion)
        self.whole = 1.0
        self.timed = False
        self.ways: dict[str, dict[str, float]] = {}

    def ready(self, model: Model) -> tuple[Model, dict[str, Scores]]:
        """Return the model in the form that is pruned, equal in its answers.

        Returns:
            the model; scores of the groups that are turned widths of attention heads, by name.
        """
        model, _names, refused = unfused(prepared(model), self.context.shapes)
        self.skipped.extend(refused)
        if self.context.data is None or self.asked.granularity != "channels":
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
        if self.asked.granularity == "blocks":
            return self._shallower(dense)
        self.timed = self.context.latencies_of([dense], "screen") is not None
        share = self._share(dense)
        state = self._in_rounds(dense, energies, share)
        limit_s = self.asked.max_latency_s
        for _ in range(_TRIES if limit_s else 0):
            found_s = self._seconds([dense, state.model], "decide")[1]
            if found_s <= limit_s:
                return state
            share *= _CLOSER * limit_s / found_s
            state = self._in_rounds(dense, energies, share)
        if limit_s and (found_s := self._seconds([dense, state.model], "decide")[1]) > limit_s:
            raise UnreachableError(
                "the latency was not reached",
                where="prune",
                found=f"{found_s * 1e6:.0f} us",
                expected=f"at most {limit_s * 1e6:.0f} us",
            )
        return state

    def _in_rounds(self, dense: Model, energies: Mapping[str, Scores], share: float) -> State:
        """Return the model with this share of its cost; single ratios are cut once."""
        rounds = self.asked.rounds or (2 if share < _DEEP else 1)
        shares = schedule.iterative(share, 1 if self.asked.ratios else rounds)
        state = State(model=dense, kept=_whole, turned=frozenset(energies))
        for number, keep in enumerate(shares, start=1):
            known = energies if number == 1 else {}
            state = self._next(dense, state, known, keep, last=number == len(shares))
        return state

    def _share(self, dense: Model) -> float:
        """Return the share of the dense model's cost that may stay; 1 for single ratios."""
        if self.asked.max_latency_s:
            (whole_s,) = self._seconds([dense])
            self.whole, share = whole_s * 1e6, self.asked.max_latency_s / whole_s
        elif self.asked.ratios:
            return 1.0
        else:
            measure = macs_cost if self.asked.keep_macs else parameters_cost
            self.whole = measure(self.coupled(dense), ()).dense
            share = self.asked.keep_macs or self.asked.keep_params
        if share >= 1:
            raise UsageError(
                "the model is within the budget already",
                where="prune",
                found=f"{self.whole:.0f} us",
                expected=f"a limit below that, not {self.asked.max_latency_s * 1e6:.0f} us",
            )
        return share

    def _shallower(self, dense: Model) -> State:
        """Remove whole residual blocks, then fit all layers to the dense model."""
        data, asked = self.context.data, self.asked
        if data is None:
            raise UsageError("blocks are chosen by what they do to answers", where="--data")
        found, refused = blocks(dense, self.context.shapes)
        self.skipped.extend(refused)
        if asked.max_latency_s:
            savings = latency_shares(dense, found, self._seconds)
        else:
            savings = mac_shares(dense, found, self.context.shapes)
        depth = shallower(
            dense,
            found,
            savings,
            share=1 - self._share(dense),
            data=data,
            workspace=self.folder,
            progress=partial(self.context.progress, "measuring what blocks are worth"),
        )
        self.skipped.extend(depth.skipped)
        model = without(dense, depth.blocks)
        fits: tuple[LayerFit, ...] = ()
        if asked.reconstruct:
            model, fits = reconstructed(
                dense,
                model,
                _whole,
                data,
                self.folder,
                twins=twins(dense, depth.blocks),
                progress=partial(self.context.progress, "refitting"),
            )
        return State(
            model=model,
            kept=_whole,
            fits=fits,
            effect=effect(dense, model, parted(data)[1], self.folder),
            chosen=", ".join(block.name for block in depth.blocks),
        )

    def _seconds(self, models: Sequence[Model], effort: Effort = "screen") -> list[float]:
        """Return the latencies of models on the device."""
        self.context.progress("measuring what is slow", 0, 0)
        found = self.context.latencies_of(models, effort)
        if found is None:
            raise UsageError(
                "a latency can only be reached where it is measured",
                where="--max-latency",
                found=f"no device of target {self.context.target.name}",
                remedy="use --keep-macs, or name a device with --device",
            )
        return [one.value for one in found]

    def _next(
        self, dense: Model, state: State, energies: Mapping[str, Scores], keep: float, *, last: bool
    ) -> State:
        """Remove some more, and refit; of several ways the best is taken."""
        coupling = self.coupled(state.model)
        groups = coupling.free
        multiple = self.context.target.channel_multiple
        options, finer = (
            constrained(
                coupling,
                groups,
                liked(coupling, groups, one),
                ignored=self.asked.ignore,
                ratios=self.asked.ratios,
            )
            for one in (multiple, max(1, multiple // 2))
        )
        in_order = {
            group.name: -np.arange(len(group.channels), dtype=np.float64)
            for group in groups
            if group.name in state.turned
        }
        here = Round(
            dense=dense,
            state=state,
            coupling=coupling,
            options=options,
            finer=finer,
            survey=self._survey(coupling, groups, finer, energies or in_order),
            whole=self.whole,
            keep=keep,
            last=last,
        )
        ways = plans(self.asked, here, self._seconds, timed=self.timed)
        return self._best(dense, [self._cut(here, *way) for way in ways.items()])

    def _survey(
        self,
        coupling: Coupling,
        groups: Sequence[ChannelGroup],
        options: Sequence[Allowed],
        known: Mapping[str, Scores],
    ) -> Survey:
        data = self.context.data
        if data is None or self.asked.ratios:
            return ranked(
                coupling, groups, self.criterion, data=data, workspace=self.folder, known=known
            )
        return surveyed(
            coupling,
            groups,
            options,
            self.criterion,
            data=data,
            workspace=self.folder,
            known=known,
            progress=partial(self.context.progress, "measuring what channels are worth"),
        )

    def _best(self, dense: Model, tried: Sequence[State]) -> State:
        """Return the way that changes answers least for the time it saves."""
        losses = [one.effect.loss if one.effect else 0.0 for one in tried]
        times = [1.0] * len(tried)
        if len(tried) > 1 and self.timed:
            models = [dense, *(one.model for one in tried)]
            seconds = self._seconds(models, "decide")
            times = [one / seconds[0] for one in seconds[1:]]
        self.ways = {
            one.chosen: {"change of outputs": round(loss, 5), "latency ratio": round(time, 3)}
            for one, loss, time in zip(tried, losses, times, strict=True)
        }
        worth = [loss * time**_TIME_WEIGHT for loss, time in zip(losses, times, strict=True)]
        return tried[int(np.argmin(worth))]

    def _cut(self, here: Round, plan: str, counts: Counts) -> State:
        """Return the model with these counts, refitted, and what that does to its answers."""
        coupling, survey, state = here.coupling, here.survey, here.state
        keep = allocation.flags(coupling, survey.groups, survey.scores, counts)
        if self.asked.criterion == "redundancy":
            coupling = replace(coupling, model=merged(coupling, survey.groups, keep))
        model = removed(coupling, keep)
        kept = composed(state.kept, partial(coupling.kept, keep=keep))
        data, fits, found = self.context.data, state.fits, None
        if data is not None and self.asked.reconstruct:
            model, fits = reconstructed(
                here.dense,
                model,
                kept,
                data,
                self.folder,
                progress=partial(self.context.progress, f"refitting ({plan})"),
            )
        if data is not None:
            found = effect(here.dense, model, parted(data)[1], self.folder)
        return replace(state, model=model, kept=kept, fits=fits, effect=found, chosen=plan)


def _whole(_value: str, _axis: int) -> None:
    """Say of every axis that all of it is left."""
