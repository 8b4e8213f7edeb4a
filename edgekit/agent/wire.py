"""JSON lines: how the agent is told what to do, and how it answers."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Dict, Iterator, TextIO


class AgentError(Exception):
    """Something that ends the job and reaches the host as one line.

    Args:
        kind: whose fault it is: `model`, `data`, `spec` or `device`.
        message: what happened, one line.
    """

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(" ".join(message.split()))


class Channel:
    """Commands in, answers out, one JSON object a line."""

    def __init__(self, commands: TextIO, answers: TextIO) -> None:
        self._commands, self._answers = commands, answers

    def send(self, answer: Dict[str, Any]) -> None:
        """Write one answer."""
        self._answers.write(json.dumps(answer, separators=(",", ":")) + "\n")
        self._answers.flush()

    def receive(self) -> Iterator[Dict[str, Any]]:
        """Yield commands until the other side closes."""
        for line in iter(self._commands.readline, ""):
            yield json.loads(line)


def standard_channel() -> Channel:
    """Return a channel over standard input and output.

    Standard output is then nobody else's: what native code prints goes to standard error.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return Channel(sys.stdin, answers)
