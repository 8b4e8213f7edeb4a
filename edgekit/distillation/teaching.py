"""What the teachers answer: asked once, by onnxruntime, and written to disk."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit import native
from edgekit.distillation.answers import Lessons, Question, Taught
from edgekit.distillation.packing import Array, Bucket, Packed, Stored
from edgekit.distillation.panel import Answers, Panel
from edgekit.distillation.views import Views
from edgekit.errors import DataError

_TRIED = 256
_WEIGHED = 2048
_TRIED_BYTES = 64 << 20
_DISK_BYTES = 16 << 30
_SHARE_OF_TIME = 0.2
"""Of the time allowed that may go into further views."""


def ask(question: Question) -> Lessons:
    """Ask the teachers about every view of every sample; runs in a native child.

    Raises:
        ModelError: an output has no sample axis; an answer is not finite.
        UsageError: the loss or the combination does not fit the outputs.
        DataError: the answers are too large to be kept.
    """
    started = time.monotonic()
    panel = Panel(question)
    bucket = question.train.buckets[0]
    few = next(_some(bucket, _together(bucket), question.views, 0))
    panel.meet(few)
    if panel.by_agreement:
        panel.weigh(_some(bucket, _WEIGHED, question.views, 0), shifted=False)
    _check_room(panel, question, few)
    views = question.views.with_mirrored(
        question.views.count > 1 and panel.mirrored_alike(few, question.views)
    )
    total = len(question.held) + views.count * len(question.train)
    done = 0

    def of(
        packed: Packed, view: int, name: str, names: Sequence[str]
    ) -> tuple[Mapping[str, Stored], ...]:
        nonlocal done
        found = []
        for place, bucket in enumerate(packed.buckets):
            writing = Writing(question.folder / f"{name}-{place}", len(bucket))
            for part in panel.answers(bucket, views, view):
                writing.add({key: part[key] for key in names})
                done += len(next(iter(part.values())))
                native.report(done, total)
            found.append(writing.close())
        return tuple(found)

    outputs = list(panel.kinds)
    held = of(question.held, 0, "held", outputs)
    train = []
    for view in range(views.count):
        spent = (time.monotonic() - started) / 60
        if view and 0 < _SHARE_OF_TIME * question.recipe.minutes < spent * (view + 1) / view:
            break
        if panel.by_agreement and view == views.first_shifted:
            panel.weigh(_some(bucket, _WEIGHED, views, view), shifted=True)
        train.append(of(question.train, view, f"view{view}", [*outputs, *panel.features]))
    return Lessons(
        outputs={
            name: Taught(
                kind=panel.kinds.get(name, "values"),
                loss=panel.losses.get(name, question.recipe.features_by),
                variance=variance([files[name] for files in train[0]]),
            )
            for name in (*outputs, *panel.features)
        },
        train=tuple(train),
        held=held,
        views=views,
        together=panel.together,
        weights=panel.weights(shifted=len(train) > views.first_shifted),
    )


class Writing:
    """Answers that are being written, one file an output."""

    def __init__(self, stem: Path, samples: int) -> None:
        self._stem = stem
        self._samples = samples
        self._streams: dict[str, Any] = {}
        self._stored: dict[str, Stored] = {}

    def add(self, part: Answers) -> None:
        """Write the answers to the next samples."""
        for place, (name, values) in enumerate(part.items()):
            if name not in self._streams:
                file = self._stem.with_name(f"{self._stem.name}-{place}.bin")
                self._streams[name] = file.open("wb")
                shape = (self._samples, *values.shape[1:])
                self._stored[name] = Stored(file=file, dtype="<f4", shape=shape)
            self._streams[name].write(np.ascontiguousarray(values, "<f4").tobytes())

    def close(self) -> Mapping[str, Stored]:
        """Return what is written."""
        for stream in self._streams.values():
            stream.close()
        return self._stored


def _check_room(panel: Panel, question: Question, few: Mapping[str, Array]) -> None:
    each = sum(one[0].nbytes for one in panel.answer(few).values())
    need = each * (len(question.held) + question.views.count * len(question.train))
    if need > _DISK_BYTES:
        raise DataError(
            "the teachers' answers would not fit on disk",
            where=question.data.source,
            found=f"{need >> 30} GiB for {question.views.count} views of each sample",
            expected=f"at most {_DISK_BYTES >> 30} GiB",
            remedy="give fewer samples, or leave out augmentation",
        )


def variance(files: Sequence[Stored]) -> float:
    """Return the variance of each element over the samples, on average over elements."""
    totals: dict[tuple[int, ...], list[Any]] = {}
    for stored in files:
        kept = totals.setdefault(stored.shape[1:], [0, 0.0, 0.0])
        values = stored.open()
        for start in range(0, len(values), 1024):
            part = values[start : start + 1024].astype(np.float64)
            kept[0] += len(part)
            kept[1] = kept[1] + part.sum(0)
            kept[2] = kept[2] + (part**2).sum(0)
    spread = sum(float(np.sum(squares - sums**2 / n)) for n, sums, squares in totals.values())
    elements = sum(n * math.prod(shape) for shape, (n, _, _) in totals.items())
    mean_square = sum(float(np.sum(squares)) for _, _, squares in totals.values()) / max(
        elements, 1
    )
    return float(max(spread / max(elements, 1), 1e-6 * mean_square, 1e-12))


def _together(bucket: Bucket) -> int:
    """Return how many samples are tried at once."""
    each = max(
        math.prod(one.shape[1:]) * np.dtype(one.dtype).itemsize for one in bucket.inputs.values()
    )
    return max(min(_TRIED, _TRIED_BYTES // max(each, 1)), 1)


def _some(bucket: Bucket, most: int, views: Views, view: int) -> Iterator[dict[str, Array]]:
    """Yield samples from all over a bucket as a view shows them, in parts that fit into memory."""
    together = _together(bucket)
    chosen = np.linspace(0, len(bucket) - 1, min(most, len(bucket))).astype(np.int64)
    for start in range(0, len(chosen), together):
        places = chosen[start : start + together]
        numbers = bucket.numbers[places]
        yield {
            name: views.seen(
                name, np.array(one.open()[places]), numbers, np.full(len(places), view)
            )
            for name, one in bucket.inputs.items()
        }
