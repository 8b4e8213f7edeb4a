"""GitHub Actions: each check that does not pass becomes an annotation of the run.

Source: GitHub's documentation of workflow commands.
"""

from __future__ import annotations

from edgekit.errors import printable
from edgekit.judging import Check, Verdict


def workflow_commands(found: Verdict) -> str:
    """Return a workflow command a line: `error` for what fails, `warning` for what cannot be told.

    What is only shown (severity `warn`) is a warning at most.
    """
    return "".join(
        f"::{_level(check)} title={_property(f'{found.candidate}: {check.budget.text}')}::"
        f"{_data(f'{check.ruling}: {check.reason}')}\n"
        for check in found.checks
        if check.ruling != "pass"
    )


def _level(check: Check) -> str:
    return "error" if check.ruling == "fail" and check.budget.severity == "error" else "warning"


def _data(text: str) -> str:
    """Escape so that no name can end the command or begin another."""
    return printable(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
