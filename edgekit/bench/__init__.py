"""Plans and runs measurements on a device."""

from edgekit.bench.comparing import compare
from edgekit.bench.divergence import (
    TOLERANCE,
    Divergence,
    first_difference,
    output_difference,
)
from edgekit.bench.evaluating import evaluate
from edgekit.bench.layering import layers
from edgekit.bench.metering import energy
from edgekit.bench.running import Running
from edgekit.bench.scoring import Scorer, accuracy, scorer, sqnr_db
from edgekit.bench.screening import Screened, screen
from edgekit.bench.setup import setup_of
from edgekit.bench.sustaining import sustain

__all__ = [
    "TOLERANCE",
    "Divergence",
    "Running",
    "Scorer",
    "Screened",
    "accuracy",
    "compare",
    "energy",
    "evaluate",
    "first_difference",
    "layers",
    "output_difference",
    "scorer",
    "screen",
    "setup_of",
    "sqnr_db",
    "sustain",
]
