"""The command group and what every command shares: errors in one line, exit codes, no traceback."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NoReturn

import rich_click as click

from edgekit import scratch
from edgekit.errors import EdgekitError, printable

COMMANDS = (
    "demo",
    "inspect",
    "optimize",
    "prune",
    "quantize",
    "distill",
    "profile",
    "gate",
    "verify",
    "report",
    "init",
    "doctor",
    "device",
    "target",
    "completion",
)
EXIT_INTERNAL = 70
EXIT_INTERRUPTED = 130


class _Commands(click.RichGroup):
    """Finds a command in the module of its name and imports nothing else."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # as above
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"edgekit.cli.{cmd_name}_command")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else "see 'edgekit --help'"
            ctx.fail(f"unknown command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="edgekit-sdk", prog_name="edgekit")
def cli() -> None:
    """Make an exported ONNX model small and fast, and prove it on the device.

    Exit codes: 0 pass, 1 fail, 2 usage or bad input, 3 inconclusive, 4 device or agent failed, 5
    baseline missing, 70 a fault of edgekit's own, 130 interrupted.
    """


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    signal.signal(signal.SIGTERM, _terminated)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    sys.exit(_run(arguments))


class _InterruptedError(KeyboardInterrupt):
    """Ctrl-C as an exception of our own.

    CPython marks a process whose `exec` (within an import, say) ended by KeyboardInterrupt itself,
    and kills it by SIGINT at its end although the exception was answered since.
    """


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise _InterruptedError


def _terminated(number: int, _frame: object) -> NoReturn:
    """Leave in order, so that temporary folders and processes go, with the shell's exit code."""
    sys.exit(128 + number)


def _run(arguments: list[str] | None) -> int:
    try:
        with scratch.one_for_all():
            code = cli.main(args=arguments, prog_name="edgekit", standalone_mode=False)
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # no traceback ever reaches the user
        return answer(error)
    return code if isinstance(code, int) else 0


def answer(error: BaseException) -> int:
    """Say in one line what went wrong and return the exit code."""
    if _interrupted(error):
        return _say("interrupted; nothing was left half-written", EXIT_INTERRUPTED)
    match error:
        case EdgekitError():
            return _say(str(error), error.exit_code)
        case click.UsageError():
            path = error.ctx.command_path if error.ctx else "edgekit"
            text = error.format_message().rstrip(".")
            return _say(text if "--help" in text else f"{text}; see '{path} --help'", 2)
        case click.ClickException():
            return _say(error.format_message(), 2)
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            return _say(f"{where}{(error.strerror or str(error)).lower()}", 2)
        case _:
            return _report_fault(error)


def _interrupted(error: BaseException | None) -> bool:
    """Say whether Ctrl-C is behind `error`: one that falls into an import comes as ImportError."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt | click.Abort):
            return True
        error = error.__cause__ or error.__context__
    return False


def _say(text: str, code: int) -> int:
    click.echo(f"error: {' '.join(printable(text).split())}", err=True)
    return code


def _report_fault(error: BaseException) -> int:
    with tempfile.NamedTemporaryFile(
        "w", prefix="edgekit-fault-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        file.write(
            f"edgekit {' '.join(sys.argv[1:])}\n\n{''.join(traceback.format_exception(error))}"
        )
    name, first = type(error).__name__, str(error).partition("\n")[0]
    return _say(
        f"a fault of edgekit's own ({name}: {first}); please report it with {Path(file.name)}",
        EXIT_INTERNAL,
    )
