"""The commands of a user with a board, against the emulated machine. A quarter of an hour long."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from .models import samples

pytestmark = pytest.mark.arm64


@pytest.fixture(scope="module")
def edgekit(machine, tmp_path_factory):
    """Call `edgekit ARGS...`, with an inventory that the commands themselves fill."""
    folder = tmp_path_factory.mktemp("commands")
    settings = {"EDGEKIT_INVENTORY": str(folder / "devices.toml"), "COLUMNS": "300"}

    def call(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "edgekit", *map(str, arguments)],
            check=False,
            capture_output=True,
            text=True,
            cwd=folder,
            env={**os.environ, **settings},
        )

    added = call("device", "add", "board", machine.address, "--target", "arm-cpu")
    assert added.returncode == 0, added.stderr
    unknown = call("device", "check", "board")
    assert unknown.returncode == 4
    assert "edgekit device trust board" in unknown.stderr
    trusted = call("device", "trust", "board", "--yes")
    assert trusted.returncode == 0, trusted.stderr
    assert "SHA256:" in trusted.stderr
    return call


def test_check_finds_a_device_of_its_target(edgekit):
    checked = edgekit("device", "check", "board", "--json", "-")
    assert checked.returncode == 0, checked.stderr
    assert "aarch64" in checked.stdout


def test_profile_times_a_model_there(edgekit, case):
    profiled = edgekit(
        *("profile", case("conv").file, "--device", "board", "--shape", "x=1x3x16x16"),
        *("--json", "-"),
    )
    assert profiled.returncode == 0, profiled.stderr
    assert json.loads(profiled.stdout)["setup"]["environment"]["machine"] == "aarch64"


def test_a_model_is_optimized_there_and_its_bundle_gated(edgekit, case, tmp_path, all_int8):
    labels = np.random.default_rng(2).integers(0, 10, 64)
    np.savez(tmp_path / "test.npz", x=samples("conv"), label=labels)
    out = tmp_path / "out.bundle"
    made = edgekit(
        *("optimize", case("conv").file, "--target", "arm-cpu", "--device", "board"),
        *("--data", case("conv").samples, "--eval", tmp_path / "test.npz"),
        *("--profile", all_int8, "--out", out),
    )
    assert made.returncode == 0, made.stderr
    measured = json.loads((out / "measurements.json").read_text())["measurements"]
    assert {each["setup"]["environment"]["machine"] for each in measured} == {"aarch64"}
    gated = edgekit("gate", out, "--model", out / "model.onnx")
    assert gated.returncode == 0, gated.stderr
