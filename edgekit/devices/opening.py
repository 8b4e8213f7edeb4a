"""Devices by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgekit.devices.contract import Device
from edgekit.devices.inventory import Entry, inventory_path, read_inventory
from edgekit.devices.local import LocalDevice
from edgekit.devices.ssh import SshDevice, silent

LOCAL = "local"


def open_device(
    name: str, inventory: str | Path | None = None, *, tell: Callable[[str], None] = silent
) -> Device:
    """Return the device called `name`, not yet connected: enter it with `with`.

    Args:
        name: `local`, this machine; any other as the inventory has it.
        inventory: the file; None: `EDGEKIT_INVENTORY`, or the user's own.
        tell: called with messages for the user, such as whom a job waits for.

    Raises:
        UsageError: there is none of this name, or the inventory is wrong.
    """
    if name == LOCAL:
        return LocalDevice()
    return SshDevice(name, entry_of(name, inventory), tell=tell)


def entry_of(name: str, inventory: str | Path | None = None) -> Entry:
    """Return what the inventory says of the device called `name`.

    Raises:
        UsageError: there is none of this name, or the inventory is wrong.
    """
    return read_inventory(inventory_path(inventory)).entry(name)
