"""What onnxruntime makes of a quantized graph: how many planned units became int8 kernels."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from edgekit.quantization.plan import CONVOLUTIONS, Kind, Unit

_MATRIX = (
    "QGemm",
    "QLinearMatMul",
    "MatMulIntegerToFloat",
    "MatMulInteger",
    "DynamicQuantizeMatMul",
)
_KERNELS: dict[Kind, tuple[str, ...]] = {
    **dict.fromkeys(CONVOLUTIONS, ("QLinearConv", "ConvInteger")),
    "gemm": _MATRIX,
    "matmul": _MATRIX,
    "attention": _MATRIX,
    "add": ("QLinearAdd",),
    "mul": ("QLinearMul",),
    "pool": ("QLinearGlobalAveragePool", "QLinearAveragePool"),
    "concat": ("QLinearConcat",),
}


def optimized_operators(model_file: Path) -> dict[str, int]:
    """Return how often each operator stands in onnxruntime's optimized graph.

    Runs behind the native door, with the file's own folder as its workspace: whoever made that
    removes it, even where this process is killed.
    """
    import onnx  # noqa: PLC0415  # only behind the native door
    import onnxruntime as ort  # noqa: PLC0415  # only behind the native door

    with tempfile.TemporaryDirectory(dir=model_file.parent) as folder:
        written = Path(folder, "optimized.onnx")
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        options.optimized_model_filepath = str(written)
        ort.InferenceSession(str(model_file), options, providers=["CPUExecutionProvider"])
        model = onnx.load(written, load_external_data=False)
    return dict(Counter(node.op_type for node in model.graph.node))


def int8_share(operators: dict[str, int], units: Iterable[Unit]) -> float:
    """Return the share of `units`, all quantized, that are int8 kernels, 0 to 1; 1 without units.

    Args:
        operators: of the optimized graph, see `optimized_operators`.
        units: those that the plan quantizes.
    """
    wanted = Counter(_KERNELS[unit.kind] for unit in units)
    found = {
        kernels: min(count, sum(operators.get(kernel, 0) for kernel in kernels))
        for kernels, count in wanted.items()
    }
    return sum(found.values()) / wanted.total() if wanted else 1.0
