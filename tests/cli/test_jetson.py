"""`--target jetson` on a host that is none: bundle, lint, simulated accuracy, nothing timed."""

import json

import onnx
import pytest


@pytest.fixture(scope="module")
def made(tmp_path_factory, edgekit_in, small_model, small_data):
    folder = tmp_path_factory.mktemp("jetson")
    ran = edgekit_in(
        folder,
        *("optimize", small_model, "--target", "jetson", "--data", small_data),
        *("--eval", small_data, "--out", folder / "b", "--json", "-"),
    )
    return folder / "b", ran


def test_it_is_inconclusive(made):
    _, ran = made
    assert ran.code == 3, ran.err


def test_the_bundle_is_complete(made):
    bundle, _ = made
    names = {path.name for path in bundle.iterdir()}
    assert names == {"model.onnx", "manifest.json", "measurements.json", "report.html", "report.md"}
    onnx.checker.check_model(str(bundle / "model.onnx"), full_check=True)


def test_the_lint_is_clean(made):
    _, ran = made
    assert json.loads(ran.out)["lint"] == []


def test_an_fp16_form_is_among_the_candidates(made):
    _, ran = made
    names = [candidate["name"] for candidate in json.loads(ran.out)["candidates"]]
    assert "fp16" in names
    assert "quantize-unpruned" in names


def test_no_latency_stands_anywhere(made):
    bundle, ran = made
    document = json.loads((bundle / "measurements.json").read_text())
    for measurement in document["measurements"]:
        assert measurement["blocks"] == []
        assert measurement["null_blocks"] == []
        assert measurement["setup"]["device"] is None
        assert measurement["accuracy"]["simulated"]
    for verdict in json.loads(ran.out)["verdicts"]:
        for check in verdict["checks"]:
            if (
                check["budget"]["metric"].startswith("latency")
                and verdict["candidate"] != "original"
            ):
                assert check["ruling"] == "inconclusive"
                assert check["interval"] is None
    for text in (
        ran.err,
        (bundle / "report.md").read_text(),
        (bundle / "report.html").read_text(),
    ):
        for unit in (" ms", " µs", " ns"):
            assert unit not in text, text


def test_the_next_command_is_printed(made):
    bundle, ran = made
    line = next(line for line in ran.err.splitlines() if line.startswith("next: "))
    assert f"edgekit profile {bundle}" in line.replace("\n", "")
    assert "jetson" in line
