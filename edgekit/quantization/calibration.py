"""Calibration: one streaming pass over the data, in memory that does not grow with it."""

from __future__ import annotations

import hashlib
from bisect import insort
from dataclasses import dataclass, field

import numpy as np

from edgekit.dataset import Sample
from edgekit.errors import CalibrationError
from edgekit.quantization.histogram import Histogram

PROBES = 32
_PROBE_BYTES = 32 << 20


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Probe:
    """A sample kept to compare outputs by; ordered by the hash of its content."""

    digest: str
    sample: Sample = field(compare=False)


@dataclass(slots=True, kw_only=True)
class Calibration:
    """What was seen; a reducer of `edgekit.activations.stream`.

    Attributes:
        histograms: by tensor name.
        samples: how many were seen.
        probes: the samples whose content has the smallest hashes, so the same ones in whatever
            order or shards the data comes; at most `PROBES`, fewer when samples are large.
    """

    histograms: dict[str, Histogram] = field(default_factory=dict)
    samples: int = 0
    probes: list[Probe] = field(default_factory=list)

    def begin(self, sample: Sample) -> None:
        """Count a sample and consider it as a probe."""
        self.samples += 1
        digest = hashlib.sha256()
        for name in sorted(sample):
            digest.update(np.ascontiguousarray(sample[name]).data)
        self._keep(Probe(digest=digest.hexdigest(), sample=sample))

    def add(self, name: str, values: np.typing.NDArray[np.generic]) -> None:
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

    def merged(self, other: Calibration) -> Calibration:
        """Return the calibration of both parts' data."""
        names = [*self.histograms, *(n for n in other.histograms if n not in self.histograms)]
        empty = Histogram.empty()
        both = Calibration(
            histograms={
                name: self.histograms.get(name, empty).merged(other.histograms.get(name, empty))
                for name in names
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
