"""The pass that trains the integers of a quantized graph: quantization-aware training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edgekit.candidate import Skip
from edgekit.graph import Model
from edgekit.passes.contract import Context, Outcome
from edgekit.passes.finetune import Training, learnt


@dataclass(frozen=True, slots=True, kw_only=True)
class Qat(Training):
    """Train integer weights and biases by distillation from the original, on unlabelled samples.

    Its place is behind `quantize`. Rounding is part of what is trained; scales and zero points
    stay. Where held-out answers come no nearer, the model stays as it is. Needs the extra `train`.

    Source: Jacob et al. 2018, section 3.
    """

    name: ClassVar[str] = "qat"
    tolerance: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        self.recipe()

    def apply(self, model: Model, context: Context) -> Outcome:
        """Return the trained model; facts hold how near it came.

        Raises:
            MissingExtraError: torch is not installed.
            UsageError: no samples.
            ModelError: an operator is not covered.
        """
        quantized = any(node.op_type == "DequantizeLinear" for node in model.ir.graph)
        if context.original is None or not quantized:
            reason = "nothing is quantized; qat goes behind quantize"
            return Outcome(
                model=model, changed=False, skipped=(Skip(where=model.name, reason=reason),)
            )
        return learnt(model, [context.original], context, self.recipe())
