"""What `profile` and `gate` tell beyond the figures."""

import dataclasses
import json

import pytest

from edgekit import bench, measuring, profiling
from edgekit.bench import Divergence
from edgekit.report import json_document


@pytest.fixture
def untimed(monkeypatch):
    """Leave out the blocks, which other tests measure."""
    monkeypatch.setattr(profiling, "compare", lambda *_: ())


@pytest.mark.usefixtures("untimed")
def test_profile_tells_layers_the_steady_state_and_whether_the_device_answers_alike(
    edgekit, tmp_path, small_model, small_data
):
    options = ("--per-layer", "--sustain", "1s", "--eval", small_data)
    ran = edgekit("profile", small_model, *options, "--json", "m.json", "--html", "-")
    assert ran.code == 0, ran.err
    assert "at best" in ran.err
    assert "sustained for 1 s" in ran.err
    assert "answers like this host" in ran.err
    assert "<svg" in ran.out
    assert "Time by layer" in ran.out
    measured = json.loads((tmp_path / "m.json").read_text())
    assert measured["layers"]["roofline"]["bytes_per_s"] > 0
    assert len(measured["sustained"]["windows"]) > 1


@pytest.mark.usefixtures("untimed")
@pytest.mark.parametrize(
    ("first", "told"),
    [
        (
            Divergence(tensor="t7", node="conv3", op_type="Conv", difference=0.031),
            "first tensor that differs is t7, of Conv conv3: by 0.031",
        ),
        (None, "no tensor does by itself"),
    ],
)
def test_profile_names_the_first_tensor_that_differs(  # noqa: PLR0917  # fixtures
    edgekit, monkeypatch, small_model, small_data, first, told
):
    monkeypatch.setattr(measuring, "layers", lambda _job: None)
    monkeypatch.setattr(bench, "output_difference", lambda *_, **__: 0.3)
    monkeypatch.setattr(bench, "first_difference", lambda *_, **__: first)
    ran = edgekit("profile", small_model, "--per-layer", "--eval", small_data)
    assert ran.code == 0, ran.err
    text = " ".join(ran.err.split())
    assert "does not answer like this host: outputs differ by 0.3" in text
    assert told in text


@pytest.mark.parametrize("said", ["10", "soon", "-5m", "0s", "3d"])
def test_how_long_to_sustain_must_be_a_time(edgekit, small_model, said):
    ran = edgekit("profile", small_model, f"--sustain={said}")
    assert ran.code == 2
    assert "10m" in ran.error_line


def test_gate_annotates_a_run_of_github_actions(edgekit, tmp_path, make):
    file = tmp_path / "measured.json"
    file.write_text(json_document(make.measurement(blocks=make.blocks(10))))
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    ran = edgekit(
        "gate",
        file,
        "--budget=latency.p50<=1ns",
        "--budget=accuracy.drop<=1pt",
        "--json=-",
        GITHUB_ACTIONS="true",
        GITHUB_STEP_SUMMARY=str(summary),
    )
    assert ran.code == 1
    commands = [line for line in ran.err.splitlines() if line.startswith("::")]
    assert [line.partition(" ")[0] for line in commands] == ["::error", "::warning"]
    assert json.loads(ran.out)["ruling"] == "fail"
    assert summary.read_text().startswith("before\n# quantize: fail")


def test_gate_tells_the_command_that_would_settle_it(edgekit, tmp_path, make):
    recorded = make.measurement(blocks=make.blocks(2, samples=600))
    (tmp_path / "few.json").write_text(json_document(recorded))
    limits = ("--budget=latency.p95<=1s", "--budget=latency.mean<=11ms", "--budget=size<=1B")
    few = edgekit("gate", "few.json", *limits)
    more = "--budget 'latency.p95<=1s' --budget 'latency.mean<=11ms'"
    alike = "--shape x=1x1x28x28"
    assert f"next: edgekit profile MODEL {alike} {more} --json few.json\n" in few.err
    over = edgekit("gate", "few.json", *limits, "--json", "few.json")
    assert (over.code, f"{more} --json few.json\n" in over.err) == (few.code, True)
    setup = dataclasses.replace(
        recorded.setup, device="orin-1", threads=4, shapes={"x": (1, 3, 64, 64)}
    )
    remote = dataclasses.replace(recorded, setup=setup)
    (tmp_path / "few.json").write_text(json_document(remote))
    few = edgekit("gate", "few.json", *limits)
    alike = "--device orin-1 --threads 4 --shape x=1x3x64x64"
    assert f"edgekit profile MODEL {alike} {more} --json few.json" in few.err
    clear = edgekit("gate", "few.json", "--budget=size<=1B")
    assert (clear.code, "next:" in clear.err) == (1, False)


def test_gate_says_nothing_to_github_elsewhere(edgekit, tmp_path, make, monkeypatch):
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "measured.json"
    file.write_text(json_document(make.measurement(blocks=make.blocks(10))))
    assert "::error" not in edgekit("gate", file, "--budget=latency.p50<=1ns").err


def test_a_summary_that_cannot_be_written_is_told(edgekit, tmp_path, make):
    file = tmp_path / "measured.json"
    file.write_text(json_document(make.measurement(blocks=make.blocks(10))))
    ran = edgekit("gate", file, "--budget=size<=1B", GITHUB_STEP_SUMMARY=str(tmp_path))
    assert "cannot be written" in ran.error_line
