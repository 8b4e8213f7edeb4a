from pathlib import Path

import numpy as np

from edgekit import bench
from edgekit.bench import Running


def test_the_setup_tells_what_was_measured_where(device, running):
    feeds = [{"x": np.zeros((2, 64), np.float32)}]
    found = bench.setup_of(
        device, Path("m.onnx"), Running(target=running.target, batch=2, inputs=feeds)
    )
    assert found.target == "x86"
    assert found.device == "local"
    assert found.runtime.startswith("onnxruntime ")
    assert found.runtime.endswith("CPUExecutionProvider")
    assert found.shapes == {"x": (2, 64)}
    assert found.environment["boot_id"]
