"""What quantized forms of a model answer beside the float one, which answers once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgekit import graph, native
from edgekit.dataset import Sample
from edgekit.graph import Model
from edgekit.quantization.loss import Loss, keep_outputs, losses_of

START_S, SAMPLE_S = 120.0, 10.0
"""What a native call that runs a model may take: to begin with, and for each sample."""


class Answers:
    """The float model's answers to samples, and how far those of other forms are from them."""

    def __init__(
        self, file: Path, samples: Sequence[Sample], folder: Path, memory_bytes: int
    ) -> None:
        """Take in the float model.

        Args:
            file: of the model.
            samples: to judge by.
            folder: for temporary files.
            memory_bytes: what a native call may take.
        """
        self.samples = samples
        self._file, self._folder, self._memory_bytes = file, folder, memory_bytes
        self._kept: Path | None = None

    def losses(self, models: Sequence[Model], first: int | None = None) -> list[Loss]:
        """Return the loss of each model on the first samples, or on all."""
        samples = self.samples[:first]
        files = [self._folder / f"variant-{index}.onnx" for index in range(len(models))]
        for model, file in zip(models, files, strict=True):
            graph.save(model, file)
        found = native.call(
            "running quantized models",
            losses_of,
            self._reference(),
            files,
            samples,
            timeout_s=START_S + SAMPLE_S * len(samples) * (len(models) + 1),
            memory_bytes=self._memory_bytes,
        )
        return [Loss(sqnr_db=sqnr_db, flips_pt=flips_pt) for sqnr_db, flips_pt in found]

    def _reference(self) -> Path:
        """Return the file of the float model's answers, or, where they are no arrays, its own."""
        if self._kept is None:
            kept = self._folder / "answers.npz"
            can = native.call(
                "running the float model",
                keep_outputs,
                self._file,
                self.samples,
                kept,
                timeout_s=START_S + SAMPLE_S * len(self.samples),
                memory_bytes=self._memory_bytes,
            )
            self._kept = kept if can else self._file
        return self._kept
