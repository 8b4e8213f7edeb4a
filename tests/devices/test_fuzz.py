"""Whatever an agent says: the host neither crashes nor writes outside what is its own."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from edgekit.bench import comparing, evaluating
from edgekit.devices import Entry, SshDevice, ask, ssh_start
from edgekit.devices.contract import ConnectionLostError
from edgekit.devices.transfer import Transfer
from edgekit.errors import EdgekitError

ROOT = "/home/pi/.cache/edgekit/runs/"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE1N"
HOSTILE = (
    *(None, True, -1, 0, 10**400, 1e308, float("nan"), float("inf"), "", "\x1b[2J", "x" * 5000),
    *("../../../etc/passwd", "/etc/passwd", 'a" "/tmp/evil', "a\n!touch /tmp/evil", "\ud800"),
    *([], {}, [[]], [[[[]]]], {"a": {"b": []}}, ["\x00"], [1, [2, [3]]]),
)


def run_of(role):
    return {
        "role": role,
        "rounds_ns": [[1e6, 1.1e6], [1e6, 1.2e6]],
        "first_s": 0.01,
        "load_s": 0.1,
        "warm_up": {"iterations": 9, "settled": True, "batched": 1},
        "memory": {f"{part}_bytes": 1 << 20 for part in ("peak", "runtime", "weights", "arena")},
    }


BLOCK = {
    "runs": [run_of(role) for role in ("original", "candidate", "candidate", "original")],
    "disturbed": [],
    "before": {"load": 1},
    "after": {"load": 2},
    "cpus": [0],
}
CHECK = {"environment": {"machine": "x86_64", "providers": ["CPU"]}, "state": {"governor": []}}


def lines_of(job):
    """Every answer of a short job, in order."""
    folder = ROOT + job
    ended = {"ended": 0, "complaint": ""}

    def put():
        yield from ({"offer": {"missing": [], "free_bytes": 1 << 30}}, {"linked": True})

    yield {"send": False}
    yield {"folder": folder, "boot_id": "b", "free_bytes": 1 << 30, "held_by": None}
    for said in (CHECK, BLOCK, {"outputs": [{"name": "y", "file": f"{folder}/o/output-0.npy"}]}):
        yield from put()
        yield from put()
        yield {"line": json.dumps({"progress": [1, 2]})}
        yield {"line": json.dumps(said)}
        yield ended
        if said is CHECK:
            yield from put()


def mutated(text, random):
    """Change one thing in a line: bytes, or a value somewhere within it."""
    kind = random.randrange(6)
    if kind == 0:
        at = random.randrange(len(text) + 1)
        return text[:at] + bytes([random.randrange(256)]) + text[at + 1 :]
    if kind == 1:
        return text[: random.randrange(len(text) + 1)]
    if kind == 2:
        return text * 2
    if kind == 3:
        return b"[" * random.choice((10, 100_000)) + text
    value = json.loads(text)
    if "line" in value and kind == 4:
        inner = _with_one_changed(json.loads(value["line"]), random)
        return json.dumps({"line": json.dumps(inner)}).encode()
    return json.dumps(_with_one_changed(value, random)).encode()


def _with_one_changed(value, random):
    places = []

    def walk(node, path):
        places.append(path)
        if isinstance(node, dict | list):
            entries = node.items() if isinstance(node, dict) else enumerate(node)
            for key, child in entries:
                walk(child, (*path, key))

    walk(value, ())
    path = random.choice(places)
    if not path:
        return random.choice(HOSTILE)
    copy = json.loads(json.dumps(value))
    node = copy
    for key in path[:-1]:
        node = node[key]
    if random.random() < 0.3 and isinstance(node, dict):
        del node[path[-1]]
    else:
        node[path[-1]] = random.choice(HOSTILE)
    return copy


class Played(ssh_start.SshChannel):
    """A channel whose other end only says what was made up."""

    lines = ()

    def __init__(self, _argv, *, name):
        self._name, self._rest = name, b""

    def write(self, content):
        pass

    def start_beats(self):
        pass

    def line(self, _within_s):
        if not self.lines:
            raise ConnectionLostError("the connection was lost")
        return self.lines.pop(0)

    def code(self):
        return 255

    def complaint(self):
        return ""

    def end(self, *, in_order):
        pass


class Fetched:
    """What the job asks of sftp; a file that numpy may or may not read comes back."""

    def __init__(self, content):
        self.batches, self.content = [], content

    def patched(self):
        return lambda one, batch, **_: self(one, batch)

    def __call__(self, transfer, batch):
        self.batches.append(batch)
        if batch.startswith("get"):
            (transfer.here / "got").write_bytes(self.content)


def job(device, file, folder):
    with device:
        device.environment()
        device.put(file)
        block = comparing._block(0, ask(device, "block", {}, timeout_s=9), device)
        answer = ask(device, "evaluate", {}, timeout_s=9)
        for at, path in enumerate(evaluating._files(answer, device)):
            evaluating._fetch(device, path, folder / f"{at}.npy", 3)
        return block


def good_bytes(tmp_path):
    np.save(tmp_path / "good.npy", np.zeros((3, 4)))
    return (tmp_path / "good.npy").read_bytes()


@pytest.mark.parametrize("number", [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_no_answer_crashes_the_host_or_makes_it_write_elsewhere(tmp_path, monkeypatch, number):
    monkeypatch.setattr(ssh_start, "SshChannel", Played)
    monkeypatch.setattr(ssh_start, "_PAUSE_S", 0)
    content = good_bytes(tmp_path)
    file = tmp_path / "m"
    file.write_text("1")
    entry = Entry(host="h", target="x86", host_keys=(KEY,))
    choose = random.Random(number)  # noqa: S311  # no secret
    survived, said = 0, []
    for seed in range(number):
        device = SshDevice("board", entry)
        lines = [json.dumps(answer).encode() for answer in lines_of(device._job)]
        folder = tmp_path / str(seed)
        folder.mkdir()
        if seed:
            at = choose.randrange(len(lines))
            changed = mutated(lines[at], choose)
            lines[at : at + 1] = changed.split(b"\n") if choose.random() < 0.9 else []
        Played.lines = [b"Welcome!", b"edgekit-python 3.11", *lines]
        cut = choose.randrange(len(content)) if choose.random() < 0.1 else len(content)
        sftp = Fetched(content[:cut])
        monkeypatch.setattr(Transfer, "_batch", sftp.patched())
        try:
            block = job(device, file, folder)
        except EdgekitError as error:
            said.append(str(error))
        else:
            survived += 1
            assert len(block.runs) == 4
        for batch in sftp.batches:
            verb, there, here = batch.split('"')[0], *batch.split('"')[1::2]
            assert batch.count("\n") == 1, batch
            assert (verb, there.startswith(ROOT + device._job)) == ("get ", True), batch
            assert here.endswith("/got")
        assert {path.name for path in folder.iterdir()} <= {"0.npy"}
    assert survived
    assert not [text for text in said if "\x1b" in text or "\n" in text]
    assert not Path("/tmp/evil").exists()  # noqa: S108  # what a hostile line would write
