"""The graph: load, save, and what can be asked of a model."""

from edgekit.graph.load import load
from edgekit.graph.model import Model, TensorSpec
from edgekit.graph.save import file_sha256, file_size, save

__all__ = ["Model", "TensorSpec", "file_sha256", "file_size", "load", "save"]
