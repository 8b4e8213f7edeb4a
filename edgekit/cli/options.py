"""Options that several commands take, spelled once."""

from __future__ import annotations

import math
from typing import Any

import rich_click as click

from edgekit import units
from edgekit.errors import UsageError

model = click.argument("model", type=click.Path())
target = click.option(
    "--target", metavar="T", help="Class of device: x86, arm-cpu, jetson, or a .toml file."
)
data = click.option(
    "--data",
    metavar="DATA",
    help="Data to calibrate with: .npz, folder of .npz or of images, module:callable.",
)
evaluation = click.option("--eval", "evaluation", metavar="DATA", help="Labelled data to judge by.")
profile = click.option("--profile", metavar="P", help="Release profile: a name or a .toml file.")
device = click.option(
    "--device",
    metavar="D",
    help="Device that measures; this machine if it is of the target's kind.",
)
devices = click.option(
    "--device",
    "devices",
    multiple=True,
    metavar="D",
    help="Device that measures, this machine by default; tag:T for all of that tag. Repeatable.",
)
inventory = click.option(
    "--inventory", metavar="FILE", help="File with the devices; else EDGEKIT_INVENTORY, else yours."
)
budgets = click.option(
    "--budget",
    "budgets",
    multiple=True,
    metavar="'METRIC<=LIMIT'",
    help="A limit to keep, e.g. 'latency.p95<=12ms'. Repeatable; overrides the profile's.",
)
threads = click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    default=1,
    show_default=True,
    help="Intra-op threads.",
)
batch = click.option(
    "--batch",
    type=click.IntRange(1, 65536),
    default=1,
    show_default=True,
    help="Samples per inference.",
)
shapes = click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="NAME=1x3x48x320",
    help="Shape of an input for timing, where it is dynamic. Repeatable.",
)
file_format = click.option(
    "--format",
    "file_format",
    type=click.Choice(["onnx", "tflite"]),
    default="onnx",
    show_default=True,
    help="Kind of file to write; tflite needs onnx2tf, see `edgekit doctor`.",
)
json_file = click.option(
    "--json", "json_file", metavar="FILE", help="Write JSON there; - is stdout."
)
output_file = click.option("-o", "--output", metavar="OUT", help="Model file to write.")
force = click.option("--force", is_flag=True, help="Replace what is there.")


def read_shapes(texts: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Read `--shape x=1x3x48x320` options.

    Raises:
        UsageError: one of them is not NAME=AxBxC with positive numbers.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, equals, axes = text.rpartition("=")
        numbers = axes.split("x")
        if not equals or not name or not all(n.isdecimal() and int(n) > 0 for n in numbers):
            raise UsageError(
                "cannot read the shape",
                where="--shape",
                found=repr(text),
                expected="NAME=1x3x48x320",
            )
        shape = tuple(int(n) for n in numbers)
        if math.prod(shape) > 1 << 31:
            raise UsageError("the shape is too large", where="--shape", found=repr(text))
        shapes[name] = shape
    return shapes


def read_numbers(texts: tuple[str, ...], option: str, form: str) -> dict[str, float]:
    """Read options such as NAME=NUMBER, told as `form`; a later one for the same name wins.

    Raises:
        UsageError: one of them is of another form.
    """
    numbers: dict[str, float] = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            numbers[name] = float(number)
        except ValueError:
            name = ""
        if not name:
            raise UsageError(
                "cannot read the number", where=option, found=repr(text), expected=form
            )
    return numbers


def read_seconds(text: str, option: str) -> float:
    """Read a duration such as `8ms` and return it in seconds.

    Raises:
        UsageError: it is no number with a unit of time.
    """
    number = text.rstrip("nuµms ")
    try:
        value = float(number)
    except ValueError:
        raise UsageError(
            "cannot read the time", where=option, found=repr(text), expected="such as 8ms"
        ) from None
    return value * units.factor(text[len(number) :].strip(), "s", where=option)


def read_duration(text: str, option: str) -> float:
    """Read how long something shall last, such as `10m`, and return it in seconds.

    Raises:
        UsageError: it is no positive number of s, m (minutes) or h.
    """
    number, unit = text[:-1], text[-1:]
    try:
        seconds = float(number) * {"s": 1, "m": 60, "h": 3600}[unit]
    except (ValueError, KeyError):
        seconds = 0.0
    if not 1 <= seconds <= 24 * 3600:
        raise UsageError(
            "cannot read how long", where=option, found=repr(text), expected="such as 90s or 10m"
        )
    return seconds


def measured_by(
    device: str | None,
    inventory: str | None = None,
    *,
    threads: int = 1,
    batch: int = 1,
    shapes: tuple[str, ...] = (),
    runtime: str | None = None,
) -> str:
    """Return what must be said again for a next command to measure alike, behind a space."""
    said = (
        ("--device", device),
        ("--inventory", inventory),
        ("--runtime", runtime),
        ("--threads", threads if threads > 1 else None),
        ("--batch", batch if batch > 1 else None),
        *(("--shape", shape) for shape in shapes),
    )
    return "".join(f" {option} {value}" for option, value in said if value is not None)


def of_device(file: str, device: str) -> str:
    """Return the name of the file for one of several devices: `out.json` to `out.orin-1.json`."""
    stem, dot, ending = file.rpartition(".")
    return f"{stem}.{device}.{ending}" if dot and "/" not in ending else f"{file}.{device}"


def required(value: Any, option: str) -> Any:
    """Return `value`; raise `UsageError` when the option was not given."""
    if value is None:
        raise UsageError(f"{option} is missing", remedy=f"add {option} ...")
    return value
