"""Time by layer of the model as its user knows it, beside what the device could do at best."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from edgekit import graph, runtimes
from edgekit.bench.joining import Joined, join, join_by_names
from edgekit.bench.running import Running, put_model, timing_spec
from edgekit.devices import Device, ask
from edgekit.errors import InfrastructureError
from edgekit.graph import Model
from edgekit.graph.costs import concrete_shapes
from edgekit.graph.surgery import name_nodes
from edgekit.measurement import Layer, Layers, Roofline

_TIMEOUT_S = 1800.0
_SIDE = 768
_CONVERSIONS = frozenset(("QuantizeLinear", "DequantizeLinear"))
_INTEGER = ("QLinear", "QGemm", "QAttention", "MatMulInteger", "ConvInteger", "DynamicQuantize")

Progress = Callable[[int, int], None]


def layers(
    device: Device,
    model: Model,
    file: Path,
    running: Running,
    *,
    progress: Progress = lambda _done, _total: None,
) -> Layers:
    """Profile `model` on the device with the runtime's own profiler.

    Args:
        device: connected.
        model: what `file` holds.
        file: what the runtime runs; see `runtimes.runtime_for`.
        running: threads, batch, shapes and inputs.
        progress: called with (done, in all).

    Raises:
        ModelError: the runtime refuses the model or is broken by it.
        InfrastructureError: the device or the agent failed.
    """
    named = Model(ir=model.editable(), name=model.name)
    name_nodes(named.ir)
    with tempfile.TemporaryDirectory(prefix="edgekit-layers-") as place:
        folder = Path(place)
        graph.save(named, folder / "model.onnx")
        spec = {
            **timing_spec(device, file, running),
            "model": put_model(device, folder / "model.onnx", running.target),
            "folder": device.folder(),
            "gemms": _gemms(device, folder, running.target.quantized.activations),
        }
        answer = ask(device, "layers", spec, timeout_s=_TIMEOUT_S, progress=progress)
        optimized = folder / "optimized.onnx"
        if answer.get("optimized") is not None:
            device.get(str(answer["optimized"]), optimized)
        wires = graph.wiring(optimized) if optimized.exists() else ()
    try:
        if spec["runtime"] == runtimes.OnnxRuntime.name:
            joined = join(named, wires)
        else:
            joined = join_by_names(named, [str(one["name"]) for one in answer["nodes"]])
        return _read(answer, joined, _Sizes(named, running))
    except (
        AttributeError,
        IndexError,
        KeyError,
        OverflowError,
        TypeError,
        ValueError,
    ) as error:
        raise InfrastructureError(
            "the agent's profile cannot be read", where=f"on {device.name}", found=repr(error)
        ) from error


def _read(answer: Mapping[str, Any], joined: Sequence[Joined], sizes: _Sizes) -> Layers:
    timed = {str(one["name"]): one for one in answer["nodes"]}
    known = {name for layer in joined for name in layer.runs}
    alone = [Joined(name=name, runs=(name,), nodes=()) for name in timed if name not in known]
    order = {name: at for at, name in enumerate(timed)}
    found = [
        _layer(layer, [timed[name] for name in layer.runs if name in timed], sizes)
        for layer in sorted(
            (*joined, *alone), key=lambda layer: min(order.get(n, len(order)) for n in layer.runs)
        )
        if any(name in timed for name in layer.runs)
    ]
    peaks = answer["peaks"]
    integer = peaks["macs_per_s"]["integer"]
    return Layers(
        layers=tuple(found),
        roofline=Roofline(
            macs_per_s=_positive(peaks["macs_per_s"]["float"]),
            integer_macs_per_s=None if integer is None else _positive(integer),
            bytes_per_s=_positive(peaks["bytes_per_s"]),
        ),
        run_s=middle_mean(answer["runs_us"]) / 1e6,
        runs=int(answer["runs"]),
    )


def _layer(joined: Joined, runs: Sequence[Mapping[str, Any]], sizes: _Sizes) -> Layer:
    operators = tuple(str(run["op_type"]) for run in runs)
    weighty = [node for node in joined.nodes if sizes.macs.get(node.name or "")]
    plain = [node for node in joined.nodes if node.op_type not in _CONVERSIONS]
    named = next(iter(weighty or plain[-1:] or joined.nodes[-1:]), None)
    return Layer(
        name=joined.name if named is None else named.name or "",
        holds=tuple(node.name or "" for node in joined.nodes),
        operators=tuple(node.op_type for node in joined.nodes),
        runs_as=operators,
        provider=str(runs[0]["provider"]),
        integer=any(name.startswith(_INTEGER) for name in operators),
        seconds=sum(middle_mean(run["us"]) for run in runs) / 1e6,
        macs=sum(sizes.macs.get(node.name or "", 0) for node in joined.nodes),
        bytes=sizes.bytes(joined.nodes),
    )


def middle_mean(values: Sequence[float]) -> float:
    """Return the mean of the middle half: robust, and finer than the whole microseconds it is of.

    Raises:
        ValueError: there are none, or one is negative or not finite.

    >>> middle_mean([1, 2, 3, 1000])
    2.5
    """
    ordered = np.sort(np.asarray(values, dtype=float).ravel())
    if not ordered.size or not 0 <= ordered[0] <= ordered[-1] < math.inf:
        raise ValueError("no times")
    quarter = ordered.size // 4
    return float(ordered[quarter : ordered.size - quarter].mean())


def _positive(value: Any) -> float:
    found = float(value)
    if not 0 < found < math.inf:
        raise ValueError(found)
    return found


class _Sizes:
    """What the nodes of the model cost at the shapes that are timed."""

    def __init__(self, model: Model, running: Running) -> None:
        shapes = dict(running.shapes)
        if running.inputs:
            shapes.update({name: array.shape for name, array in running.inputs[0].items()})
        self.macs = {node.name: node.macs for node in graph.costs(model, shapes).nodes}
        self._shapes = concrete_shapes(model, shapes)
        typed = graph.infer_shapes(model, shapes).ir.graph
        values = [*typed.inputs, *(value for node in typed for value in node.outputs)]
        self._types = {value.name: value.dtype for value in values}

    def bytes(self, nodes: Sequence[ir.Node]) -> int:
        """Return what goes in from outside (weights, too) and out to it."""
        inner = {value for node in nodes for value in node.outputs}
        read = {value for node in nodes for value in node.inputs if value is not None} - inner
        seen = set(nodes)
        left = {
            value
            for value in inner
            if value.is_graph_output() or any(use.node not in seen for use in value.uses())
        }
        return sum(self._size(value) for value in (*read, *left))

    def _size(self, value: ir.Value) -> int:
        if value.const_value is not None:
            return int(value.const_value.nbytes)
        dtype, shape = self._types.get(value.name), self._shapes.get(value.name or "")
        if dtype is None or shape is None or dtype == ir.DataType.STRING:
            return 0
        return math.ceil(math.prod(shape) * dtype.bitwidth / 8)


def _gemms(device: Device, folder: Path, activations: str) -> dict[str, Any]:
    """Send a large matrix product a number format."""
    found = {}
    for name, dtype in (("float", "float32"), ("integer", activations)):
        file = folder / f"{name}.onnx"
        _write_gemm(file, dtype)
        found[name] = {"model": device.put(file), "macs": _SIDE**3}
    return found


def _write_gemm(file: Path, dtype: str) -> None:
    """Save x times a constant matrix, both square."""
    integer = dtype != "float32"
    random = np.random.default_rng(0)
    weights = random.integers(-100, 100, (_SIDE, _SIDE)) if integer else random.random((_SIDE,) * 2)
    kind = ir.DataType.from_numpy(np.dtype(dtype))
    x = ir.Value(name="x", shape=ir.Shape((_SIDE, _SIDE)), type=ir.TensorType(kind))
    w = ir.Value(
        name="w",
        const_value=ir.tensor(weights.astype(np.int8 if integer else np.float32), name="w"),
    )
    node = ir.node("MatMulInteger" if integer else "MatMul", [x, w])
    (y,) = node.outputs
    y.name, y.shape = "y", ir.Shape((_SIDE, _SIDE))
    y.type = ir.TensorType(ir.DataType.INT32 if integer else kind)
    made = ir.Graph([x], [y], nodes=[node], initializers=[w], opset_imports={"": 17}, name="gemm")
    graph.save(Model(ir=ir.Model(made, ir_version=8), name="gemm"), file)
