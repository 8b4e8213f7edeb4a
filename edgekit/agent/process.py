"""One inference process (mode `infer`) as its coordinator sees it: goes on only when asked to."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from typing import Any, Dict

from .limits import die_with_parent
from .wire import AgentError


class Inference:
    """A child that runs mode `infer`; between two commands it is stopped."""

    def __init__(self, spec: Dict[str, Any], timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._process = subprocess.Popen(
            [sys.executable, sys.argv[0], "infer", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            preexec_fn=die_with_parent,  # noqa: PLW1509  # this process has one thread
        )
        self._tell(spec)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ask(self, command: Dict[str, Any]) -> Dict[str, Any]:
        """Let the process carry out `command` and stop it again."""
        self.start(command)
        answer = self.answer()
        self.stop()
        return answer

    def start(self, command: Dict[str, Any]) -> None:
        """Let the process begin with `command`; `answer` and `stop` are the caller's."""
        os.kill(self.pid, signal.SIGCONT)
        self._tell(command)

    def answered(self, within_s: float) -> bool:
        """Wait up to `within_s` for an answer and say whether there is one."""
        output = self._process.stdout
        assert output is not None  # noqa: S101  # asked for by stdout=PIPE
        return bool(select.select([output], [], [], within_s)[0])

    def answer(self) -> Dict[str, Any]:
        """Wait for the next answer."""
        output = self._process.stdout
        assert output is not None  # noqa: S101  # asked for by stdout=PIPE
        if not self.answered(self._timeout_s):
            raise AgentError("device", "no answer within %g s" % self._timeout_s)
        line = output.readline()
        if not line:
            raise self._ended()
        answer: Dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise AgentError(answer["error"], answer["message"])
        return answer

    def stop(self) -> None:
        """Stop the process and wait until it stands."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()

    def _tell(self, message: Dict[str, Any]) -> None:
        if self._process.stdin:
            try:
                self._process.stdin.write(json.dumps(message) + "\n")
            except BrokenPipeError:
                raise self._ended() from None

    def _ended(self) -> AgentError:
        """Say how it ended: SIGKILL comes from outside, when memory is short; others it earned."""
        code = self._process.wait()
        cause = "signal %d" % -code if code < 0 else "exit code %d" % code
        kind = "device" if code == -signal.SIGKILL else "model"
        return AgentError(kind, "the inference process ended: %s" % cause)
