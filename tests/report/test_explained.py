"""The table of layers: in HTML, Markdown and on the terminal, escaped, worst first."""

from dataclasses import replace

import pytest
from rich.console import Console

from edgekit.candidate import StepRecord
from edgekit.report import explained, html, markdown
from edgekit.result import Finding


def layer(unit, *, int8=True, loss=30.0, **fields):
    given = {
        "kind": "dense",
        "loss_db": loss,
        "now_db": 44.25,
        "changed_answers_pt": 0.5,
        "int8": int8,
        "cause": "outlier channel",
        "why": "channel 5 of t reaches 50 times the others",
        "made_by": unit,
        "figures": {"channel": 5, "times the median": 50.0},
        "remedy": "channels scaled",
        "saves_us": 12.34,
    }
    return {unit: {**given, **fields}}


@pytest.fixture
def result(make_result):
    return make_result()


@pytest.fixture
def told(result):
    layers = layer("conv<b>1</b>", loss=12.0) | layer("conv|2", int8=False, now_db=None)
    for i in range(12):
        layers |= layer(f"more{i}", loss=None, saves_us=None)
    candidates = list(result.candidates)
    chosen = result.chosen_candidate
    steps = (
        *chosen.steps[:-1],
        replace(chosen.steps[-1], facts={**chosen.steps[-1].facts, explained.FACT: layers}),
    )
    candidates[candidates.index(chosen)] = replace(chosen, steps=steps)
    return replace(result, candidates=tuple(candidates))


def test_the_page_lists_layers_worst_first(told):
    page = html.render(told)
    section = page[page.index('id="layers"') :]
    assert section.index("conv&lt;b&gt;1") < section.index("conv|2") < section.index("more11")
    assert "<b>outlier channel</b>: channel 5 of t reaches 50 times the others" in section
    assert "channels scaled" in section
    assert "12.0 dB" in section
    assert "saves 12.3 µs" in section
    assert "4 layers that cost less" in section
    assert "'figures'" not in page


def test_markdown_lists_them_too(told):
    text = markdown.render(told)
    assert "## Layers by what int8 costs there" in text
    assert "conv\\|2" in text
    assert "4 more cost less" in text


def test_without_an_explanation_there_is_no_section(result):
    assert 'id="layers"' not in html.render(result)
    assert "what int8 costs" not in markdown.render(result)


def test_the_terminal_shows_the_first(capsys):
    record = StepRecord(name="quantize", facts={explained.FACT: layer("conv1") | layer("conv2")})
    Console(width=160).print(explained.listing(record))
    lines = capsys.readouterr().out
    assert lines.index("conv1") < lines.index("conv2")
    assert "outlier channel: channel 5 of t reaches 50 times the others" in lines
    assert "channels scaled" in lines


def test_nothing_to_explain(capsys):
    Console().print(explained.listing(StepRecord(name="quantize")))
    assert "nothing to explain" in capsys.readouterr().out


def test_findings_that_say_the_same_stand_together(result):
    found = [
        Finding(severity="slow", where=f"conv{i}", what="it is slow", remedy="do less")
        for i in range(5)
    ]
    page = html.render(replace(result, lint=tuple(found)))
    assert page.count("it is slow") == 1
    assert "5 places" in page
    assert "do less" in page
    assert markdown.render(replace(result, lint=tuple(found))).count("it is slow") == 1
