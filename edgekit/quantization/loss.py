"""What quantization costs at the model's outputs, without labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgekit import native
from edgekit.activations import Array, outputs_of
from edgekit.dataset import Sample

Doubles = npt.NDArray[np.float64]

_SMALLEST_PROBABILITY = 1e-30
_CLASS_RANKS = (2, 3)
_KEPT = ".npz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """How far outputs are from the float model's on the same samples.

    Attributes:
        sqnr_db: signal to quantization noise, of the worst output.
        flips_pt: expected share of answers (largest of the last axis) that change, in percentage
            points; None where no output looks like class scores. The margins between the two
            largest scores are set against the noise in them, taken as normal, so a few samples
            tell apart what counting changed answers would need thousands for.
    """

    sqnr_db: float
    flips_pt: float | None

    def within(self, flips_pt: float, sqnr_db: float) -> bool:
        """Say whether the loss is tolerable: few changed answers, or little noise anyway."""
        return self.sqnr_db >= sqnr_db or (self.flips_pt is not None and self.flips_pt <= flips_pt)


def losses_of(
    reference: Path, files: Sequence[Path], samples: Sequence[Sample]
) -> list[tuple[float, float | None]]:
    """Return (SQNR in dB, flips in points) of each file against `reference`.

    Runs behind the native door; see `Loss` for the figures.

    Args:
        reference: a model, or what `keep_outputs` kept of one for samples that begin with these.
        files: models.
        samples: at least one.
    """
    wanted = _wanted(reference, samples)
    found = []
    for index, file in enumerate(files):
        loss = loss_between(wanted, outputs_of(file, samples))
        found.append((loss.sqnr_db, loss.flips_pt))
        native.report(index + 1, len(files))
    return found


def keep_outputs(model: Path, samples: Sequence[Sample], kept: Path) -> bool:
    """Write what a model makes of samples, to compare others with; say whether that can be done.

    Runs behind the native door.
    """
    found = outputs_of(model, samples)
    plain = all(isinstance(a, np.ndarray) and a.dtype != object for row in found for a in row)
    if plain:
        arrays = {f"{at}-{i}": a for at, row in enumerate(found) for i, a in enumerate(row)}
        np.savez(kept, **arrays)  # type: ignore[arg-type]  # its stub takes them for an option
    return plain


def _wanted(reference: Path, samples: Sequence[Sample]) -> list[list[Array]]:
    if reference.suffix != _KEPT:
        return outputs_of(reference, samples)
    with np.load(reference) as kept:
        count = len(kept.files) // (1 + max(int(name.partition("-")[0]) for name in kept.files))
        return [[kept[f"{at}-{i}"] for i in range(count)] for at in range(len(samples))]


def relative_difference(reference: Path, file: Path, samples: Sequence[Sample]) -> float:
    """Return the largest difference of any output over the largest magnitude in it.

    Runs behind the native door.
    """
    worst = 0.0
    for wanted, found in zip(
        outputs_of(reference, samples), outputs_of(file, samples), strict=True
    ):
        for one, other in zip(wanted, found, strict=True):
            exact = np.asarray(one).astype(np.float64)
            peak = float(np.abs(exact).max(initial=0.0))
            gap = float(np.abs(exact - np.asarray(other)).max(initial=0.0))
            worst = max(worst, gap / peak if peak else gap)
    return worst


def loss_between(wanted: list[list[Array]], found: list[list[Array]]) -> Loss:
    """Return the loss of `found` against `wanted`: per sample, per output, an array each."""
    worst_db = math.inf
    worst_flips: float | None = None
    for index in range(len(wanted[0])):
        reference = [np.asarray(sample[index]) for sample in wanted]
        answers = [np.asarray(sample[index]) for sample in found]
        if reference[0].dtype.kind != "f":
            continue
        shape = reference[0].shape
        if len(shape) in _CLASS_RANKS and shape[-1] > 1:
            scores = _scores(reference), _scores(answers)
            worst_db = min(worst_db, _sqnr_db(*scores))
            flips = _flips_pt(*scores)
            worst_flips = flips if worst_flips is None else max(worst_flips, flips)
        else:
            flat = [np.concatenate([a.reshape(-1) for a in part]) for part in (reference, answers)]
            worst_db = min(worst_db, _sqnr_db(flat[0], flat[1]))
    return Loss(sqnr_db=worst_db, flips_pt=worst_flips)


def _sqnr_db(wanted: Array, found: Array) -> float:
    exact = wanted.astype(np.float64)
    noise = float(np.sum((exact - found.astype(np.float64)) ** 2))
    if noise == 0:
        return math.inf
    return 10 * math.log10(max(float(np.sum(exact * exact)), 1e-300) / noise)


def _flips_pt(wanted: Doubles, found: Doubles) -> float:
    order = np.argpartition(wanted, -2, axis=-1)[:, -2:]
    pair = np.take_along_axis(wanted, order, -1)
    margins = pair[:, 1] - pair[:, 0]
    shifts = np.take_along_axis(found, order, -1)
    noise = shifts[:, 1] - shifts[:, 0] - margins
    spread = math.sqrt(float(np.mean(noise * noise)))
    if spread == 0:
        return 0.0
    flips = [0.5 * math.erfc(abs(margin) / spread / math.sqrt(2)) for margin in margins]
    return 100 * float(np.mean(flips))


def _scores(arrays: list[Array]) -> Doubles:
    """Return class scores, shape (answers, classes).

    Probabilities become centred logarithms, what they were before the Softmax: there noise is not
    hidden by answers that happen to be sure.
    """
    scores = np.concatenate([a.reshape(-1, a.shape[-1]) for a in arrays]).astype(np.float64)
    if scores.min() >= 0 and bool(np.all(np.abs(scores.sum(axis=-1) - 1) < 1e-3)):  # noqa: PLR2004  # rounding
        scores = np.log(np.maximum(scores, _SMALLEST_PROBABILITY))
        scores -= scores.mean(axis=-1, keepdims=True)
    return scores
