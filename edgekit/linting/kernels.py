"""What onnxruntime itself makes of a quantized graph on this machine.

No device is touched: the session is created here, which tells what its optimizer fuses for a
target of this machine's kind and what it leaves in float.
"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path

import onnx_ir as ir

from edgekit import graph, native
from edgekit.graph import Model
from edgekit.graph.surgery import constant_of
from edgekit.linting.finding import Finding, at
from edgekit.target import Target

_CPU_FACTS = Path("/proc/cpuinfo")
_DEQUANTIZE = "DequantizeLinear"
_KERNELS = frozenset(("Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Mul", "Concat"))
_WEIGHTED = frozenset(("Conv", "ConvTranspose", "Gemm", "MatMul"))
_HALF = 64
"""Two products of 255 with weights of this size fit a 16-bit accumulator, any more do not."""


def kernel_findings(model: Model, target: Target) -> Iterator[Finding]:
    """Yield the quantized nodes that onnxruntime runs in float, and sums that would saturate.

    Nothing for a float graph, and nothing where this machine is not of the target's kind.
    """
    quantized = {
        node.name: node
        for node in model.ir.graph
        if node.op_type in _KERNELS and _is_quantized(node)
    }
    here = platform.machine() in target.architectures and target.runtimes[0] == "onnxruntime"
    if not quantized or not here:
        return
    if target.quantized.activations == "uint8" and not has_vnni(_cpu_flags()):
        yield from saturating(model)
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        file = Path(folder) / "model.onnx"
        graph.save(model, file)
        left: list[str] = native.call(
            "optimizing", _left_in_float, file, memory_bytes=(2 << 30) + 3 * graph.file_size(file)
        )
    for name in left:
        if name in quantized:
            what = f"onnxruntime here has no int8 kernel for this {quantized[name].op_type}"
            remedy = "leave its inputs in float: Q/DQ around it only costs time"
            yield at(quantized[name], "fallback", f"{what}: it runs in float", remedy)


def saturating(model: Model) -> Iterator[Finding]:
    """Yield the int8 products that may saturate on an x86 CPU without VNNI.

    There u8 x s8 products are added in pairs in 16 bits. Weights within -64..64 never saturate.

    Source: onnxruntime's documentation, "Quantize ONNX models", U8S8 on AVX2 and AVX512.
    """
    for node in model.ir.graph:
        if node.op_type not in _WEIGHTED or not _is_quantized(node):
            continue
        weight = node.inputs[1].producer() if node.inputs[1] is not None else None
        integers = None if weight is None or weight.inputs[0] is None else weight.inputs[0]
        found = None if integers is None else constant_of(integers)
        if found is not None and abs(found.astype(int)).max(initial=0) > _HALF:
            what = "int8 sums saturate on a CPU without VNNI: it computes something else"
            yield at(node, "reject", what, "use weights of 7 bits (-64 to 64) on such a CPU")


def has_vnni(flags: frozenset[str]) -> bool:
    """Say whether a CPU adds u8 x s8 products in 32 bits; unknown flags count as yes."""
    return not flags or bool(flags & {"avx512_vnni", "avx_vnni", "amx_int8"})


def _cpu_flags() -> frozenset[str]:
    try:
        lines = _CPU_FACTS.read_text().splitlines()
    except OSError:
        return frozenset()
    found = (frozenset(line.split()[2:]) for line in lines if line.startswith("flags"))
    return next(found, frozenset())


def _is_quantized(node: ir.Node) -> bool:
    sources = [None if value is None else value.producer() for value in node.inputs[:2]]
    return all(source is not None and source.op_type == _DEQUANTIZE for source in sources)


def _left_in_float(file: Path) -> list[str]:
    """Return the names of the nodes that still read floats made of integers; behind the door."""
    import onnx  # noqa: PLC0415  # only behind the native door
    import onnxruntime as ort  # noqa: PLC0415  # only behind the native door

    written = file.with_name("optimized.onnx")
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.optimized_model_filepath = str(written)
    ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(written, load_external_data=False).graph.node
    floats = {name for node in nodes if node.op_type == _DEQUANTIZE for name in node.output}
    return [node.name for node in nodes if node.op_type in _KERNELS and floats & {*node.input}]
