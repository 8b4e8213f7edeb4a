"""On the terminal: channel groups, and what one step did."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from edgekit.candidate import Skip, StepRecord
from edgekit.pruning.listing import ChannelGroups, ListedGroup
from edgekit.report import console


def on_terminal(renderable, *, width=100):
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=True, color_system=None).print(renderable)
    return out.getvalue()


def group(name="conv1", *, pinned_by=None, **options):
    given = {
        "channels": 16,
        "width": 1,
        "made_by": (name, "down", "other"),
        "read_by": ("conv2",),
        "half": 8,
        "half_saves_macs": 250,
        "half_saves_parameters": 40,
    }
    return ListedGroup(name=name, pinned_by=pinned_by, **{**given, **options})


def groups(*found, macs=1000):
    return ChannelGroups(
        multiple=16, macs=macs, parameters=200, least_macs=100, least_parameters=10, groups=found
    )


def test_groups_show_what_half_would_save():
    text = on_terminal(console.groups(groups(group(), group("attention", width=9))))
    row = next(line for line in text.splitlines() if "conv1" in line)
    assert row.split() == ["conv1", "down", "+1", "conv2", "16", "8", "25.00", "%"]
    assert "16 x 9" in text
    assert (
        "2 groups with 32 channels, 0 pinned; half: rounded to what kernels that block by 16 like"
        in " ".join(text.split())
    )
    assert "10.00 % of the multiply-adds and 5.00 % of the parameters" in " ".join(text.split())


def test_pinned_groups_say_where_and_why():
    there = Skip(where="norm", reason="LayerNormalization: normalizes over the channels")
    here = Skip(where="head", reason="Gemm: makes a graph output")
    found = groups(group("stem", pinned_by=there), group("head", pinned_by=here))
    text = on_terminal(console.groups(found))
    assert "pinned: stem (16): LayerNormalization: normalizes over the channels, at norm\n" in text
    assert "pinned: head (16): Gemm: makes a graph output\n" in text
    assert "saves" not in text.partition("pinned")[0]


def test_a_model_without_multiply_adds_has_no_share():
    assert "100.00 % of the multiply-adds" in on_terminal(console.groups(groups(macs=0)))


def test_a_record_shows_counts_shares_and_what_was_left_alone():
    record = StepRecord(
        name="prune",
        facts={
            "multiply-adds kept": 0.4983,
            "groups": 7,
            "relative error": 0.0123456,
            "criterion": "obs",
            "counts": {"conv1": "16 -> 8"},
            "blocks removed": ["add1", "add2"],
            "ways tried": {"by loss": {"latency ratio": 0.5}},
        },
        skipped=tuple(Skip(where=f"n{i}", reason="pinned") for i in range(23)),
    )
    text = on_terminal(console.record(record))
    for line in ("multiply-adds kept: 49.83 %", "groups: 7", "relative error: 0.01235"):
        assert line in text
    assert "blocks removed: add1, add2" in text
    assert "ways tried" not in text
    assert "16 -> 8" in text
    assert text.count("left alone: ") == 20
    assert "... and 3 more" in text


@pytest.mark.parametrize("name", ["[red]x[/red]", "\x1b[31mred\x00", "[link=http://x]y[/link]"])
def test_hostile_names_stay_text(name):
    skip = Skip(where=name, reason=name)
    found = groups(group(name, made_by=(name, name), read_by=(name,)), group(pinned_by=skip))
    record = StepRecord(name=name, facts={name: name, "counts": {name: name}}, skipped=(skip,))
    for renderable in (console.groups(found), console.record(record)):
        text = on_terminal(renderable, width=300)
        assert "\x1b" not in text
        assert "\x00" not in text
        if name.isprintable():
            assert name in text
