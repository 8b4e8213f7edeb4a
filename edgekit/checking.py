"""`edgekit.check`: what a target would make of a model, before any device is touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit import graph, linting
from edgekit import target as targets
from edgekit.linting import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a target would make of a model.

    Attributes:
        model: file name.
        sha256: of the file and its external data.
        target: name of the target.
        engines: optional engines that were asked, too.
        quantized: the model has Q/DQ pairs.
        findings: worst first; empty when there is nothing to mend.
    """

    schema_version: int = 1
    model: str
    sha256: str
    target: str
    engines: tuple[str, ...]
    quantized: bool
    findings: tuple[Finding, ...]

    @property
    def rejected(self) -> tuple[Finding, ...]:
        """The findings for which the runtime refuses the model, or computes something else."""
        return tuple(found for found in self.findings if found.severity == "reject")


def check(
    model: str | Path,
    *,
    target: str,
    engines: Sequence[str] = (),
    shapes: dict[str, tuple[int, ...]] | None = None,
) -> Checked:
    """Say what the runtime of `target` would reject, run elsewhere, or run slowly, and why.

    Args:
        model: path of an ONNX file, float or quantized.
        target: name of a target, or path of its TOML file.
        engines: optional engines of the target to ask, too: `dla`, `xnnpack`.
        shapes: shapes of inputs with dynamic axes.

    Raises:
        EdgekitError: the file is no usable model, or the target has no such engine.

    Example:
        >>> import edgekit
        >>> found = edgekit.check(edgekit.demo_files().model, target="jetson")
        >>> found.rejected
        ()
    """
    file = Path(model)
    found = targets.load(target)
    loaded = graph.load(file, shapes=shapes)
    return Checked(
        model=file.name,
        sha256=graph.file_sha256(file),
        target=found.name,
        engines=tuple(engines),
        quantized=any(node.op_type == "QuantizeLinear" for node in loaded.ir.graph),
        findings=linting.check(loaded, found, engines=engines, shapes=shapes),
    )
