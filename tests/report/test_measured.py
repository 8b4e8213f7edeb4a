"""What is told of one measurement: layers, a sustained run, annotations of a CI."""

import io
import re
from dataclasses import dataclass, replace
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from edgekit.judging import Check, judge
from edgekit.measurement import Layer, Layers, Roofline, Sustained, Window
from edgekit.release import Budget
from edgekit.report import console, course, github, json_document, layered, measured_page
from edgekit.result import read_measurement

ROOF = Roofline(macs_per_s=50e9, integer_macs_per_s=200e9, bytes_per_s=10e9)


def layer(name, seconds, *, macs=0, size=4000, holds=None, integer=False):
    return Layer(
        name=name,
        holds=(name,) if holds is None else holds,
        operators=("Conv",) * (1 if holds is None else len(holds)),
        runs_as=("QLinearConv" if integer else "Conv",),
        provider="CPUExecutionProvider",
        integer=integer,
        seconds=seconds,
        macs=macs,
        bytes=size,
    )


LAYERS = Layers(
    layers=(
        layer("/body/1/Conv", 0.002, macs=50_000_000, holds=("/body/1/Conv", "/body/1/Relu")),
        layer("/body/2/Add", 0.001, size=5_000_000),
        layer("/body/3/Conv", 0.001, macs=100_000_000, integer=True),
        layer("ReorderOutput", 0.0001, holds=()),
    ),
    roofline=ROOF,
    run_s=0.0045,
    runs=50,
)


def sustained(number=120):
    return Sustained(
        seconds=number,
        window_s=1.0,
        windows=tuple(
            Window(
                at_s=float(at),
                inferences=100,
                p50_s=0.010 if at < 30 else 0.020 + 1e-5 * (at % 7),
                p95_s=0.022,
                samples=(0.01,),
                temperature_c={"thermal_zone0 cpu": 40.0 + at / 3, "thermal_zone1 <b>": 20.0},
                frequency_hz=2.4e9 if at < 30 else 1.2e9,
            )
            for at in range(number)
        ),
        disturbed=("throttled: cooling_device0 cpu at level 2",),
    )


@dataclass
class Profiled:
    measurement: object
    regressions: tuple[Check, ...] = ()


@pytest.fixture
def measurement(make):
    blocks = (*make.blocks(5), make.block(disturbed=("throttled: oc1 grew by 1",)))
    note = "orin does not answer like this host"
    return make.measurement(blocks=blocks, layers=LAYERS, sustained=sustained(), notes=(note,))


def shown(renderable):
    screen = Console(file=io.StringIO(), width=200)
    screen.print(renderable)
    return screen.file.getvalue()


def test_layers_are_held_against_the_roofline():
    rows = {row.name: row for row in layered.rows(LAYERS)}
    fused = rows["/body/1/Conv"]
    assert fused.holds == "Relu"
    assert (fused.time, fused.rate, fused.best, fused.limit) == (
        "2.00 ms",
        "25.0 GMAC/s",
        "50 %",
        "compute",
    )
    assert (rows["/body/2/Add"].best, rows["/body/2/Add"].limit) == ("50 %", "memory")
    assert rows["/body/3/Conv"].best == "50 %"
    assert rows["(ReorderOutput)"].best == "-"
    assert "50.0 GMAC/s in floats, 200.0 GMAC/s in integers, 10.0 GB/s" in layered.total(LAYERS)


def test_the_terminal_shows_layers_heat_and_what_was_disturbed(measurement):
    text = shown(console.profile(Profiled(measurement)))
    assert "/body/1/Conv + Relu" in text
    assert "at best" in text
    assert "thermal_zone0 cpu" in text
    assert "1.20 GHz to 2.40 GHz" in text
    assert "steady from 30 s of 120 s on at 20.0 ms, 2.00 times the first moments" in text
    assert "1 of 6 blocks left out: throttled" in text
    assert "at level 2" in text
    assert "note: orin does not answer" in text
    assert "latency.sustained" in text


def test_a_line_of_bars_has_one_bar_a_stretch():
    assert course.spark([5.0]) == "▁"
    assert course.spark([1.0, 1.0]) == "▁▁"
    assert len(course.spark(range(600))) == 60


def test_the_page_is_whole_and_holds_no_markup_of_names(measurement):
    page = measured_page.render(replace(measurement, candidate="<script>alert(1)</script>"))
    assert "<script" not in page
    assert page.count("<svg") == 4
    for picture in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ET.fromstring(picture)  # noqa: S314  # our own
    assert "Time by layer" in page
    assert "steady from 30 s" in page


def test_a_page_without_extras_has_figures_only(make):
    page = measured_page.render(make.measurement(blocks=make.blocks(5)))
    assert "latency.p50" in page
    assert "<svg" not in page


def test_all_of_it_survives_json(measurement, tmp_path):
    file = tmp_path / "measured.json"
    file.write_text(json_document(measurement))
    assert read_measurement(file) == measurement


def test_an_older_file_without_the_new_parts_is_read(make, tmp_path):
    import json

    measurement = make.measurement(blocks=make.blocks(5))
    document = json.loads(json_document(measurement))
    for name in ("energy", "layers", "sustained"):
        del document[name]
    file = tmp_path / "old.json"
    file.write_text(json.dumps(document))
    assert read_measurement(file) == measurement


def test_annotations_name_what_does_not_pass(make):
    measurement = replace(make.measurement(blocks=make.blocks(10)), candidate="a%b,c:d\n::x")
    limits = [
        Budget.parse("latency.p50<=1ns"),
        Budget.parse("latency.p50<=1s"),
        Budget.parse("accuracy.drop<=1pt"),
        Budget.parse("size<=1B").model_copy(update={"severity": "warn"}),
    ]
    lines = github.workflow_commands(judge(measurement, limits)).splitlines()
    assert [line.split(" ")[0] for line in lines] == ["::error", "::warning", "::warning"]
    assert all(re.fullmatch(r"::\w+ title=[^:,\n]+::[^\r\n]+", line) for line in lines), lines
    assert "a%25b%2Cc%3Ad" in lines[0]
