"""The inventory: the user's devices, how they are reached, and their pinned host keys."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
import tomlkit
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from edgekit import configuration
from edgekit.errors import OutputError, UsageError

INVENTORY = "EDGEKIT_INVENTORY"
"""Names the inventory where `--inventory` does not."""

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_ADDRESS = re.compile(
    r"ssh://((?P<user>[^@/\s]+)@)?(?P<host>\[[0-9A-Fa-f:.%]+\]|[^@:/\[\]\s]+)(:(?P<port>\d{1,5}))?/?"
)
_Name = Annotated[str, StringConstraints(pattern=rf"^{_NAME}$")]
_Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9:][A-Za-z0-9._:%-]{0,254}$")]
_User = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._@+-]{0,63}$")]
_Python = Annotated[
    str, StringConstraints(pattern=r"^(~/)?[A-Za-z0-9._/][A-Za-z0-9._/ +-]{0,254}$")
]
_HostKey = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}$", max_length=4096)
]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Entry(_Table):
    """How one device is reached.

    Attributes:
        host: address, or an alias of ssh_config.
        port: None: as ssh_config says, else 22.
        user: None: as ssh_config says, else one's own name.
        target: what class of device it is; a name or the path of a TOML file.
        python: the interpreter that runs the agent there; `~/` is the home there.
        tags: groups that it belongs to; `--device tag:lab` means all of `lab`.
        host_keys: the only keys that it may identify itself with, `ssh-ed25519 AAAA...`.
    """

    host: _Host
    port: int | None = Field(default=None, ge=1, le=65535)
    user: _User | None = None
    target: str
    python: _Python = "python3"
    tags: tuple[_Name, ...] = ()
    host_keys: tuple[_HostKey, ...] = ()

    @property
    def address(self) -> str:
        """The device as `edgekit device add` takes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{self.user}@" if self.user else ""
        return f"ssh://{user}{host}" + (f":{self.port}" if self.port else "")


class Inventory(_Table):
    """All devices, by name."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    devices: dict[_Name, Entry] = {}

    def entry(self, name: str, *, where: str = "--device") -> Entry:
        """Return the device called `name`.

        Raises:
            UsageError: there is none.
        """
        if name in self.devices:
            return self.devices[name]
        raise UsageError(
            f"unknown device {name!r}",
            where=where,
            expected=f"one of {['local', *sorted(self.devices)]}",
            remedy="add it: edgekit device add NAME ssh://USER@HOST --target T",
        )


def inventory_path(named: str | Path | None) -> Path:
    """Return the inventory's place: as named, as `EDGEKIT_INVENTORY` says, or the user's own."""
    chosen = named or os.environ.get(INVENTORY)
    return Path(chosen) if chosen else platformdirs.user_config_path("edgekit") / "devices.toml"


def read_inventory(path: Path) -> Inventory:
    """Read an inventory; one that does not exist is empty.

    Raises:
        UsageError: wrong TOML, or a wrong key or value in it.
    """
    return configuration.read(Inventory, path) if path.exists() else Inventory(schema=1)


def write_entry(path: Path, name: str, entry: Entry | None) -> None:
    """Put `entry` into the inventory under `name`, or remove what is there; all else stays.

    Written beside the old file and then renamed: comments and the order of keys are kept.

    Raises:
        OutputError: the file cannot be written; what was there has not changed.
    """
    read_inventory(path)
    try:
        document = tomlkit.parse(path.read_text(encoding="utf-8") if path.exists() else "")
        document.setdefault("schema", 1)
        if "devices" not in document:
            document["devices"] = tomlkit.table(is_super_table=True)
        devices: Any = document["devices"]
        if entry is None:
            devices.pop(name, None)
        else:
            _set(devices, name, entry.model_dump(exclude_none=True, exclude_defaults=True))
        path.parent.mkdir(parents=True, exist_ok=True)
        configuration.write_beside(path, tomlkit.dumps(document))
    except OSError as error:
        raise OutputError(
            "cannot be written", where=str(path), found=error.strerror or str(error)
        ) from error


def parsed_address(text: str) -> tuple[str | None, str, int | None]:
    """Read `ssh://[USER@]HOST[:PORT]` as user, host, port.

    Raises:
        UsageError: it is none.

    >>> parsed_address("ssh://pi@[fe80::1]:2222")
    ('pi', 'fe80::1', 2222)
    """
    match = _ADDRESS.fullmatch(text)
    port = int(match["port"]) if match and match["port"] else None
    if match is None or not 0 < (port or 22) < 1 << 16:
        raise UsageError(
            "cannot read the address", found=repr(text), expected="ssh://[USER@]HOST[:PORT]"
        )
    return match["user"], match["host"].strip("[]"), port


def _set(devices: Any, name: str, values: dict[str, Any]) -> None:
    table = devices.get(name)
    if table is None:
        table = devices[name] = tomlkit.table()
    for key in [key for key in table if key not in values]:
        del table[key]
    for key, value in values.items():
        if isinstance(value, tuple):
            array = tomlkit.array()
            array.extend(value)
            table[key] = array.multiline(len(value) > 1)
        else:
            table[key] = value
