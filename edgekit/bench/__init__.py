"""Plans and runs measurements on a device."""

from edgekit.bench.comparing import compare
from edgekit.bench.divergence import Divergence, first_difference
from edgekit.bench.evaluating import evaluate
from edgekit.bench.running import Running
from edgekit.bench.scoring import Scorer, accuracy, scorer, sqnr_db
from edgekit.bench.screening import Screened, screen
from edgekit.bench.setup import setup_of

__all__ = [
    "Divergence",
    "Running",
    "Scorer",
    "Screened",
    "accuracy",
    "compare",
    "evaluate",
    "first_difference",
    "scorer",
    "screen",
    "setup_of",
    "sqnr_db",
]
