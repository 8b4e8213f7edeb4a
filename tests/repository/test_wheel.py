"""What is in the wheel, and how large it is."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LARGEST_BYTES = 5_000_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
    )
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def members(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_it_is_small(wheel):
    assert wheel.stat().st_size < LARGEST_BYTES


def test_it_is_called_edgekit_sdk(wheel):
    assert wheel.name.startswith("edgekit_sdk-")


@pytest.mark.parametrize("kind", ["targets", "profiles"])
def test_every_target_and_profile_is_in_it(members, kind):
    shipped = {f"edgekit/_data/{kind}/{path.name}" for path in (ROOT / kind).glob("*.toml")}
    assert len(shipped) >= 2
    assert shipped <= members


def test_the_sample_is_in_it(members):
    files = {"model.onnx", "calibration.npz", "test.npz", "NOTICE"}
    assert {f"edgekit/sample/{name}" for name in files} <= members


def test_every_module_is_in_it_and_nothing_else(members):
    modules = {str(p.relative_to(ROOT)) for p in (ROOT / "edgekit").rglob("*.py")}
    assert modules <= members
    assert "edgekit/py.typed" in members
    tops = {name.split("/")[0] for name in members}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"edgekit"}
    assert not {name for name in members if "__pycache__" in name or name.endswith(".pyc")}


def test_it_carries_the_licence(members):
    assert [name for name in members if name.endswith("licenses/LICENSE")]
