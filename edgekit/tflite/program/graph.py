"""A TFLite model as a graph: who writes and who reads each tensor, and how to change that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from .grids import Array, on_grid

_CODES = {code: name for name, code in vars(schema.BuiltinOperator).items() if name.isupper()}
_VERSIONS = {
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "EXPAND_DIMS": 1,
    "FULLY_CONNECTED": 5,
    "HARD_SWISH": 1,
    "RESHAPE": 1,
    "SQUEEZE": 1,
}
_VERSION = 2
"""The first that knows int8, of most operators."""
_OLD_CODES = 127
_TYPES = {"int8": schema.TensorType.INT8, "int32": schema.TensorType.INT32}


class Graph:
    """The only subgraph of a model, with who writes and who reads each tensor."""

    def __init__(self, model: Any) -> None:
        self.model, self.of = model, model.subgraphs[0]
        self.fused: Counter[str] = Counter()
        self._grids: dict[tuple[int, int], tuple[Array, Array] | None] = {}
        self.index()

    def index(self) -> None:
        """See anew who writes and who reads what."""
        self.writer = {at: op for op in self.of.operators for at in op.outputs}
        self.readers: dict[int, list[Any]] = {}
        for op in self.of.operators:
            for at in dict.fromkeys(op.inputs):
                self.readers.setdefault(at, []).append(op)

    def kind(self, op: Any) -> str:
        """Return the operator's name."""
        code = self.model.operatorCodes[op.opcodeIndex]
        return str(_CODES.get(max(code.builtinCode, code.deprecatedBuiltinCode), ""))

    def become(self, op: Any, kind: str) -> None:
        """Make `op` one of `kind`, in a version that knows int8."""
        number = getattr(schema.BuiltinOperator, kind)
        version = _VERSIONS.get(kind, _VERSION)
        codes = self.model.operatorCodes
        for at, code in enumerate(codes):
            if code.builtinCode == number and code.version >= version:
                op.opcodeIndex = at
                return
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode = number, min(number, _OLD_CODES)
        code.version = version
        codes.append(code)
        op.opcodeIndex = len(codes) - 1

    def tensor(self, at: int) -> Any:
        """Return the tensor numbered `at`."""
        return self.of.tensors[at]

    def constant(self, at: int) -> Array | None:
        """Return the float constant `at`; None for anything else."""
        tensor = self.tensor(at)
        data = self.model.buffers[tensor.buffer].data
        if data is None or not len(data) or tensor.type != schema.TensorType.FLOAT32:
            return None
        return np.frombuffer(bytes(data), np.float32).reshape(tuple(tensor.shape))

    def add(self, like: int, shape: Sequence[int], grid: Any, data: Array | None = None) -> int:
        """Add a tensor named after `like`, int8 or of the type of `data`; return its number."""
        tensor = schema.TensorT()
        tensor.name = bytes(self.tensor(like).name) + b"_quantized"
        tensor.shape = np.asarray(shape, np.int32)
        tensor.quantization = grid
        tensor.type = schema.TensorType.INT8
        tensor.buffer = 0
        if data is not None:
            tensor.type = _TYPES[data.dtype.name]
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        self.of.tensors.append(tensor)
        return len(self.of.tensors) - 1

    def add_like(self, like: int, shape: Sequence[int]) -> int:
        """Add a tensor of the type and grid of `like`; return its number."""
        at = self.add(like, shape, self.tensor(like).quantization)
        self.tensor(at).type = self.tensor(like).type
        return at

    def node(self, kind: str, inputs: Sequence[int], output: int) -> Any:
        """Return a new operator, which is nowhere yet."""
        op = schema.OperatorT()
        op.inputs, op.outputs = list(inputs), [output]
        self.become(op, kind)
        return op

    def source(self, at: int) -> int | None:
        """Return the int8 tensor that `at` is the float form of; None where there is none."""
        writer = self.writer.get(at)
        if writer is None or self.kind(writer) != "DEQUANTIZE":
            return None
        source = int(writer.inputs[0])
        return source if self.tensor(source).type == schema.TensorType.INT8 else None

    def only_quantize(self, at: int) -> Any | None:
        """Return the Quantize that alone reads `at`; None where others do."""
        readers = self.readers.get(at, [])
        if len(readers) != 1 or at in self.of.outputs or self.kind(readers[0]) != "QUANTIZE":
            return None
        int8 = self.tensor(readers[0].outputs[0]).type == schema.TensorType.INT8
        return readers[0] if int8 else None

    def scale(self, at: int) -> float:
        """Return the one scale of a quantized tensor."""
        return float(self.tensor(at).quantization.scale[0])

    def weight(self, at: int, axis: int) -> tuple[Array, Array] | None:
        """Return (int8 integers, one scale a channel) of a constant; None if it is on no grid."""
        if (at, axis) not in self._grids:
            values = self.constant(at)
            self._grids[at, axis] = None if values is None else on_grid(values, axis)
        return self._grids[at, axis]

    def replace(self, op: Any, new: Sequence[Any]) -> None:
        """Put `new` in the place of `op`."""
        at = next(i for i, each in enumerate(self.of.operators) if each is op)
        self.of.operators[at : at + 1] = new
        self.index()

    def read_instead(self, old: int, new: int) -> None:
        """Let everyone who reads `old` read `new`."""
        for op in self.readers.get(old, []):
            op.inputs = [new if at == old else at for at in op.inputs]
        self.index()

    def drop_unused(self) -> None:
        """Drop operators that nobody reads, then tensors and buffers that no operator names."""
        while True:
            wanted = {at for op in self.of.operators for at in op.inputs} | set(self.of.outputs)
            kept = [op for op in self.of.operators if any(at in wanted for at in op.outputs)]
            if len(kept) == len(self.of.operators):
                break
            self.of.operators = kept
        named = {at for op in self.of.operators for at in (*op.inputs, *op.outputs) if at >= 0}
        named |= {int(at) for at in (*self.of.inputs, *self.of.outputs)}
        order = sorted(named)
        place = {old: new for new, old in enumerate(order)} | {-1: -1}
        self.of.tensors = [self.of.tensors[at] for at in order]
        for op in self.of.operators:
            op.inputs = [place[at] for at in op.inputs]
            op.outputs = [place[at] for at in op.outputs]
        self.of.inputs = [place[int(at)] for at in self.of.inputs]
        self.of.outputs = [place[int(at)] for at in self.of.outputs]
        _drop_buffers(self.model, place)
        self.index()


def _drop_buffers(model: Any, place: dict[int, int]) -> None:
    kept, empty = [model.buffers[0]], schema.BufferT()
    for tensor in model.subgraphs[0].tensors:
        buffer = model.buffers[tensor.buffer]
        filled = tensor.buffer > 0 and buffer.data is not None and len(buffer.data)
        kept.append(buffer if filled else empty)
        tensor.buffer = len(kept) - 1 if filled else 0
        if not filled:
            kept.pop()
    for entry in model.metadata or []:
        kept.append(model.buffers[entry.buffer])
        entry.buffer = len(kept) - 1
    for signature in model.signatureDefs or []:
        for named in (*(signature.inputs or []), *(signature.outputs or [])):
            named.tensorIndex = place.get(named.tensorIndex, named.tensorIndex)
    model.buffers = kept
