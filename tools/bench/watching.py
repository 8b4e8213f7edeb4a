"""Runs a command and tells how long it took and how much memory it and its children had."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil


def watched(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path
) -> tuple[int, float, int]:
    """Run a command, its messages in `log`, and return (exit code, seconds, peak bytes).

    Memory is the proportional share of the process and all its children, sampled every second:
    more often would disturb what is measured.
    """
    started = time.monotonic()
    with log.open("w", encoding="utf-8") as messages:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**environment, "ORT_DISABLE_TELEMETRY": "1"},
            stdout=messages,
            stderr=messages,
        )
        peak = _watch(process)
    return process.returncode, time.monotonic() - started, peak


def _watch(process: subprocess.Popen[bytes]) -> int:
    peak = 0
    done = threading.Event()

    def sample() -> None:
        nonlocal peak
        while not done.wait(1.0):
            total = 0
            with contextlib.suppress(psutil.Error):
                root = psutil.Process(process.pid)
                for one in (root, *root.children(recursive=True)):
                    with contextlib.suppress(psutil.Error):
                        total += one.memory_full_info().pss
            peak = max(peak, total)

    watcher = threading.Thread(target=sample)
    watcher.start()
    process.wait()
    done.set()
    watcher.join()
    return peak
