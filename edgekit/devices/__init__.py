"""Devices: where models are measured."""

from edgekit.devices.agent_archive import agent_archive
from edgekit.devices.agent_call import ask
from edgekit.devices.contract import Device, Finished
from edgekit.devices.local import LocalDevice
from edgekit.devices.opening import DEVICES, open_device

__all__ = ["DEVICES", "Device", "Finished", "LocalDevice", "agent_archive", "ask", "open_device"]
