"""Lints: what a target's runtime would reject, run elsewhere, or run slowly, and why."""

from edgekit.linting.checking import check, lint
from edgekit.linting.finding import SEVERITIES, Finding, Severity

__all__ = ["SEVERITIES", "Finding", "Severity", "check", "lint"]
