"""Streams named activations of a model over a dataset, in bounded memory.

Everything here runs behind the native door: `native.call("calibrating", stream, file, ...)`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from edgekit import native
from edgekit.dataset import Dataset, Sample
from edgekit.graph.trial import expose

Array = npt.NDArray[np.generic]
_GROUP_BYTES = 256 << 20


class Reducer(Protocol):
    """Takes activations in and keeps what is wanted of them; a dataclass, to come back whole."""

    def begin(self, sample: Sample) -> None:
        """Note that the activations of `sample` follow."""
        ...

    def add(self, name: str, values: Array) -> None:
        """Take the tensor `name` of the current sample, batch axis of 1 included."""
        ...


R = TypeVar("R", bound=Reducer)


def stream(model_file: Path, data: Dataset, names: Sequence[str], reducer: R) -> R:
    """Run `data` through the model once and give every named tensor to `reducer`.

    One sample at a time on one thread, so what a sample yields depends on nothing but the
    sample; the next one runs while the reducer takes the last. When the named tensors of the
    first sample exceed 256 MB, those of the others are fetched in groups: several runs a sample,
    still one pass over the data.

    Args:
        model_file: an ONNX file; its external data beside it.
        data: yields samples without the batch axis.
        names: tensors to expose; constants among them are given once a sample too.
        reducer: its `begin` is called for each sample and its `add` for each of its tensors.
    """
    samples = data.samples()
    total = len(data)
    groups = [list(names)]
    sessions = [_session(model_file, groups[0])]
    sizes: dict[str, int] = {}
    for sample in itertools.islice(samples, 1):
        reducer.begin(sample)
        values = sessions[0].run(groups[0], batched(sample))
        for name, array in zip(groups[0], values, strict=True):
            sizes[name] = array.nbytes
            reducer.add(name, array)
        del values
    if sum(sizes.values()) > _GROUP_BYTES:
        groups = _groups(sizes)
        sessions = [_session(model_file, group) for group in groups]
    runs = (
        (index, sample, session, group)
        for index, sample in enumerate(samples, start=2)
        for session, group in zip(sessions, groups, strict=True)
    )
    for index, sample, group, values in _ahead(runs):
        if group is groups[0]:
            reducer.begin(sample)
        for name, array in zip(group, values, strict=True):
            reducer.add(name, array)
        native.report(index, total)
    return reducer


def _ahead(
    runs: Iterator[tuple[int, Sample, Any, list[str]]],
) -> Iterator[tuple[int, Sample, list[str], list[Array]]]:
    """Yield what each run gives, in order, while the next one is under way on another thread."""
    with ThreadPoolExecutor(max_workers=1) as worker:
        last: tuple[int, Sample, list[str], Future[list[Array]]] | None = None
        for index, sample, session, group in runs:
            future = worker.submit(session.run, group, batched(sample))
            if last is not None:
                yield *last[:3], last[3].result()
            last = index, sample, group, future
        if last is not None:
            yield *last[:3], last[3].result()


def outputs_of(model_file: Path, samples: Sequence[Sample]) -> list[list[Array]]:
    """Return the model's outputs for each sample, in the order of the graph outputs."""
    session = _session(model_file, [])
    return [session.run(None, batched(sample)) for sample in samples]


def batched(sample: Sample) -> dict[str, Array]:
    """Return the sample as a batch of one."""
    return {name: np.ascontiguousarray(value)[None] for name, value in sample.items()}


def _session(model_file: Path, names: list[str]) -> Any:
    import onnx  # noqa: PLC0415  # only behind the native door
    import onnxruntime as ort  # noqa: PLC0415  # only behind the native door

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    providers = ["CPUExecutionProvider"]
    if not names:
        return ort.InferenceSession(str(model_file), options, providers=providers)
    model = onnx.load(model_file, load_external_data=False)
    expose(model, names)
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(model_file.parent)
    )
    return ort.InferenceSession(model.SerializeToString(), options, providers=providers)


def _groups(sizes: dict[str, int]) -> list[list[str]]:
    """Split the names so that one run's tensors stay within `_GROUP_BYTES`."""
    groups: list[list[str]] = [[]]
    total = 0
    for name, size in sizes.items():
        if groups[-1] and total + size > _GROUP_BYTES:
            groups.append([])
            total = 0
        groups[-1].append(name)
        total += size
    return groups
