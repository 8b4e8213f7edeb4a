"""What a bundle holds, what is refused, and what verifying finds."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace

import onnx
import pytest

from edgekit import bundle
from edgekit.errors import ModelError, OutputError, UsageError


def test_what_was_written_is_read(model, result, place):
    assert bundle.write(place, result, model, reports={"report.md": "# ok\n"}) == place
    found = bundle.read(place)
    assert found.result.chosen == "quantize"
    assert found.result.measurements == result.measurements
    assert found.result.verdicts == result.verdicts
    assert found.result.chosen_candidate.steps[0].facts == {"share": 0.5, "units": 3}
    assert found.model.read_bytes() == model.read_bytes()
    assert sorted(path.name for path in place.iterdir()) == [
        "manifest.json",
        "measurements.json",
        "model.onnx",
        "report.md",
    ]
    assert bundle.verify(place) == []
    assert bundle.is_finished(place)


def test_the_manifest_hashes_every_file_and_names_no_folder_of_this_machine(
    model, result, place, tmp_path
):
    bundle.write(place, result, model)
    text = (place / "manifest.json").read_text()
    manifest = json.loads(text)
    assert (manifest["kind"], manifest["schema_version"]) == ("bundle", 1)
    assert "measurements" not in manifest
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((place / name).read_bytes()).hexdigest() == digest
    assert str(tmp_path) not in text


def test_external_data_comes_along(tmp_path, place, save_external):
    file, result = save_external("sub/weights.bin")
    bundle.write(place, result, file)
    assert (place / "sub" / "weights.bin").is_file()
    assert bundle.verify(place) == []
    loaded = onnx.load(bundle.read(place).model)
    assert loaded.graph.initializer[0].dims == [4]
    (place / "sub" / "weights.bin").write_bytes(b"\0" * 16)
    assert "sub/weights.bin: changed" in bundle.verify(place)[0]


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "measurements.json"])
def test_external_data_cannot_take_the_name_of_evidence(place, save_external, name):
    file, result = save_external(name)
    with pytest.raises(ModelError, match="external data cannot lie in a bundle"):
        bundle.write(place, result, file)
    assert list(place.parent.iterdir()) == []


def test_a_model_that_changed_meanwhile_is_refused(model, result, place, save_other):
    save_other(model)
    with pytest.raises(ModelError, match="changed while it was measured"):
        bundle.write(place, result, model)
    assert list(place.parent.iterdir()) == []


def test_a_finished_bundle_is_kept_without_force(model, result, place):
    bundle.write(place, result, model)
    before = _content(place)
    with pytest.raises(OutputError, match="replace it with --force"):
        bundle.write(place, result, model)
    assert _content(place) == before
    bundle.write(place, replace(result, notes=("second",)), model, force=True)
    assert bundle.read(place).result.notes == ("second",)
    assert [path.name for path in place.parent.iterdir()] == [place.name]


def test_what_is_no_bundle_is_never_replaced(model, result, place):
    place.mkdir()
    bundle.write(place, result, model)
    (place / "diary.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"holds files that are not the bundle's.*diary"):
        bundle.write(place, result, model, force=True)
    (place / "manifest.json").unlink()
    with pytest.raises(OutputError, match="a folder that is no bundle lies there"):
        bundle.write(place, result, model, force=True)
    assert (place / "diary.txt").read_text() == "mine"


def test_places_that_cannot_be(model, result, place, tmp_path):
    place.write_text("a file")
    with pytest.raises(OutputError, match="is not a folder"):
        bundle.write(place, result, model, force=True)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "out")
    with pytest.raises(OutputError, match="is a link"):
        bundle.write(link, result, model, force=True)
    with pytest.raises(OutputError, match="no such folder"):
        bundle.write(tmp_path / "absent" / "b", result, model)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(model, result, place):
    place.parent.chmod(0o555)
    with pytest.raises(OutputError, match="cannot be written"):
        bundle.check_out(place, force=False)


@pytest.mark.parametrize(
    ("tamper", "problem"),
    [
        (lambda p: (p / "model.onnx").write_bytes(b"x"), "model.onnx: changed"),
        (lambda p: (p / "measurements.json").unlink(), "measurements.json: missing"),
        (lambda p: (p / "more.txt").write_text("x"), "more.txt: not in the manifest"),
        (lambda p: (p / "sub").mkdir() or (p / "sub/a").write_text(""), "sub/a: not in"),
        (lambda p: _to_link(p / "model.onnx"), "model.onnx: a link"),
        (lambda p: (p / "l").symlink_to("/etc"), "l: a link"),
        (lambda p: os.mkfifo(p / "pipe"), "pipe: a device"),
    ],
)
def test_tampering_is_found_and_refused(model, result, place, tamper, problem):
    bundle.write(place, result, model)
    tamper(place)
    assert any(problem in line for line in bundle.verify(place))
    with pytest.raises(UsageError, match="not as it was written"):
        bundle.read(place)


def _to_link(file):
    moved = file.parent.parent / "elsewhere"
    file.rename(moved)
    file.symlink_to(moved)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no manifest"),
        ("", "not valid JSON"),
        ("[]", "not an object"),
        ("{}", "not the manifest of a bundle"),
        ('{"kind": "bundle", "files": {"model.onnx": 3}}', "not the manifest of a bundle"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_no_manifest_means_no_bundle(model, result, place, content, message):
    bundle.write(place, result, model)
    (place / "manifest.json").unlink()
    if content is not None:
        (place / "manifest.json").write_text(content)
    assert not bundle.is_finished(place)
    for function in (bundle.read, bundle.verify):
        with pytest.raises(UsageError, match=message) as caught:
            function(place)
        assert "\n" not in str(caught.value)


def test_a_manifest_that_names_another_model_is_refused(model, result, place):
    bundle.write(place, result, model)
    file = place / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["candidates"][1]["sha256"] = "f" * 64
    file.write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match="not the one that was measured"):
        bundle.read(place)


def test_unknown_fields_are_ignored_and_newer_schemas_refused(model, result, place):
    bundle.write(place, result, model)
    file = place / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["plan"]["colour"] = manifest["verdicts"][0]["checks"][0]["budget"]["new"] = "blue"
    file.write_text(json.dumps(manifest))
    assert bundle.read(place).result.plan.profile == "quantize-only"
    file.write_text(json.dumps({**manifest, "schema_version": 99}))
    with pytest.raises(UsageError, match="upgrade edgekit"):
        bundle.read(place)


def test_reports_have_plain_names(model, result, place):
    for name in ("../evil", "a/b", ".hidden", "manifest.json"):
        with pytest.raises(ValueError, match="not the name of a report"):
            bundle.write(place, result, model, reports={name: ""})
    assert list(place.parent.iterdir()) == []


def _content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}
