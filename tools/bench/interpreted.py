"""Run models on torch by edgekit's interpreter, and compare with onnxruntime.

    python tools/bench/interpreted.py MODELS... [--batch 2] [--fill 32]

Inputs are random; of a dynamic shape the first axis gets `--batch`, the others `--fill`. Prints for
each model the largest difference of any output, in shares of its largest value, how many weights
are parameters, how many of them get no gradient, and whether they come back identical.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch

from edgekit.errors import EdgekitError
from edgekit.graph import trial
from edgekit.interpreter.network import Network

TOLERANCE = 1e-4


def main() -> int:
    """Print one row a model; 1 when one does not run or differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--fill", type=int, default=32)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| model | difference | parameters | without gradient | round trip |\n|-|-|-|-|-|")
    good = 0
    for file in given.models:
        try:
            cells, alike = _row(file, given.batch, given.fill)
        except EdgekitError as error:
            cells, alike = str(error), False
        good += alike
        print(f"| {file.stem} | {cells} |", flush=True)
    print(f"\n{good} of {len(given.models)} within {TOLERANCE:g}")
    return int(good < len(given.models))


def _row(file: Path, batch: int, fill: int) -> tuple[str, bool]:
    session = trial.open_session(str(file))
    shapes = {
        name: tuple(batch if axis == 0 and length == 1 else length for axis, length in enumerate(s))
        for (name, s), spec in zip(
            trial.shapes_for(session, {}, fill).items(), session.get_inputs(), strict=True
        )
        if not isinstance(spec.shape[0] if spec.shape else 1, int)
    }
    feeds = trial.random_inputs(session, trial.shapes_for(session, shapes, fill))
    model = ir.load(file)
    network = Network(model)
    found = network.run(feeds)
    expected = trial.run(session, feeds)
    names = [value.name for value in session.get_outputs()]
    worst = max(
        _difference(one, found[name].detach().numpy())
        for name, one in zip(names, expected, strict=True)
    )
    loss = sum((y.square().sum() for y in found.values() if y.requires_grad), torch.zeros(()))
    parameters = list(network.parameters.values())
    gradients: tuple[torch.Tensor | None, ...] = ()
    if parameters and loss.requires_grad:
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    same = all(
        array.tobytes() == _stored(model, name).tobytes()
        for name, array in network.weights().items()
    )
    unread = sum(gradient is None for gradient in gradients)
    trip = "identical" if same else "differs"
    return f"{worst:.1e} | {len(parameters)} | {unread} | {trip}", worst <= TOLERANCE and same


def _stored(model: ir.Model, name: str) -> np.ndarray:
    tensor = model.graph.initializers[name].const_value
    assert tensor is not None  # noqa: S101  # a parameter came of it
    return tensor.numpy()


def _difference(expected: np.ndarray, found: np.ndarray) -> float:
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return float("inf")
    if expected.dtype.kind != "f" or not expected.size:
        return 0.0 if np.array_equal(expected, found) else float("inf")
    scale = max(float(np.abs(expected).max()), float(np.finfo(np.float32).tiny))
    return float(np.abs(found.astype(np.float64) - expected).max()) / scale


if __name__ == "__main__":
    sys.exit(main())
