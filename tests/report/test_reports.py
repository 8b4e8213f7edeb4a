"""Every report shows the same verdict, survives hostile names, and invents no figure."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from edgekit import report
from edgekit.candidate import Skip, StepRecord
from edgekit.judging import judge
from edgekit.report import REPORTS, console, html, junit, markdown
from edgekit.report import json as json_report
from edgekit.result import from_value, json_schema, json_text, read_measurement, read_result

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "[red]x[/red] [link=http://x]y[/link]",
    "| a | b |\n# heading\n[x](javascript:alert(1))",
    "\x1b[31mred\x00\x08",
    "`code` **bold** _it_",
    "{{ 7*7 }} {% for %}",
)


class Tags(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text.append(data)


def parsed(page):
    found = Tags()
    found.feed(page)
    return found


def xml(text):
    return ET.fromstring(text)  # noqa: S314  # our own output, read to check it


def hostile(result, name):
    """Put `name` wherever a model, a device or a user can put a string."""
    chosen = result.chosen_candidate
    skip = Skip(where=name, reason=name)
    renamed = replace(
        chosen,
        name=name,
        steps=(
            *chosen.steps,
            StepRecord(
                name=name,
                params={name: name},
                facts={name: [name]},
                skipped=(skip,),
            ),
        ),
    )
    measured = result.measurement_of(chosen.name)
    setup = replace(
        measured.setup, device=name, runtime=name, shapes={name: (1,)}, environment={name: name}
    )
    measured = replace(measured, candidate=name, setup=setup)
    verdict = judge(measured, result.plan.budgets)
    return replace(
        result,
        model=name,
        target=name,
        candidates=(*result.candidates[:2], renamed),
        measurements=(*result.measurements[:2], measured),
        verdicts=(*result.verdicts[:2], replace(verdict, remarks=(name,), null_reason=name)),
        chosen=name,
        reason=name,
        next_command=name,
        notes=(name,),
        lint=(replace(result.lint[0], where=name, what=name),),
    )


def on_terminal(renderable):
    out = io.StringIO()
    Console(file=out, width=140, force_terminal=True).print(renderable)
    return out.getvalue()


@pytest.mark.parametrize("module", REPORTS, ids=lambda m: m.__name__.rpartition(".")[2])
def test_every_report_is_text_that_names_every_candidate(module, make_result):
    text = module.render(make_result())
    assert isinstance(text, str)
    assert all(name in text for name in ("original", "simplify", "quantize"))


def test_the_html_page_is_whole_and_self_contained(make_result):
    result = make_result()
    page = html.render(result)
    found = parsed(page)
    assert not {"script", "link", "iframe", "img", "object"} & set(found.tags)
    assert not any(name.startswith("on") or name in {"src", "href"} for name, _ in found.attributes)
    assert "Candidate 'quantize' could not be judged fully." in " ".join(found.text)
    labels = [value for name, value in found.attributes if name == "aria-label"]
    assert found.tags.count("svg") == sum(label is not None for label in labels) - 2
    assert "accuracy.drop<=0.5pt: inconclusive" in labels
    assert len(page) < 100_000


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text_in_html(make_result, name):
    plain = parsed(html.render(make_result()))
    found = parsed(html.render(hostile(make_result(), name)))
    assert set(found.tags) == set(plain.tags)
    assert {name for name, _ in found.attributes} == {name for name, _ in plain.attributes}
    assert "".join(name.split()) in "".join("".join(found.text).split())
    assert "49" not in [text.strip() for text in found.text]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text_in_markdown(make_result, name):
    result = make_result()
    text = markdown.render(hostile(result, name))
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert len(headings) == len(
        [line for line in markdown.render(result).splitlines() if line.startswith("#")]
    )
    outside_code = re.sub(r"`[^`]*`", "", text)
    assert "<" not in re.sub(r"\\<", "", outside_code)
    assert "](" not in outside_code.replace("\\]", "")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3, 4, 10}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text_in_junit(make_result, name):
    root = xml(junit.render(hostile(make_result(), name)))
    assert [suite.get("name") for suite in root][:2] == ["original", "simplify"]
    assert {element.tag for element in root.iter()} <= {
        "testsuites",
        "testsuite",
        "testcase",
        "properties",
        "property",
        "failure",
        "error",
        "skipped",
        "system-out",
    }


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text_on_the_terminal(make_result, name):
    shown = on_terminal(console.render(hostile(make_result(), name)))
    assert "\x1b[31mred" not in shown
    assert "\x00" not in shown
    assert "\x1b]8" not in shown


def test_junit_tells_failures_from_what_is_open(make_result):
    root = xml(junit.render(make_result()))
    by_name = {suite.get("name"): suite for suite in root}
    quantized = by_name["quantize"]
    assert (quantized.get("tests"), quantized.get("failures"), quantized.get("errors")) == (
        "5",
        "0",
        "1",
    )
    error = quantized.find("testcase/error")
    assert "more samples would settle it" in error.get("message")
    assert int(by_name["original"].get("failures")) == 2


def test_nothing_timed_shows_no_latency_anywhere(make_result):
    result = make_result(
        device=None, simulated=True, budgets=("latency.p50.ratio<=1.0", "accuracy.drop<=0.9pt")
    )
    assert result.ruling == "inconclusive"
    for text in (html.render(result), markdown.render(result), on_terminal(console.render(result))):
        assert "nothing was timed" in text
        assert not re.search(r"\d (ms|µs)\b", text.replace("42.0 us against 31.5 us", ""))
        assert "imulated" in text


@pytest.mark.parametrize(
    ("options", "ruling", "words"),
    [
        ({"budgets": ("latency.p50.ratio<=0.6",)}, "pass", "keeps every budget"),
        ({"budgets": ("latency.p50.ratio<=0.1",)}, "fail", "The original breaks a budget"),
        ({}, "inconclusive", "could not be judged fully"),
    ],
)
def test_the_verdict_is_said_in_words(make_result, options, ruling, words):
    result = make_result(**options)
    assert result.ruling == ruling
    for text in (markdown.render(result), on_terminal(console.render(result))):
        assert words in text
    assert words in " ".join(parsed(html.render(result)).text)


def test_a_metric_of_the_user_is_shown_in_its_own_unit(make_result):
    result = make_result()
    measured = result.measurements[2]
    mine = replace(
        measured.accuracy,
        metric="ocr:cer",
        better="lower",
        values=(0.0521,) * 99,
        original_values=(0.05,) * 99,
    )
    changed = (*result.measurements[:2], replace(measured, accuracy=mine))
    text = markdown.render(replace(result, measurements=changed))
    assert "0.0521" in text
    assert "5.21 %" not in text


def test_a_verdict_alone_is_rendered_for_the_gate(make_result):
    verdict = make_result().verdicts[2]
    assert xml(junit.verdict(verdict)).find("testsuite").get("name") == "quantize"
    assert "`latency.p50.ratio<=0.6` | pass" in markdown.verdict(verdict)
    assert "latency.p50.ratio<=0.6" in on_terminal(console.verdict(verdict))
    assert json.loads(report.json_document(verdict))["kind"] == "verdict"


def test_json_goes_out_and_comes_back(make_result, tmp_path):
    result = make_result()
    file = tmp_path / "result.json"
    file.write_text(json_report.render(result))
    assert read_result(file) == result
    measured = tmp_path / "measured.json"
    measured.write_text(json_text(result.measurements[1]))
    assert read_measurement(measured) == result.measurements[1]
    assert "Infinity" in measured.read_text()
    json.loads(measured.read_text(), parse_constant=pytest.fail)


def test_the_published_schema_knows_every_field(make_result):
    schema = json_schema("result")
    value = json.loads(json_text(make_result()))
    assert set(value) - {"kind"} == set(schema["properties"])
    assert json_schema("measurement")["$defs"]["Run"]["properties"]["first_s"]["anyOf"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "verdict"}, "another kind of file (found verdict, expected result)"),
        ({"schema_version": 2}, "written by another version of edgekit"),
        ({"schema_version": None}, "written by another version of edgekit"),
        ({"candidates": 3}, "where: candidates: not a result"),
    ],
)
def test_wrong_documents_are_told_in_one_line(make_result, change, message):
    from edgekit.errors import UsageError
    from edgekit.result import Result

    value = {**json.loads(json_text(make_result())), **change}
    with pytest.raises(UsageError) as caught:
        from_value(value, Result, where="where")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_pages_of_a_bundle(make_result):
    assert set(report.pages(make_result())) == {"report.html", "report.md"}
