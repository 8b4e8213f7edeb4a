"""The pass that removes channels, heads, units or whole blocks, and refits what is left."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from edgekit.candidate import Skip
from edgekit.errors import UsageError
from edgekit.graph import Model
from edgekit.graph.costs import costs
from edgekit.passes.contract import Context, Outcome
from edgekit.pruning import allocation, criteria, schedule
from edgekit.pruning.analysis import couple
from edgekit.pruning.attention import rotated
from edgekit.pruning.budget import Cost, Counts, macs_cost, parameters_cost
from edgekit.pruning.constraints import Allowed, constrained
from edgekit.pruning.coupling import ChannelGroup, Coupling
from edgekit.pruning.criteria import Scores
from edgekit.pruning.effects import Effect, effect
from edgekit.pruning.fitting import LayerFit
from edgekit.pruning.latencies import liked, measured_latency
from edgekit.pruning.merging import merged
from edgekit.pruning.preparing import prepared
from edgekit.pruning.reconstruction import reconstructed
from edgekit.pruning.surgery import removed
from edgekit.pruning.survey import Survey, parted, ranked, surveyed, turned
from edgekit.pruning.targets import Kept, composed
from edgekit.pruning.unfusing import unfused


@dataclass(frozen=True, slots=True, kw_only=True)
class Prune:
    """Make the graph physically smaller, and make up for it from unlabelled samples.

    Channels that belong together go together (`pruning.analysis`). Where samples are given, those
    that matter least go, by what each group's going does to the outputs; attention heads are
    first turned so that their last components matter least; then every layer is fitted anew to
    what the dense model makes. Exactly one of the first four says how much goes.

    Attributes:
        keep_macs, keep_params: share that stays, between 0 and 1.
        max_latency_s: latency to reach on the device.
        ratios: share of channels that goes, by name or pattern of a layer.
        criterion: how channels are ranked; see `pruning.criteria`.
        ignore: names or patterns of layers whose channels all stay.
        granularity: `channels`, or `heads`: attention loses whole heads.
        rounds: in how many steps it is done, each with samples run through what is left.
        reconstruct: fit layers anew.
    """

    name: ClassVar[str] = "prune"
    tolerance: ClassVar[float | None] = None

    keep_macs: float = 0.0
    keep_params: float = 0.0
    max_latency_s: float = 0.0
    ratios: Mapping[str, float] = field(default_factory=dict)
    criterion: str = "obs"
    ignore: tuple[str, ...] = ()
    granularity: str = "channels"
    rounds: int = 1
    reconstruct: bool = True

    def apply(self, model: Model, context: Context) -> Outcome:
        """Return the smaller model; facts hold what went, skips what stayed and why.

        Raises:
            UsageError: a budget that cannot be reached, an unknown layer or criterion, or no
                samples where they are needed.
        """
        if criteria.find(self.criterion).needs != "weights" and context.data is None:
            raise UsageError(
                f"criterion {self.criterion!r} looks at activations",
                where="--data",
                found="no data",
                remedy="give unlabelled samples with --data, or use --criterion l2",
            )
        folder = context.workspace / "prune"
        folder.mkdir()
        try:
            return _Pruning(self, context, folder).outcome(model)
        finally:
            shutil.rmtree(folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """A model on its way: how much smaller it is than the dense one, and in what.

    Attributes:
        kept: positions of the dense model's axes that are left.
        turned: groups whose channels lie in the order of what they are worth.
    """

    model: Model
    kept: Kept
    turned: frozenset[str] = frozenset()
    fits: tuple[LayerFit, ...] = ()
    effect: Effect | None = None
    chosen: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """What is known before channels are chosen.

    Attributes:
        options: counts that each of the survey's groups may keep.
    """

    dense: Model
    state: _State
    coupling: Coupling
    options: Sequence[Allowed]
    survey: Survey
    number: int


class _Pruning:
    """One application of the pass."""

    def __init__(self, asked: Prune, context: Context, folder: Path) -> None:
        self.asked = asked
        self.context = context
        self.folder = folder
        self.skipped: list[Skip] = []
        self.facts: dict[str, Any] = {"criterion": asked.criterion}
        self.criterion = criteria.find(asked.criterion)

    def outcome(self, model: Model) -> Outcome:
        dense, energies = self._ready(model)
        coupling = self._coupled(dense)
        groups = _free(coupling)
        for group in coupling.groups:
            if group.pinned_by is not None:
                reason = f"{group.pinned_by.where}: {group.pinned_by.reason}"
                self.skipped.append(Skip(where=group.name, reason=reason))
        if not groups:
            return Outcome(model=model, changed=False, skipped=tuple(self.skipped))
        state = _State(model=dense, kept=lambda _value, _axis: None, turned=frozenset(energies))
        whole = costs(dense, self.context.shapes)
        for number in range(self.asked.rounds):
            state = self._next(dense, state, energies if number == 0 else {}, number)
        left = costs(state.model, self.context.shapes)
        self._tell(coupling, state, whole.macs, left.macs, whole.parameters, left.parameters)
        return Outcome(
            model=state.model, changed=True, skipped=tuple(self.skipped), facts=self.facts
        )

    def _ready(self, model: Model) -> tuple[Model, dict[str, Scores]]:
        """Return the model as it is pruned, equal in what it answers, and what is known of it."""
        model, _parted, refused = unfused(prepared(model), self.context.shapes)
        self.skipped.extend(refused)
        if self.context.data is None or self.asked.granularity == "heads":
            return model, {}
        self.context.progress("turning attention heads", 0, 0)
        model, rotations, refused = rotated(model, self.context.data, self.folder)
        self.skipped.extend(refused)
        coupling = self._coupled(model)
        return model, turned(coupling, _free(coupling), rotations)

    def _coupled(self, model: Model) -> Coupling:
        heads = self.asked.granularity == "heads"
        return couple(model, self.context.shapes, heads=heads)

    def _next(
        self, dense: Model, state: _State, energies: Mapping[str, Scores], number: int
    ) -> _State:
        """Remove some more, and refit; of several ways the one that changes least is taken."""
        coupling = self._coupled(state.model)
        groups = _free(coupling)
        multiple = self.context.target.channel_multiple
        options = constrained(
            coupling,
            groups,
            [liked(coupling, group, multiple) for group in groups],
            ignored=self.asked.ignore,
            ratios=self.asked.ratios,
        )
        in_order = {
            group.name: -np.arange(len(group.channels), dtype=np.float64)
            for group in groups
            if group.name in state.turned
        }
        here = _Round(
            dense=dense,
            state=state,
            coupling=coupling,
            options=options,
            survey=self._survey(coupling, groups, options, energies or in_order),
            number=number,
        )
        tried = [self._cut(here, plan, counts) for plan, counts in self._plans(here).items()]
        return min(tried, key=lambda one: one.effect.loss if one.effect else 0.0)

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

    def _plans(self, here: _Round) -> dict[str, Counts]:
        """Return by name the counts to try: ranked over all groups, and one share for all."""
        if self.asked.ratios:
            return {"ratios": allocation.dense(here.options)}
        cost, limit = self._budget(here)
        plans = {"uniform": allocation.uniform(here.options, cost, limit)}
        if here.survey.table:
            plans["by loss"] = allocation.by_loss(here.survey.table, here.options, cost, limit)
        return plans

    def _budget(self, here: _Round) -> tuple[Cost, float]:
        """Return what is limited and the limit of this round."""
        asked, groups = self.asked, here.survey.groups
        if asked.max_latency_s:
            cost = self._latency(here)
            whole = self.facts.setdefault(
                "dense latency, us", cost.total(allocation.dense(here.options))
            )
            share = asked.max_latency_s * 1e6 / whole
        else:
            measure = macs_cost if asked.keep_macs else parameters_cost
            cost = measure(here.coupling, groups)
            share = asked.keep_macs or asked.keep_params
            whole = measure(self._coupled(here.dense), ()).total(np.zeros(0, np.int64))
        if share >= 1:
            raise UsageError(
                "the model is within the budget already",
                where="prune",
                found=f"{whole:.0f} us",
                expected=f"a limit below that, not {asked.max_latency_s * 1e6:.0f} us",
            )
        return cost, whole * schedule.iterative(share, asked.rounds)[here.number]

    def _latency(self, here: _Round) -> Cost:
        self.context.progress("measuring what channels cost", 0, 0)
        found = measured_latency(
            here.coupling,
            here.survey.groups,
            here.options,
            lambda models: self.context.latencies_of(models, "screen"),
        )
        if found is None:
            raise UsageError(
                "a latency can only be reached where it is measured",
                where="--max-latency",
                found=f"no device of target {self.context.target.name}",
                remedy="use --keep-macs, or name a device with --device",
            )
        return found

    def _cut(self, here: _Round, plan: str, counts: Counts) -> _State:
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

    def _tell(self, coupling: Coupling, state: _State, *amounts: int) -> None:
        macs, macs_left, parameters, parameters_left = amounts
        counts = {}
        for group in _free(coupling):
            value, axis = group.producers[0]
            ids = coupling.on(value, axis)
            stays = state.kept(value, axis)
            if ids is not None and stays is not None:
                left = len(np.intersect1d(ids[stays], group.channels))
                if left < len(group.channels):
                    counts[group.name] = f"{len(group.channels)} -> {left}"
            if group.name not in counts:
                self.skipped.append(Skip(where=group.name, reason="all of it is worth keeping"))
        self.skipped.extend(
            Skip(where=fit.node, reason=f"not refitted: {fit.reason}")
            for fit in state.fits
            if not fit.accepted
        )
        self.facts |= {
            "multiply-adds kept": round(macs_left / max(macs, 1), 4),
            "parameters kept": round(parameters_left / max(parameters, 1), 4),
            "groups": len(coupling.groups),
            "groups pruned": len(counts),
            "pinned groups": sum(group.pinned_by is not None for group in coupling.groups),
            "counts chosen": state.chosen,
            "layers refitted": sum(fit.accepted for fit in state.fits),
            "counts": counts,
        }
        if state.effect is not None:
            self.facts["change of held-out outputs"] = round(state.effect.loss, 5)
            self.facts["equal held-out answers"] = round(state.effect.agreement, 4)


def _free(coupling: Coupling) -> list[ChannelGroup]:
    return [group for group in coupling.groups if group.pinned_by is None]
