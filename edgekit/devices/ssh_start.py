"""From nothing to an agent that answers: connect, look at Python, send the agent, take the lock."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from edgekit.devices.agent_archive import agent_content, bootstrap_program
from edgekit.devices.contract import ConnectionLostError
from edgekit.devices.ssh_channel import SshChannel
from edgekit.devices.ssh_command import (
    CONNECT_S,
    SshCommand,
    UnreachableDeviceError,
    quoted,
    refusal,
)
from edgekit.errors import InfrastructureError, printable

Tell = Callable[[str], None]

_TRIES = 3
_PAUSE_S = 1.0
_START_S = CONNECT_S + 45.0
_NOISE_LINES = 200
_MARK = b"edgekit-python "
_OLDEST = (3, 8)
_KEYS = {"folder": str, "boot_id": str, "free_bytes": int}


def connected(
    command: SshCommand, order: dict[str, Any], tell: Tell
) -> tuple[SshChannel, dict[str, Any]]:
    """Connect, up to 3 times, and open the job.

    Args:
        command: how the device is reached.
        order: the agent's command `open`.
        tell: called with messages for the user.

    Returns:
        the channel, and the agent's answer to `order`.

    Raises:
        InfrastructureError: no connection, a key that is not the pinned one, no fitting Python, or
            another job holds the device for longer than `order` wants to wait.
    """
    for left in range(_TRIES - 1, -1, -1):
        try:
            return _connected(command, order, tell)
        except (UnreachableDeviceError, ConnectionLostError) as error:
            if not left:
                raise InfrastructureError(
                    error.what, where=error.where, found=error.found, remedy=error.remedy
                ) from None
            tell(f"{error}; trying again")
            time.sleep(_PAUSE_S * (_TRIES - left) * random.uniform(0.5, 1.5))  # noqa: S311  # no secret
    raise AssertionError


def _connected(
    command: SshCommand, order: dict[str, Any], tell: Tell
) -> tuple[SshChannel, dict[str, Any]]:
    (command.folder / "c").unlink(missing_ok=True)
    program = bootstrap_program()
    channel = SshChannel(command.shell(_first_words(command, len(program))), name=command.name)
    try:
        _check_python(channel, command)
        _send_agent(channel, program, command.name)
        channel.send(order)
        channel.start_beats()
        return channel, _opened(channel, command.name, tell)
    except BaseException:
        channel.end(in_order=False)
        raise


def _first_words(command: SshCommand, size: int) -> str:
    """Return the only text that a shell reads there: of our own making, but for Python's name."""
    words = (
        "import sys;v=sys.version_info;"
        f'sys.stdout.write("{_MARK.decode()}%d.%d\\n" % v[:2]);sys.stdout.flush();'
        f"exec(sys.stdin.buffer.read({size}) if v>={_OLDEST} else str())"
    )
    return "exec " + quoted([command.entry.python, "-c", words])


def _check_python(channel: SshChannel, command: SshCommand) -> None:
    """Wait for the first line that is ours: a login shell's greetings come before it."""
    for _ in range(_NOISE_LINES):
        try:
            line = channel.line(_START_S)
        except ConnectionLostError:
            said = channel.complaint()
            raise refusal(channel.code(), said, name=command.name, entry=command.entry) from None
        if line.startswith(_MARK):
            break
    else:
        raise InfrastructureError("no agent answers there", where=command.name)
    found = printable(line[len(_MARK) :].decode(errors="replace"))
    try:
        version = tuple(map(int, found.split(".")))
    except ValueError:
        version = ()
    if version < _OLDEST:
        raise InfrastructureError(
            "its Python is too old",
            where=command.name,
            found=f"{command.entry.python} {found}",
            expected="3.8 or newer",
            remedy=f"install one there and name it: edgekit device add {command.name} "
            f"{command.entry.address} --target {command.entry.target} --python PATH",
        )


def _send_agent(channel: SshChannel, program: bytes, name: str) -> None:
    channel.write(program)
    answer = channel.answer(_START_S)
    if answer.get("send") is True:
        channel.write(agent_content())
    elif "failed" in answer:
        found = printable(str(answer["failed"]))[:300]
        raise InfrastructureError("the agent cannot be put there", where=name, found=found)


def _opened(channel: SshChannel, name: str, tell: Tell) -> dict[str, Any]:
    """Wait until the job is open; says for whom it waits."""
    while True:
        answer = channel.answer(_START_S)
        if "waiting" in answer:
            holder = printable(str(answer["waiting"]))[:300]
            tell(f"{name} is in use by {holder}; waiting for it")
        elif "busy" in answer:
            raise InfrastructureError(
                "is in use",
                where=name,
                found=printable(str(answer["busy"]))[:300],
                remedy="try again when that job has ended",
            )
        elif all(isinstance(answer.get(key), kind) for key, kind in _KEYS.items()):
            return answer
        else:
            found = printable(str(answer.get("failed", answer)))[:300]
            raise InfrastructureError("the agent cannot start", where=name, found=found)
