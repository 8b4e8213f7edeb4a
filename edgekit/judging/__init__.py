"""Measurements held against budgets: figures with intervals, rulings with reasons, a choice."""

from edgekit.judging.choice import Choice, choose, score
from edgekit.judging.estimate import estimate, of_original
from edgekit.judging.figure import Figure
from edgekit.judging.regression import regression, regression_budgets, regressions
from edgekit.judging.sustained import Steady, steady
from edgekit.judging.timing import differences, left_out, usable
from edgekit.judging.verdict import (
    EXIT_CODES,
    Check,
    Ruling,
    Verdict,
    check,
    judge,
    null_control,
    overall,
    settled,
    untimed,
)

__all__ = [
    "EXIT_CODES",
    "Check",
    "Choice",
    "Figure",
    "Ruling",
    "Steady",
    "Verdict",
    "check",
    "choose",
    "differences",
    "estimate",
    "judge",
    "left_out",
    "null_control",
    "of_original",
    "overall",
    "regression",
    "regression_budgets",
    "regressions",
    "score",
    "settled",
    "steady",
    "untimed",
    "usable",
]
