"""Run the node tests that an onnx wheel ships through edgekit's interpreter on torch.

    pip install --target FOLDER --no-deps onnx==1.17.0
    python tools/bench/node_tests.py FOLDER/onnx [--only NAME] [--verbose]

Later wheels ship none. Prints how many pass, how many are refused (an operator, a form of one, or
an element type that is not covered) and how many fail: another answer than the test's, compared at
1e-4. Where onnxruntime gives the interpreter's answer and not the test's, the test is named and
counted by itself.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from onnx import numpy_helper

from edgekit.errors import EdgekitError
from edgekit.interpreter.network import Network, unsupported
from edgekit.interpreter.values import array_of

TOLERANCE = 1e-4
BFLOAT16 = 2**-7  # the wheel's answers are truncated; ONNX and torch round
SUITES = ("node", "simple", "pytorch-operator", "pytorch-converted")
RULINGS = ("pass", "disputed", "unsupported", "fail")


class Unlike(Exception):  # noqa: N818  # what a test found, not an error
    """The answer is not the test's."""

    as_onnxruntime = False


def main() -> int:
    """Run what was asked for and print the table; 1 when a test fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("onnx", type=Path, help="the folder of an installed onnx 1.17")
    parser.add_argument("--only", help="part of a test's name")
    parser.add_argument("--verbose", action="store_true", help="name what is refused, too")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    table: dict[str, Counter[str]] = defaultdict(Counter)
    reasons: Counter[str] = Counter()
    for suite, folder in _tests(arguments.onnx / "backend/test/data"):
        if arguments.only and arguments.only not in folder.name:
            continue
        ruling, reason = _ruling(folder)
        table[suite][ruling] += 1
        if ruling == "unsupported":
            reasons[reason] += 1
        if ruling in {"fail", "disputed"} or (arguments.verbose and ruling != "pass"):
            print(f"{ruling:12} {suite}/{folder.name}: {reason}")
    for reason, count in reasons.most_common():
        print(f"{count:5} unsupported: {reason}")
    print(f"\n{'suite':20}" + "".join(f" {ruling:>12}" for ruling in RULINGS))
    for suite, counts in table.items():
        print(f"{suite:20}" + "".join(f" {counts[ruling]:12}" for ruling in RULINGS))
    return int(any(counts["fail"] for counts in table.values()))


def _tests(data: Path) -> Iterator[tuple[str, Path]]:
    for suite in SUITES:
        for folder in sorted((data / suite).glob("test_*")):
            yield suite, folder


def _ruling(folder: Path) -> tuple[str, str]:
    proto = onnx.load(folder / "model.onnx")
    reason = _not_covered(proto)
    if reason:
        return "unsupported", reason
    try:
        for data in folder.glob("test_data_set_*"):
            _check(proto, Network(ir.from_proto(proto)), data)
    except EdgekitError as error:
        if error.__cause__ is None or "not implemented" in str(error.__cause__):
            return "unsupported", f"{error.what} {error.found}"
        return "fail", str(error)
    except Unlike as error:
        return ("disputed" if error.as_onnxruntime else "fail"), str(error)
    return "pass", ""


def _not_covered(proto: onnx.ModelProto) -> str:
    if not all(value.type.HasField("tensor_type") for value in proto.graph.input):
        return "an input that is no tensor"
    try:
        return ", ".join(unsupported(ir.from_proto(proto)))
    except Exception as error:  # noqa: BLE001  # types that onnx_ir does not know
        return f"not read: {type(error).__name__}"


def _check(proto: onnx.ModelProto, network: Network, data: Path) -> None:
    files = {value.name: data / f"input_{n}.pb" for n, value in enumerate(proto.graph.input)}
    types = {value.name: value.type for value in (*proto.graph.input, *proto.graph.output)}
    feeds = {
        name: _tensor(file, types[name]) for name, file in files.items() if name and file.exists()
    }
    found = {name: array_of(value) for name, value in network.run(feeds).items()}
    try:
        for index, (name, given) in enumerate(found.items()):
            _compare(name, _tensor(data / f"output_{index}.pb", types[name]), given)
    except Unlike as unlike:
        unlike.as_onnxruntime = _as_onnxruntime(proto, feeds, found)
        raise


def _as_onnxruntime(
    proto: onnx.ModelProto, feeds: dict[str, np.ndarray], found: dict[str, np.ndarray]
) -> bool:
    try:
        session = onnxruntime.InferenceSession(proto.SerializeToString())
        for (name, given), expected in zip(found.items(), session.run(None, feeds), strict=True):
            _compare(name, expected, given)
    except Exception:  # noqa: BLE001  # onnxruntime has a class of exception per status
        return False
    return True


def _compare(name: str, expected: np.ndarray, given: np.ndarray) -> None:
    if expected.shape != given.shape:
        raise Unlike(f"{name}: shape {given.shape}, expected {expected.shape}")
    if expected.dtype != given.dtype and expected.dtype.name != "bfloat16":
        raise Unlike(f"{name}: type {given.dtype}, expected {expected.dtype}")
    a, b = expected.astype(np.float64), given.astype(np.float64)
    near = BFLOAT16 if expected.dtype.name == "bfloat16" else TOLERANCE
    if not np.allclose(a, b, rtol=near, atol=TOLERANCE, equal_nan=True):
        raise Unlike(f"{name}: differs by {np.nanmax(np.abs(a - b)):.3g}")


def _tensor(file: Path, declared: onnx.TypeProto) -> np.ndarray:
    """Return a tensor of a test; the bits of bfloat16 are stored as uint16."""
    tensor = onnx.TensorProto()
    tensor.ParseFromString(file.read_bytes())
    array: np.ndarray = numpy_helper.to_array(tensor)
    bfloat16 = declared.tensor_type.elem_type == onnx.TensorProto.BFLOAT16
    return array.view(ir.DataType.BFLOAT16.numpy()) if bfloat16 else array


if __name__ == "__main__":
    sys.exit(main())
