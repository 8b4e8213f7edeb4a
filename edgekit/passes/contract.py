"""What a pass is, and what it may ask of its surroundings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from edgekit.candidate import Skip
from edgekit.dataset import Dataset
from edgekit.errors import UsageError
from edgekit.graph import Model
from edgekit.measurement import Interval
from edgekit.target import Target

Effort = Literal["screen", "decide", "settle"]
"""How long to measure: a first look at many, a choice among few, what a choice left open."""
Progress = Callable[[str, int, int], None]
"""Called with (what is being done, done so far, in all)."""


class LatenciesOf(Protocol):
    """Measures several models on the device in one interleaved session.

    Returns one interval (s per inference, p50) a model, in order, each from rounds paired with the
    first model, so that small differences from it show; None when there is no device to measure
    on, and then the pass answers from the target's facts and says so in its outcome.
    """

    def __call__(  # noqa: D102
        self, models: Sequence[Model], effort: Effort
    ) -> list[Interval] | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a pass may use beside the model.

    Attributes:
        data: calibration data; None when the user gave none.
        latencies_of: see `LatenciesOf`.
        workspace: a private folder for temporary files, removed when the job ends.
        threads, batch, shapes: how the model will be run; part of what pays and what does not.
        progress: tells the user what is going on.
        original: the model that all steps started from; None where it is not known.
        measured_on: what `latencies_of` measures on, as facts that stay; empty without a device.
    """

    target: Target
    data: Dataset | None
    latencies_of: LatenciesOf
    workspace: Path
    threads: int = 1
    batch: int = 1
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    progress: Progress = lambda _what, _done, _total: None
    original: Model | None = None
    measured_on: dict[str, Any] = field(default_factory=dict)

    def seconds_of(self, models: Sequence[Model], effort: Effort) -> list[float]:
        """Return the latencies of models on the device.

        Raises:
            UsageError: there is none.
        """
        found = self.latencies_of(models, effort)
        if found is None:
            raise UsageError(
                "a latency can only be reached where it is measured",
                where="--max-latency",
                found=f"no device of target {self.target.name}",
                remedy="use --keep-macs, or name a device with --device",
            )
        return [one.value for one in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a pass did.

    Attributes:
        model: the result; the input itself when nothing changed.
        changed: False when the result equals the input.
        skipped: what was left alone, and why.
        facts: JSON-valued figures for manifest and report.
    """

    model: Model
    changed: bool
    skipped: tuple[Skip, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


class Pass(Protocol):
    """A frozen dataclass whose fields are its parameters; it never mutates its input.

    Attributes:
        name: as written in a release profile.
        tolerance: largest relative difference of outputs it may cause (0 means exact up to
            float rounding); None when the loss is judged by data.
    """

    name: ClassVar[str]
    tolerance: ClassVar[float | None]

    def apply(self, model: Model, context: Context) -> Outcome:
        """Return the changed model; raise `EdgekitError` only for what the user can mend."""
        ...
