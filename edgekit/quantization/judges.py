"""Samples that are held out of everything that is fitted, to judge it by."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.dataset import Dataset, Sample, held_out
from edgekit.errors import DataError
from edgekit.quantization.calibration import Calibration

_FEWEST = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Judges:
    """Calibration data in two parts.

    Attributes:
        samples: to judge by, at most `calibration.PROBES`: those whose content has the smallest
            hashes, so the same ones in whatever order or shards the data comes.
        rest: to fit to; where the data is too little to be parted, all of it.
    """

    samples: tuple[Sample, ...]
    rest: Dataset

    @classmethod
    def of(cls, data: Dataset) -> Judges:
        """Part `data`: a fifth is held out."""
        try:
            rest, judging = held_out(data) if len(data) >= _FEWEST else (data, data)
        except DataError:
            rest, judging = data, data
        kept = Calibration()
        for sample in judging.samples():
            kept.begin(sample)
        return cls(samples=tuple(probe.sample for probe in kept.probes), rest=rest)
