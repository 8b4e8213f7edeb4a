"""The emulated arm64 machine of tools/arm64-device, as a device of a private inventory."""

import functools
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekit import graph, passes
from edgekit import target as targets
from edgekit.dataset import open_data
from edgekit.devices import LocalDevice, open_device
from edgekit.devices.inventory import Entry, write_entry

from .models import MODELS, samples

TOOL = Path(__file__).parents[2] / "tools" / "arm64-device"
NAME = "emulated"


class Machine:
    """How the running machine is reached."""

    def __init__(self, said):
        self.ssh_config = Path(re.search(r"EDGEKIT_SSH_CONFIG=(.+)", said)[1])
        self.address = re.search(r"ssh://\S+", said)[0]
        key = (self.ssh_config.parent / "keys" / "host.pub").read_text()
        self.host_key = " ".join(key.split()[:2])


@pytest.fixture(scope="session")
def machine(request, users_environment):
    """The machine, up; down again at the end unless it was up before."""

    def tool(do):
        return subprocess.run(
            [sys.executable, TOOL, do],
            check=False,
            capture_output=True,
            text=True,
            env=users_environment,
        )

    was_up = tool("status").returncode == 0
    up = tool("up")
    if up.returncode == 2 and "arm64" not in request.config.option.markexpr.replace(
        "not arm64", ""
    ):
        pytest.skip(up.stderr.strip())
    assert up.returncode == 0, up.stderr
    with pytest.MonkeyPatch.context() as patch:
        found = Machine(up.stdout)
        patch.setenv("EDGEKIT_SSH_CONFIG", str(found.ssh_config))
        yield found
    if not was_up:
        tool("down")


@pytest.fixture(scope="module")
def device(machine, tmp_path_factory):
    """The machine as a connected device."""
    inventory = tmp_path_factory.mktemp("inventory") / "devices.toml"
    host = machine.address.removeprefix("ssh://")
    write_entry(inventory, NAME, Entry(host=host, target="arm-cpu", host_keys=(machine.host_key,)))
    with open_device(NAME, inventory) as opened:
        yield opened


@pytest.fixture(scope="module")
def both(device):
    """This machine and that one."""
    with LocalDevice() as host:
        yield host, device


@pytest.fixture(scope="session")
def arm_cpu():
    return targets.load("arm-cpu")


class Case:
    """A model's file and its samples."""

    def __init__(self, name, folder):
        self.folder = folder
        self.file, self.samples = folder / f"{name}.onnx", folder / f"{name}.npz"
        MODELS[name](self.file)
        np.savez(self.samples, x=samples(name))
        self.model = graph.load(self.file)
        self.data = open_data(self.samples, self.model)

    def int8(self, placement, target):
        """Write the int8 form that the pass makes without a device, and return its file."""
        context = passes.Context(
            target=target,
            data=self.data,
            latencies_of=lambda _models, _effort: None,
            workspace=self.folder,
        )
        simple = passes.Simplify().apply(self.model, context).model
        outcome = passes.Quantize(explain=False, placement=placement).apply(simple, context)
        assert outcome.changed, outcome.skipped
        assert outcome.facts["quantized units"] > 0
        graph.save(outcome.model, self.folder / f"{placement}.onnx")
        return self.folder / f"{placement}.onnx"


@pytest.fixture(scope="session")
def case(tmp_path_factory):
    """The case of a kind of model, made once."""
    return functools.cache(lambda name: Case(name, tmp_path_factory.mktemp(name)))
