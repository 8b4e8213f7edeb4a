"""The loss table: what cutting one group alone does to the outputs, on samples held out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit import native
from edgekit.dataset import Dataset
from edgekit.graph import file_size
from edgekit.graph.trial import expose, open_session
from edgekit.layerwise.batches import batch_size, batches
from edgekit.layerwise.saving import saved
from edgekit.pruning.allocation import Losses, flags_of
from edgekit.pruning.coupling import ChannelGroup
from edgekit.pruning.criteria.contract import Scores
from edgekit.pruning.evidence import Evidence
from edgekit.pruning.refitting import Change, refitted
from edgekit.pruning.suffix import Arrays, session_of, suffix_of

Progress = Callable[[int, int], None]
"""Called with (done, in all)."""

SAMPLES = 128
_CHUNK_BYTES = 256 << 20
_TIMEOUT_S = 1800.0
_SMALLEST_PROBABILITY = 1e-30
_ROUNDING = 1e-3


def measured(
    groups: Sequence[ChannelGroup],
    scores: Sequence[Scores],
    counts: Sequence[tuple[int, ...]],
    evidence: Evidence,
    *,
    held_out: Dataset,
    workspace: Path,
    samples: int = SAMPLES,
    progress: Progress | None = None,
) -> list[Losses]:
    """Return the loss table of these groups.

    Each group is cut alone, at each count, its readers refitted as `refitting.refitted` says.

    Args:
        groups: none of them pinned.
        scores: of the channels of each group.
        counts: for each group those to be measured, descending, the first being all its channels.
        evidence: with Gram matrices, of samples that are not held out.
        held_out: at most `samples` samples of it are used, evenly spread.
        workspace: for temporary files.
        samples: see `held_out`.
        progress: called with (forms measured, in all).

    Raises:
        ModelError: the model does not run on the data.
    """
    model = evidence.coupling.model
    outputs = [spec.name for spec in model.outputs]
    total = sum(len(row) - 1 for row in counts)
    found: list[tuple[float, float]] = []
    with saved(workspace, dense=model) as (dense,):
        for chunk in _chunks(_changes(groups, scores, counts, evidence)):
            done = len(found)
            found += native.call(
                "measuring what channels are worth",
                _run,
                dense,
                chunk,
                outputs,
                held_out,
                samples,
                timeout_s=_TIMEOUT_S,
                memory_bytes=(3 << 30) + 3 * file_size(dense) + 2 * sum(map(_bytes, chunk)),
                progress=part_of(progress, done, total),
            )
    answers = iter(found)
    table = []
    for group, row in zip(groups, counts, strict=True):
        measures = [(0.0, 1.0), *(next(answers) for _ in row[1:])]
        losses, agreements = zip(*measures, strict=True)
        table.append(Losses(group=group.name, counts=row, losses=losses, agreements=agreements))
    return table


def compared(
    wanted: list[list[npt.NDArray[Any]]], found: list[list[npt.NDArray[Any]]]
) -> tuple[float, float]:
    """Return the mean over outputs of (squared change / variance, share of equal top answers).

    Args:
        wanted: for each batch the outputs of the dense model.
        found: for each batch those of another one.
    """
    losses, agreements = [], []
    for index, first in enumerate(wanted[0]):
        pairs = [(one[index], other[index]) for one, other in zip(wanted, found, strict=True)]
        if first.dtype.kind != "f":
            same = np.concatenate([np.ravel(one == other) for one, other in pairs])
            losses.append(1 - float(same.mean()))
            continue
        exact = [_scores(one) for one, _ in pairs]
        given = [_scores(other) for _, other in pairs]
        values = np.concatenate([np.ravel(one) for one in exact])
        change = sum(
            float(((one - other) ** 2).sum()) for one, other in zip(exact, given, strict=True)
        )
        variance = float(((values - values.mean()) ** 2).sum())
        losses.append(change / max(variance, np.finfo(float).tiny))
        if first.ndim > 1 and first.shape[-1] > 1:
            same = np.concatenate(
                [np.ravel(one.argmax(-1) == other.argmax(-1)) for one, other in pairs]
            )
            agreements.append(float(same.mean()))
    return float(np.mean(losses)), float(np.mean(agreements)) if agreements else 1.0


def part_of(progress: Progress | None, done: int, total: int) -> Progress | None:
    """Return a `progress` for one part of some work, before which `done` of `total` was done."""
    if progress is None:
        return None
    return lambda now, _: progress(done + now, total)


def _changes(
    groups: Sequence[ChannelGroup],
    scores: Sequence[Scores],
    counts: Sequence[tuple[int, ...]],
    evidence: Evidence,
) -> Iterator[Change]:
    for group, score, row in zip(groups, scores, counts, strict=True):
        for count in row[1:]:
            keep = flags_of(evidence.coupling, group, score, count)
            yield refitted(group, keep, evidence)


def _chunks(changes: Iterator[Change]) -> Iterator[list[Change]]:
    chunk: list[Change] = []
    for change in changes:
        if chunk and sum(map(_bytes, chunk)) + _bytes(change) > _CHUNK_BYTES:
            yield chunk
            chunk = []
        chunk.append(change)
    if chunk:
        yield chunk


def _bytes(change: Change) -> int:
    return sum(array.nbytes for array in change.weights.values())


def _run(
    dense: Path, changes: list[Change], outputs: list[str], held_out: Dataset, samples: int
) -> list[tuple[float, float]]:
    """Return (loss, agreement) of each change; runs in a native child."""
    import onnx  # noqa: PLC0415  # never in the host

    model = onnx.load(dense, load_external_data=False)
    suffixes = {change.starts: suffix_of(model.graph, change.starts) for change in changes}
    made = {name for node in model.graph.node for name in node.output}
    inner = (name for suffix in suffixes.values() for name in suffix.inputs if name in made)
    names = list(dict.fromkeys((*outputs, *inner)))
    known = list(_dense(dense, model, names, outputs, held_out, samples=samples))
    wanted = [[values[name] for name in outputs] for values in known]
    types = {name: value.dtype for name, value in known[0].items()}
    answers = []
    for done, change in enumerate(changes, start=1):
        suffix = suffixes[change.starts]
        session = session_of(model, suffix, types, change, dense.parent)
        found = []
        for values in known:
            results = session.run(
                list(suffix.outputs), {name: values[name] for name in suffix.inputs}
            )
            new = dict(zip(suffix.outputs, results, strict=True))
            found.append([new.get(name, values[name]) for name in outputs])
        answers.append(compared(wanted, found))
        native.report(done, len(changes))
    return answers


def _dense(
    file: Path,
    model: Any,
    names: list[str],
    outputs: list[str],
    held_out: Dataset,
    *,
    samples: int,
) -> Iterator[Arrays]:
    """Yield for each batch the graph's inputs and these values of the model as it is."""
    import onnx  # noqa: PLC0415  # as above

    watching = onnx.ModelProto()
    watching.CopyFrom(model)
    expose(watching, names)
    serialized = watching.SerializeToString()
    session = open_session(serialized, folder=file.parent, threads=os.cpu_count() or 1)
    size = batch_size(session, outputs, held_out)
    for batch in batches(held_out, samples, size):
        found = dict(zip(names, session.run(names, batch.feeds), strict=True))
        yield {**batch.feeds, **found}


def _scores(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return class scores; probabilities become centred logarithms, as before their Softmax."""
    scores = values.astype(np.float64)
    classes = scores.ndim > 1 and scores.shape[-1] > 1 and scores.min() >= 0
    if classes and np.all(np.abs(scores.sum(axis=-1) - 1) < _ROUNDING):
        scores = np.log(np.maximum(scores, _SMALLEST_PROBABILITY))
        scores -= scores.mean(axis=-1, keepdims=True)
    return scores
