"""Opening a TFLite file with LiteRT, or with the older `tflite_runtime` where a device has that."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Dict, List, Tuple, Union

import numpy as np

from .session import Feeds, Input, Session
from .wire import AgentError

_PREFIX, _SUFFIX = "serving_default_", ":0"


def prepare(spec: Dict[str, Any]) -> Callable[[str], Session]:
    """Import the runtime and return what opens a model with it.

    Spec: `threads`.

    Raises:
        AgentError: the runtime is not there.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        try:
            from tflite_runtime.interpreter import Interpreter
        except ImportError as error:
            message = "no LiteRT: pip install ai-edge-litert (%s)" % error
            raise AgentError("device", message) from error
    return partial(_open, Interpreter, spec)


def _open(interpreter: Any, spec: Dict[str, Any], model: str) -> Session:
    try:
        opened = interpreter(model_path=model, num_threads=spec["threads"])
        opened.allocate_tensors()
    except Exception as error:
        raise AgentError("model", "the runtime refuses the model: %s" % error) from error
    inputs, outputs = opened.get_input_details(), opened.get_output_details()
    integers = [_name(d) for d in (*inputs, *outputs) if d["quantization"][0]]
    if integers:
        message = "%s is of quantized integers, expected floats" % ", ".join(integers)
        raise AgentError("model", message)
    return Session(
        [Input(_name(d), np.dtype(d["dtype"]).name, _shape(d), moves=True) for d in inputs],
        [_name(d) for d in outputs],
        _Runner(opened, inputs, outputs),
    )


class _Runner:
    """Runs the model on feeds of its own layout; a new shape is settled once, when it comes."""

    def __init__(self, opened: Any, inputs: List[Any], outputs: List[Any]) -> None:
        self._opened = opened
        self._inputs = [(_name(d), d["index"]) for d in inputs]
        self._shapes = {d["index"]: tuple(d["shape"]) for d in inputs}
        self._outputs = [d["index"] for d in outputs]

    def __call__(self, feeds: Feeds) -> List[Any]:
        opened = self._opened
        if any(feeds[name].shape != self._shapes[at] for name, at in self._inputs):
            for name, at in self._inputs:
                self._shapes[at] = feeds[name].shape
                opened.resize_tensor_input(at, feeds[name].shape)
            opened.allocate_tensors()
        for name, at in self._inputs:
            opened.set_tensor(at, feeds[name])
        opened.invoke()
        return [opened.get_tensor(at) for at in self._outputs]


def _name(detail: Dict[str, Any]) -> str:
    """Return the tensor's name, without what TensorFlow's exporter puts around it."""
    name = str(detail["name"])
    if name.startswith(_PREFIX) and name.endswith(_SUFFIX):
        return name[len(_PREFIX) : -len(_SUFFIX)]
    return name


def _shape(detail: Dict[str, Any]) -> Tuple[Union[int, None], ...]:
    signature = detail.get("shape_signature")
    axes = detail["shape"] if signature is None or not len(signature) else signature
    return tuple(int(axis) if axis > 0 else None for axis in axes)
