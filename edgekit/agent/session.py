"""A loaded model, whatever runtime runs it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Tuple, Union

import numpy as np

from .engines import engine_folder
from .wire import AgentError

Feeds = Dict[str, Any]
_XNNPACK, _TENSORRT = "XnnpackExecutionProvider", "TensorrtExecutionProvider"
_SHARE = "set_global_thread_pool_sizes"
"""Of onnxruntime; older ones have no such function in Python."""


class Input(NamedTuple):
    """One input: numpy name of its type; an int for each fixed axis, None for a dynamic one.

    `moves`: a model that was made of another may want channels last where data has them second.
    """

    name: str
    dtype: str
    shape: Tuple[Union[int, None], ...]
    moves: bool = False

    def feed(self, array: Any) -> Any:
        """Return `array` in this input's type and layout, so that nothing is left for a run."""
        if self.moves and array.ndim > 2 and not self._takes(array.shape):  # noqa: PLR2004  # batch, channels, one more
            moved = np.moveaxis(array, 1, -1)
            array = moved if self._takes(moved.shape) else array
        return np.ascontiguousarray(array, dtype=self.dtype)

    def _takes(self, shape: Tuple[int, ...]) -> bool:
        return len(shape) == len(self.shape) and all(
            axis in (None, length) for axis, length in zip(self.shape, shape)
        )


class Session(NamedTuple):
    """A model ready to run; `run(feeds)` returns its outputs in the order of `outputs`."""

    inputs: List[Input]
    outputs: List[str]
    run: Callable[[Feeds], List[Any]]


def prepare(spec: Dict[str, Any]) -> Callable[[str], Session]:
    """Import the runtime that `spec` names and return what opens a model with it.

    Spec: `runtime`, `providers` (best first), `exact` (the first provider or none), `threads`;
    for onnxruntime `config`, entries of the session's configuration, and `together`: several
    sessions of this process take turns, and share their threads.

    Raises:
        AgentError: the runtime or its provider is not there.
    """
    if spec["runtime"] == "litert":
        from .litert import prepare as prepare_litert

        return prepare_litert(spec)
    if spec["runtime"] != "onnxruntime":
        raise AgentError("spec", "unknown runtime %r" % spec["runtime"])
    runtime = import_onnxruntime()
    providers = providers_of(runtime, spec)
    if _take_turns(providers, spec) and hasattr(runtime, _SHARE):
        runtime.set_global_thread_pool_sizes(spec["threads"], 1)
    return partial(_open_onnx, runtime, providers, spec)


def import_onnxruntime() -> Any:
    """Import onnxruntime."""
    try:
        import onnxruntime
    except ImportError as error:
        raise AgentError("device", "onnxruntime cannot be imported: %s" % error) from error
    return onnxruntime


def providers_of(onnxruntime: Any, spec: Dict[str, Any]) -> List[str]:
    """Return those of the spec's providers that are there, best first."""
    available = onnxruntime.get_available_providers()
    providers = [name for name in spec["providers"] if name in available]
    if not providers or (spec["exact"] and providers[0] != spec["providers"][0]):
        found = ", ".join(available)
        raise AgentError("device", "no %s on this device (%s)" % (spec["providers"][0], found))
    return providers


def options_of(onnxruntime: Any, providers: List[str], spec: Dict[str, Any]) -> Any:
    """Return session options.

    XNNPACK has a pool of threads of its own; onnxruntime's then gets one thread that does not
    spin, as the provider's documentation asks for.

    The worker threads of a session spin for a while after a run, and take the processors from
    another session that runs next. Sessions that take turns have one pool for all; an onnxruntime
    without such a pool is told to let them rest after each run.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    for key, value in spec["config"].items():
        options.add_session_config_entry(key, value)
    if _take_turns(providers, spec) and hasattr(onnxruntime, _SHARE):
        options.use_per_session_threads = False
        return options
    options.intra_op_num_threads, options.inter_op_num_threads = spec["threads"], 1
    if _take_turns(providers, spec):
        options.add_session_config_entry("session.force_spinning_stop", "1")
    if providers[0] == _XNNPACK:
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _take_turns(providers: List[str], spec: Dict[str, Any]) -> bool:
    """Say whether sessions get in each other's way: several, with worker threads to share."""
    own = providers[0] == _XNNPACK or spec["threads"] == 1
    return bool(spec.get("together")) and not own


def open_session(
    onnxruntime: Any, providers: List[str], options: Any, spec: Dict[str, Any], model: str
) -> Any:
    """Return onnxruntime's own session of `model`."""
    settings = {_XNNPACK: {"intra_op_num_threads": str(spec["threads"])}}
    if _TENSORRT in providers:
        settings[_TENSORRT] = _tensorrt_caches(engine_folder(model))
    named = [(name, settings.get(name, {})) for name in providers]
    try:
        session = onnxruntime.InferenceSession(model, options, providers=named)
    except Exception as error:
        raise AgentError("model", "the runtime refuses the model: %s" % error) from error
    if spec["exact"] and session.get_providers()[0] != providers[0]:
        raise AgentError("device", "%s could not be started" % providers[0])
    return session


def _tensorrt_caches(folder: Path) -> Dict[str, str]:
    """Return options that keep engines and kernel timings in a folder of this model's own.

    Building one takes minutes, and each run is a fresh process. Source: the documentation of
    onnxruntime's TensorRT execution provider. Unverified on hardware.
    """
    return {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder),
    }


def wrapped(session: Any) -> Session:
    """Return onnxruntime's session as any other."""
    inputs = [Input(i.name, _dtype(i.type), _shape(i.shape)) for i in session.get_inputs()]
    return Session(inputs, [o.name for o in session.get_outputs()], partial(session.run, None))


def _open_onnx(onnxruntime: Any, providers: List[str], spec: Dict[str, Any], model: str) -> Session:
    options = options_of(onnxruntime, providers, spec)
    return wrapped(open_session(onnxruntime, providers, options, spec, model))


_NAMES = {"tensor(float)": "float32", "tensor(double)": "float64"}


def _dtype(kind: str) -> str:
    return _NAMES.get(kind, kind[len("tensor(") : -1])


def _shape(shape: List[Any]) -> Tuple[Union[int, None], ...]:
    return tuple(axis if isinstance(axis, int) and axis > 0 else None for axis in shape)
