"""What a step made is used again, and only where it would come out the same."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx_ir as ir
import pytest

import edgekit
from edgekit import applying, graph, passes, reuse
from edgekit import target as targets
from edgekit.candidate import Skip
from edgekit.dataset import open_data


@dataclass(frozen=True)
class Quantize:
    """Stands for the pass: counts how often it is applied."""

    name: ClassVar[str] = "quantize"
    tolerance: ClassVar[float | None] = None
    applied: ClassVar[int] = 0

    def apply(self, model, _context):
        type(self).applied += 1
        renamed = model.editable()
        renamed.producer_name = "made"
        return passes.Outcome(
            model=graph.Model(ir=renamed, name=model.name),
            changed=True,
            skipped=(Skip(where="conv1", reason="why not"),),
            facts={"units": 3, "sqnr_db": None},
        )


@pytest.fixture
def step(monkeypatch):
    monkeypatch.setattr(Quantize, "applied", 0)
    return Quantize()


@pytest.fixture
def context_for(small_model, small_data, tmp_path):
    def make(data=small_data, **given):
        return passes.Context(
            **{
                "target": targets.load("x86"),
                "data": open_data(data, graph.load(small_model)),
                "latencies_of": lambda _models, _effort: None,
                "workspace": tmp_path,
                **given,
            }
        )

    return make


def entries():
    return sorted(Path(reuse._home()).glob("[!.]*"))


def test_the_second_time_nothing_is_done(step, small_model, context_for):
    model = graph.load(small_model)
    first, record = applying.apply(step, model, context_for())
    second, again = applying.apply(step, graph.load(small_model), context_for())
    assert step.applied == 1
    assert second.ir.producer_name == first.ir.producer_name == "made"
    assert second.name == model.name
    assert again.skipped == record.skipped
    assert again.facts == {**record.facts, "made before, in s": record.seconds}


@pytest.mark.parametrize(
    "other",
    [
        {"threads": 2},
        {"batch": 2},
        {"shapes": {"x": (1, 3, 16, 16)}},
        {"measured_on": {"cpu": "another"}},
        {"target": targets.load("jetson")},
    ],
    ids=lambda given: next(iter(given)),
)
def test_what_the_outcome_depends_on_is_part_of_the_key(other, step, small_model, context_for):
    model = graph.load(small_model)
    applying.apply(step, model, context_for())
    applying.apply(step, model, context_for(**other))
    assert step.applied == 2
    assert len(entries()) == 2


def test_one_sample_or_one_weight_more_is_another_entry(step, small_model, context_for, tmp_path):
    model = graph.load(small_model)
    context = context_for()
    applying.apply(step, model, context)
    rows = np.stack([sample["x"] for sample in context.data.samples()])
    rows[5, 0, 0, 0] += 1
    np.savez(tmp_path / "other.npz", x=rows)
    applying.apply(step, model, context_for(tmp_path / "other.npz"))
    edited = model.editable()
    weight = edited.graph.initializers["w1"]
    weight.const_value = ir.tensor(weight.const_value.numpy() * 2, name="w1")
    applying.apply(step, graph.Model(ir=edited, name=model.name), context)
    assert step.applied == 3


@pytest.mark.parametrize("file", ["record.json", "model.onnx"])
@pytest.mark.parametrize("harm", ["cut", "gone", "changed"])
def test_a_damaged_entry_counts_as_none(file, harm, step, small_model, context_for):
    model, context = graph.load(small_model), context_for()
    applying.apply(step, model, context)
    (entry,) = entries()
    damaged = entry / file
    content = damaged.read_bytes()
    if harm == "gone":
        damaged.unlink()
    elif harm == "cut":
        damaged.write_bytes(content[: len(content) // 2])
    elif file == "record.json":
        damaged.write_text(json.dumps({"name": 3}))
    else:
        damaged.write_bytes(content[:-20] + bytes(20))
    made, _record = applying.apply(step, model, context)
    assert step.applied == 2
    assert made.ir.producer_name == "made"
    applying.apply(step, model, context)
    assert step.applied == 2


def test_where_nothing_can_be_kept_it_is_made_each_time(
    step, small_model, context_for, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    for _ in range(2):
        made, _record = applying.apply(step, graph.load(small_model), context_for())
        assert made.ir.producer_name == "made"
    assert step.applied == 2


def test_the_entries_used_longest_ago_go(step, small_model, context_for, monkeypatch):
    size = small_model.stat().st_size
    monkeypatch.setattr(reuse, "_MOST_BYTES", int(2.5 * size))
    for threads in (1, 2, 3):
        applying.apply(step, graph.load(small_model), context_for(threads=threads))
    assert len(entries()) == 2
    applying.apply(step, graph.load(small_model), context_for(threads=3))
    assert step.applied == 3


def test_quantizing_twice_gives_the_same_file(small_model, small_data, tmp_path):
    files = [tmp_path / name for name in ("one.onnx", "two.onnx")]
    records = [
        edgekit.quantize(small_model, target="jetson", data=small_data, out=file) for file in files
    ]
    assert "made before, in s" not in records[0].facts
    assert records[1].facts["made before, in s"] == records[0].seconds
    assert records[1].skipped == records[0].skipped
    assert files[0].read_bytes() == files[1].read_bytes()
