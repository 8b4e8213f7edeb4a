"""Timing TensorRT by its own command line, `trtexec`, which comes with JetPack.

trtexec loads an engine, warms up and times by the GPU's clock; one call of it is one slice.
Written after NVIDIA's documentation and the files that trtexec of TensorRT 8.6 and 10 writes;
unverified on hardware.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from .engines import engine_file, timing_cache
from .limits import die_with_parent
from .tensorrt import trtexec_path, version
from .timing import alike
from .wire import AgentError

_WARM_UP_MS = 500
_SHORTEST_S = 1
_PLAIN_NAME = re.compile(r"[\w./-]+")
_SAYS_LOADED = re.compile(r"Engine deserialized in ([0-9.eE+-]+) sec")
_PARTS = {
    "enqueue": ("startEnqMs", "endEnqMs"),
    "host to device": ("startH2dMs", "endH2dMs"),
    "compute": ("startComputeMs", "endComputeMs"),
    "device to host": ("startD2hMs", "endD2hMs"),
}


class Times:
    """What `--exportTimes` wrote, without the warm-up, which older versions write, too.

    Attributes:
        latencies_ns: of each inference: input copied, computed, output copied.
        parts_s: medians of what that consists of, and of `enqueue`, which overlaps with it.

    Raises:
        AgentError: it is not what trtexec writes.
    """

    def __init__(self, text: str, warm_up_ms: float) -> None:
        try:
            rows = [row for row in json.loads(text) if float(row["startComputeMs"]) >= warm_up_ms]
            self.latencies_ns = [float(row["latencyMs"]) * 1e6 for row in rows]
            self.parts_s = {
                part: float(np.median([row[end] - row[start] for row in rows])) / 1e3
                for part, (start, end) in _PARTS.items()
                if rows
            }
        except (KeyError, TypeError, ValueError) as error:
            message = "what trtexec exports cannot be read: %r" % error
            raise AgentError("device", message) from error
        if not self.latencies_ns:
            raise AgentError("device", "trtexec timed nothing after its warm-up")


class Trtexec:
    """One model under trtexec, as mode `infer` lives it.

    Spec: `model`, `shapes` (of every input with an axis that changes), `inputs`.
    """

    def __init__(self, spec: Dict[str, Any]) -> None:
        self._path, self._spec = trtexec_path(), spec
        if self._path is None:
            raise AgentError(
                "device", "no trtexec on this device, neither on PATH nor as JetPack's"
            )

    def load(self, _cpus: Any) -> Dict[str, Any]:
        """Build the engine unless it is kept from before, load it and infer once."""
        self._folder = tempfile.TemporaryDirectory(prefix="trtexec-", dir=".")
        self._shapes = _shapes(self._spec["shapes"])
        self._engine = self._built()
        self._inputs = self._written()
        times, said, wall_s = self._timed(seconds=0, warm_up_ms=0, least=1)
        loaded = _SAYS_LOADED.search(said)
        return {
            "load_s": float(loaded.group(1)) if loaded else wall_s,
            "first_s": times.latencies_ns[0] / 1e9,
            "memory": dict.fromkeys(
                ("peak_bytes", "runtime_bytes", "weights_bytes", "arena_bytes")
            ),
        }

    def warm_up(self) -> Dict[str, Any]:
        """See whether it is steady after trtexec's own warm-up, which every slice has."""
        times, _, _ = self._timed(_SHORTEST_S, _WARM_UP_MS, least=4)
        half = len(times.latencies_ns) // 2
        return {
            "iterations": 0,
            "settled": alike(times.latencies_ns[:half], times.latencies_ns[half:]),
            "typical_s": float(np.median(times.latencies_ns)) / 1e9,
            "batched": 1,
        }

    def slice(self, seconds: float, least: int) -> Dict[str, Any]:
        """Time one slice; a whole second at least, since each begins with loading the engine."""
        times, _, _ = self._timed(max(_SHORTEST_S, round(seconds)), _WARM_UP_MS, least)
        return {"samples_ns": times.latencies_ns, "parts_s": times.parts_s}

    def layers(self) -> Dict[str, Any]:
        """Tell what each layer of the engine takes, by a run of its own, as mode `layers` does."""
        self.load(None)
        exported = Path(self._folder.name) / "profile.json"
        wanted = ["--dumpProfile", "--separateProfileRun", "--exportProfile=%s" % exported]
        times, _, _ = self._timed(_SHORTEST_S, _WARM_UP_MS, 10, wanted)
        return dict(
            profile(exported.read_text(encoding="utf-8")),
            runs_us=[latency / 1e3 for latency in times.latencies_ns],
            optimized=None,
        )

    def macs_per_s(self, macs: int) -> float:
        """Return the multiply-adds per second of this model, of `macs`, on the GPU alone."""
        self.load(None)
        times, _, _ = self._timed(_SHORTEST_S, _WARM_UP_MS, least=10)
        return macs / times.parts_s["compute"]

    def repeat(self, _seconds: float) -> Dict[str, int]:
        """Refuse: what runs between two readings of a sensor is not only inference."""
        raise AgentError("spec", "energy cannot be measured with trtexec")

    def _built(self) -> Path:
        """Return the engine, building it where this model, form and version has none yet."""
        model = self._spec["model"]
        flags = precision(Path(model).read_bytes()) + self._shapes
        engine = engine_file(model, [version(), *flags])
        if not engine.exists():
            part = engine.with_suffix(".part")
            files = ["--onnx=%s" % model, "--saveEngine=%s" % part]
            timings = "--timingCacheFile=%s" % timing_cache(version())
            self._call([*files, timings, "--skipInference", *flags])
            if not part.exists():
                raise AgentError("device", "trtexec wrote no engine")
            part.replace(engine)
        return engine

    def _written(self) -> List[str]:
        """Return the flag that names the first of the sent inputs, as files of raw values."""
        sent = self._spec["inputs"]
        if sent is None:
            return []
        named = []
        with np.load(sent["file"], allow_pickle=False) as arrays:
            for at, name in enumerate(sent["names"]):
                file = Path(self._folder.name) / ("input-%d.bin" % at)
                np.ascontiguousarray(arrays["arr_%d" % at][0]).tofile(str(file))
                named.append("%s:%s" % (_plain(name), file))
        return ["--loadInputs=%s" % ",".join(named)]

    def _timed(
        self, seconds: int, warm_up_ms: int, least: int, more: Sequence[str] = ()
    ) -> Tuple[Times, str, float]:
        exported = Path(self._folder.name) / "times.json"
        flags = ["--loadEngine=%s" % self._engine, "--exportTimes=%s" % exported, "--useSpinWait"]
        length = ["--warmUp=%d" % warm_up_ms, "--duration=%d" % seconds, "--iterations=%d" % least]
        start = time.monotonic()
        said = self._call([*flags, *length, *self._shapes, *self._inputs, *more])
        wall_s = time.monotonic() - start
        try:
            text = exported.read_text(encoding="utf-8")
        except OSError as error:
            raise AgentError("device", "trtexec exported no times: %s" % error) from error
        exported.unlink()
        return Times(text, warm_up_ms), said, wall_s

    def _call(self, flags: Sequence[str]) -> str:
        ended = subprocess.run(
            [str(self._path), *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            preexec_fn=die_with_parent,  # this process has one thread
        )
        said = ended.stdout.decode("utf-8", "replace")
        if ended.returncode:
            raise AgentError("model", "trtexec refuses the model: %s" % _complaint(said, ended))
        return said


def profile(text: str) -> Dict[str, Any]:
    """Return the layers of what `--exportProfile` wrote, with the median that each took.

    Raises:
        AgentError: it is not what trtexec writes.
    """
    try:
        head, *rows = json.loads(text)
        nodes = [
            {
                "name": str(row["name"]),
                "op_type": "",
                "provider": "TensorRT",
                "us": [1e3 * float(row["medianMs"])],
            }
            for row in rows
        ]
        return {"runs": int(head["count"]), "nodes": nodes}
    except (KeyError, TypeError, ValueError) as error:
        message = "the profile that trtexec exports cannot be read: %r" % error
        raise AgentError("device", message) from error


def precision(model: bytes) -> List[str]:
    """Return the flags that let an engine compute as a device's users have it: fp16, and int8.

    Without Q/DQ pairs `--int8` would make trtexec invent ranges.
    """
    return ["--fp16", "--int8"] if b"QuantizeLinear" in model else ["--fp16"]


def _shapes(shapes: Dict[str, Sequence[int]]) -> List[str]:
    told = ["%s:%s" % (_plain(name), "x".join(map(str, axes))) for name, axes in shapes.items()]
    return ["--shapes=%s" % ",".join(told)] if told else []


def _plain(name: str) -> str:
    if not _PLAIN_NAME.fullmatch(name):
        raise AgentError("model", "input %r has a name that trtexec cannot be told" % name)
    return name


def _complaint(said: str, ended: Any) -> str:
    errors = [line.partition("[E]")[2].strip() for line in said.splitlines() if "[E]" in line]
    return errors[0] if errors else "exit code %d" % ended.returncode
