import pytest

from edgekit import bench
from edgekit.agent.sustain import KEPT, window


def test_a_sustained_run_is_cut_into_windows(device, small, running):
    told = []
    found = bench.sustain(
        device, small, running, seconds=1.0, progress=lambda *seen: told.append(seen)
    )
    assert found.window_s == 0.05
    assert len(found.windows) >= 2
    assert found.windows[0].at_s == pytest.approx(0.0, abs=0.5)
    assert [w.at_s for w in found.windows] == sorted(w.at_s for w in found.windows)
    for each in found.windows:
        assert 0 < each.p50_s <= each.p95_s
        assert 3 <= len(each.samples) <= KEPT
        assert each.inferences >= len(each.samples)
    assert told[-1][1] == 1


def test_samples_are_thinned_by_a_stated_rule():
    found = window(3.0, [float(at) for at in range(200)], "unavailable")
    assert found["samples_ns"] == [float(at) for at in range(0, 200, 4)]
    assert found["inferences"] == 200
    assert found["frequency_hz"] is None
    assert window(0.0, [1.0, 2.0], [5, "unavailable", 7])["frequency_hz"] == 7


@pytest.mark.parametrize("fault", [{"windows": [{}]}, {"windows": 3}, {"windows": []}, {}])
def test_an_answer_that_makes_no_sense_is_the_devices_fault(
    device, small, running, monkeypatch, fault
):
    from edgekit.bench import sustaining
    from edgekit.errors import InfrastructureError

    monkeypatch.setattr(sustaining, "ask", lambda *_, **__: fault)
    with pytest.raises(InfrastructureError, match="cannot be read"):
        bench.sustain(device, small, running, seconds=1.0)
