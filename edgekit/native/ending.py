"""How a call ended, and the error that tells the user."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from typing import Any

from edgekit.errors import EdgekitError, ModelError
from edgekit.native import limits, wire

_MEMORY_WORDS = re.compile(
    r"bad[ _]alloc|failed to allocate|can ?not allocate|unable to allocate|out of memory"
    r"|MemoryError|memory exhausted",
    re.IGNORECASE,
)
_LONGEST = 300


@dataclass(slots=True, kw_only=True)
class Ending:
    """What is known about a call so far.

    Attributes:
        code: exit code of the child, negative for a signal; None while it runs.
        place: the part of the step that the child was last in.
        noise: the end of what the child's C++ wrote to its outputs.
    """

    step: str
    timeout_s: float
    memory_bytes: int
    code: int | None = None
    timed_out: bool = False
    place: str = ""
    noise: bytes = b""
    answered: bool = False
    result: Any = None
    error: EdgekitError | None = None

    def hear(self, kind: int, content: Any) -> None:
        """Take in one message of the child."""
        if kind == wire.PLACE:
            self.place = content[0]
        elif kind == wire.RESULT:
            self.answered, self.result = True, content
        elif kind == wire.REFUSAL:
            self.error = content
        elif kind == wire.FAILURE:
            self.error = self._failure(*content)

    def outcome(self) -> Any:
        """Return the result, or raise what kept it from coming."""
        if self.answered:
            return self.result
        if self.error is not None:
            raise self.error
        raise self._violent_end()

    @property
    def _where(self) -> str:
        return f"{self.step}: {self.place}" if self.place else self.step

    def _failure(self, kind: str, message: str) -> ModelError:
        if kind == "MemoryError" or _MEMORY_WORDS.search(message):
            return self._memory_error()
        return ModelError(_short(message) or kind, where=self._where)

    def _violent_end(self) -> ModelError:
        noise = self.noise.decode(errors="replace")
        last = next((line for line in reversed(noise.splitlines()) if line.strip()), "")
        if self.timed_out or self.code == -signal.SIGXCPU:
            return ModelError(
                f"not finished after {self.timeout_s:g} s, ended",
                where=self._where,
                remedy=f"if the model is sound, set {limits.TIMEOUT_VARIABLE} to more seconds",
            )
        if _MEMORY_WORDS.search(noise):
            return self._memory_error()
        if self.code is not None and self.code < 0:
            name = signal.Signals(-self.code).name
            return ModelError(
                "the native library crashed", where=self._where, found=_short(f"{name} {last}")
            )
        return ModelError("the native process ended early", where=self._where, found=_short(last))

    def _memory_error(self) -> ModelError:
        return ModelError(
            f"needs more memory than the limit of {self.memory_bytes / (1 << 20):.0f} MiB",
            where=self._where,
            remedy=f"if the model is sound, set {limits.MEMORY_VARIABLE}, e.g. to 8GiB",
        )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."
