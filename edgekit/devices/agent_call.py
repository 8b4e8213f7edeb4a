"""Asking the agent: a spec goes in, its answers come out."""

from __future__ import annotations

import json
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgekit.devices.agent_archive import agent_archive
from edgekit.devices.contract import Device, Finished
from edgekit.errors import DataError, EdgekitError, InfrastructureError, ModelError

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
    answers: list[dict[str, Any]] = []

    def hear(line: str) -> None:
        answer = _read(line, device)
        if "progress" in answer:
            done, total = answer["progress"]
            progress(int(done), int(total))
        else:
            answers.append(answer)

    with tempfile.TemporaryDirectory(prefix="edgekit-spec-") as folder:
        file = Path(folder) / "spec.json"
        file.write_text(json.dumps(spec), encoding="utf-8")
        agent = device.put(agent_archive(Path(folder)))
        argv = [device.python, agent, mode, device.put(file)]
    finished = device.run(argv, timeout_s=timeout_s, on_line=hear)
    if answers and "error" in answers[-1]:
        kind = _KINDS.get(str(answers[-1]["error"]), InfrastructureError)
        raise kind(str(answers[-1].get("message", "")), where=f"on {device.name}")
    if finished.code or not answers:
        raise _died(finished, device)
    return answers[-1]


def _read(line: str, device: Device) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise InfrastructureError(
            "the agent's answer cannot be read", where=f"on {device.name}", found=repr(line[:80])
        )
    return answer


def _died(finished: Finished, device: Device) -> EdgekitError:
    where = f"on {device.name}"
    if finished.code == -signal.SIGALRM:
        return ModelError("the model runs without end", where=where)
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
