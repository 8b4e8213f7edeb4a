"""The pass that removes channels, heads, units or whole blocks, and refits what is left."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from edgekit.candidate import Skip
from edgekit.errors import UsageError
from edgekit.graph import Model
from edgekit.graph.costs import costs
from edgekit.passes.contract import Context, Outcome
from edgekit.passes.rounds import State
from edgekit.passes.shrinking import Shrinking
from edgekit.pruning import criteria
from edgekit.pruning.coupling import Coupling
from edgekit.pruning.selection import check_limit, check_share, only_budget

_BUDGETS = ("keep_macs", "keep_params", "max_latency_s", "ratios")
_GRANULARITIES = ("mixed", "channels", "heads", "blocks")
_SCHEDULES = ("iterative", "polynomial")
_SEVERAL = 2


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
        granularity: `mixed`: channels, and before them residual blocks where that costs less for
            the time it saves; `channels` alone; `heads`: attention loses whole heads; `blocks`:
            residual blocks and layers go whole, and nothing else.
        rounds: in how many steps it is done, each with samples run through what is left; 0 is
            one, and where less than 40% is to stay two as well, of which the better is taken.
        schedule: of several rounds: `iterative`, each removes the same part of what is left;
            `polynomial`, much at first, then ever less, which takes at least 2 `rounds`.
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
    granularity: str = "mixed"
    rounds: int = 0
    schedule: str = "iterative"
    reconstruct: bool = True

    def __post_init__(self) -> None:
        said = only_budget({name: getattr(self, name) for name in _BUDGETS}, where="prune")
        if said != "ratios":
            check_limit(said, getattr(self, said), where=f"prune.{said}")
        for layer, share in self.ratios.items():
            check_share(share, where=f"prune.ratios: {layer}")
        criteria.find(self.criterion)
        for what, known in {"granularity": _GRANULARITIES, "schedule": _SCHEDULES}.items():
            if getattr(self, what) not in known:
                raise UsageError(
                    f"unknown {what}",
                    where=f"prune.{what}",
                    found=repr(getattr(self, what)),
                    expected=f"one of {', '.join(known)}",
                )
        if self.schedule == "polynomial" and (self.rounds < _SEVERAL or self.ratios):
            raise UsageError(
                "a polynomial schedule needs rounds to be spread over",
                where="prune.schedule",
                found="ratios, which are cut at once" if self.ratios else f"rounds {self.rounds}",
                expected="2 rounds or more, and a budget of the whole model",
            )
        if self.rounds < 0:
            raise UsageError(
                "out of range", where="prune.rounds", found=str(self.rounds), expected="0 or more"
            )

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
        if self.granularity == "blocks" and self.ratios:
            raise UsageError(
                "blocks have no single ratios",
                where="prune.granularity",
                remedy="say how much with --keep-macs, --keep-params or --max-latency",
            )
        folder = context.workspace / "prune"
        folder.mkdir()
        try:
            return self._outcome(model, Shrinking(self, context, folder))
        finally:
            shutil.rmtree(folder)

    def _outcome(self, model: Model, work: Shrinking) -> Outcome:
        dense, energies = work.ready(model)
        coupling = work.coupled(dense)
        pinned = [
            Skip(where=group.name, reason=group.pinned_by.reason)
            for group in coupling.groups
            if group.pinned_by is not None
        ]
        if not coupling.free:
            return Outcome(model=model, changed=False, skipped=(*pinned, *work.skipped))
        state = work.shrunk(dense, energies)
        left, staying = _counts(coupling, state)
        unfitted = [
            Skip(where=fit.node, reason=f"not refitted: {fit.reason}")
            for fit in state.fits
            if not (fit.accepted or fit.exact)
        ]
        before, after = (costs(one, work.context.shapes) for one in (dense, state.model))
        facts: dict[str, Any] = {
            "criterion": self.criterion,
            "multiply-adds kept": round(after.macs / max(before.macs, 1), 4),
            "parameters kept": round(after.parameters / max(before.parameters, 1), 4),
            "groups": len(coupling.groups),
            "groups pruned": len(left),
            "pinned groups": len(pinned),
            "chosen": state.chosen,
            "blocks removed": [block.name for block in state.gone],
            "ways tried": {
                one.chosen: {
                    "change of outputs": round(one.loss, 5),
                    "latency ratio": one.time and round(one.time, 3),
                }
                for one in work.ways
            },
            "layers refitted": sum(fit.accepted for fit in state.fits),
            "counts": left,
        }
        if state.seconds is not None:
            facts["latency reached, us"] = round(state.seconds * 1e6, 1)
        if state.effect is not None:
            facts["change of held-out outputs"] = round(state.effect.loss, 5)
            facts["equal held-out answers"] = round(state.effect.agreement, 4)
        skipped = (*pinned, *work.skipped, *staying, *unfitted)
        return Outcome(model=state.model, changed=True, skipped=skipped, facts=facts)


def _counts(coupling: Coupling, state: State) -> tuple[dict[str, str], list[Skip]]:
    """Return by group how many channels of how many are left, and the groups left whole."""
    left, staying = {}, []
    weights = state.model.ir.graph.initializers
    for group in coupling.free:
        value, axis = next((one for one in group.producers if one[0] in weights), ("", 0))
        ids, stays = coupling.on(value, axis), state.kept(value, axis)
        count = len(group.channels) if value else 0
        if ids is not None and stays is not None:
            count = len(np.intersect1d(ids[stays], group.channels))
        if count < len(group.channels):
            left[group.name] = f"{len(group.channels)} -> {count}"
        else:
            staying.append(Skip(where=group.name, reason="all of it is worth keeping"))
    return left, staying
