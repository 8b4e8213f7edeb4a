"""How well a model answers: the task metric of each sample, and closeness to the original."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from edgekit.errors import DataError, UsageError
from edgekit.measurement import Accuracy
from edgekit.reference import is_reference, resolve

Array = npt.NDArray[np.generic]
Values = npt.NDArray[np.float64]
Better = Literal["lower", "higher"]
Metric = Callable[[Sequence[Array], Array, dict[str, str]], Values]
"""Takes (outputs, labels, metadata) and returns a value per sample."""

_CHUNK = 256
_BEST_DB = 200.0
_BUILT_IN: dict[str, int] = {"top1": 1, "top5": 5}
_WITHOUT_LABELS = ("agreement", "sqnr_db")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    """How the answers of a model are scored.

    Attributes:
        name: `top1`, `top5`, `agreement`, `sqnr_db` or `module:callable`.
        better: which direction of a value is an improvement.
        metric: None for those that compare with the original and need no labels.
    """

    name: str
    better: Better
    metric: Metric | None


def scorer(name: str, better: Better = "higher") -> Scorer:
    """Return the scorer called `name`.

    Args:
        name: `top1`, `top5`, `agreement`, `sqnr_db`, or `module:callable` of the user's own, found
            like any Python module.
        better: direction of a callable's values; the built-in ones know theirs.

    Raises:
        UsageError: there is no such metric, or the callable cannot be found.
    """
    if name in _BUILT_IN:
        count = _BUILT_IN[name]
        return Scorer(name=name, better="higher", metric=lambda o, y, _m: _top(o, y, count))
    if name in _WITHOUT_LABELS:
        return Scorer(name=name, better="higher", metric=None)
    if not is_reference(name):
        known = ", ".join((*_BUILT_IN, *_WITHOUT_LABELS))
        raise UsageError(
            f"unknown task metric {name!r}", where="metric", expected=f"{known} or module:callable"
        )
    return Scorer(name=name, better=better, metric=resolve(name, where="metric"))


def accuracy(
    outputs: Sequence[Array],
    original_outputs: Sequence[Array],
    labels: Array | None,
    scored_by: Scorer,
    *,
    metadata: dict[str, str],
    simulated: bool = False,
) -> Accuracy:
    """Score a model's answers beside the original's, sample by sample.

    Args:
        outputs: one array a model output, first axis = sample.
        original_outputs: the original's, for the same samples in the same order.
        labels: one a sample; None leaves only agreement and SQNR.
        scored_by: the task metric.
        metadata: the model's, handed to a callable.
        simulated: the host's runtime stood in for the device's.

    Raises:
        DataError: labels do not fit, or the metric returned something that is no finite value a
            sample.
    """
    agreeing = _agreeing(outputs, original_outputs)
    values, originals = np.zeros(0), np.zeros(0)
    if scored_by.metric is not None and labels is not None:
        if len(labels) != len(outputs[0]):
            raise DataError(
                "labels and samples differ in number",
                where="label",
                found=str(len(labels)),
                expected=str(len(outputs[0])),
            )
        values = _score(scored_by, scored_by.metric, outputs, labels, metadata)
        originals = _score(scored_by, scored_by.metric, original_outputs, labels, metadata)
    elif scored_by.name == "agreement" and agreeing is not None:
        values, originals = agreeing, np.ones_like(agreeing)
    return Accuracy(
        metric=scored_by.name,
        better=scored_by.better,
        values=tuple(values.tolist()),
        original_values=tuple(originals.tolist()),
        agreement=None if agreeing is None else float(agreeing.mean()),
        sqnr_db=sqnr_db(outputs, original_outputs),
        labelled=bool(values.size) and scored_by.metric is not None,
        simulated=simulated,
    )


def sqnr_db(outputs: Sequence[Array], original_outputs: Sequence[Array]) -> float:
    """Return the signal to noise ratio of all outputs together; at most 200 dB either way."""
    signal = noise = 0.0
    for ours, theirs in zip(outputs, original_outputs, strict=True):
        for start in range(0, len(ours), _CHUNK):
            of = slice(start, start + _CHUNK)
            original = theirs[of].astype(np.float64)
            signal += float(np.square(original).sum())
            noise += float(np.square(ours[of].astype(np.float64) - original).sum())
    if noise == 0:
        return _BEST_DB
    if not np.isfinite(noise) or signal == 0:
        return -_BEST_DB
    return float(np.clip(10 * np.log10(signal / noise), -_BEST_DB, _BEST_DB))


def _agreeing(outputs: Sequence[Array], original_outputs: Sequence[Array]) -> Values | None:
    """Return 1.0 for each sample of the same best class, None where outputs are not scores."""
    scores = outputs[0]
    if scores.ndim != 2 or scores.shape[1] < 2 or not np.issubdtype(scores.dtype, np.floating):  # noqa: PLR2004  # samples, classes
        return None
    same = np.argmax(scores, axis=1) == np.argmax(original_outputs[0], axis=1)
    return np.asarray(same, dtype=np.float64)


def _top(outputs: Sequence[Array], labels: Array, count: int) -> Values:
    scores = np.asarray(outputs[0], dtype=np.float64).reshape(len(outputs[0]), -1)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"top{count} wants one class number a sample",
            where="label",
            found=f"{labels.dtype} of shape {labels.shape}",
            expected="integers of shape (samples,)",
        )
    if labels.size and not (labels.min() >= 0 and labels.max() < scores.shape[1]):
        raise DataError(
            "a label is no class of the model",
            where="label",
            found=f"{labels.min()} to {labels.max()}",
            expected=f"0 to {scores.shape[1] - 1}",
        )
    best = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    return np.asarray((best == labels[:, None]).any(axis=1), dtype=np.float64)


def _score(
    by: Scorer,
    metric: Metric,
    outputs: Sequence[Array],
    labels: Array,
    metadata: dict[str, str],
) -> Values:
    try:
        values = np.asarray(metric(outputs, labels, metadata), dtype=np.float64)
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            "the metric failed", where=by.name, found=f"{type(error).__name__}: {error}"
        ) from error
    if values.shape != (len(labels),):
        raise DataError(
            "the metric must return a value per sample",
            where=by.name,
            found=f"shape {values.shape}",
            expected=f"({len(labels)},)",
        )
    if not np.isfinite(values).all():
        bad = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(
            "the metric returned no finite number",
            where=f"{by.name}, sample {bad}",
            found=str(values[bad]),
        )
    return values
