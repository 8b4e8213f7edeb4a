"""Without torch: one line that says how to get it."""

from __future__ import annotations

import pytest

from edgekit.errors import MissingExtraError
from edgekit.interpreter import extra


def test_without_torch_one_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(extra.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError) as caught:
        extra.require_torch("criterion taylor")
    assert str(caught.value) == (
        "criterion taylor: needs torch, which is not installed; pip install 'edgekit-sdk[train]'"
    )
    assert caught.value.exit_code == 2


def test_with_torch_nothing_is_said():
    pytest.importorskip("torch")
    extra.require_torch("criterion taylor")
