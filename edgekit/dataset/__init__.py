"""Data for calibrating and judging: opened, checked, streamed sample by sample."""

from edgekit.dataset.contract import LABEL, ArraySpec, Dataset, Labels, Sample
from edgekit.dataset.source import open_data
from edgekit.dataset.subset import Subset, held_out, spread

__all__ = [
    "LABEL",
    "ArraySpec",
    "Dataset",
    "Labels",
    "Sample",
    "Subset",
    "held_out",
    "open_data",
    "spread",
]
