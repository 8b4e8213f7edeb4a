"""Everything that must be known before channels are chosen: their ranks and what they are worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.dataset import Dataset
from edgekit.dataset.subset import Subset
from edgekit.errors import DataError
from edgekit.layerwise.batches import HELD_OUT_EVERY
from edgekit.pruning.allocation import Losses
from edgekit.pruning.attention import Rotation
from edgekit.pruning.constraints import Allowed
from edgekit.pruning.coupling import ChannelGroup, Coupling
from edgekit.pruning.criteria.contract import Criterion, Scores
from edgekit.pruning.evidence import Evidence, gather, gram_bytes, weights_of
from edgekit.pruning.levels import sampled
from edgekit.pruning.losses import SAMPLES, Progress, measured, part_of

MEASURED_COUNTS = 9
"""Counts of each group that go into the loss table, all its channels included."""

LEAST_SAMPLES = 16
"""What the loss table is measured on, where more would take too long."""

_WORK_MACS = 1e12
"""Multiply-adds that a loss table may take: about half a minute on two cores."""

_BATCH_BYTES = 512 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was found out about some groups.

    Attributes:
        groups: which, in graph order; none is pinned.
        scores: by group name, one a channel, higher = keep.
        table: for each group what cutting it alone costs; empty where none was asked for.
    """

    groups: tuple[ChannelGroup, ...]
    scores: Mapping[str, Scores]
    table: tuple[Losses, ...] = ()


def ranked(
    coupling: Coupling,
    groups: Sequence[ChannelGroup],
    criterion: Criterion,
    *,
    data: Dataset | None,
    workspace: Path,
    known: Mapping[str, Scores] | None = None,
) -> Survey:
    """Return the scores alone.

    Args:
        coupling: of the model.
        groups: those that may be cut.
        criterion: ranks the channels of each group.
        data: may be None where the criterion needs weights only.
        workspace: for temporary files.
        known: scores that are given, by group name; see `turned`.

    Raises:
        UsageError: the model lacks what the criterion looks at.
    """
    scores: dict[str, Scores] = {}
    parts = _parts(coupling, groups) if criterion.needs == "grams" else [groups]
    for part in parts:
        evidence = gather(coupling, part, criterion.needs, data, workspace)
        scores |= _scored(part, criterion, evidence, known)
    return Survey(groups=tuple(groups), scores=scores)


def surveyed(
    coupling: Coupling,
    groups: Sequence[ChannelGroup],
    allowed: Sequence[Allowed],
    criterion: Criterion,
    *,
    data: Dataset,
    workspace: Path,
    known: Mapping[str, Scores] | None = None,
    progress: Progress | None = None,
) -> Survey:
    """Return scores and the loss table, with memory for some groups' Gram matrices at a time.

    Args:
        coupling: of the model.
        groups: those that may be cut.
        allowed: counts that each may keep; about eight of them are measured.
        criterion: ranks the channels of each group.
        data: every fifth sample is held out: to measure by, not to fit to.
        workspace: for temporary files.
        known: as of `ranked`.
        progress: called with (forms of the model measured, in all).

    Raises:
        UsageError: the model lacks what the criterion looks at.
        ModelError: the model does not run on the data.
    """
    fitted, held_out = parted(data)
    if criterion.needs == "gradients":
        alone = ranked(coupling, groups, criterion, data=fitted, workspace=workspace, known=known)
        known = alone.scores
    counts_of = {
        group.name: sampled(counts, MEASURED_COUNTS)
        for group, counts in zip(groups, allowed, strict=True)
    }
    total = sum(len(counts) - 1 for counts in counts_of.values())
    macs = sum(product.macs for product in coupling.products)
    affordable = int(_WORK_MACS / max(macs * total / 2, 1))
    scores: dict[str, Scores] = {}
    table: list[Losses] = []
    done = 0
    for part in _parts(coupling, groups):
        evidence = gather(coupling, part, "grams", fitted, workspace)
        scores |= _scored(part, criterion, evidence, known)
        counts = [counts_of[group.name] for group in part]
        table += measured(
            part,
            [scores[group.name] for group in part],
            counts,
            evidence,
            held_out=held_out,
            workspace=workspace,
            samples=min(SAMPLES, max(LEAST_SAMPLES, affordable)),
            progress=part_of(progress, done, total),
        )
        done += sum(len(row) - 1 for row in counts)
    return Survey(groups=tuple(groups), scores=scores, table=tuple(table))


def turned(
    coupling: Coupling, groups: Sequence[ChannelGroup], rotations: Sequence[Rotation]
) -> dict[str, Scores]:
    """Return scores of the groups that are a turned width of attention heads, by group name.

    What the turning found out about each component is then known better than any criterion tells.
    """
    energy = np.full(coupling.count, np.nan)
    for rotation in rotations:
        for name, axis, positions in rotation.places:
            ids = coupling.on(name, axis)
            if ids is not None:
                energy[ids[positions]] = rotation.energy
    return {
        group.name: energy[group.channels]
        for group in groups
        if np.isfinite(energy[group.channels]).all()
    }


def parted(data: Dataset) -> tuple[Dataset, Dataset]:
    """Return (samples to fit to, samples held out): every fifth is held out.

    Raises:
        DataError: too few samples to hold one out.
    """
    if len(data) < HELD_OUT_EVERY:
        raise DataError(
            "too few samples to choose channels by",
            where=data.source,
            found=str(len(data)),
            expected="about 256 or more",
        )
    indexes = range(len(data))
    held = tuple(indexes[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY])
    rest = set(indexes).difference(held)
    return Subset(data, tuple(sorted(rest))), Subset(data, held)


def _scored(
    groups: Sequence[ChannelGroup],
    criterion: Criterion,
    evidence: Evidence,
    known: Mapping[str, Scores] | None,
) -> dict[str, Scores]:
    given = known or {}
    return {
        group.name: given[group.name] if group.name in given else criterion.score(group, evidence)
        for group in groups
    }


def _parts(coupling: Coupling, groups: Sequence[ChannelGroup]) -> Iterator[list[ChannelGroup]]:
    """Yield the groups in parts whose Gram matrices fit into memory together."""
    evidence: Evidence = weights_of(coupling)
    part: list[ChannelGroup] = []
    nodes: set[str] = set()
    size = 0
    for group in groups:
        own = {one.node for one in evidence.contractions(group)}
        more = sum(gram_bytes(evidence, node) for node in own - nodes)
        if part and size + more > _BATCH_BYTES:
            yield part
            part, nodes, size = [], set(), 0
            more = sum(gram_bytes(evidence, node) for node in own)
        part.append(group)
        nodes |= own
        size += more
    if part:
        yield part
