"""Export an architecture by one of torch's two exporters."""

from __future__ import annotations

import json
import logging
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from recipes import Recipe, lively
from torch import Tensor, nn

EXPORTERS = ("torchscript", "dynamo")
_OPSETS = {"torchscript": 17, "dynamo": 18}
_SEED = 20_260
_BATCH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A file that was written, or why there is none.

    Attributes:
        inputs: name to shape; -1 is the dynamic batch axis.
        refusal: what the exporter said; of the export with a dynamic batch axis where one with a
            fixed batch was written instead.
    """

    name: str
    exporter: str
    file: str | None
    inputs: dict[str, tuple[int, ...]]
    refusal: str | None = None


def export(recipe: Recipe, exporter: str, folder: Path) -> Export:
    """Write `<name>.<exporter>.onnx` with a dynamic batch axis; with a fixed one if it must be."""
    refusal = None
    for dynamic in (True, False):
        file = folder / f"{recipe.name}.{exporter}.onnx"
        torch.manual_seed(_SEED)
        try:
            module = lively(recipe.build())
            examples = tuple(spec.example(_BATCH if dynamic else 1) for spec in recipe.inputs)
            _export(module, examples, recipe, exporter, file, dynamic=dynamic)
        except Exception as error:  # noqa: BLE001  # whatever stops an exporter is what we record
            file.unlink(missing_ok=True)
            refusal = refusal or " ".join(f"{type(error).__name__}: {error}".split())[:300]
            continue
        batch = -1 if dynamic else 1
        shapes = {spec.name: (batch, *spec.shape) for spec in recipe.inputs}
        return Export(
            name=recipe.name, exporter=exporter, file=file.name, inputs=shapes, refusal=refusal
        )
    return Export(name=recipe.name, exporter=exporter, file=None, inputs={}, refusal=refusal)


def write_index(exports: list[Export], folder: Path) -> None:
    """Write `zoo.json`; what it says of models that were not exported now stays."""
    index = folder / "zoo.json"
    known = json.loads(index.read_text()) if index.exists() else []
    made = {(one.name, one.exporter) for one in exports}
    known = [one for one in known if (one["name"], one["exporter"]) not in made]
    index.write_text(json.dumps([*known, *map(asdict, exports)], indent=1) + "\n")


def _export(
    module: nn.Module,
    examples: tuple[Tensor, ...],
    recipe: Recipe,
    exporter: str,
    file: Path,
    *,
    dynamic: bool,
) -> None:
    names = [spec.name for spec in recipe.inputs]
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    torch.backends.mha.set_fastpath_enabled(False)  # neither exporter knows its fused operator
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        if exporter == "torchscript":
            axes = {name: {0: "batch"} for name in names} if dynamic else None
            torch.onnx.export(
                module,
                examples,
                file,
                dynamo=False,
                opset_version=_OPSETS[exporter],
                input_names=names,
                dynamic_axes=axes,
            )
            return
        batch = torch.export.Dim("batch", min=1, max=64)
        shapes: tuple[object, ...] = tuple({0: batch} for _ in examples)
        if type(module).__name__ == "Tensors":
            shapes = (shapes,)
        torch.onnx.export(
            module,
            examples,
            file,
            dynamo=True,
            external_data=False,
            verbose=False,
            opset_version=_OPSETS[exporter],
            input_names=names,
            dynamic_shapes=shapes if dynamic else None,
        )
