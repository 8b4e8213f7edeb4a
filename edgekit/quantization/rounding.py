"""Rounds a layer's weight so that its output, not each number, is nearest to what it should be.

Columns are rounded one after another, those that matter most first, and what a column loses is
made up for by those that are not rounded yet (`_in_sequence`); then each number is reconsidered
with all others fixed (`_descended`). Both need the second moments of the layer's inputs alone.

Sources: Frantar et al. 2022, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
Transformers" (and "Optimal Brain Compression", same year); Behdin et al. 2023, "QuantEase", for the
descent. Toward what the float model makes rather than what the float weight would, as Li et al.
2025, "GPTAQ": so a layer also makes up for the rounding of those before it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgekit.quantization.grid import largest_integer

Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int8]

_DAMPING = 0.01
_BLOCK = 64
_SWEEPS = 3
_SHARES = {8: (1.0,), 4: tuple(np.linspace(1.0, 0.4, 25).tolist())}
_SMALLEST = 2.0**-60


def toward(weight: Doubles, second: Doubles, cross: Doubles) -> Doubles:
    """Return the weight whose output is nearest to what is wanted, held near `weight`.

    Args:
        weight: shape (groups, rows, columns).
        second: of the inputs, shape (groups, columns, columns).
        cross: of wanted outputs and inputs, shape (groups, rows, columns).
    """
    damping = _damping(second)
    pulled = cross + weight * damping
    solved = np.linalg.solve(_damped(second, damping), pulled.transpose(0, 2, 1))
    return np.asarray(solved.transpose(0, 2, 1), np.float64)


def scales_of(weight: Doubles, second: Doubles, bits: int) -> Doubles:
    """Return for each row the scale with the least error of rounding to the nearest.

    Args:
        weight: shape (groups, rows, columns).
        second: of the inputs, shape (groups, columns, columns).
        bits: of the integers.

    Returns:
        shape (groups, rows), each float32's nearest.
    """
    largest = largest_integer(bits)
    peaks = np.maximum(np.abs(weight).max(axis=-1), _SMALLEST * largest)
    best, least = peaks / largest, np.full(peaks.shape, np.inf)
    for share in _SHARES[bits]:
        scales = (peaks * share / largest).astype(np.float32).astype(np.float64)
        lost = weight - _nearest(weight, scales, largest) * scales[..., None]
        errors = ((lost @ second) * lost).sum(axis=-1)
        better = errors < least
        best, least = np.where(better, scales, best), np.where(better, errors, least)
    return np.asarray(best, np.float64)


def rounded(weight: Doubles, second: Doubles, scales: Doubles, bits: int) -> Integers:
    """Return the integers of `weight` on `scales` with little error at the output.

    Args:
        weight: shape (groups, rows, columns).
        second: of the inputs, shape (groups, columns, columns).
        scales: shape (groups, rows).
        bits: of the integers.
    """
    largest = largest_integer(bits)
    damped = _damped(second, _damping(second))
    order = np.argsort(-np.diagonal(damped, axis1=1, axis2=2), axis=-1, kind="stable")
    units = weight / scales[..., None]
    units = np.take_along_axis(units, order[:, None, :], axis=2)
    ordered = np.take_along_axis(damped, order[:, :, None], axis=1)
    ordered = np.take_along_axis(ordered, order[:, None, :], axis=2)
    found = _descended(units, _in_sequence(units, ordered, largest), ordered, largest)
    back = np.argsort(order, axis=-1, kind="stable")
    return np.take_along_axis(found, back[:, None, :], axis=2).astype(np.int8)


def _in_sequence(units: Doubles, second: Doubles, largest: int) -> Doubles:
    """Return integers; the error of each column goes over to the later ones (GPTQ, algorithm 1)."""
    inverse = np.linalg.inv(second)
    upper = np.linalg.cholesky(inverse).transpose(0, 2, 1)
    left, found = units.copy(), np.empty_like(units)
    columns = units.shape[-1]
    for start in range(0, columns, _BLOCK):
        end = min(start + _BLOCK, columns)
        errors = np.empty((*units.shape[:2], end - start))
        for column in range(start, end):
            found[..., column] = np.clip(np.rint(left[..., column]), -largest, largest)
            lost = left[..., column] - found[..., column]
            error = lost / upper[:, column, column, None]
            spread = upper[:, column, None, column:end]
            left[..., column:end] -= error[..., None] * spread
            errors[..., column - start] = error
        left[..., end:] -= errors @ upper[:, start:end, end:]
    return found


def _descended(units: Doubles, integers: Doubles, second: Doubles, largest: int) -> Doubles:
    """Return the integers after each was set to its best with the others fixed, a few times."""
    found = integers.copy()
    for _ in range(_SWEEPS):
        slope = (units - found) @ second
        changed = False
        for column in range(units.shape[-1]):
            weight = second[:, column, column, None]
            wanted = found[..., column] + slope[..., column] / weight
            new = np.clip(np.rint(wanted), -largest, largest)
            moved = new - found[..., column]
            if moved.any():
                slope -= moved[..., None] * second[:, column, None, :]
                found[..., column] = new
                changed = True
        if not changed:
            break
    return found


def _nearest(weight: Doubles, scales: Doubles, largest: int) -> Doubles:
    nearest: Doubles = np.clip(np.rint(weight / scales[..., None]), -largest, largest)
    return nearest


def _damping(second: Doubles) -> Doubles:
    """Return what is added to the diagonal, shape (groups, 1, 1)."""
    diagonal = np.diagonal(second, axis1=1, axis2=2).mean(axis=-1)
    damping: Doubles = np.maximum(_DAMPING * diagonal, _SMALLEST)[:, None, None]
    return damping


def _damped(second: Doubles, damping: Doubles) -> Doubles:
    damped: Doubles = second + damping * np.eye(second.shape[-1])
    return damped
