import math

import pytest

from edgekit import bench
from edgekit.bench import screening
from edgekit.errors import InfrastructureError, ModelError


@pytest.mark.quiet
def test_ratios_are_to_the_first_model(device, small, large, running):
    told = []
    found = bench.screen(
        device,
        [small.file, large.file],
        running,
        seconds_each=0.05,
        progress=lambda done, total: told.append((done, total)),
    )
    assert found[0].ratio.value == 1.0
    assert found[1].ratio.low > 1.5
    assert found[1].ratio.low <= found[1].ratio.value <= found[1].ratio.high < math.inf
    assert found[0].p50.low > 0
    assert told[-1] == (2, 2)


def test_a_device_with_little_memory_takes_them_in_groups(
    device, small, large, running, monkeypatch
):
    asked = []
    real = screening.ask

    def ask(*arguments, **options):
        asked.append(len(arguments[2]["models"]))
        return real(*arguments, **options)

    monkeypatch.setattr(screening, "ask", ask)
    monkeypatch.setattr(screening, "_room_bytes", lambda _device: 0)
    files = [small.file, large.file, small.file]
    found = bench.screen(device, files, running, seconds_each=0.0)
    assert asked == [2, 2]
    assert len(found) == 3


def test_one_model_alone_can_be_timed(device, small, running):
    assert len(bench.screen(device, [small.file], running, seconds_each=0.0)) == 1


def test_a_file_that_is_no_model_is_refused(device, small, running, tmp_path):
    text = tmp_path / "model.txt"
    text.write_text("no model")
    with pytest.raises(ModelError, match="is no ONNX file"):
        bench.screen(device, [small.file, text], running)


@pytest.mark.parametrize("answer", [{}, {"medians_ns": "x"}, {"medians_ns": [[1, -1]]}])
def test_latencies_that_make_no_sense_are_the_devices_fault(
    device, small, running, monkeypatch, answer
):
    monkeypatch.setattr(screening, "ask", lambda *_, **__: answer)
    with pytest.raises(InfrastructureError, match="cannot be read"):
        bench.screen(device, [small.file], running)
