"""The one door to C++ that a model can crash: functions run in a limited child process."""

from edgekit.native.host import call
from edgekit.native.inside import at, report

__all__ = ["at", "call", "report"]
