"""Calibration: one streaming pass over the data, in memory that does not grow with it."""

from __future__ import annotations

import hashlib
from bisect import insort
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edgekit.dataset import Sample
from edgekit.errors import CalibrationError
from edgekit.quantization.histogram import Histogram

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
        axes: channel axis of the tensors whose channel means are wanted, by name.
        histograms: by tensor name.
        sums: int64, shape (channels,), by name in `axes`: each sample's channel means, summed.
        samples: how many were seen.
        probes: the samples whose content has the smallest hashes, so the same ones in whatever
            order or shards the data comes; at most `PROBES`, fewer when samples are large.
    """

    axes: dict[str, int] = field(default_factory=dict)
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
        """Count one sample's tensor; anything but float32 is ignored.

        Raises:
            CalibrationError: it holds NaN or infinity.
        """
        if values.dtype != np.float32:
            return
        histogram = self.histograms.setdefault(name, Histogram.empty())
        try:
            histogram.add(values.astype(np.float32, copy=False))
        except CalibrationError as error:
            raise CalibrationError(
                error.what,
                where=name,
                found=error.found,
                remedy="check the data and the model in float first",
            ) from None
        if name in self.axes:
            others = tuple(a for a in range(values.ndim) if a != self.axes[name] % values.ndim)
            means = values.mean(axis=others, dtype=np.float64)
            steps = np.rint(means / _MEAN_STEP).astype(np.int64)
            self.sums[name] = self.sums.get(name, np.zeros_like(steps)) + steps

    def mean_of(self, name: str) -> npt.NDArray[np.float64] | None:
        """Return the mean of each channel of a tensor in `axes`, shape (channels,)."""
        if name not in self.sums:
            return None
        return self.sums[name].astype(np.float64) * (_MEAN_STEP / self.samples)

    def merged(self, other: Calibration) -> Calibration:
        """Return the calibration of both parts' data."""
        empty = Histogram.empty()
        both = Calibration(
            axes=self.axes,
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
