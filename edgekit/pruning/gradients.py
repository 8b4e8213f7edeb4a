"""How the answers of a model change with a mask on each channel, to first order.

Every place that sums over a group's channels reads them times a mask m of ones, one a channel, as
in `masking`. With y the answers to a sample, removing a channel changes them by about -dy/dm, so
its worth is |dy/dm|^2: the mean over samples, summed over the answers. That takes no labels.

Source: Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning", eq. 8, with the
gates of its section 3.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgekit import native
from edgekit.dataset import Dataset
from edgekit.errors import CalibrationError, ModelError
from edgekit.graph import Model, file_size
from edgekit.graph.trial import open_session
from edgekit.interpreter.extra import require_torch, wait_quietly
from edgekit.layerwise.batches import batch_size
from edgekit.layerwise.saving import saved
from edgekit.pruning.coupling import Contraction, Ids
from edgekit.pruning.gram import exposing

Slopes = npt.NDArray[np.float64]

SAMPLES = 1024

LEAST_SAMPLES = 64
"""What goes through the model where more would take too long."""

_WORK_MACS = 1e11
"""Multiply-adds of all samples, forwards: about half a minute on two cores, there and back."""

_TIMEOUT_S = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Masked:
    """A group, as its masks are laid.

    Attributes:
        name: of the group.
        channels: how many it has.
        reads: (contraction, for each position of its data's axis the channel's place in the group,
            negative for all others).
    """

    name: str
    channels: int
    reads: tuple[tuple[Contraction, Ids], ...]


def squared_slopes(
    model: Model,
    groups: Sequence[Masked],
    data: Dataset,
    workspace: Path,
    *,
    macs: int = 0,
) -> dict[str, Slopes]:
    """Return E[|dy/dm|^2] of each channel, by group; y is scaled to a variance of 1.

    The same data gives the same figures. Memory does not grow with the data.

    Args:
        model: its constants are initializers.
        groups: whose channels are masked.
        data: 64 to 1,024 samples of it, evenly spread, go through the model.
        workspace: for a temporary file.
        macs: multiply-adds of one sample, by which the number of samples is chosen.

    Raises:
        MissingExtraError: torch is not installed.
        ModelError: an operator is not covered; no output is a float.
        CalibrationError: a gradient is not finite.
    """
    require_torch("criterion taylor")
    outputs = [value.name for value in model.outputs if value.dtype.startswith("float")]
    if not outputs:
        raise ModelError("has no float output to take gradients of", where="criterion taylor")
    samples = min(SAMPLES, max(LEAST_SAMPLES, int(_WORK_MACS / max(macs, 1))))
    read = {one.data[0] for group in groups for one, _ in group.reads}
    with saved(workspace, gradients=exposing(model, sorted(read))) as (file,):
        found: dict[str, Slopes] = native.call(
            "measuring gradients",
            _measure,
            file,
            list(groups),
            outputs,
            (data, samples),
            timeout_s=_TIMEOUT_S,
            memory_bytes=(4 << 30) + 6 * file_size(file),
        )
    return found


def _measure(
    file: Path,
    groups: list[Masked],
    outputs: list[str],
    given: tuple[Dataset, int],
) -> dict[str, Slopes]:
    """Return what `squared_slopes` does; runs in a native child."""
    import onnx_ir as ir  # noqa: PLC0415  # only behind the native door

    wait_quietly()
    from edgekit.interpreter.network import Network  # noqa: PLC0415  # imports torch
    from edgekit.interpreter.slopes import Samples, slopes  # noqa: PLC0415  # as above

    data, count = given
    size = batch_size(open_session(str(file)), outputs, data)
    reads = [(one.node, *one.data) for group in groups for one, _ in group.reads]
    sums = {group.name: np.zeros(group.channels) for group in groups}
    done, total = 0, min(count, len(data))
    samples = Samples(data=data, count=count, size=size)
    for found in slopes(Network(ir.load(file)), reads, outputs, samples):
        number = len(next(iter(found.values()), ()))
        for group in groups:
            whole = _of_group(group, found, number)
            if not np.isfinite(whole).all():
                raise CalibrationError(
                    "a gradient is not finite",
                    where=group.name,
                    found="NaN or infinity",
                    remedy="check the data and the model in float first",
                )
            sums[group.name] += (whole**2).sum(axis=0)
        done += number
        native.report(done, total)
    return {name: found / max(done, 1) for name, found in sums.items()}


def _of_group(group: Masked, found: Mapping[tuple[str, str, int], Slopes], samples: int) -> Slopes:
    """Return the slope of each channel's mask, all places that read it together."""
    whole = np.zeros((group.channels, samples))
    for one, places in group.reads:
        live = places >= 0
        slope = found.get((one.node, *one.data))
        if slope is not None:
            np.add.at(whole, places[live], slope[:, live].T)
    return whole.T
