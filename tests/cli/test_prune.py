"""`edgekit inspect --groups` and `edgekit prune`, as a user runs them."""

from __future__ import annotations

import json


def test_inspect_lists_groups_and_why_some_are_pinned(edgekit, tmp_path, small_model):
    ran = edgekit("inspect", small_model, "--groups", "--target", "x86", "--json", "i.json")
    assert ran.code == 0, ran.err
    for text in ("conv1", "pinned: head (10)", "graph output", "3 groups with 58 channels"):
        assert text in ran.err
    assert "next: edgekit prune" in ran.err
    document = json.loads((tmp_path / "i.json").read_text())["groups"]
    assert document["multiple"] == 16
    assert [group["name"] for group in document["groups"]] == ["conv1", "conv2", "head"]
    assert document["groups"][2]["pinned_by"]["where"] == "head"


def test_a_target_without_groups_says_what_is_missing(edgekit, small_model):
    ran = edgekit("inspect", small_model, "--target", "x86")
    assert ran.code == 2
    assert "--groups" in ran.error_line
