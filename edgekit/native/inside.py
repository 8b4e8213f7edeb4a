"""What a function that runs behind the door may tell the host while it works."""

from __future__ import annotations

from collections.abc import Callable

Sink = Callable[[str, tuple[object, ...]], None]


class _Line:
    """Where messages go; None outside a native child."""

    sink: Sink | None = None


def report(done: int, total: int) -> None:
    """Tell the host's `progress` how far the work is; does nothing outside a native child."""
    if _Line.sink is not None:
        _Line.sink("progress", (done, total))


def at(place: str) -> None:
    """Name the part of the step that begins now, so that a crash in it can be located."""
    if _Line.sink is not None:
        _Line.sink("place", (place,))


def connect(sink: Sink) -> None:
    """Send messages of this process to `sink`; the server calls it in each child."""
    _Line.sink = sink
