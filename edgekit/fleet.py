"""`edgekit.profile_fleet`: one model on several devices at once, results side by side."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgekit import graph, judging
from edgekit.devices import LOCAL, inventory_path, read_inventory
from edgekit.errors import EdgekitError, UsageError
from edgekit.job import silent
from edgekit.passes import Progress
from edgekit.profiling import Profiled, profile

_TAG = "tag:"
_INCONCLUSIVE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What came of one device: figures, or an error.

    Attributes:
        error: why there are no figures; None when there are.
    """

    device: str
    profiled: Profiled | None
    error: EdgekitError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What came of all devices, in the order in which they were named."""

    shares: tuple[Share, ...]

    @property
    def exit_code(self) -> int:
        """1 when a device rules that it is slower, 3 when not all of them could tell.

        Where none gave a figure, the code of the first one's error.
        """
        errors = [share.error for share in self.shares if share.error is not None]
        codes = [share.profiled.exit_code for share in self.shares if share.profiled is not None]
        if not codes:
            return errors[0].exit_code if errors else 0
        if 1 in codes:
            return 1
        return _INCONCLUSIVE if errors else max(codes)


def profile_fleet(
    model: str | Path,
    *,
    devices: Sequence[str],
    inventory: str | Path | None = None,
    progress: Progress = silent,
    **options: Any,
) -> Fleet:
    """Measure `model` on several devices at the same time, one job on each.

    What goes wrong with one device is its own: the others' results are there.

    Args:
        model: as `edgekit.profile` takes it.
        devices: names, and `tag:lab` for all that the inventory has with the tag `lab`.
        inventory: file with the devices; `EDGEKIT_INVENTORY` or the user's own by default.
        progress: called with (device and what is being done there, done so far, in all).
        options: what else `edgekit.profile` takes.

    Raises:
        UsageError: an unknown device or a tag that none has.
        ModelError: the model cannot be used.
    """
    names = devices_named(devices, inventory)
    if Path(model).suffix == ".onnx":
        progress("checking the model", 0, 0)
        graph.load(Path(model))
    stopped = threading.Event()
    ended: queue.Queue[Share | BaseException] = queue.Queue()

    def work(name: str) -> None:
        def tell(what: str, done: int, total: int) -> None:
            if stopped.is_set():
                raise EdgekitError("interrupted", where=name)
            progress(f"{name}: {what}", done, total)

        try:
            found = profile(model, device=name, inventory=inventory, progress=tell, **options)
            ended.put(Share(device=name, profiled=found))
        except EdgekitError as error:
            ended.put(Share(device=name, profiled=None, error=error))
        except BaseException as error:  # noqa: BLE001  # a fault of ours is raised where the caller is
            ended.put(error)

    for name in names:
        threading.Thread(target=work, args=(name,), daemon=True).start()
    try:
        shares = [_raised(ended.get()) for _ in names]
    finally:
        stopped.set()
    return Fleet(shares=together(sorted(shares, key=lambda share: names.index(share.device))))


def together(shares: Sequence[Share]) -> tuple[Share, ...]:
    """Judge the comparisons of all devices at once: an alarm must hold among them (Holm)."""
    compared = [s for s in shares if s.profiled is not None and s.profiled.regressions]
    measured = [s.profiled.measurement for s in compared if s.profiled is not None]
    rulings = dict(zip([s.device for s in compared], judging.regressions(measured), strict=True))
    return tuple(
        replace(share, profiled=replace(share.profiled, regressions=rulings[share.device]))
        if share.profiled is not None and share.device in rulings
        else share
        for share in shares
    )


def devices_named(devices: Sequence[str], inventory: str | Path | None = None) -> tuple[str, ...]:
    """Return the devices meant by names and tags, each once.

    Raises:
        UsageError: an unknown device or a tag that none has.
    """
    known = read_inventory(inventory_path(inventory))
    names: dict[str, None] = {}
    for device in devices:
        if device.startswith(_TAG):
            tag = device.removeprefix(_TAG)
            tagged = [name for name, entry in known.devices.items() if tag in entry.tags]
            if not tagged:
                tags = sorted({tag for entry in known.devices.values() for tag in entry.tags})
                raise UsageError(
                    f"no device has the tag {tag!r}",
                    where="--device",
                    expected=f"one of {tags}",
                    remedy="give it one: edgekit device add NAME ... --tag TAG",
                )
            names.update(dict.fromkeys(tagged))
        else:
            if device != LOCAL:
                known.entry(device)
            names[device] = None
    return tuple(names)


def _raised(found: Share | BaseException) -> Share:
    if isinstance(found, BaseException):
        raise found
    return found
