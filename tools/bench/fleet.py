"""How long a fleet of four takes, one of them failing, beside one device alone.

    python tools/bench/fleet.py

Loopback devices with homes of their own, whose runtime sleeps: they share the processors of this
machine only for what is not inference. Needs /usr/sbin/sshd.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "devices")]
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnx  # noqa: E402  # after the path
from conftest import small_cnn  # noqa: E402  # as above
from fleets import sleeping_fleet  # noqa: E402  # as above

from edgekit import profile_fleet  # noqa: E402  # as above


def main() -> None:
    """Print both wall times and what came of each device."""
    with tempfile.TemporaryDirectory(prefix="fleet-") as place:
        folder = Path(place)
        onnx.save(small_cnn(), folder / "model.onnx")
        with sleeping_fleet(folder, number=4, broken=2) as inventory:
            profile_fleet(folder / "model.onnx", devices=["board1"], inventory=inventory)
            walls_s = {}
            for named in ("board0", "tag:lab"):
                start = time.monotonic()
                fleet = profile_fleet(folder / "model.onnx", devices=[named], inventory=inventory)
                walls_s[named] = time.monotonic() - start
    for share in fleet.shares:
        print(f"{share.device}: {share.error or 'measured'}")
    alone_s, all_s = walls_s.values()
    print(f"one alone {alone_s:.1f} s, four at once {all_s:.1f} s: {all_s / alone_s:.2f} times")


if __name__ == "__main__":
    main()
