"""What people see: text on stderr, a progress bar for anything over a second, files by name."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from edgekit.errors import OutputError

if TYPE_CHECKING:
    from edgekit.candidate import StepRecord
    from edgekit.result import Result

Report = Callable[[str, int, int], None]


def console() -> Console:
    """Return the console for people: stderr, plain where it is no terminal."""
    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


def say(text: str) -> None:
    """Print one line for people."""
    console().print(text)


def next_command(line: str) -> None:
    """Print the one command that usually comes next."""
    console().print(f"[dim]next:[/dim] {escape(line)}")


@contextmanager
def progress() -> Iterator[Report]:
    """Show what is going on: a bar on a terminal, one line a stage elsewhere.

    Yields:
        a function of (what is being done, done so far, in all).
    """
    screen = console()
    if not screen.is_terminal:
        yield _lines(screen)
        return
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        console=screen,
        transient=True,
    ) as bar:
        task = bar.add_task("starting", total=None)

        def report(what: str, done: int, total: int) -> None:
            bar.update(task, description=escape(what), completed=done, total=total or None)

        yield report


def _lines(screen: Console) -> Report:
    seen: set[str] = set()

    def report(what: str, _done: int, _total: int) -> None:
        if what not in seen:
            seen.add(what)
            screen.print(f"{escape(what)} ...")

    return report


def write_text(name: str, text: str) -> None:
    """Write `text` to the file `name`, beside it and then renamed; `-` is stdout.

    Raises:
        OutputError: it cannot be written; what was there stays.
    """
    if name == "-":
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()
        return
    from edgekit.configuration import write_beside

    try:
        write_beside(Path(name), text)
    except OSError as error:
        raise OutputError(
            "cannot be written", where=name, found=error.strerror or str(error)
        ) from error


def tell_github(annotations: str, summary: str) -> None:
    """Annotate the run and add to the step's summary where this runs in GitHub Actions.

    Workflow commands go to stderr, which GitHub reads as well; stdout may be a machine's.

    Raises:
        OutputError: the summary cannot be written.
    """
    if os.environ.get("GITHUB_ACTIONS") == "true":
        sys.stderr.write(annotations)
        sys.stderr.flush()
    if name := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with Path(name).open("a", encoding="utf-8") as file:
                file.write(summary)
        except OSError as error:
            raise OutputError(
                "cannot be written", where=name, found=error.strerror or str(error)
            ) from error


def show_result(result: Result, json_file: str | None) -> int:
    """Print the result for people, write it as JSON where asked, and return the exit code."""
    from edgekit import report

    if json_file:
        write_text(json_file, report.json_document(result))
    console().print(report.console.render(result))
    if result.next_command:
        next_command(result.next_command)
    return result.exit_code


def show_learnt(record: StepRecord, teacher: str, written: str, alike: str) -> int:
    """Print what a student has learnt, and return the exit code: 3 where that was nothing.

    Args:
        record: of the step.
        teacher: the first one's file.
        written: the student's.
        alike: as of `show_record`.
    """
    from edgekit.report import console as rendering

    console().print(rendering.record(record))
    if not record.changed:
        say(f"rolled back: held-out answers came no nearer; {escape(written)} is as it began")
    next_command(f"edgekit profile {written} --against {teacher}{alike}")
    return 0 if record.changed else 3


def show_record(record: StepRecord, model: str, written: str, alike: str) -> int:
    """Print what one step did to `model`, and what comes next, and return the exit code.

    Args:
        record: of the step.
        model: its file before.
        written: its file after.
        alike: what makes the next command measure alike; see `options.measured_by`.
    """
    from edgekit.report import console as rendering

    console().print(rendering.record(record))
    next_command(
        f"edgekit profile {written} --against {model}{alike}"
        if record.changed
        else f"edgekit inspect {model}"
    )
    return 0
