"""Static int8: calibration, a target-neutral plan, its emission per target, and a lint."""
