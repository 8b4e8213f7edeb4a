"""Plans and runs measurements on a device."""

from edgekit.bench.comparing import compare
from edgekit.bench.running import Running
from edgekit.bench.setup import setup_of

__all__ = ["Running", "compare", "setup_of"]
