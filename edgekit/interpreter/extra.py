"""The extra `train`: whether torch is there, which the host asks, and how it behaves in a child."""

from __future__ import annotations

import importlib.util
import os

from edgekit.errors import MissingExtraError

INSTALL = "pip install 'edgekit-sdk[train]'"


def require_torch(purpose: str) -> None:
    """Return when torch is installed.

    Args:
        purpose: what needs it, as it opens the message.

    Raises:
        MissingExtraError: it is not; the message has the line that installs it.
    """
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError(
            "needs torch, which is not installed", where=purpose, remedy=INSTALL
        )


def wait_quietly() -> None:
    """Let torch's threads sleep while they wait; called in a native child before torch is imported.

    On cores shared with other work, two threads that spin took four to six times the processor
    time of one; two that sleep, as much as one.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
