"""Asking the agent: a spec goes in, its answers come out."""

from __future__ import annotations

import json
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgekit.devices.agent_archive import agent_archive
from edgekit.devices.contract import ConnectionLostError, Device, Finished
from edgekit.errors import DataError, EdgekitError, InfrastructureError, ModelError, printable

_TRIES = 3
_KINDS: dict[str, type[EdgekitError]] = {"model": ModelError, "data": DataError}


def ask(
    device: Device,
    mode: str,
    spec: dict[str, Any],
    *,
    timeout_s: float,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, Any]:
    """Run the agent once in `mode` and return its last answer.

    Where the connection breaks meanwhile, the call is made again: an answer counts only once it is
    here as a whole, so what was cut off is done anew and nothing is counted twice.

    Args:
        device: connected.
        mode: `check`, `block`, `screen` or `evaluate`.
        spec: as that mode takes it; paths are the device's.
        timeout_s: for the whole call.
        progress: called with (done, in all) as the agent tells it.

    Raises:
        ModelError: the runtime refuses the model, or the model broke the inference process.
        DataError: the inputs do not fit the model.
        InfrastructureError: the agent or the device failed.
    """
    for left in range(_TRIES - 1, -1, -1):
        try:
            return _asked(device, mode, spec, timeout_s, progress)
        except ConnectionLostError:
            if not left:
                raise
    raise AssertionError


def _asked(
    device: Device,
    mode: str,
    spec: dict[str, Any],
    timeout_s: float,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    last: dict[str, Any] = {}

    def hear(line: str) -> None:
        nonlocal last
        answer = _read(line, device)
        if "progress" in answer:
            progress(*_progress(answer["progress"], device))
        else:
            last = answer

    try:
        with tempfile.TemporaryDirectory(prefix="edgekit-spec-") as folder:
            file = Path(folder) / "spec.json"
            file.write_text(json.dumps(spec), encoding="utf-8")
            agent = device.put(agent_archive(Path(folder)))
            argv = [device.python, agent, mode, device.put(file)]
    except OSError as error:
        raise InfrastructureError(
            "cannot write on this side",
            where=str(error.filename or tempfile.gettempdir()),
            found=error.strerror or str(error),
            remedy="free some, or set TMPDIR to another disk",
        ) from error
    finished = device.run(argv, timeout_s=timeout_s, on_line=hear)
    if "error" in last:
        kind = _KINDS.get(str(last["error"]), InfrastructureError)
        raise kind(str(last.get("message", "")), where=f"on {device.name}")
    if finished.code or not last:
        raise _died(finished, device)
    return last


def _read(line: str, device: Device) -> dict[str, Any]:
    try:
        answer = _clean(json.loads(line))
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise _unreadable(line, device)
    return answer


def _clean(value: Any) -> Any:
    """Return `value` with nothing in its texts that a terminal would obey."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_clean(each) for each in value]
    if isinstance(value, dict):
        return {printable(key): _clean(each) for key, each in value.items()}
    return value


def _progress(told: Any, device: Device) -> tuple[int, int]:
    try:
        done, total = map(int, told)
    except (TypeError, ValueError, OverflowError):
        raise _unreadable(repr(told), device) from None
    return done, total


def _unreadable(answer: str, device: Device) -> InfrastructureError:
    return InfrastructureError(
        "the agent's answer cannot be read", where=f"on {device.name}", found=repr(answer[:80])
    )


def _died(finished: Finished, device: Device) -> EdgekitError:
    where = f"on {device.name}"
    if finished.code == -signal.SIGALRM:
        return ModelError("the model runs without end", where=where)
    if finished.code == -signal.SIGKILL:
        return InfrastructureError(
            "the agent was killed",
            where=where,
            remedy="the device may be short of memory: look into its log, or free some",
        )
    if finished.code < 0:
        return ModelError(
            f"the inference process was ended by signal {-finished.code}",
            where=where,
            remedy="the model may need more memory than there is, or crash the runtime",
        )
    lines = [line for line in finished.complaint.splitlines() if line.strip()]
    return InfrastructureError(
        f"the agent ended with code {finished.code}",
        where=where,
        found=lines[-1] if lines else "",
        remedy="run 'edgekit doctor' to see what the device lacks",
    )
