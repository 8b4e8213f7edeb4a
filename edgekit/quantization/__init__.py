"""Static int8: calibration, a target-neutral plan, its emission per target."""

from edgekit.quantization.emission import emit
from edgekit.quantization.plan import QuantizationPlan, Unit
from edgekit.quantization.planning import observer_of, plan_of

__all__ = ["QuantizationPlan", "Unit", "emit", "observer_of", "plan_of"]
