"""All of it, through the native door."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import onnx_ir as ir
import pytest

from edgekit import applying, deriving, graph, students, units
from edgekit.cli.main import cli
from edgekit.distillation import distilling
from edgekit.distillation.recipe import Recipe
from edgekit.errors import EdgekitError, MissingExtraError, ModelError, UsageError
from edgekit.interpreter import extra
from edgekit.measurement import Interval


@pytest.fixture
def files(teacher, student, data, tmp_path):
    graph.save(teacher, tmp_path / "teacher.onnx")
    graph.save(student, tmp_path / "student.onnx")
    return tmp_path


def distil(files, *more, teacher="teacher.onnx", student="student.onnx", data="data.npz"):
    """Run `edgekit distill` and return its exit code, or raise what it would say."""
    line = [
        "distill",
        "--teacher",
        files / teacher,
        "--data",
        files / data,
        "-o",
        files / "out.onnx",
    ]
    line += [
        "--student",
        student if ":" in student or student in {"auto", "low-rank"} else files / student,
    ]
    return cli.main(args=[*map(str, line), *more], standalone_mode=False)


def test_the_graph_keeps_its_nodes_and_gets_new_weights(files, student):
    pytest.importorskip("torch")
    assert distil(files, "--epochs", "4", "--learning-rate", "3e-3", "--batch", "16") == 0
    made = graph.load(files / "out.onnx")
    assert [node.op_type for node in made.ir.graph] == [node.op_type for node in student.ir.graph]
    weights = made.ir.graph.initializers
    assert weights.keys() == student.ir.graph.initializers.keys()
    before = student.ir.graph.initializers["w1"].const_value.numpy()
    assert not np.allclose(weights["w1"].const_value.numpy(), before)
    assert not (files / "out.onnx.training").exists()


def test_a_bad_learning_rate_is_rolled_back_and_said(files, capsys):
    pytest.importorskip("torch")
    code = distil(files, "--epochs", "1", "--learning-rate", "1e6", "--no-augment")
    assert code == 3
    assert "rolled back: held-out answers came no nearer" in capsys.readouterr().err
    assert (files / "out.onnx").exists()


def test_a_part_alone_is_replaced_and_trained(files, capsys):
    pytest.importorskip("torch")
    more = ["--replace", "conv2..relu2", "--epochs", "4", "--learning-rate", "3e-3"]
    assert distil(files, *more, student="auto") == 0
    made, whole = (graph.load(files / name) for name in ("out.onnx", "teacher.onnx"))
    weights, before = made.ir.graph.initializers, whole.ir.graph.initializers
    assert "conv2/depthwise" in weights
    assert (weights["w1"].const_value.numpy() == before["w1"].const_value.numpy()).all()
    told = capsys.readouterr().err
    assert "convolutions made separable: 1" in told
    assert "distance of held-out outputs at the start" in told


def test_layers_of_the_teacher_are_split_and_trained(files, capsys):
    pytest.importorskip("torch")
    more = ["--keep-macs", "0.9", "--epochs", "2", "--learning-rate", "1e-3"]
    assert distil(files, *more, student="low-rank") == 0
    assert "conv2/into" in graph.load(files / "out.onnx").ir.graph.initializers
    assert "layers made low-rank: 1" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["parameters", "latency"])
def test_a_student_is_derived_to_other_budgets(files, monkeypatch, capsys, what):
    """A device on which a multiply-add takes a nanosecond."""
    pytest.importorskip("torch")
    one = {"x": (1, 1, 16, 16)}

    def latencies(_asking, models, _effort):
        found = [graph.costs(model, one).macs * 1e-9 for model in models]
        return [Interval(low=s, value=s, high=s, confidence=0.95) for s in found]

    monkeypatch.setattr(applying.Latencies, "__call__", latencies)
    whole = graph.costs(graph.load(files / "teacher.onnx"), one)
    limit = ["--keep-params", "0.6"]
    if what == "latency":
        limit = ["--max-latency", f"{0.6 * whole.macs:.0f}ns"]
    more = [*limit, "--epochs", "1", "--learning-rate", "1e-4"]
    assert distil(files, *more, student="auto") in {0, 3}
    made = graph.costs(graph.load(files / "out.onnx"), one)
    told = capsys.readouterr().err
    if what == "latency":
        assert made.macs <= 0.6 * whole.macs
        assert f"latency reached, us: {made.macs / 1e3:.1f}" in told
    else:
        assert made.parameters <= 0.6 * whole.parameters
        assert f"parameters kept: {units.percent(made.parameters / whole.parameters)}" in told


@pytest.mark.slow
def test_a_student_is_pruned_and_trained_in_rounds(files, capsys):
    pytest.importorskip("torch")
    more = ["--keep-macs", "0.4", "--rounds", "2", "--epochs", "1", "--learning-rate", "1e-4"]
    assert distil(files, *more, student="auto") in {0, 3}
    made, whole = (graph.load(files / name) for name in ("out.onnx", "teacher.onnx"))
    one = {"x": (1, 1, 16, 16)}
    assert graph.costs(made, one).macs <= 0.4 * graph.costs(whole, one).macs
    assert "rounds: 2" in capsys.readouterr().err
    assert not (files / "out.onnx.training").exists()


@pytest.mark.parametrize("rounds", [1, 3])
def test_the_time_allowed_is_that_of_pruning_too(files, monkeypatch, rounds):
    """Of a minute a round 70 s went before the last one, beside those of the others."""
    pytest.importorskip("torch")
    asked, clock = [], iter([0.0, 70.0 + 60 * (rounds - 1), 0.0])
    monkeypatch.setattr(students, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(students, "pruned", lambda *_: (graph.load(files / "student.onnx"), {}))

    def taught(*_given, spent_s, **_named):
        asked.append(spent_s)
        raise ModelError("enough")

    monkeypatch.setattr(students, "taught", taught)
    options = ("--keep-macs", "0.5", "--minutes", f"{rounds}", "--rounds", f"{rounds}")
    with pytest.raises(ModelError, match="enough"):
        distil(files, *options, student="auto")
    assert asked == [70.0]


@pytest.mark.parametrize("changed", ["teachers", "shape", None])
def test_what_was_pruned_is_used_again_for_the_same_call_alone(files, monkeypatch, changed):
    pytest.importorskip("torch")
    shutil.copy(files / "teacher.onnx", files / "second.onnx")
    small, pruned = graph.load(files / "student.onnx"), []

    def applied(step, model, context):
        if step.name != "prune":
            return applying.apply(step, model, context)
        pruned.append(step)
        return small, SimpleNamespace(changed=True)

    def taught(model, _teachers, _data, folder, *_given, **_named):
        folder.mkdir(parents=True)
        return SimpleNamespace(model=model)

    def ended(*_given, **_named):
        raise ModelError("enough")

    monkeypatch.setattr(deriving, "apply", applied)
    monkeypatch.setattr(deriving, "taught", taught)
    monkeypatch.setattr(students, "taught", ended)
    more = ["--teacher", f"{files}/second.onnx", "--keep-macs", "0.1", "--rounds", "2"]
    with pytest.raises(ModelError, match="enough"):
        distil(files, *more, student="auto")
    before = len(pruned)
    if changed == "teachers":
        graph.save(small, files / "second.onnx")
    if changed == "shape":
        more += ["--shape", "x=2x1x16x16"]
    with pytest.raises(ModelError, match="enough"):
        distil(files, *more, student="auto")
    assert before
    assert len(pruned) == before * (2 if changed else 1)


def test_a_limit_that_is_kept_already_leaves_no_folder(files):
    pytest.importorskip("torch")
    with pytest.raises(UsageError, match="within the budget already"):
        distil(files, "--max-latency", "10s", student="auto")
    assert not list(files.glob("out.onnx*"))


def test_what_each_teacher_counts_for_is_said(files, teacher, capsys):
    pytest.importorskip("torch")
    noisy = graph.load(files / "teacher.onnx")
    head = noisy.ir.graph.initializers["w3"]
    head.const_value = ir.tensor(head.const_value.numpy()[..., ::-1].copy(), name="w3")
    graph.save(teacher, files / "same.onnx")
    graph.save(noisy, files / "noisy.onnx")
    more = [word for name in ("same", "noisy") for word in ("--teacher", f"{files}/{name}.onnx")]
    distil(files, *more, "--epochs", "1", "--learning-rate", "3e-3", "--no-augment")
    assert (
        "teachers' weights for logits, plain: 0.5 teacher.onnx, 0.5 same.onnx, noisy.onnx not asked"
        in " ".join(capsys.readouterr().err.split())
    )


@pytest.mark.slow
def test_a_torch_module_is_exported_and_learns(files, monkeypatch):
    pytest.importorskip("torch")
    (files / "own_student.py").write_text(
        "from torch import nn\n\n\ndef made():\n"
        "    return nn.Sequential(nn.Conv2d(1, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(),"
        " nn.Flatten(), nn.Linear(392, 5))\n"
    )
    monkeypatch.chdir(files)
    assert distil(files, "--epochs", "4", student="own_student:made") == 0
    made = graph.load(files / "out.onnx")
    assert [spec.name for spec in made.outputs] == ["logits"]
    assert [node.op_type for node in made.ir.graph] == ["Conv", "Relu", "Flatten", "Gemm"]


def test_a_call_that_makes_no_sense_is_one_line(files, make, monkeypatch):
    graph.save(make(6, 1, classes=7), files / "other.onnx")
    np.savez(files / "empty.npz", x=np.zeros((0, 1, 16, 16), "f4"))
    pytest.importorskip("torch")
    for more, given, message in (
        ([], {"student": "other.onnx"}, "teacher and student have different outputs"),
        ([], {"data": "empty.npz"}, "holds no samples"),
        (
            ["--keep-macs", "0.5"],
            {},
            "found --keep-macs 0.5, expected no budget",
        ),
        (
            [],
            {"student": "auto"},
            "no budget, expected --keep-macs or --keep-params or --max",
        ),
        (
            ["--keep-macs", "0.5", "--max-latency", "8ms"],
            {"student": "auto"},
            "found --keep-macs 0.5 and --max-latency 0.008, expected",
        ),
        (["--keep-params", "0.5"], {"student": "low-rank"}, "--student low-rank: .*--keep-params"),
        (["--keep-params", "2"], {"student": "auto"}, "--keep-params: the share is out of range"),
        (["--max-latency", "-1ms"], {"student": "auto"}, "--max-latency: no possible latency"),
        (["--device", "nowhere"], {}, "unknown device 'nowhere'"),
        (["--output-weight", "boxes=2"], {}, "the student has no float output 'boxes'"),
        (["--output-weight", "logits"], {}, "--output-weight: cannot read the number"),
        (["--output-weight", "logits=0"], {}, "nothing would be learnt .found 0 for every output"),
        (["--output-weight", "logits=nan"], {}, "output_weights: logits: out of range"),
        (
            ["--output-weight", "logits=2", "--replace", "conv2..relu2"],
            {"student": "auto"},
            "output_weights: goes with a whole student",
        ),
        (["--rounds", "2"], {}, "--rounds: goes with a whole student that is auto"),
        (
            ["--replace", "conv2..relu2"],
            {"student": "low-rank"},
            "goes with one teacher and a student that is auto or an ONNX file",
        ),
        (["--feature", "c11"], {}, "student.onnx has no value 'c11'; did you mean 'c1'"),
        (["--feature", "r1=b"], {}, "teacher.onnx has no value 'b'"),
        (["--feature", "r1=r2"], {}, "other places than the student's"),
        (["--labels", "2"], {}, "labels: out of range"),
        (["--weight", "1", "--weight", "2"], {}, "not one weight a teacher"),
        ([], {"student": "nowhere:made"}, "cannot find 'nowhere:made'"),
    ):
        with pytest.raises(EdgekitError, match=message) as caught:
            distil(files, *more, **given)
        assert caught.value.exit_code == 2
        assert "\n" not in str(caught.value)
    monkeypatch.setattr(extra.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"distill: needs torch.*edgekit-sdk\[train\]"):
        distil(files)


def test_operators_that_are_not_covered_are_named(student, teacher, data, tmp_path):
    pytest.importorskip("torch")
    edited = student.editable()
    next(node for node in edited.graph if node.op_type == "Relu").op_type = "Unheard"
    with pytest.raises(ModelError, match=r"torch cannot run here \(found Unheard \(1\)\)"):
        distilling.taught(
            replace(student, ir=edited),
            [teacher],
            data,
            tmp_path / "work",
            Recipe(),
            progress=lambda *_: None,
        )
