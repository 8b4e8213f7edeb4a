"""The pass that stores and computes in half precision, for targets where that is fast."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import onnx_ir as ir

from edgekit import graph, native
from edgekit.candidate import Skip
from edgekit.graph import Model
from edgekit.passes.contract import Context, Outcome

_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fp16:
    """Half precision inside; inputs and outputs stay float32."""

    name: ClassVar[str] = "fp16"
    tolerance: ClassVar[float | None] = None

    def apply(self, model: Model, context: Context) -> Outcome:
        """Return the half-precision model; unchanged where the target is not fast in fp16."""
        if "fp16" not in context.target.formats:
            skip = Skip(where="graph", reason=f"{context.target.name} has no fast fp16")
            return Outcome(model=model, changed=False, skipped=(skip,))
        if any(node.op_type == "QuantizeLinear" for node in model.ir.graph):
            skip = Skip(where="graph", reason="it is quantized already")
            return Outcome(model=model, changed=False, skipped=(skip,))
        with tempfile.TemporaryDirectory(dir=context.workspace) as folder:
            source, written = Path(folder, "float.onnx"), Path(folder, "half.onnx")
            graph.save(model, source)
            kept = native.call(
                "converting to fp16", _convert, source, written, timeout_s=_TIMEOUT_S
            )
            result = graph.load(written)
        facts: dict[str, Any] = {"half-precision initializers": kept}
        return Outcome(model=Model(ir=result.ir, name=model.name), changed=kept > 0, facts=facts)


def _convert(source: Path, written: Path) -> int:
    """Write the half-precision form and return how many initializers are in it now.

    Runs behind the native door.
    """
    import onnx  # noqa: PLC0415  # only behind the native door
    from onnxruntime.transformers import float16  # noqa: PLC0415  # as onnx

    model = float16.convert_float_to_float16(onnx.load(source), keep_io_types=True)
    in_order = ir.serde.deserialize_model(model)
    in_order.graph.sort()
    ir.save(in_order, written)
    return sum(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in model.graph.initializer)
