"""Is torch there? Asked by the host, which never imports it."""

from __future__ import annotations

import importlib.util

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
