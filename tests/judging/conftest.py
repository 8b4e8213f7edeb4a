"""Constructed measurements: latencies with known truth."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.measurement import Accuracy, Block, Measurement, Memory, Run, Setup


class Maker:
    """Builds measurements whose true figures are known."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)

    def run(self, role, p50_s, *, samples=60, rounds=6, noise=0.02):
        per_round = samples // rounds
        warm = p50_s * np.exp(noise * self.random.standard_normal((rounds, per_round)))
        return Run(
            role=role,
            rounds=tuple(tuple(map(float, part)) for part in warm),
            first_s=3 * p50_s,
            load_s=0.05,
            warmup_iterations=10,
            settled=True,
            memory=Memory(
                peak_bytes=100 << 20,
                runtime_bytes=60 << 20,
                weights_bytes=20 << 20,
                arena_bytes=10 << 20,
            ),
        )

    def block(self, ratio=1.0, *, index=0, base_s=0.01, spread=0.01, disturbed=(), **options):
        """One block whose log ratio has the given mean and spread (drift is shared)."""
        drift = float(np.exp(0.03 * self.random.standard_normal()))
        true = ratio * float(np.exp(spread * self.random.standard_normal()))
        a, b = base_s * drift, base_s * drift * true
        return Block(
            index=index,
            runs=tuple(
                self.run(role, value, **options)
                for role, value in (
                    ("original", a),
                    ("candidate", b),
                    ("candidate", b),
                    ("original", a),
                )
            ),
            disturbed=disturbed,
        )

    def blocks(self, number, ratio=1.0, **options):
        return tuple(self.block(ratio, index=i, **options) for i in range(number))

    def accuracy(self, number=2000, *, lost=11, gained=11, right=1860, **options):
        original = np.zeros(number)
        original[:right] = 1.0
        values = original.copy()
        values[:lost] = 0.0
        values[number - gained :] = 1.0
        given = {
            "metric": "top1",
            "better": "higher",
            "values": tuple(values),
            "original_values": tuple(original),
            "agreement": 1 - (lost + gained) / number,
            "sqnr_db": 31.0,
            "labelled": True,
            "simulated": False,
        }
        return Accuracy(**{**given, **options})

    def measurement(self, *, blocks=(), null_blocks=(), accuracy=None, device="local", **options):
        given = {
            "candidate": "quantize",
            "sha256": "b" * 64,
            "size_bytes": 300_000,
            "original_sha256": "a" * 64,
            "original_size_bytes": 1_000_000,
            "setup": Setup(
                target="x86",
                device=device,
                runtime="onnxruntime 1.31.1 CPUExecutionProvider",
                threads=1,
                batch=1,
                shapes={"x": (1, 1, 28, 28)},
            ),
        }
        return Measurement(
            blocks=blocks, null_blocks=null_blocks, accuracy=accuracy, **{**given, **options}
        )


@pytest.fixture
def make():
    """A builder of measurements, seeded."""
    return Maker()
