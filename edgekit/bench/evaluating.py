"""Runs a model over a dataset on the device and brings back what it answers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.bench.running import put_model, session_spec
from edgekit.dataset import Dataset, Sample
from edgekit.devices import Device, ask
from edgekit.errors import DataError, InfrastructureError
from edgekit.target import Target

_SHARD_BYTES = 16 << 20
_TIMEOUT_S = 6 * 3600.0

Progress = Callable[[int, int], None]
Outputs = list[npt.NDArray[np.generic]]


def evaluate(
    device: Device,
    file: Path,
    dataset: Dataset,
    *,
    target: Target,
    threads: int = 1,
    batch: int = 1,
    progress: Progress = lambda _done, _total: None,
) -> Outputs:
    """Return what the model answers to every sample.

    The data goes to the device in shards, one batch at a time is in memory there, and the answers
    come back as files. Where the target's best execution provider is missing (an answer for a
    Jetson simulated on the host) the next one answers.

    Args:
        device: connected.
        file: the model; a fixed first axis overrules `batch`.
        dataset: at least one sample.
        target: names the runtime.
        threads: intra-op threads.
        batch: samples per inference.
        progress: called with (samples answered, in all).

    Returns:
        one array a model output, first axis = sample; mapped from a file that has no name any
        more and goes with the array.

    Raises:
        DataError: the dataset is empty or does not fit the model.
        ModelError: the runtime refuses the model, or it has no batch axis.
        InfrastructureError: the device or the agent failed.
    """
    shards, names = [], None
    for shard in _shards(dataset):
        names = names or list(shard)
        shards.append(_put(device, [shard[name] for name in names]))
    if names is None:
        raise DataError("there are no samples", where=dataset.source)
    spec = {
        **session_spec(target, file, threads=threads, exact=False),
        "model": put_model(device, file, target),
        "shards": shards,
        "names": names,
        "samples": len(dataset),
        "batch": batch,
        "folder": device.folder(),
    }
    answer = ask(device, "evaluate", spec, timeout_s=_TIMEOUT_S, progress=progress)
    progress(len(dataset), len(dataset))
    files = _files(answer, device)
    with tempfile.TemporaryDirectory(prefix="edgekit-answers-") as folder:
        return [
            _fetch(device, file, Path(folder) / f"{at}.npy", len(dataset))
            for at, file in enumerate(files)
        ]


def _shards(dataset: Dataset) -> Iterator[dict[str, npt.NDArray[np.generic]]]:
    samples = dataset.samples()
    for first in samples:
        size = max(1, sum(array.nbytes for array in first.values()))
        rows: list[Sample] = [first, *islice(samples, max(0, _SHARD_BYTES // size - 1))]
        yield {name: np.stack([row[name] for row in rows]) for name in first}


def _put(device: Device, arrays: list[npt.NDArray[np.generic]]) -> str:
    with tempfile.TemporaryDirectory(prefix="edgekit-shard-") as place:
        file = Path(place) / "shard.npz"
        np.savez(file, *arrays)
        return device.put(file)


def _files(answer: dict[str, Any], device: Device) -> list[str]:
    try:
        return [str(output["file"]) for output in answer["outputs"]]
    except (KeyError, TypeError) as error:
        raise InfrastructureError(
            "the agent's answer cannot be read", where=f"on {device.name}", found=repr(error)
        ) from error


def _fetch(device: Device, file: str, to: Path, samples: int) -> npt.NDArray[np.generic]:
    device.get(file, to)
    try:
        array = np.load(to, mmap_mode="r", allow_pickle=False)
        if not array.ndim:
            raise ValueError("no array of samples")  # noqa: TRY301  # as what numpy finds
    except Exception as error:  # a header can break numpy's reader in any way
        raise InfrastructureError(
            "the agent's answers cannot be read", where=f"on {device.name}", found=str(error)
        ) from error
    if len(array) != samples:
        raise InfrastructureError(
            "answers are missing",
            where=f"on {device.name}",
            found=str(len(array)),
            expected=f"{samples} samples",
        )
    return array  # type: ignore[no-any-return]  # numpy types what a file holds as Any
