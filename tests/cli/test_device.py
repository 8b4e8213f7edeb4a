"""The whole command over a real sshd: add, trust, check, profile, optimize, gate."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from loopback import Loopback, require_sshd


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    require_sshd()
    board = Loopback(tmp_path_factory.mktemp("board"))
    board.start()
    yield board
    board.stop()


@pytest.fixture
def lab(sshd, tmp_path, edgekit):
    """The command with an inventory of its own, in which `board` is trusted."""

    def run(*arguments):
        return edgekit(*arguments, **environment(sshd, tmp_path))

    added = ("device", "add", "board", sshd.address, "--target", "x86", "--tag", "lab")
    assert run(*added, "--python", sys.executable).code == 0
    assert run("device", "trust", "board", "--yes").code == 0
    yield run
    assert sshd.wait_until_idle()


def environment(sshd, folder):
    return {
        "EDGEKIT_INVENTORY": str(folder / "devices.toml"),
        "EDGEKIT_SSH_CONFIG": str(sshd.folder / "ssh_config"),
    }


def test_from_adding_a_device_to_a_gate_on_it(lab, tmp_path, small_model, small_data):
    assert "tag:lab" in lab("device", "list").out
    checked = lab("device", "check", "board", "--json", "-")
    assert checked.code == 0, checked.err
    found = {finding["subject"]: finding for finding in json.loads(checked.out)["findings"]}
    assert found["lock"]["found"] == "free"
    assert found["providers"]["level"] == "ok"
    assert "host key pinned" in found["connection"]["found"]
    measured = tmp_path / "measured.json"
    profiled = lab("profile", small_model, "--device", "board", "--json", measured)
    assert profiled.code == 0, profiled.err
    assert json.loads(measured.read_text())["setup"]["device"] == "board"
    gated = lab("gate", measured, "--model", small_model, "--budget", "size<=1MB")
    assert gated.code == 0, gated.err
    data = ("--data", small_data, "--device", "board")
    planned = lab("optimize", small_model, "--target", "x86", *data, "--dry-run")
    assert (planned.code, "a dry run" in planned.err) == (3, True), planned.err
    other = lab("optimize", small_model, "--target", "jetson", *data)
    assert (other.code, "expected x86" in other.error_line) == (2, True)


def test_the_next_command_measures_on_the_same_device(lab, tmp_path, small_model, small_data):
    out = tmp_path / "pruned.onnx"
    given = ("--data", small_data, "--keep-macs", "0.5", "--device", "board", "--threads", "2")
    given += ("--shape", "x=1x3x16x16")
    pruned = lab("prune", small_model, *given, "-o", out)
    assert pruned.code == 0, pruned.err
    following = (
        f"edgekit profile {out} --against {small_model} --device board --threads 2 --shape x=1"
    )
    assert following in " ".join(pruned.err.split())


def test_what_is_optimized_on_a_device_is_gated(lab, tmp_path, small_model, small_data, all_int8):
    out = tmp_path / "out.bundle"
    arguments = ("--target", "x86", "--data", small_data, "--device", "board", "--out", out)
    done = lab("optimize", small_model, *arguments, "--profile", all_int8)
    assert done.code == 0, done.err
    measured = json.loads((out / "measurements.json").read_text())["measurements"]
    assert {each["setup"]["device"] for each in measured} == {"board"}
    assert all(each["blocks"] for each in measured)
    gated = lab("gate", out, "--model", out / "model.onnx")
    assert gated.code == 0, gated.err


def test_a_new_host_key_is_refused_until_it_is_trusted(lab, sshd, small_model):
    sshd.new_host_key()
    refused = lab("profile", small_model, "--device", "board")
    assert refused.code == 4
    assert "edgekit device trust board" in refused.error_line
    checked = lab("device", "check", "board")
    assert checked.code == 4
    assert "edgekit device trust board" in checked.err.replace("\n", " ")
    unseen = lab("device", "trust", "board")
    assert unseen.code == 2
    assert "pinned was SHA256:" in unseen.err
    assert lab("device", "trust", "board", "--yes").code == 0
    assert lab("device", "check", "board").code == 0


def test_ctrl_c_leaves_nothing_behind(lab, sshd, tmp_path, small_model):
    process = subprocess.Popen(
        [sys.executable, "-m", "edgekit", "profile", small_model, "--device", "board"],
        env={**os.environ, **environment(sshd, tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60
    while time.monotonic() < until and not sshd.agents("infer"):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert sshd.wait_until_idle()
    assert not list((sshd.home / "edgekit" / "runs").iterdir())


def test_unknown_devices_and_missing_targets_are_usage_errors(lab, small_model):
    unknown = lab("profile", small_model, "--device", "toaster")
    assert (unknown.code, "one of ['local', 'board']" in unknown.error_line) == (2, True)
    missing = lab("device", "add", "x", "ssh://h")
    assert (missing.code, "--target is missing" in missing.error_line) == (2, True)
