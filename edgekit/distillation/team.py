"""Several processes, on one machine or many, that train the same student, each on a part of a step.

`accelerate launch` starts them and says by environment variables who is who; accelerate carries
what they tell each other.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def rank() -> int:
    """Return the place of this process among its like; 0 is the one that writes."""
    return int(os.environ.get("RANK", "0")) if members() > 1 else 0


def members() -> int:
    """Return how many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def cores() -> int:
    """Return how many processor cores this process may use for itself."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(own // neighbours(), 1)


def neighbours() -> int:
    """Return how many of them share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if members() > 1 else 1


class Team:
    """The processes that train together; one alone where accelerate has not started it.

    Attributes:
        rank: place of this one.
        size: how many there are.
    """

    def __init__(self) -> None:
        self.rank, self.size = rank(), members()
        if self.size > 1:
            from accelerate import PartialState  # noqa: PLC0415  # only where it is needed

            PartialState(cpu=True)

    def part(self, chosen: Any) -> Any:
        """Return this process's part of the samples of a step."""
        return chosen[self.rank :: self.size] if len(chosen) >= self.size else chosen

    def average(self, values: Sequence[Any]) -> None:
        """Replace tensors by their mean over all processes."""
        if self.size == 1 or not values:
            return
        import torch  # noqa: PLC0415  # as above
        from accelerate.utils import reduce  # noqa: PLC0415  # as above

        joined = reduce(torch.cat([one.reshape(-1) for one in values]), reduction="mean")
        start = 0
        for one in values:
            one.copy_(joined[start : start + one.numel()].reshape(one.shape))
            start += one.numel()

    def agreed(self, value: T) -> T:
        """Return the first process's value, in all of them."""
        if self.size == 1:
            return value
        from accelerate.utils import broadcast_object_list  # noqa: PLC0415  # as above

        held = [value]
        broadcast_object_list(held, from_process=0)
        return held[0]
