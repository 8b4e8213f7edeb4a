"""The devices of the user's lab: `edgekit device add`, `list`, `trust`, `check`, `remove`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from edgekit import target as targets
from edgekit.devices import (
    LOCAL,
    Entry,
    Inventory,
    fingerprints,
    inventory_path,
    parsed_address,
    read_inventory,
    scanned_keys,
    write_entry,
)
from edgekit.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What a host says of itself, beside what was pinned.

    Attributes:
        offered: fingerprints of the keys that it identifies itself with now.
        pinned: fingerprints of those that were pinned before; empty when none was.
        accepted: whether the offered ones are pinned now.
    """

    offered: tuple[str, ...]
    pinned: tuple[str, ...]
    accepted: bool


def add_device(
    name: str,
    address: str,
    *,
    target: str,
    python: str = "python3",
    tags: Sequence[str] = (),
    inventory: str | Path | None = None,
) -> Entry:
    """Put a device into the inventory, or change how a known one is reached.

    Its pinned keys stay while host and port do. Nothing is connected to.

    Args:
        name: what `--device` will take.
        address: `ssh://[USER@]HOST[:PORT]`; HOST may be an alias of ssh_config.
        target: what class of device it is: a name, or the path of a TOML file.
        python: the interpreter there, 3.8 or newer, that has numpy and the runtime.
        tags: groups that it belongs to.
        inventory: the file; `EDGEKIT_INVENTORY` or the user's own by default.

    Raises:
        UsageError: a wrong argument, or a wrong inventory.
        OutputError: the inventory cannot be written.
    """
    path = inventory_path(inventory)
    targets.load(target)
    user, host, port = parsed_address(address)
    if name == LOCAL:
        raise UsageError(f"{LOCAL!r} is this machine", where="NAME", remedy="choose another name")
    before = read_inventory(path).devices.get(name)
    stays = before is not None and (before.host, before.port) == (host, port)
    values: dict[str, object] = {
        "host": host,
        "port": port,
        "user": user,
        "target": target,
        "python": python,
        "tags": tuple(tags),
        "host_keys": before.host_keys if before is not None and stays else (),
    }
    entry = _checked(name, values)
    write_entry(path, name, entry)
    return entry


def list_devices(*, inventory: str | Path | None = None) -> dict[str, Entry]:
    """Return the devices of the inventory by name.

    Raises:
        UsageError: the inventory is wrong.
    """
    return dict(sorted(read_inventory(inventory_path(inventory)).devices.items()))


def trust_device(
    name: str,
    *,
    accept: Callable[[Trust], bool],
    inventory: str | Path | None = None,
) -> Trust:
    """Ask a device for its host keys and pin them if `accept` says so.

    From then on only these keys are believed, whatever else this machine knows.

    Args:
        name: as in the inventory.
        accept: sees the fingerprints; what it stands for has compared them with the device's own.
        inventory: the file; `EDGEKIT_INVENTORY` or the user's own by default.

    Raises:
        UsageError: unknown device.
        InfrastructureError: it does not answer.
        OutputError: the inventory cannot be written.
    """
    path = inventory_path(inventory)
    entry = read_inventory(path).entry(name, where="NAME")
    keys = scanned_keys(name, entry)
    found = Trust(offered=fingerprints(keys), pinned=fingerprints(entry.host_keys), accepted=False)
    if not accept(found):
        return found
    write_entry(path, name, entry.model_copy(update={"host_keys": keys}))
    return Trust(offered=found.offered, pinned=found.pinned, accepted=True)


def remove_device(name: str, *, inventory: str | Path | None = None) -> None:
    """Take a device out of the inventory; what it has cached stays there.

    Raises:
        UsageError: unknown device.
        OutputError: the inventory cannot be written.
    """
    path = inventory_path(inventory)
    read_inventory(path).entry(name, where="NAME")
    write_entry(path, name, None)


def _checked(name: str, values: dict[str, object]) -> Entry:
    """Return the entry, checked as a file with it would be."""
    try:
        read = Inventory.model_validate({"schema": 1, "devices": {name: values}})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = [str(part) for part in first["loc"][1:]]
        where = place[1] if len(place) > 1 and place[1] in values else "NAME"
        raise UsageError(
            "cannot be used",
            where=where,
            found=repr(first["input"])[:80],
            expected="letters, digits and ._- only" if where == "NAME" else first["msg"],
        ) from None
    return read.devices[name]
