"""The inputs that a timed loop rotates through."""

from __future__ import annotations

from typing import Any, Dict, List

import numpy as np

from .session import Feeds, Input
from .wire import AgentError

COUNT = 16
_SEED = 20240
_LARGEST_TOKEN = 2


def feeds_for(inputs: List[Input], spec: Dict[str, Any], count: int = COUNT) -> List[Feeds]:
    """Return up to `count` feeds: those the host sent, else seeded random ones.

    Spec: `inputs` (`{"file": .npz with arr_0.., "names": [...]}` with feeds along the first axis,
    or None), `shapes` (input name to whole shape), `batch` (first axis where dynamic).

    Raises:
        AgentError: the feeds do not fit the model, or a type cannot be made up.
    """
    if spec.get("inputs") is not None:
        return _sent(inputs, spec["inputs"], count)
    random = np.random.default_rng(_SEED)
    return [{i.name: _made_up(i, spec, random) for i in inputs} for _ in range(count)]


def _sent(inputs: List[Input], sent: Dict[str, Any], count: int) -> List[Feeds]:
    with np.load(sent["file"], allow_pickle=False) as arrays:
        rows = {name: arrays["arr_%d" % at][:count] for at, name in enumerate(sent["names"])}
    missing = [i.name for i in inputs if i.name not in rows]
    if missing:
        raise AgentError("data", "the data has no array for input %s" % ", ".join(missing))
    number = min(len(rows[i.name]) for i in inputs)
    return [{i.name: i.feed(rows[i.name][row]) for i in inputs} for row in range(number)]


def _made_up(of: Input, spec: Dict[str, Any], random: np.random.Generator) -> Any:
    shape = spec["shapes"].get(of.name)
    if shape is None:
        shape = [axis if axis is not None else 1 for axis in of.shape]
        if of.shape and of.shape[0] is None:
            shape[0] = spec["batch"]
    if of.dtype.startswith("float"):
        return of.feed(random.standard_normal(shape))
    if of.dtype == "bool" or of.dtype.startswith(("int", "uint")):
        return of.feed(random.integers(0, _LARGEST_TOKEN, size=shape))
    raise AgentError("model", "input %s of type %s cannot be made up" % (of.name, of.dtype))
