"""`edgekit init`: a release profile to start from, with budgets from the measured baseline."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import tomlkit

from edgekit.errors import OutputError
from edgekit.graph import Model
from edgekit.job import silent
from edgekit.passes import Progress
from edgekit.profiling import Profiled, profile

_IMAGE_RANK = 4
_CHANNELS = {1: "grey", 3: "rgb"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The profile that was written, and the target it was measured for."""

    path: Path
    target: str


def init(
    model: str | Path,
    *,
    out: str | Path | None = None,
    device: str | None = None,
    inventory: str | Path | None = None,
    threads: int = 1,
    batch: int = 1,
    shapes: dict[str, tuple[int, ...]] | None = None,
    progress: Progress = silent,
) -> Started:
    """Measure `model` as it is and write a release profile beside the caller.

    The budgets suggested are what the model does today: its p95 latency, its peak memory and half
    its size, and at most half a point of accuracy. They are meant to be edited.

    Raises:
        OutputError: the file exists or cannot be written.
    """
    path = Path(out) if out is not None else Path(f"{Path(model).stem}.toml")
    if path.exists():
        raise OutputError(
            "exists already", where=str(path), remedy="name another file with -o, or remove it"
        )
    measured = profile(
        model,
        device=device,
        inventory=inventory,
        threads=threads,
        batch=batch,
        shapes=shapes,
        progress=progress,
    )
    text = _document(Path(model), measured)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise OutputError(
            "cannot be written", where=str(path), found=error.strerror or str(error)
        ) from error
    return Started(path=path, target=measured.measurement.setup.target)


def _document(model: Path, measured: Profiled) -> str:
    document = tomlkit.document()
    document.add(tomlkit.comment(f"Release profile for {model.name}, started by edgekit init."))
    document.add(tomlkit.comment("Budgets are what the original does today; tighten them."))
    document["schema"] = 1
    document["name"] = model.stem
    document["title"] = f"Release of {model.name}"
    document["steps"] = ["simplify", "quantize", "layout"]
    document["objective"] = "latency.p50"
    document["metric"] = "top1"
    budgets = tomlkit.array().multiline(multiline=True)
    for line in _suggested(measured):
        budgets.append(line)
    document["budgets"] = budgets
    images = _preprocessing(measured.model)
    if images is not None:
        document["preprocessing"] = images
    return tomlkit.dumps(document)


def _suggested(measured: Profiled) -> list[str]:
    found = measured.figures
    lines = ["accuracy.drop<=0.5pt", "latency.p50.ratio<=1.0"]
    if (p95 := found.get("latency.p95")) is not None:
        lines.append(f"latency.p95<={_rounded_up(p95.high * 1e3)}ms")
    if (peak := found.get("memory.peak")) is not None:
        lines.append(f"memory.peak<={_rounded_up(peak.high / 2**20)}MiB")
    lines.append("size.ratio<=0.5")
    return lines


def _rounded_up(value: float) -> str:
    """Write a positive figure with two significant digits, rounded up."""
    digits = max(0, 1 - math.floor(math.log10(value)))
    return f"{math.ceil(value * 10**digits) / 10**digits:.{digits}f}"


def _preprocessing(model: Model) -> tomlkit.items.Table | None:
    """Return a table for image files where the model's one input looks like an image."""
    shape = model.inputs[0].shape if len(model.inputs) == 1 else None
    if shape is None or len(shape) != _IMAGE_RANK:
        return None
    channels, height, width = shape[1:]
    colour = _CHANNELS.get(channels) if isinstance(channels, int) else None
    if colour is None or not isinstance(height, int) or not isinstance(width, int):
        return None
    table = tomlkit.table()
    table.add(tomlkit.comment("How image files become the input; set mean and std as in training."))
    table["size"] = [height, width]
    table["mean"] = [0.0] * int(channels)
    table["std"] = [1.0] * int(channels)
    table["layout"] = "NCHW"
    table["colour"] = colour
    return table
