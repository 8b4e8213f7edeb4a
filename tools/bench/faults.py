"""Faults on a real connection: what a measuring job comes to, and what it leaves behind.

    python tools/bench/faults.py --out faults.jsonl --trials 200

Each trial starts a job over an sshd on the loopback address, on a device whose runtime sleeps,
injects one fault at a random moment, and looks: did the job end complete (whole blocks of four
runs, none twice), or with exit code 3, 4 or 130; does anything run or hold the lock afterwards;
does the next job succeed. Resumable: trials in the file are not done again. Needs root (for tmpfs),
/usr/sbin/sshd, and Debian's libfaketime: a clock jump moves the wall clock of the agent and of the
host's job by 25 hours, either way.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "devices")]
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnx  # noqa: E402  # after the path
from conftest import small_cnn  # noqa: E402  # as above
from loopback import SLEEPING_RUNTIME, Loopback  # noqa: E402  # as above

from edgekit import add_device, bench, graph, target, trust_device  # noqa: E402  # as above
from edgekit.bench import comparing  # noqa: E402  # as above
from edgekit.candidate import Candidate  # noqa: E402  # as above
from edgekit.cli.main import answer  # noqa: E402  # as above
from edgekit.devices import open_device  # noqa: E402  # as above

BLOCKS, BLOCKS_AFTER, REPEATS = 2, 1, 1
_PAYLOAD_BYTES = 24 << 20
_END_S = 240.0
_IDLE_S = 75.0
_FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
_SLEEP = """
import select, time
time.sleep = lambda seconds: select.select([], [], [], max(seconds, 0)) and None
"""
"""How Python sleeps, in place of clock_nanosleep: libfaketime breaks that as the clock jumps."""
_JUMPS = ("+90000", "-90000")


def job(inventory: str, model: str, number: str) -> int:
    """Measure a model against itself in blocks, and print what came of it."""
    comparing._ANSWER_S = 10.0  # noqa: SLF001  # a hung process is given up sooner
    comparing._REPEATS = REPEATS  # noqa: SLF001  # a busy machine shall not make trials long
    file = Path(model)
    original = Candidate(name="original", file=file, sha256=graph.file_sha256(file), size_bytes=1)
    with open_device("board", inventory, tell=lambda text: print(text, file=sys.stderr)) as board:
        running = bench.Running(target=target.load("x86"), shapes={"x": (1, 3, 16, 16)})
        blocks = bench.compare(board, original, original, running, looks=(int(number),))
    print(
        json.dumps(
            [
                {
                    "index": block.index,
                    "runs": [len(run.samples) for run in block.runs],
                    "disturbed": bool(block.disturbed),
                    "mark": hash(tuple(run.rounds for run in block.runs)),
                }
                for block in blocks
            ]
        )
    )
    return 0


class Lab:
    """One loopback device, its inventory, and the job's model."""

    def __init__(self, folder: Path) -> None:
        self.board = Loopback(folder / "board")
        self.board.start()
        os.environ["EDGEKIT_SSH_CONFIG"] = str(self.board.folder / "ssh_config")
        self.inventory, self.model = folder / "devices.toml", folder / "model.onnx"
        self.folder, self.tmp, self.clock = folder, folder / "tmp", folder / "clock"
        for made in (self.tmp, folder / "stub"):
            made.mkdir()
        (folder / "stub" / "onnxruntime.py").write_text(SLEEPING_RUNTIME)
        (folder / "slept").mkdir()
        (folder / "slept" / "sitecustomize.py").write_text(_SLEEP)
        clock = " ".join(self._wall_clock())
        python = self.board.python(
            f"export PYTHONPATH={folder}/stub:{folder}/slept\n[ -e {self.clock} ] && export {clock}"
        )
        address = self.board.address
        add_device("board", address, target="x86", python=python, inventory=self.inventory)
        self.trust()

    def _wall_clock(self) -> list[str]:
        return [
            f"LD_PRELOAD={_FAKETIME}",
            f"FAKETIME_TIMESTAMP_FILE={self.clock}",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "FAKETIME_CACHE_DURATION=1",
            "NO_FAKE_STAT=1",
        ]

    def trust(self) -> None:
        """Pin the key that it has now."""
        trust_device("board", accept=lambda _: True, inventory=self.inventory)

    def new_model(self, *, large: bool) -> None:
        """Make a model that the device has not seen; a large one takes a while to send."""
        model = small_cnn()
        content = os.urandom(_PAYLOAD_BYTES // 2 if large else 8).hex()
        onnx.helper.set_model_props(model, {"payload": content})
        onnx.save(model, self.model)

    def start(self, blocks: int = BLOCKS) -> subprocess.Popen[str]:
        """Start a job; it shares the clock of the device where that is about to jump."""
        clock = self._wall_clock() if self.clock.exists() else []
        shared = dict(setting.split("=", 1) for setting in clock)
        if clock:
            shared["PYTHONPATH"] = f"{self.folder}/slept:{os.environ.get('PYTHONPATH', '')}"
        return subprocess.Popen(
            [sys.executable, __file__, "--job", *map(str, (self.inventory, self.model, blocks))],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **shared, "TMPDIR": str(self.tmp), "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )

    def agents(self, mode: str) -> list[Any]:
        """Return the agent's processes in a mode."""
        return list(self.board.agents(mode))

    def parts(self) -> list[Path]:
        """Return what is on its way."""
        return list((self.board.home / "edgekit" / "parts").glob("*.part"))


def _signalled(mode: str, number: signal.Signals) -> Callable[[Lab, Any], None]:
    def inject(lab: Lab, _process: Any) -> None:
        until = time.monotonic() + 20
        while not (found := lab.agents(mode)) and time.monotonic() < until:
            time.sleep(0.01)
        for each in found[:1]:
            each.send_signal(number)

    return inject


def _restarted(lab: Lab, _process: Any) -> None:
    lab.board.stop()
    lab.board.start()


def _during_upload(change: Callable[[Lab, Path], None]) -> Callable[[Lab, Any], None]:
    def inject(lab: Lab, process: Any) -> None:
        while process.poll() is None:
            grown = [part for part in lab.parts() if part.stat().st_size > 1 << 20]
            if grown:
                change(lab, grown[0])
                return
            time.sleep(0.001)

    return inject


def _flip(_lab: Lab, part: Path) -> None:
    with part.open("r+b") as stream:
        stream.seek(1000)
        stream.write(b"damaged")


def _tmpfs(folder: Callable[[Lab], Path], size: str) -> Callable[[Lab, Any], None]:
    def inject(lab: Lab, _process: Any) -> None:
        place = folder(lab)
        place.mkdir(parents=True, exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        subprocess.run(mount, check=True)

    return inject


def _full_there(lab: Lab) -> Path:
    return Path(lab.board.home, "edgekit", "parts")


def _full_here(lab: Lab) -> Path:
    return lab.tmp


def _clock_set(lab: Lab, _process: Any) -> None:
    if not Path(_FAKETIME).exists():
        raise SystemExit("a clock jump needs libfaketime: apt-get install libfaketime")
    lab.clock.write_text("+0")


def _jump(lab: Lab, _process: Any) -> None:
    """Move the wall clock; every other time the job must also find its way back to the device."""
    lab.clock.write_text(random.choice(_JUMPS))  # noqa: S311  # no secret
    if random.random() < 0.5:  # noqa: S311  # no secret
        time.sleep(1.5)
        lab.board.cut()


def _second(lab: Lab, process: Any) -> None:
    other = lab.start()
    out, said = other.communicate(timeout=_END_S)
    if other.returncode or not _whole(out):
        process.kill()
        raise AssertionError(said)


FAULTS: dict[str, tuple[Callable[[Lab, Any], Any], set[int]]] = {
    "connection killed": (lambda lab, _: lab.board.cut(), {0, 4}),
    "sshd restarted": (_restarted, {0, 4}),
    "agent killed with -9": (_signalled("serve", signal.SIGKILL), {0, 4}),
    "block's process killed with -9": (_signalled("block", signal.SIGKILL), {0, 4}),
    "inference process killed, as when memory is short": (
        _signalled("infer", signal.SIGKILL),
        {0, 4},
    ),
    "inference process hung": (_signalled("infer", signal.SIGSTOP), {0, 4}),
    "disk full there": (_tmpfs(_full_there, "1m"), {4}),
    "disk full here": (_tmpfs(_full_here, "16k"), {4}),
    "upload cut": (_during_upload(lambda lab, _part: lab.board.cut()), {0}),
    "upload corrupted": (_during_upload(_flip), {0}),
    "clock jump": (_jump, {0, 4}),
    "host key changed": (lambda lab, _: lab.board.new_host_key(), {0, 4}),
    "second job at once": (_second, {0}),
    "Ctrl-C": (lambda _, process: process.send_signal(signal.SIGINT), {0, 130, -2}),
    "host command killed with -9": (lambda _, process: process.kill(), {0, -9}),
}
_BEFORE = {"disk full there", "disk full here"}
_PREPARED = {"clock jump": _clock_set}
_LARGE = {"upload cut", "upload corrupted", "disk full there"}


def trial(lab: Lab, fault: str, moment_s: float) -> dict[str, Any]:
    """Run one job with one fault; what it came to, and what it left."""
    inject, allowed = FAULTS[fault]
    lab.new_model(large=fault in _LARGE)
    if fault in _BEFORE:
        inject(lab, None)
    if fault in _PREPARED:
        _PREPARED[fault](lab, None)
    process = lab.start()
    try:
        if fault not in _BEFORE:
            if fault not in _LARGE:
                time.sleep(moment_s)
            inject(lab, process)
        out, said = process.communicate(timeout=_END_S)
    finally:
        process.kill()
        lab.clock.unlink(missing_ok=True)
        for place in (_full_there(lab), _full_here(lab)):
            subprocess.run(["umount", "-q", str(place)], check=False)  # noqa: S607  # as PATH says
    code = process.returncode
    whole = _whole(out)
    idle = lab.board.wait_until_idle(_IDLE_S)
    if fault == "host key changed":
        lab.trust()
    parts = len(lab.parts())
    after = lab.start(BLOCKS_AFTER)
    next_out, next_said = after.communicate(timeout=_END_S)
    return {
        "fault": fault,
        "moment_s": round(moment_s, 2),
        "code": code,
        "complete": whole,
        "good": code in allowed and whole == (code == 0) and idle,
        "idle": idle,
        "parts": parts,
        "next": after.returncode == 0 and _whole(next_out, BLOCKS_AFTER),
        "said": said.splitlines()[-1][:300] if said else "",
        "next_said": [after.returncode, next_out[:600], next_said[-600:]],
    }


def _whole(out: str, wanted: int = BLOCKS) -> bool:
    try:
        blocks = json.loads(out)
    except ValueError:
        return False
    good = sum(not block["disturbed"] for block in blocks)
    return (
        [block["index"] for block in blocks] == list(range(len(blocks)))
        and len({block["mark"] for block in blocks}) == len(blocks)
        and all(len(block["runs"]) == 4 and min(block["runs"]) > 0 for block in blocks)
        and (good == wanted or len(blocks) - good > REPEATS)
    )


def table(results: list[dict[str, Any]]) -> None:
    """Print one row a fault."""
    print(
        "| fault | trials | complete | exit 4 | 130 or signal | as it must be | next job succeeds |"
    )
    print("|---|---|---|---|---|---|---|")
    for fault in FAULTS:
        rows = [row for row in results if row["fault"] == fault]
        cells = (
            len(rows),
            sum(row["code"] == 0 for row in rows),
            sum(row["code"] == 4 for row in rows),
            sum(row["code"] in {130, -2, -9} for row in rows),
            sum(row["good"] for row in rows),
            sum(row["next"] for row in rows),
        )
        print(f"| {fault} | {' | '.join(map(str, cells))} |")


def main() -> None:
    """Do the trials that the file lacks and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("faults.jsonl"))
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--for", dest="seconds", type=float, default=float("inf"))
    parser.add_argument("--job", nargs=3)
    given = parser.parse_args()
    if given.job:
        try:
            code = job(*given.job)
        except BaseException as error:  # noqa: BLE001  # as the command answers
            code = answer(error)
        sys.exit(code)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
    until = time.monotonic() + given.seconds
    lines = given.out.read_text().splitlines() if given.out.exists() else []
    results = [json.loads(line) for line in lines]
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        lab = Lab(Path(folder))
        try:
            lab.new_model(large=False)
            started = time.monotonic()
            out, said = lab.start().communicate(timeout=_END_S)
            if not _whole(out):
                raise SystemExit(f"an undisturbed job fails: {said}")
            whole_s = time.monotonic() - started
            while len(results) < given.trials and time.monotonic() < until:
                fault = list(FAULTS)[len(results) % len(FAULTS)]
                moment_s = random.Random(len(results)).uniform(0, whole_s)  # noqa: S311  # no secret
                results.append(trial(lab, fault, moment_s))
                with given.out.open("a") as stream:
                    stream.write(json.dumps(results[-1]) + "\n")
                row = results[-1]
                if not (row["good"] and row["next"]):
                    print(row, flush=True)
        finally:
            lab.board.stop()
    table(results)


if __name__ == "__main__":
    main()
