"""The graph: load, save, and what can be asked of a model."""

from edgekit.graph.costs import Costs, NodeCost, costs
from edgekit.graph.load import load
from edgekit.graph.model import Model, TensorSpec
from edgekit.graph.save import file_sha256, file_size, model_files, save
from edgekit.graph.shapes import infer_shapes
from edgekit.graph.versions import convert
from edgekit.graph.wiring import Wire, wiring

__all__ = [
    "Costs",
    "Model",
    "NodeCost",
    "TensorSpec",
    "Wire",
    "convert",
    "costs",
    "file_sha256",
    "file_size",
    "infer_shapes",
    "load",
    "model_files",
    "save",
    "wiring",
]
