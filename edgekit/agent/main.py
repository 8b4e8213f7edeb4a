"""Starts a mode: `python edgekit-agent-….pyz MODE SPEC.json`, or `… serve CACHE`."""

from __future__ import annotations

import json
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any, Callable, Dict, List

from .limits import die_with_parent
from .wire import AgentError, Channel, standard_channel

_OUT_OF_MEMORY = "out of memory"
_MODES = ("block", "energy", "evaluate", "infer", "layers", "screen", "sustain")
"""Each a module with a function of the same name."""


def main(arguments: List[str]) -> int:
    """Run one mode; 0 when it has answered, 1 when it has answered with an error."""
    if arguments[:1] == ["serve"]:
        from .serve import serve

        return serve(arguments[1])
    die_with_parent()
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    channel = standard_channel()
    try:
        mode, source = arguments
        text = sys.stdin.readline() if source == "-" else Path(source).read_text(encoding="utf-8")
        _mode(mode)(json.loads(text), channel)
    except AgentError as error:
        channel.send({"error": error.kind, "message": str(error)})
        return 1
    except MemoryError:
        channel.send({"error": "model", "message": _OUT_OF_MEMORY})
        return 1
    except Exception as error:  # noqa: BLE001  # a fault of the agent's own reaches the host, too
        traceback.print_exc()
        channel.send({"error": "agent", "message": "%s: %s" % (type(error).__name__, error)})
        return 1
    return 0


def _mode(name: str) -> Callable[[Dict[str, Any], Channel], None]:
    if name == "check":
        return _check
    if name not in _MODES:
        raise AgentError("spec", "unknown mode %r" % name)
    mode: Callable[[Dict[str, Any], Channel], None]
    mode = getattr(import_module("." + name, __package__), name)
    return mode


def _check(_spec: Dict[str, Any], channel: Channel) -> None:
    from .state import environment, state

    channel.send({"environment": environment(), "state": state()})
