"""Mode `evaluate`: run a model over shards of samples and write what it answers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import numpy as np

from . import limits
from .session import Feeds, Input, Session, prepare
from .wire import AgentError, Channel

_TELL_S = 0.2
_PATIENCE_S = 120


def evaluate(spec: Dict[str, Any], channel: Channel) -> None:
    """Write one .npy a model output, first axis = sample, and answer with their files.

    One shard and one batch are in memory at a time. A model whose first axis is fixed gets
    batches of just that size, the last one filled up with its last sample.

    Spec: `model`, `shards` (.npz files with arr_0..), `names` (input of each array), `samples` (in
    all), `batch`, `folder`, and what `session.prepare` takes.
    """
    opens = prepare(spec)
    limits.keep_to_memory(spec["providers"])
    limits.expect_within(_PATIENCE_S)
    session = opens(spec["model"])
    batch = _fixed_batch(session.inputs) or spec["batch"]
    written = _Outputs(session.outputs, Path(spec["folder"]), spec["samples"])
    done, told = 0, time.monotonic()
    for feeds, size, count in _batches(session, spec, batch):
        limits.expect_within(_PATIENCE_S)
        try:
            outputs = session.run(feeds)
        except Exception as error:  # the runtime raises whatever it likes
            message = "sample %d: the model does not run: %s" % (done, error)
            raise AgentError("model", message) from error
        written.add([_rows(*named, size) for named in zip(session.outputs, outputs)], done, count)
        done += count
        if time.monotonic() - told > _TELL_S:
            told = time.monotonic()
            channel.send({"progress": [done, spec["samples"]]})
    channel.send({"outputs": written.close()})


def _fixed_batch(inputs: List[Input]) -> int:
    sizes = [i.shape[0] for i in inputs if i.shape]
    return next((size for size in sizes if size is not None), 0)


def _batches(
    session: Session, spec: Dict[str, Any], batch: int
) -> Iterator[Tuple[Feeds, int, int]]:
    """Yield feeds, their size, and how many of their samples count."""
    fixed = bool(_fixed_batch(session.inputs))
    at = {name: "arr_%d" % number for number, name in enumerate(spec["names"])}
    missing = [i.name for i in session.inputs if i.name not in at]
    if missing:
        raise AgentError("data", "the data has no array for input %s" % ", ".join(missing))
    for shard in spec["shards"]:
        with np.load(shard, allow_pickle=False) as arrays:
            rows = {i.name: arrays[at[i.name]] for i in session.inputs}
        total = len(rows[session.inputs[0].name])
        for start in range(0, total, batch):
            part = {i.name: i.feed(rows[i.name][start : start + batch]) for i in session.inputs}
            count = min(batch, total - start)
            if fixed and count < batch:
                part = {name: _filled(array, batch) for name, array in part.items()}
            yield part, batch if fixed else count, count


def _filled(array: Any, batch: int) -> Any:
    return np.concatenate([array, np.repeat(array[-1:], batch - len(array), axis=0)])


def _rows(name: str, output: Any, size: int) -> Any:
    if not isinstance(output, np.ndarray) or output.dtype.hasobject:
        raise AgentError("model", "output %s is no numeric tensor" % name)
    if output.ndim and output.shape[0] == size:
        return output
    if size == 1:
        return output[None]
    raise AgentError("model", "output %s has no batch axis" % name)


class _Outputs:
    """The outputs of all samples, on disk."""

    def __init__(self, names: List[str], folder: Path, samples: int) -> None:
        self._names, self._folder, self._samples = names, folder, samples
        self._arrays: List[Any] = []

    def add(self, rows: List[Any], start: int, count: int) -> None:
        """Write the outputs of samples `start` to `start + count`."""
        if not self._arrays:
            self._arrays = [
                np.lib.format.open_memmap(
                    self._folder / ("output-%d.npy" % at),
                    mode="w+",
                    dtype=row.dtype,
                    shape=(self._samples, *row.shape[1:]),
                )
                for at, row in enumerate(rows)
            ]
        for name, array, row in zip(self._names, self._arrays, rows):
            if row.shape[1:] != array.shape[1:]:
                found = "output %s changes its shape from sample to sample" % name
                raise AgentError("model", found)
            array[start : start + count] = row[:count]

    def close(self) -> List[Dict[str, str]]:
        """Flush everything and return name and file of each output."""
        for array in self._arrays:
            array.flush()
        return [
            {"name": name, "file": str(array.filename)}
            for name, array in zip(self._names, self._arrays)
        ]
