"""Which device measures, and of which target it is."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekit import target as targets
from edgekit.devices import LOCAL, Device, LocalDevice, entry_of, open_device
from edgekit.errors import EdgekitError, InfrastructureError, UsageError
from edgekit.target import Target

Progress = Callable[[str, int, int], None]


@contextmanager
def device_for(
    target: Target, name: str | None, inventory: str | Path | None, *, progress: Progress
) -> Iterator[Device | None]:
    """Open the device that measures: the one named, or this machine if it is of the target's kind.

    Yields:
        the device; None when nothing can be timed.

    Raises:
        UsageError: no such device, or it is not of the target's kind.
        InfrastructureError: the device cannot be reached, or lacks what the target needs.
    """
    if name is not None and name != LOCAL:
        check_target(target, name, inventory)

    def tell(message: str) -> None:
        progress(message, 0, 0)

    with open_device(name or LOCAL, inventory, tell=tell) as device:
        lacking = _lacking(target, device)
        if lacking is None:
            yield device
        elif name is None:
            yield None
        else:
            raise lacking


def check_target(target: Target, name: str, inventory: str | Path | None) -> None:
    """Raise `UsageError` when the inventory has the device `name` as one of another target."""
    entered = targets.load(entry_of(name, inventory).target).name
    if entered != target.name:
        raise UsageError(
            f"device {name!r} is of another target",
            where="--target",
            found=target.name,
            expected=entered,
            remedy=f"add --target {entered}, or name another device",
        )


def target_of(device: str | None, inventory: str | Path | None) -> Target:
    """Return the target of the device that measures: this machine's kind, or the inventory's.

    Raises:
        UsageError: no such device, or this machine is of no known kind.
    """
    if device is None or device == LOCAL:
        return local_target()
    return targets.load(entry_of(device, inventory).target)


def _lacking(target: Target, device: Device) -> EdgekitError | None:
    """Return why `device` cannot measure for `target`; None when it can."""
    environment, providers = device.environment(), device.providers()
    if environment.get("machine") not in target.architectures:
        return UsageError(
            f"device {device.name!r} is not of target {target.name!r}",
            where="--device",
            found=device.describe(),
            expected=f"{'/'.join(target.architectures)} with {target.providers[0]}",
            remedy="name a device of that kind, or another --target",
        )
    own = target.runtimes[0]
    if own == "trtexec" or (own == "litert" and device.name != LOCAL):
        if environment.get(own, "unavailable") != "unavailable":
            return None
    elif target.providers[0] in providers:
        return None
    return InfrastructureError(
        f"lacks what target {target.name!r} runs on",
        where=device.name,
        found=device.describe(),
        expected=own if own == "trtexec" else f"{own} with {target.providers[0]}",
        remedy="see `edgekit doctor"
        + ("`" if device.name == LOCAL else f" --device {device.name}`"),
    )


def local_target() -> Target:
    """Return the target whose kind this machine is.

    Raises:
        UsageError: none of the shipped ones.
    """
    with LocalDevice() as device:
        providers = device.providers()
    known = [targets.load(name) for name in targets.names()]
    for target in known:
        if target.is_local(providers):
            return target
    raise UsageError(
        "no target is of this machine's kind",
        found=platform.machine(),
        expected=f"one of {sorted({a for t in known for a in t.architectures})}",
    )
