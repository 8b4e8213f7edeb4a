"""Errors that reach the user: one line each, with what to do about it."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return `text` with what a terminal would obey replaced: escapes and other controls."""
    return "".join(c if c.isprintable() or c in " \n" else "\ufffd" for c in text)


class EdgekitError(Exception):
    """Something the caller can act on.

    The message is one line: *what*, *where*, *found* against *expected*, and the remedy. The
    command line prints it and leaves with `exit_code`; it never shows a traceback for it.

    Args:
        what: what is wrong, in a few words.
        where: the file, key, node or argument concerned.
        found: what was found there.
        expected: what should have been there.
        remedy: what the user can do, as an instruction.
    """

    exit_code = 2

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        found: str = "",
        expected: str = "",
        remedy: str = "",
    ) -> None:
        self.what, self.where, self.found = what, where, found
        self.expected, self.remedy = expected, remedy
        super().__init__(self._line())

    def _line(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        details = []
        if self.found:
            details.append(f"found {self.found}")
        if self.expected:
            details.append(f"expected {self.expected}")
        if details:
            text += f" ({', '.join(details)})"
        if self.remedy:
            text += f"; {self.remedy}"
        return " ".join(text.split())

    def __reduce__(self) -> tuple[object, ...]:
        fields = {
            "what": self.what,
            "where": self.where,
            "found": self.found,
            "expected": self.expected,
            "remedy": self.remedy,
        }
        return (_rebuild, (type(self), fields))


def _rebuild(kind: type[EdgekitError], fields: dict[str, str]) -> EdgekitError:
    return kind(**fields)


class UsageError(EdgekitError):
    """An argument, option, name or configuration file is wrong."""


class UnreachableError(UsageError):
    """A budget that no smaller form of the model can reach."""


class WithinBudgetError(UsageError):
    """A budget that the model keeps as it is."""


class ModelError(EdgekitError):
    """The model cannot be used: malformed, unsupported, or it breaks the runtime."""


class DataError(EdgekitError):
    """The data does not fit the model or cannot be read safely."""


class CalibrationError(EdgekitError):
    """No usable range can be derived from the calibration data."""


class MissingExtraError(EdgekitError):
    """An optional dependency is needed; the remedy is the line that installs it."""


class OutputError(EdgekitError):
    """An output cannot be written; nothing that was there has changed."""


class InfrastructureError(EdgekitError):
    """The device or the agent failed; says nothing about the model."""

    exit_code = 4


class BaselineMissingError(EdgekitError):
    """A comparison was asked for and there is nothing to compare with."""

    exit_code = 5
