"""One command run for the host, its answers kept in a journal until the host has them."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO, Any, Callable, Dict, Optional, Union

from .lease import Lease
from .limits import die_with_parent

_CHUNK_BYTES = 1 << 20
_COMPLAINT_BYTES = 4000
_TOUCH_S = 30.0
_LATE = "late"

Send = Callable[[Dict[str, Any]], None]


class Child:
    """A command in a session of its own.

    Its lines are written down before they are sent. When it has ended by itself and the connection
    broke before the host heard all, the same call is answered from the journal: it is neither lost
    nor done twice. What was cut off in the middle is not in the journal.

    Args:
        command: `id` of the call, `argv`, `timeout_s`.
        folder: the job's; working folder and place of the journal.
        send: takes the answers `line`, then `ended` with `complaint`, or `late`.
    """

    def __init__(self, command: Dict[str, Any], folder: Path, send: Send) -> None:
        self._argv, self._timeout_s = command["argv"], command["timeout_s"]
        self._folder, self._send = folder, send
        journals = folder / "journal"
        journals.mkdir(exist_ok=True)
        self._done = journals / command["id"]

    def run(self, lease: Lease, meanwhile: Callable[[], None]) -> bool:
        """Run it to its end, or answer from the journal; False when the host closed meanwhile."""
        if self._done.exists():
            for line in self._done.read_text(encoding="utf-8").splitlines():
                self._send(json.loads(line))
            return True
        part = self._done.with_suffix(".part")
        with tempfile.TemporaryFile(dir=str(self._folder)) as complaints:  # noqa: SIM117  # the one form that 3.8 reads
            with part.open("w", encoding="utf-8") as journal:
                ended = self._ran(journal, complaints, lease, meanwhile)
                if ended is None:
                    return False
                if ended == _LATE:
                    self._send({"late": True})
                    return True
                size = complaints.seek(0, os.SEEK_END)
                complaints.seek(max(0, size - _COMPLAINT_BYTES))
                complaint = complaints.read().decode("utf-8", "replace")
                last = {"ended": ended, "complaint": complaint}
                journal.write(json.dumps(last) + "\n")
        part.replace(self._done)
        self._send(last)
        return True

    def _ran(
        self, journal: IO[str], complaints: IO[bytes], lease: Lease, meanwhile: Callable[[], None]
    ) -> Union[int, str, None]:
        """Return its exit code; `late` when it had to be killed, None when the host closed."""
        process = subprocess.Popen(
            self._argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            cwd=str(self._folder),
            env=dict(os.environ, ORT_DISABLE_TELEMETRY="1", PYTHONDONTWRITEBYTECODE="1"),
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509  # this process has one thread
        )
        try:
            ended = self._follow(process, journal, lease, meanwhile)
        finally:
            _kill(process)
        return None if ended is None else process.wait() if ended else _LATE

    def _follow(
        self,
        process: Any,
        journal: IO[str],
        lease: Lease,
        meanwhile: Callable[[], None],
    ) -> Optional[bool]:
        """Pass on its lines; True at its end, False when it is late, None when the host closed."""
        output, rest, touched = process.stdout.fileno(), b"", time.monotonic()
        until = time.monotonic() + self._timeout_s

        def tell(line: bytes) -> None:
            answer = {"line": line.decode("utf-8", "replace")}
            journal.write(json.dumps(answer) + "\n")
            self._send(answer)

        while True:
            left_s = until - time.monotonic()
            if left_s <= 0:
                return False
            command = lease.command(min(left_s, _TOUCH_S), unless=output)
            if command is not None and command["do"] == "close":
                return None
            if time.monotonic() - touched > _TOUCH_S:
                touched = time.monotonic()
                meanwhile()
            if not _readable(output):
                continue
            chunk = os.read(output, _CHUNK_BYTES)
            if not chunk:
                break
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                tell(line)
        if rest:
            tell(rest)
        process.wait()
        return True


def _readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


def _kill(process: Any) -> None:
    """End it with all that it started; what has ended already does not mind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
