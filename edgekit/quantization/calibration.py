"""Calibration: one streaming pass over the data, in memory that does not grow with it."""

from __future__ import annotations

import hashlib
import math
from bisect import insort
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edgekit.dataset import Sample
from edgekit.errors import CalibrationError
from edgekit.quantization.histogram import Histogram
from edgekit.quantization.observation import split

Array = npt.NDArray[np.generic]
Integers = npt.NDArray[np.int64]

PROBES = 32
_PROBE_BYTES = 32 << 20
_MEAN_STEP = 2.0**-20
"""Channel means are summed as multiples of this, as integers, so that order does not matter."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Probe:
    """A sample kept to compare outputs by; ordered by the hash of its content."""

    digest: str
    sample: Sample = field(compare=False)


@dataclass(slots=True, kw_only=True)
class Calibration:
    """What was seen; a reducer of `edgekit.activations.stream`.

    Attributes:
        tensors: what is observed, in the order of `observation.EACH`.
        histograms: by tensor name.
        sums: int64, shape (channels,), by tensor name: each sample's channel means, summed.
        samples: how many were seen.
        probes: the samples whose content has the smallest hashes, so the same ones in whatever
            order or shards the data comes; at most `PROBES`, fewer when samples are large.
    """

    tensors: tuple[str, ...] = ()
    histograms: dict[str, Histogram] = field(default_factory=dict)
    sums: dict[str, Integers] = field(default_factory=dict)
    samples: int = 0
    probes: list[Probe] = field(default_factory=list)

    def begin(self, sample: Sample) -> None:
        """Count a sample and consider it as a probe."""
        self.samples += 1
        digest = hashlib.sha256()
        for name in sorted(sample):
            digest.update(np.ascontiguousarray(sample[name]).data)
        self._keep(Probe(digest=digest.hexdigest(), sample=sample))

    def add(self, name: str, values: Array) -> None:
        """Take one part of what is observed of one sample.

        Args:
            name: of the part, as `observation.observed` names it.
            values: that part.

        Raises:
            CalibrationError: a tensor holds NaN or infinity.
        """
        tensor, part = split(name)
        if not tensor:
            self._take_each(part, values)
        elif not math.isfinite(values.sum(dtype=np.float64)):
            raise _not_finite(tensor)
        elif part == "some":
            self._histogram(tensor).count(values.astype(np.float32, copy=False))
        else:
            steps = np.rint(values.astype(np.float64) / _MEAN_STEP).astype(np.int64)
            self.sums[tensor] = self.sums.get(tensor, np.zeros_like(steps)) + steps

    def _take_each(self, part: str, values: Array) -> None:
        for tensor, value in zip(self.tensors, values.tolist(), strict=True):
            histogram = self._histogram(tensor)
            if part == "size":
                histogram.size = max(histogram.size, value)
            elif not math.isfinite(value):
                raise _not_finite(tensor)
            elif part == "low":
                histogram.low = min(histogram.low, value)
            else:
                histogram.high = max(histogram.high, value)

    def _histogram(self, tensor: str) -> Histogram:
        if tensor not in self.histograms:
            self.histograms[tensor] = Histogram.empty()
        return self.histograms[tensor]

    def mean_of(self, name: str) -> npt.NDArray[np.float64] | None:
        """Return the mean of each channel of a tensor, shape (channels,); None if unseen."""
        if name not in self.sums:
            return None
        return self.sums[name].astype(np.float64) * (_MEAN_STEP / self.samples)

    def merged(self, other: Calibration) -> Calibration:
        """Return the calibration of both parts' data."""
        empty = Histogram.empty()
        both = Calibration(
            tensors=self.tensors,
            histograms={
                name: self.histograms.get(name, empty).merged(other.histograms.get(name, empty))
                for name in self.histograms | other.histograms
            },
            sums=other.sums
            | {
                name: total + other.sums.get(name, np.zeros_like(total))
                for name, total in self.sums.items()
            },
            samples=self.samples + other.samples,
        )
        for probe in (*self.probes, *other.probes):
            both._keep(probe)
        return both

    def _keep(self, probe: Probe) -> None:
        if len(self.probes) < self._room(probe) or probe < self.probes[-1]:
            insort(self.probes, probe)
            del self.probes[self._room(probe) :]

    @staticmethod
    def _room(probe: Probe) -> int:
        size = sum(array.nbytes for array in probe.sample.values())
        return max(2, min(PROBES, _PROBE_BYTES // max(size, 1)))


def _not_finite(tensor: str) -> CalibrationError:
    return CalibrationError(
        "an activation is not finite",
        where=tensor,
        found="NaN or infinity",
        remedy="check the data and the model in float first",
    )
