"""Compares many models cheaply: what a search asks, never what a verdict rests on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgekit import graph, statistics
from edgekit.bench.running import Running, put_model, timing_spec
from edgekit.devices import Device, ask
from edgekit.errors import InfrastructureError
from edgekit.measurement import Interval

_CONFIDENCE = 0.95
_MOST_TOGETHER = 24
_SESSION_BYTES = 32 << 20
_SESSION_SIZES = 4
_ASSUMED_BYTES = 1 << 30
_TIMEOUT_S = 1800.0

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """How fast one model seems.

    Attributes:
        p50: s per inference.
        ratio: to the first model, from rounds in which both were timed: shows differences far
            smaller than `p50` does, since what disturbs a round disturbs both.
    """

    p50: Interval
    ratio: Interval


def screen(
    device: Device,
    files: Sequence[Path],
    running: Running,
    *,
    seconds_each: float = 0.4,
    progress: Progress = lambda _done, _total: None,
) -> list[Screened]:
    """Time several models in interleaved slices within one process.

    Where there are too many for the device's memory they are timed in groups, the first model
    in each of them.

    Args:
        device: connected.
        files: models of one runtime; the first is what ratios are taken to.
        running: threads, batch, shapes and inputs of all.
        seconds_each: time spent on each, loading apart; slow models take longer.
        progress: called with (done, in all), in models.

    Returns:
        one result a file, in order, all intervals at 95%.

    Raises:
        ModelError: the runtime refuses a model or is broken by it.
        InfrastructureError: the device or the agent failed.
    """
    paths = {file: put_model(device, file, running.target) for file in files}
    common = timing_spec(device, files[0], running)
    found: list[Screened] = []
    for group in _groups(files, _room_bytes(device)):
        models = [paths[file] for file in (files[0], *group)]
        spec = {**common, "models": models, "seconds_each": seconds_each}

        before = max(1, len(found))

        def tell(done: int, total: int, before: int = before, size: int = len(group)) -> None:
            progress(before + size * done // total, len(files))

        answer = ask(device, "screen", spec, timeout_s=_TIMEOUT_S, progress=tell)
        medians_s = _medians_s(answer.get("medians_ns"), len(models), device)
        if not found:
            found.append(_screened(medians_s[0], medians_s[0]))
        found.extend(_screened(each, medians_s[0]) for each in medians_s[1:])
    return found


def _groups(files: Sequence[Path], room_bytes: int) -> list[list[Path]]:
    """Split all files but the first; there is one group at least."""

    def session_bytes(file: Path) -> int:
        return _SESSION_BYTES + _SESSION_SIZES * graph.file_size(file)

    first = session_bytes(files[0])
    groups: list[list[Path]] = [[]]
    used = first
    for file in files[1:]:
        needed = session_bytes(file)
        if groups[-1] and (used + needed > room_bytes or len(groups[-1]) == _MOST_TOGETHER):
            groups.append([])
            used = first
        groups[-1].append(file)
        used += needed
    return groups


def _room_bytes(device: Device) -> int:
    total = device.environment().get("memory_total_bytes")
    return total // 4 if isinstance(total, int) else _ASSUMED_BYTES


def _medians_s(answer: object, models: int, device: Device) -> list[npt.NDArray[np.float64]]:
    try:
        medians = np.asarray(answer, dtype=float) / 1e9
    except (TypeError, ValueError):
        medians = np.zeros(0)
    if medians.ndim != 2 or len(medians) != models or not (medians > 0).all():  # noqa: PLR2004  # models, rounds
        raise InfrastructureError("the agent's latencies cannot be read", where=f"on {device.name}")
    return list(medians)


def _screened(medians_s: npt.NDArray[np.float64], first_s: npt.NDArray[np.float64]) -> Screened:
    return Screened(p50=_middle(medians_s), ratio=_middle(medians_s / first_s))


def _middle(values: npt.NDArray[np.float64]) -> Interval:
    low, high = statistics.quantile_bounds(values, 0.5, (1 + _CONFIDENCE) / 2)
    return Interval(low=low, value=float(np.median(values)), high=high, confidence=_CONFIDENCE)
