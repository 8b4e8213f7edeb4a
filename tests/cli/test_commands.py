"""Every command on a small model, as a user runs it."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import onnx
import pytest

from edgekit.cli.main import answer


@pytest.fixture(scope="module")
def optimized(tmp_path_factory, edgekit_process_in, small_model, small_data):
    """A folder with a model and the bundle that `edgekit optimize` made of it."""
    folder = tmp_path_factory.mktemp("optimized")
    shutil.copy(small_model, folder / "model.onnx")
    shutil.copy(small_data, folder / "data.npz")
    (folder / "by_size.toml").write_text(
        'schema = 1\nname = "by-size"\ntitle = "Whatever the machine is busy with"\n'
        'steps = ["simplify", "quantize"]\nobjective = "size"\n'
        'budgets = ["accuracy.drop<=60pt", "size.ratio<=1.0"]\n'
    )
    ran = edgekit_process_in(
        folder,
        *("optimize", "model.onnx", "--target", "x86", "--data", "data.npz", "--eval", "data.npz"),
        *("--out", "out.bundle", "--profile", "by_size.toml"),
    )
    return folder, ran


def test_optimize_writes_a_bundle_with_a_verdict(optimized):
    folder, ran = optimized
    assert ran.code == 0, ran.err
    manifest = json.loads((folder / "out.bundle" / "manifest.json").read_text())
    assert manifest["ruling"] == "pass"
    assert "next: edgekit report out.bundle" in ran.err
    assert {path.name for path in folder.iterdir()} == {
        "model.onnx",
        "data.npz",
        "by_size.toml",
        "out.bundle",
    }


def test_a_finished_bundle_is_not_overwritten(optimized, edgekit):
    folder, _ = optimized
    before = (folder / "out.bundle" / "manifest.json").read_bytes()
    ran = edgekit(
        "optimize",
        "model.onnx",
        "--target",
        "x86",
        "--data",
        "data.npz",
        "--out",
        "out.bundle",
        cwd=folder,
    )
    assert ran.code == 2
    assert "--force" in ran.error_line
    assert (folder / "out.bundle" / "manifest.json").read_bytes() == before


def test_verify_finds_what_was_changed(optimized, edgekit, tmp_path):
    folder, _ = optimized
    assert edgekit("verify", folder / "out.bundle").code == 0
    shutil.copytree(folder / "out.bundle", tmp_path / "b")
    with (tmp_path / "b" / "model.onnx").open("ab") as file:
        file.write(b"\0")
    ran = edgekit("verify", "b")
    assert ran.code == 1
    assert "model.onnx" in ran.err
    assert edgekit("gate", "b").code == 2


def test_gate_judges_a_bundle(optimized, edgekit, tmp_path):
    folder, _ = optimized
    ran = edgekit(
        "gate", folder / "out.bundle", "--junit", "j.xml", "--markdown", "-", "--json", "v.json"
    )
    assert ran.code == 0, ran.err
    assert "size.ratio" in ran.out
    assert json.loads((tmp_path / "v.json").read_text())["ruling"] == "pass"
    assert (tmp_path / "j.xml").read_text().startswith("<?xml")
    assert edgekit("gate", folder / "out.bundle", "--budget", "size<=1B").code == 1
    assert edgekit("gate", folder / "out.bundle", "--budget", "latency.p99<=1s").code in {0, 3}


def test_gate_refuses_another_file(optimized, edgekit):
    folder, _ = optimized
    good = folder / "out.bundle" / "model.onnx"
    assert edgekit("gate", folder / "out.bundle", "--model", good).code == 0
    original = (folder / "model.onnx").read_bytes()
    other = folder / "other.onnx"
    other.write_bytes(original + b"\x72\x00")
    try:
        ran = edgekit("gate", folder / "out.bundle", "--model", other)
        assert ran.code == 2
        assert "not the model that was measured" in ran.error_line
    finally:
        other.unlink()


def test_gate_needs_a_baseline_that_exists(optimized, edgekit):
    folder, _ = optimized
    assert edgekit("gate", folder / "out.bundle", "--baseline", "absent.onnx").code == 5


def test_profile_measures_and_gate_judges_it(edgekit, tmp_path, small_model):
    ran = edgekit("profile", small_model, "--json", "m.json")
    assert ran.code == 0, ran.err
    measured = json.loads((tmp_path / "m.json").read_text())
    assert len(measured["blocks"]) >= 5
    assert edgekit("gate", "m.json", "--budget", "size<=1MiB").code == 0
    assert edgekit("gate", "m.json", "--budget", "size<=1KiB").code == 1
    assert edgekit("gate", "m.json", "--budget", "latency.p50<=10s").code in {0, 3}
    assert edgekit("gate", "m.json", "--budget", "latency.p50<=1ns").code in {1, 3}
    assert edgekit("gate", "m.json", "--baseline", small_model).code in {0, 3}


def test_profile_measures_until_a_limit_is_ruled(edgekit, tmp_path, small_model):
    few = edgekit("profile", small_model, "--json", "few.json")
    assert few.code == 0, few.err
    blocks = json.loads((tmp_path / "few.json").read_text())["blocks"]
    near = [s for block in blocks for run in block["runs"] for part in run["rounds"] for s in part]
    close = f"latency.p50<={np.median(near):.9f}s"
    assert edgekit("gate", "few.json", "--budget", close).code == 3
    ran = edgekit("profile", small_model, "--budget", close, "--json", "more.json")
    assert ran.code == 0, ran.err
    assert f"next: edgekit gate more.json --budget '{close}'" in ran.err
    blocks = json.loads((tmp_path / "more.json").read_text())["blocks"]
    assert len(blocks) > 5 or edgekit("gate", "more.json", "--budget", close).code in {0, 1}


def test_quantize_writes_a_file_that_is_smaller(edgekit, tmp_path, small_model, small_data):
    ran = edgekit(
        "quantize", small_model, "--target", "arm-cpu", "--data", small_data, "-o", "int8.onnx"
    )
    assert ran.code == 0, ran.err
    onnx.checker.check_model(str(tmp_path / "int8.onnx"), full_check=True)
    assert "edgekit profile int8.onnx" in ran.err


def test_inspect_prints_costs(edgekit, tmp_path, small_model):
    ran = edgekit("inspect", small_model, "--json", "i.json")
    assert ran.code == 0, ran.err
    assert "multiply-adds" in ran.err
    found = json.loads((tmp_path / "i.json").read_text())
    assert found["costs"]["macs"] == 16 * 16 * 16 * 27 + 16 * 16 * 32 * 144 + 320


def test_init_writes_a_profile_that_optimize_takes(edgekit, tmp_path, small_model, small_data):
    ran = edgekit("init", small_model, "-o", "mine.toml")
    assert ran.code == 0, ran.err
    text = (tmp_path / "mine.toml").read_text()
    assert "accuracy.drop<=" in text
    assert "[preprocessing]" in text
    again = edgekit("init", small_model, "-o", "mine.toml")
    assert again.code == 2
    assert (tmp_path / "mine.toml").read_text() == text
    planned = edgekit(
        "optimize",
        small_model,
        "--target",
        "x86",
        "--data",
        small_data,
        "--profile",
        "mine.toml",
        "--dry-run",
    )
    assert planned.code == 3, planned.err
    assert list(tmp_path.glob("*.bundle")) == []


def test_doctor_tells_of_two_onnxruntimes(edgekit, edgekit_process, tmp_path):
    assert edgekit("doctor").code == 0
    for name in ("onnxruntime", "onnxruntime_gpu"):
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {name.replace('_', '-')}\nVersion: 1.0\n")
    ran = edgekit_process("doctor", "--json", "-", PYTHONPATH=str(tmp_path))
    assert ran.code == 4
    assert any("overwrite" in finding["found"] for finding in json.loads(ran.out)["findings"])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(edgekit, shell):
    ran = edgekit("completion", shell)
    assert ran.code == 0
    assert "_EDGEKIT_COMPLETE" in ran.out


def test_targets_are_told_with_their_sources(edgekit):
    listed = edgekit("target", "list")
    assert [line.split()[0] for line in listed.out.splitlines()] == ["arm-cpu", "jetson", "x86"]
    assert "unverified on hardware" in edgekit("target", "show", "jetson").out


def test_target_check_lints_a_model(edgekit, small_model):
    assert edgekit("target", "check", "x86", small_model).code == 0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_an_interrupted_job_leaves_nothing(tmp_path, small_model, small_data, number, code):
    (tmp_path / "tmp").mkdir()
    profile = tmp_path / "half.toml"
    profile.write_text(
        'schema = 1\nname = "half"\ntitle = "Always makes a candidate, so that it is measured"\n'
        'steps = [{ name = "prune", params = { keep_macs = 0.5, criterion = "l2" } }]\n'
        'budgets = ["size.ratio<=1.0"]\n'
    )
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "edgekit", "optimize", small_model, "--target", "x86"),
            *("--data", small_data, "--out", "b", "--profile", profile),
        ],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    told = []
    for line in process.stderr:
        told.append(line)
        if "measuring original" in line:
            break
    assert "measuring original" in told[-1], told
    send = os.killpg if number == signal.SIGINT else os.kill  # a terminal tells the whole group
    send(process.pid, number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert {path.name for path in tmp_path.iterdir()} == {"tmp", "half.toml"}
    assert [p for p in (tmp_path / "tmp").rglob("*") if p.is_file()] == []


def test_ctrl_c_within_an_import_is_still_ctrl_c(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    error = ImportError("initialization failed")
    error.__cause__ = KeyboardInterrupt()
    assert answer(error) == 130
    assert answer(ImportError("initialization failed")) == 70


def test_ctrl_c_within_exec_is_answered_with_the_exit_code(tmp_path):
    (tmp_path / "started.py").write_text("""
import importlib, os, signal
main = importlib.import_module("edgekit.cli.main")
main.cli.main = lambda **_: exec("os.kill(os.getpid(), signal.SIGINT)\\npass")
main.main([])
""")
    ran = subprocess.run(
        [sys.executable, "-m", "started"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr.strip()) == (
        130,
        "error: interrupted; nothing was left half-written",
    )
