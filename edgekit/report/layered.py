"""Time by layer beside the roofline, as text for people."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit import units
from edgekit.measurement import Layer, Layers, Roofline

NOTE = (
    "In a pass of its own, by onnxruntime's profiler in whole microseconds; never used for "
    "gating. At best: what the multiply-adds or the bytes take at this device's peak, over the "
    "time taken; above 100 % the data came from caches."
)

_CONVERSIONS = frozenset(("QuantizeLinear", "DequantizeLinear"))


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRow:
    """One layer in the table.

    Attributes:
        holds: what else of the model is computed in it, by the ends of the names.
        seconds: for sorting; the rest is text.
    """

    name: str
    holds: str
    runs_as: str
    seconds: float
    time: str
    share: str
    macs: str
    rate: str
    best: str
    limit: str


def rows(found: Layers) -> tuple[LayerRow, ...]:
    """Return the table, in the order of execution."""
    whole = sum(layer.seconds for layer in found.layers) or 1.0
    return tuple(_row(layer, found.roofline, whole) for layer in found.layers)


def total(found: Layers) -> str:
    """Say what all layers take together, and what the device can do."""
    together = sum(layer.seconds for layer in found.layers)
    roof = found.roofline
    integer = (
        "" if roof.integer_macs_per_s is None else f", {_rate(roof.integer_macs_per_s)} in integers"
    )
    return (
        f"{units.show(together, 's')} in layers of {units.show(found.run_s, 's')} an inference "
        f"with the profiler on ({found.runs} runs); roofline: {_rate(roof.macs_per_s)} in "
        f"floats{integer}, {roof.bytes_per_s / 1e9:.1f} GB/s copied"
    )


def _row(layer: Layer, roof: Roofline, whole_s: float) -> LayerRow:
    peak = roof.integer_macs_per_s if layer.integer else roof.macs_per_s
    computing_s = layer.macs / (peak or roof.macs_per_s)
    moving_s = layer.bytes / roof.bytes_per_s
    known = bool(layer.holds) and layer.seconds > 0 and layer.bytes > 0
    return LayerRow(
        name=layer.name if layer.holds else f"({layer.name})",
        holds=", ".join(_others(layer)),
        runs_as=", ".join(dict.fromkeys(layer.runs_as)),
        seconds=layer.seconds,
        time=units.show(layer.seconds, "s"),
        share=f"{100 * layer.seconds / whole_s:.1f} %",
        macs=f"{layer.macs:,}" if layer.macs else "-",
        rate=_rate(layer.macs / layer.seconds) if layer.macs and layer.seconds else "-",
        best=f"{100 * max(computing_s, moving_s) / layer.seconds:.0f} %" if known else "-",
        limit=("compute" if computing_s > moving_s else "memory") if known else "-",
    )


def _others(layer: Layer) -> list[str]:
    """Return the names beside the layer's own; conversions to and from integers as one word."""
    pairs = list(zip(layer.holds, layer.operators, strict=True))
    others = [(name, kind) for name, kind in pairs if name != layer.name]
    named = [_ending(name, layer.name) for name, kind in others if kind not in _CONVERSIONS]
    return named + (["Q/DQ"] if len(named) < len(others) else [])


def _ending(name: str, beside: str) -> str:
    """Return `name` without the path that it shares with the layer's own."""
    shared = 0
    for at, (a, b) in enumerate(zip(name, beside, strict=False)):
        if a != b:
            break
        if a == "/":
            shared = at + 1
    return name[shared:]


def _rate(per_s: float) -> str:
    return f"{per_s / 1e9:.1f} GMAC/s" if per_s >= 1e8 else f"{per_s / 1e6:.1f} MMAC/s"  # noqa: PLR2004  # a tenth of the unit
