"""What a change of a model does to its outputs, on samples held out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from edgekit import native
from edgekit.dataset import Dataset
from edgekit.graph import Model, file_size
from edgekit.graph.trial import open_session
from edgekit.layerwise.batches import batch_size, batches
from edgekit.layerwise.saving import saved
from edgekit.pruning.losses import compared

SAMPLES = 512
_TIMEOUT_S = 1800.0
_Arrays = list[npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a change does to the outputs of held-out samples.

    Attributes:
        loss: mean squared change relative to their variance.
        agreement: share of equal top answers.
    """

    loss: float
    agreement: float


def effect(
    dense: Model, changed: Model, held_out: Dataset, workspace: Path, *, samples: int = SAMPLES
) -> Effect:
    """Return what `changed` answers differently from `dense`.

    Args:
        dense: what counts.
        changed: a model of the same inputs and outputs.
        held_out: at most `samples` samples of it, evenly spread, are used.
        workspace: for temporary files.
        samples: see `held_out`.

    Raises:
        ModelError: one of the models does not run on the data.
    """
    with saved(workspace, dense=dense, changed=changed) as files:
        loss, agreement = native.call(
            "comparing answers",
            _compare,
            files,
            [spec.name for spec in dense.outputs],
            held_out,
            samples,
            timeout_s=_TIMEOUT_S,
            memory_bytes=(3 << 30) + 3 * sum(map(file_size, files)),
        )
    return Effect(loss=loss, agreement=agreement)


def _compare(
    files: tuple[Path, ...], outputs: list[str], held_out: Dataset, samples: int
) -> tuple[float, float]:
    """Return (loss, agreement) of the second model against the first; runs in a native child."""
    sessions = [open_session(str(file), threads=os.cpu_count() or 1) for file in files]
    size = batch_size(sessions[0], outputs, held_out)
    found: tuple[list[_Arrays], list[_Arrays]] = ([], [])
    for batch in batches(held_out, samples, size):
        for session, answers in zip(sessions, found, strict=True):
            answers.append(session.run(outputs, batch.feeds))
    return compared(*found)
