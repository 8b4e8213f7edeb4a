"""Devices: where models are measured."""

from edgekit.devices.agent_archive import agent_archive
from edgekit.devices.agent_call import ask
from edgekit.devices.contract import ConnectionLostError, Device, Finished
from edgekit.devices.host_keys import fingerprints, scanned_keys
from edgekit.devices.inventory import (
    Entry,
    Inventory,
    inventory_path,
    parsed_address,
    read_inventory,
    write_entry,
)
from edgekit.devices.local import LocalDevice
from edgekit.devices.opening import LOCAL, entry_of, open_device
from edgekit.devices.ssh import SshDevice

__all__ = [
    "LOCAL",
    "ConnectionLostError",
    "Device",
    "Entry",
    "Finished",
    "Inventory",
    "LocalDevice",
    "SshDevice",
    "agent_archive",
    "ask",
    "entry_of",
    "fingerprints",
    "inventory_path",
    "open_device",
    "parsed_address",
    "read_inventory",
    "scanned_keys",
    "write_entry",
]
