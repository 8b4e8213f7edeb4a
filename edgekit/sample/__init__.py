"""The sample behind `edgekit demo`: a small residual network and images of Fashion-MNIST."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoFiles:
    """Paths of the sample.

    Attributes:
        model: the network, input Nx1x28x28 float32.
        calibration: 512 training images.
        test: 2,000 test images with labels.
    """

    model: Path
    calibration: Path
    test: Path


def demo_files() -> DemoFiles:
    """Return where the sample lies.

    >>> demo_files().model.name
    'model.onnx'
    """
    return DemoFiles(
        model=_HERE / "model.onnx",
        calibration=_HERE / "calibration.npz",
        test=_HERE / "test.npz",
    )
