"""Targets and release profiles: found by name or path, and one line for whatever is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit import release, target
from edgekit.errors import UsageError
from edgekit.metrics import METRICS
from edgekit.release import Budget

SHIPPED = [*((target, name) for name in ("arm-cpu", "jetson", "x86"))]
PROFILES = ("accuracy-first", "balanced", "latency-first", "quantize-only", "size-first")
SHIPPED += [(release, name) for name in PROFILES]
PROFILE = """
schema = 1
name = "mine"
title = "My own"
steps = ["simplify", { name = "quantize", params = { method = "auto" } }]
objective = "latency.p50"
budgets = ["accuracy.drop<=0.5pt", "latency.p50.ratio<=1.0"]
"""
TARGET = """
schema = 1
name = "board"
title = "My board"
architectures = ["riscv64"]
providers = ["CPUExecutionProvider"]
runtimes = ["onnxruntime"]
formats = ["fp32"]
facts = []

[quantized]
activations = "int8"
symmetric_activations = false
bias = "int32"
quantize_residual_inputs = true
"""


@pytest.mark.parametrize(("module", "name"), SHIPPED)
def test_what_is_shipped_loads_and_is_called_as_its_file(module, name):
    assert name in module.names()
    assert module.load(name).name == name


def test_a_file_is_named_by_path(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(PROFILE)
    for named in (file, str(file)):
        found = release.load(named)
        assert [step.name for step in found.steps] == ["simplify", "quantize"]
        assert found.steps[1].params == {"method": "auto"}
        assert found.budgets[0].limit == 0.5


def test_the_search_path_holds_targets_and_profiles_together(tmp_path, monkeypatch):
    (tmp_path / "mine.toml").write_text(PROFILE)
    (tmp_path / "board.toml").write_text(TARGET)
    monkeypatch.setenv("EDGEKIT_PATH", f"{tmp_path / 'absent'}:{tmp_path}")
    assert "mine" in release.names()
    assert "mine" not in target.names()
    assert target.load("board").architectures == ("riscv64",)
    with pytest.raises(UsageError, match="unknown target 'mine'"):
        target.load("mine")


def test_the_users_own_comes_before_the_shipped(tmp_path, monkeypatch):
    (tmp_path / "quantize-only.toml").write_text(PROFILE)
    monkeypatch.setenv("EDGEKIT_PATH", str(tmp_path))
    assert release.load("quantize-only").name == "mine"


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UsageError, match=r"unknown target 'x68'; did you mean 'x86'\?"):
        target.load("x68")
    with pytest.raises(UsageError, match=r"did you mean 'quantize-only'\?"):
        release.load("quantise-only")
    with pytest.raises(UsageError, match=f"known: {', '.join(PROFILES)}"):
        release.load("zzzzzzzzz")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("objective", "objectiv", "objectiv: unknown key; did you mean 'objective'?"),
        ('name = "mine"\n', "", "missing key (expected 'name')"),
        ("schema = 1", "schema = 2", "schema: wrong value (found 2, expected 1)"),
        ("schema = 1", "", "missing key (expected 'schema')"),
        (
            "0.5pt",
            "0.5ms",
            "budgets[0]: accuracy.drop: wrong unit (found 'ms', expected one of 'pt', '%')",
        ),
        ("accuracy.drop", "accuracy.dorp", "unknown metric 'accuracy.dorp'"),
        ("drop<=", "drop>=", "budgets[0]: accuracy.drop is better when lower"),
        ("{ name", "{ nme", "steps[1].nme: unknown key; did you mean 'name'?"),
        ('"latency.p50"', '"latncy.p50"', "objective: unknown metric 'latncy.p50'"),
        ('"latency.p50"', '"latency.p50"\nmetric = "top2"', "metric: unknown task metric"),
        ('title = "My own"', "title = 3", "title: wrong value (found 3, expected string)"),
        ('["accuracy', '[1, "accuracy', "budgets[0]: wrong value (found 1, expected a table)"),
        ("title =", "title", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_key(tmp_path, old, new, message):
    file = tmp_path / "wrong.toml"
    assert old in PROFILE
    file.write_text(PROFILE.replace(old, new, 1))
    with pytest.raises(UsageError) as caught:
        release.load(file)
    line = str(caught.value)
    assert message in line
    assert line.startswith(f"{file}: ")
    assert "\n" not in line


def test_a_syntax_error_names_its_line(tmp_path):
    file = tmp_path / "wrong.toml"
    file.write_text('schema = 1\nname = "x"\ntitle "y"\n')
    with pytest.raises(UsageError, match="at line 3, column"):
        release.load(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe", "not text"),
        (b"a = " + b"[" * 5000, "nested too deeply"),
        (b"#" * 1_100_000, "too large"),
    ],
)
def test_files_that_are_no_toml(tmp_path, content, message):
    file = tmp_path / "wrong.toml"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        target.load(file)


def test_what_is_no_file(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        target.load(tmp_path / "absent.toml")
    with pytest.raises(UsageError, match="not a file"):
        target.load(Path(tmp_path))


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("latency.p95<=12ms", 0.012),
        ("latency.p95 <= 500us", 0.0005),
        ("latency.p50.ratio<=60%", 0.6),
        ("memory.peak<=64MiB", 64 * 2**20),
        ("size<=2MB", 2e6),
        ("throughput>=100/s", 100.0),
        ("accuracy.drop<=0.5%", 0.5),
        ("accuracy.drop<=-0.1pt", -0.1),
        ("energy<=1.5mJ", 0.0015),
        ("sqnr_db>=20dB", 20.0),
    ],
)
def test_budgets_have_units(text, limit):
    assert Budget.parse(text).limit == pytest.approx(limit)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latency.p95<12ms", "cannot read the budget"),
        ("latency.p95<=12", "found no unit"),
        ("latency.p95<=0ms", "no possible limit"),
        ("latency.p95<=-1ms", "no possible limit"),
        ("latency.p95<=1.2.3ms", "not a number"),
        ("latency.p95<=1e999ms", "no possible limit"),
        ("latency.p95>=1ms", "better when lower"),
        ("latency.p96<=1ms", "did you mean 'latency.p9"),
        ("", "cannot read the budget"),
        ("size<=2MiB; rm -rf", "cannot read the budget"),
    ],
)
def test_wrong_budgets_are_told_in_one_line(text, message):
    with pytest.raises(UsageError) as caught:
        Budget.parse(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_budget_may_be_a_table_with_options(tmp_path):
    file = tmp_path / "mine.toml"
    table = '{ text = "size<=2MiB", severity = "warn", confidence = 0.99 }'
    file.write_text(PROFILE.replace('"accuracy.drop<=0.5pt"', table))
    found = release.load(file).budgets[0]
    assert (found.metric, found.limit, found.severity, found.confidence) == (
        "size",
        2.0**21,
        "warn",
        0.99,
    )


def test_every_metric_can_be_a_budget():
    units = {"s": "1ms", "B": "1MiB", "1/s": "1/s", "J": "1J", "dB": "1dB", "pt": "1pt", "": "1"}
    for metric in METRICS:
        sign = "<=" if metric.better == "lower" else ">="
        assert Budget.parse(f"{metric.name}{sign}{units[metric.unit]}").metric == metric.name
