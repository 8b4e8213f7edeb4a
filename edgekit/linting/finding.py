"""What a lint says: one thing that a runtime would refuse, run elsewhere, or run slowly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import onnx_ir as ir

Severity = Literal["reject", "fallback", "slow"]
SEVERITIES: tuple[Severity, ...] = ("reject", "fallback", "slow")
"""Worst first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to know before the model meets a device.

    Attributes:
        severity: `reject` when the runtime refuses the graph or computes something else,
            `fallback` when a node runs elsewhere or in float, `slow` when a faster form exists.
        where: node, graph input, or `opset`.
        what: what is wrong, and what the target wants; the same text for the same thing
            elsewhere, so that places can be told together.
        remedy: what the user can do, as an instruction; empty where there is nothing.
    """

    severity: Severity
    where: str
    what: str
    remedy: str = ""


def at(node: ir.Node, severity: Severity, what: str, remedy: str = "") -> Finding:
    """Return a finding about a node."""
    where = node.name or node.outputs[0].name or node.op_type
    return Finding(severity=severity, where=where, what=what, remedy=remedy)
