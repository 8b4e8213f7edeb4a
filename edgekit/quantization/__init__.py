"""Static int8: calibration, a target-neutral plan, its emission per target, and a lint."""

from edgekit.quantization.emission import emit
from edgekit.quantization.linting import Finding, lint
from edgekit.quantization.plan import QuantizationPlan, Unit
from edgekit.quantization.planning import observer_of, plan_of

__all__ = ["Finding", "QuantizationPlan", "Unit", "emit", "lint", "observer_of", "plan_of"]
