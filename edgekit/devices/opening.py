"""Devices by name."""

from __future__ import annotations

from collections.abc import Callable

from edgekit.devices.contract import Device
from edgekit.devices.local import LocalDevice
from edgekit.errors import UsageError

DEVICES: tuple[Callable[[], Device], ...] = (LocalDevice,)


def open_device(name: str) -> Device:
    """Return the device called `name`, not yet connected: enter it with `with`.

    Raises:
        UsageError: there is none.
    """
    found = {device.name: device for device in (make() for make in DEVICES)}
    if name not in found:
        raise UsageError(
            f"unknown device {name!r}", where="--device", expected=f"one of {sorted(found)}"
        )
    return found[name]
