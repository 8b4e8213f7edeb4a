import ctypes
import operator
import os
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from edgekit import native
from edgekit.errors import ModelError, UsageError

PLANTED = """
import ctypes, os, subprocess, sys, time
from pathlib import Path
from edgekit import native
from edgekit.errors import DataError

class Stranger:
    pass

def count(total):
    for done in range(total):
        native.report(done + 1, total)
    return total

def refuse():
    raise DataError("is odd", where="input x", found="3", remedy="give 4")

def crash_at(place):
    native.at(place)
    os.write(2, b"terminate called after throwing\\n")
    ctypes.string_at(0)

def stranger():
    return Stranger()

def leave_a_child(path):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    Path(path).write_text(str(child.pid))
    time.sleep(60)

def noise():
    os.write(1, b"to stdout\\n" * 100_000)
    os.write(2, b"to stderr\\n" * 100_000)
    return len(os.listdir("/proc/self/task"))

def in_two_threads(values):
    import numpy as np, onnx, onnxruntime
    from onnx import helper as h, TensorProto as T
    x = h.make_tensor_value_info("x", T.FLOAT, [256, 256])
    y = h.make_tensor_value_info("y", T.FLOAT, [256, 256])
    g = h.make_graph([h.make_node("MatMul", ["x", "x"], ["y"])], "g", [x], [y])
    m = h.make_model(g, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    o = onnxruntime.SessionOptions()
    o.intra_op_num_threads = 2
    s = onnxruntime.InferenceSession(m.SerializeToString(), o, providers=["CPUExecutionProvider"])
    return s.run(None, {"x": values})[0], len(os.listdir("/proc/self/task"))
"""


@pytest.fixture
def planted(tmp_path, monkeypatch):
    name = f"planted_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(PLANTED)
    monkeypatch.syspath_prepend(tmp_path)
    module = __import__(name)
    yield module
    del sys.modules[name]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until_gone(pid: int) -> None:
    for _ in range(100):
        if not alive(pid):
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} is still there")


def test_result_and_arrays_come_back():
    assert native.call("adding", operator.add, 1, 2) == 3
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    back = native.call("negating", operator.neg, array)
    assert back.dtype == array.dtype
    assert np.array_equal(back, -array)
    back[0, 0] = 5


def test_each_call_is_a_fresh_process():
    pids = {native.call("asking", os.getpid) for _ in range(3)}
    assert len(pids) == 3
    assert os.getpid() not in pids


def test_working_directory_is_the_callers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert native.call("asking", os.getcwd) == str(tmp_path)


def test_segfault_names_step_place_and_signal(planted):
    with pytest.raises(ModelError, match=r"^checking: node conv7: .*crashed.*SIGSEGV terminate"):
        native.call("checking", planted.crash_at, "node conv7")


@pytest.mark.parametrize(
    ("function", "arguments", "signal"),
    [(os.abort, (), "SIGABRT"), (ctypes.string_at, (0,), "SIGSEGV"), (os._exit, (3,), "early")],
)
def test_violent_ends_are_model_errors(function, arguments, signal):
    with pytest.raises(ModelError, match=signal) as caught:
        native.call("trying", function, *arguments)
    assert "\n" not in str(caught.value)


def test_time_out_ends_the_whole_process_group(planted, tmp_path):
    note = tmp_path / "pid"
    with pytest.raises(ModelError, match=r"not finished after 1 s.*EDGEKIT_TIMEOUT"):
        native.call("waiting", planted.leave_a_child, str(note), timeout_s=1)
    wait_until_gone(int(note.read_text()))


def test_memory_limit_says_how_to_raise_it():
    with pytest.raises(ModelError, match=r"limit of 64 MiB.*EDGEKIT_MEMORY_LIMIT"):
        native.call("filling", bytearray, 256 << 20, memory_bytes=64 << 20)
    assert len(native.call("filling", bytes, 16 << 20, memory_bytes=64 << 20)) == 16 << 20


def test_environment_overrides_limits(monkeypatch):
    monkeypatch.setenv("EDGEKIT_MEMORY_LIMIT", "32 MiB")
    with pytest.raises(ModelError, match="limit of 32 MiB"):
        native.call("filling", bytearray, 256 << 20, memory_bytes=1 << 30)
    monkeypatch.setenv("EDGEKIT_TIMEOUT", "0.5")
    with pytest.raises(ModelError, match=r"after 0\.5 s"):
        native.call("waiting", time.sleep, 30)
    monkeypatch.setenv("EDGEKIT_TIMEOUT", "soon")
    with pytest.raises(UsageError, match=r"EDGEKIT_TIMEOUT.*soon"):
        native.call("waiting", time.sleep, 0)


def test_own_errors_arrive_whole(planted):
    from edgekit.errors import DataError

    with pytest.raises(DataError) as caught:
        native.call("reading", planted.refuse)
    assert str(caught.value) == "input x: is odd (found 3); give 4"


def test_other_exceptions_become_one_line():
    with pytest.raises(ModelError, match=r"^parsing: invalid literal") as caught:
        native.call("parsing", int, "x\ny")
    assert "\n" not in str(caught.value)


def test_unlisted_classes_do_not_come_back(planted):
    with pytest.raises(ModelError, match="Stranger"):
        native.call("asking", planted.stranger)


def test_progress_arrives(planted):
    seen: list[tuple[int, int]] = []
    native.call("counting", planted.count, 5, progress=lambda *state: seen.append(state))
    assert seen == [(n, 5) for n in range(1, 6)]


def test_noise_neither_blocks_nor_shows(planted, capfd):
    assert native.call("shouting", planted.noise) == 1
    assert capfd.readouterr() == ("", "")


def test_sessions_with_two_threads_run_in_a_fork(planted):
    values = np.random.default_rng(0).standard_normal((256, 256), np.float32)
    found, threads = native.call("running", planted.in_two_threads, values)
    assert threads >= 2
    assert np.allclose(found, values @ values, atol=1e-3)


def test_threads_may_call_at_once():
    with ThreadPoolExecutor(8) as pool:
        results = pool.map(lambda n: native.call("doubling", operator.mul, n, 2), range(24))
    assert list(results) == [2 * n for n in range(24)]


def test_server_that_died_is_replaced():
    server = native.call("asking", os.getppid)
    os.kill(server, 9)
    wait_until_gone(server)
    assert native.call("asking", os.getppid) != server


HOST = """
import os, sys, time, threading
from edgekit import native
threading.Thread(target=lambda: native.call("w", time.sleep, 60), daemon=True).start()
print(native.call("p", os.getppid), flush=True)
{end}
"""


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "sys.exit(0)", "os._exit(0)"])
def test_nothing_outlives_the_host(end):
    host = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(HOST).format(end=end)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    wait_until_gone(int(host.stdout))


def test_interrupt_leaves_no_process(tmp_path):
    program = """
import os, signal, threading, time
from edgekit import native
server = native.call("p", os.getppid)
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    native.call("w", time.sleep, 60)
except KeyboardInterrupt:
    children = open(f"/proc/{server}/task/{server}/children").read().split()
    for _ in range(100):
        if not open(f"/proc/{server}/task/{server}/children").read().split():
            break
        time.sleep(0.05)
    print("left:", open(f"/proc/{server}/task/{server}/children").read().split())
"""
    host = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert host.stdout == "left: []\n"
    assert host.stderr == ""
