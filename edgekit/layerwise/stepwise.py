"""A model run over a dataset one stretch of nodes at a time.

Between stretches the values that later nodes read lie in files, so each node runs once over the
data however many values are asked for, and memory holds one batch. Weights may be changed on the
way, as long as no node that reads them has run.

Everything here runs behind the native door.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir import external_data

from edgekit.dataset import Dataset
from edgekit.graph.trial import open_session
from edgekit.layerwise.batches import Batch, batch_size, batches
from edgekit.layerwise.layers import computed_inputs

Array = npt.NDArray[Any]

MEMORY_BYTES = 512 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One batch of the data, without its content."""

    number: int
    held_out: bool
    size: int


def side_by_side(files: Sequence[Path], data: Dataset, samples: int) -> list[Stepwise]:
    """Return models of the same inputs at the start of the data, in the same batches.

    Args:
        files: each in a folder that takes the values between stretches.
        data: at most `samples` samples of it, evenly spread, are used.
        samples: see `data`.
    """
    session = open_session(str(files[0]))
    size = batch_size(session, [value.name for value in session.get_outputs()], data)
    found = []
    for file in files:
        folder = file.with_suffix("")
        folder.mkdir()
        found.append(Stepwise(ir.load(file), batches(data, samples, size), folder))
    return found


class _Room:
    """How many bytes of values may stay in memory."""

    def __init__(self, memory_bytes: int) -> None:
        self.left = memory_bytes


@dataclass(slots=True, kw_only=True)
class _Stored:
    """The batches of one value: in memory while there is room, else one after another in a file."""

    file: Path
    room: _Room
    places: list[tuple[int, tuple[int, ...], np.dtype[Any]] | Array] = field(default_factory=list)
    end: int = 0

    def append(self, array: Array) -> None:
        if array.nbytes <= self.room.left:
            self.room.left -= array.nbytes
            self.places.append(array)
            return
        with self.file.open("ab") as stream:
            stream.write(np.ascontiguousarray(array).data)
        self.places.append((self.end, array.shape, array.dtype))
        self.end += array.nbytes

    def read(self, number: int) -> Array:
        place = self.places[number]
        if isinstance(place, np.ndarray):
            return place
        offset, shape, dtype = place
        return np.fromfile(self.file, dtype, math.prod(shape), offset=offset).reshape(shape)

    def drop(self) -> None:
        self.room.left += sum(
            place.nbytes for place in self.places if isinstance(place, np.ndarray)
        )
        self.places.clear()
        self.file.unlink(missing_ok=True)


class Stepwise:
    """A model on its way through the data.

    Attributes:
        graph: weights of nodes that have not run may be changed.
        parts: the batches, in the order of their numbers.
    """

    def __init__(
        self,
        model: ir.Model,
        batches: Iterator[Batch],
        folder: Path,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        """Take in the data.

        Args:
            model: its graph is run.
            batches: what goes through it.
            folder: an empty one for the values between stretches.
            memory_bytes: so much of them stays in memory.
        """
        self.graph = model.graph
        self.parts: list[Part] = []
        self._model = model
        self._folder = folder
        self._files = 0
        self._room = _Room(memory_bytes)
        self._waiting = {node: computed_inputs(node) for node in self.graph}
        inputs = (value for value in self.graph.inputs if not value.is_initializer())
        self._stored = {value.name or "": self._new() for value in inputs}
        for batch in batches:
            for name, array in batch.feeds.items():
                self._stored[name].append(array)
            self.parts.append(Part(number=batch.number, held_out=batch.held_out, size=batch.size))

    def advance(self, names: Sequence[str]) -> None:
        """Run what is needed for these values and has not run, so that they can be read.

        They stay until the next call; longer where nodes that have not run read them.
        """
        values = ir.convenience.create_value_mapping(self.graph, include_subgraphs=False)
        missing = [values[name] for name in names if name not in self._stored]
        stretch = self._stretch(missing)
        if stretch:
            reads = {value for node in stretch for value in self._waiting.pop(node)}
            later = {value for inputs in self._waiting.values() for value in inputs}
            made = [value for node in stretch for value in node.outputs]
            wanted = [value for value in made if value in later or value in missing]
            inputs = [value for value in reads if value.name in self._stored]
            self._run(inputs, wanted)
        later_names = {value.name for inputs in self._waiting.values() for value in inputs}
        for name in [*self._stored]:
            if name not in later_names and name not in names:
                self._stored.pop(name).drop()

    def read(self, name: str, part: Part) -> Array:
        """Return one batch of a value that `advance` was asked for."""
        return self._stored[name].read(part.number)

    def session_of(self, part: ir.Graph) -> Any:
        """Return a session of a graph that was extracted from this one and reads stored values."""
        for value in part.inputs:
            first = self._stored[value.name or ""].read(0)
            value.dtype, value.shape = (
                ir.DataType.from_numpy(first.dtype),
                ir.Shape([None] * first.ndim),
            )
        model = ir.Model(
            part,
            ir_version=self._model.ir_version,
            functions=list(self._model.functions.values()),
        )
        model.opset_imports.update(self._model.opset_imports)
        external_data.load_to_model(model)
        return open_session(ir.to_proto(model).SerializeToString(), threads=_cpus())

    def _stretch(self, values: Sequence[ir.Value]) -> list[ir.Node]:
        """Return the nodes that have not run and that `values` depend on."""
        needed: set[ir.Node] = set()
        pending = [value.producer() for value in values]
        while pending:
            node = pending.pop()
            if node is None or node in needed or node not in self._waiting:
                continue
            needed.add(node)
            pending.extend(
                value.producer() for value in self._waiting[node] if value.name not in self._stored
            )
        return [node for node in self.graph if node in needed]

    def _run(self, inputs: list[ir.Value], outputs: list[ir.Value]) -> None:
        names = [value.name or "" for value in inputs]
        session = self.session_of(ir.convenience.extract(self.graph, inputs, outputs))
        made = [self._new() for _ in outputs]
        for part in self.parts:
            feeds = {name: self._stored[name].read(part.number) for name in names}
            for store, array in zip(made, session.run(None, feeds), strict=True):
                store.append(array)
        self._stored |= {
            value.name or "": store for value, store in zip(outputs, made, strict=True)
        }

    def _new(self) -> _Stored:
        self._files += 1
        return _Stored(file=self._folder / f"{self._files}.bin", room=self._room)


def _cpus() -> int:
    """Return how many CPUs this process may use: threads that share one wait for each other."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
