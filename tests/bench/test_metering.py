import pytest

from edgekit import bench
from edgekit.bench import metering
from edgekit.errors import InfrastructureError

PASS = {
    "joules": 0.002,
    "idle_w": 3.0,
    "busy_w": 5.0,
    "updates": 120,
    "inferences": 1000,
    "disturbed": [],
}


class Told:
    """A device that says what sensor it has."""

    def __init__(self, device, sensor):
        self._device, self._sensor = device, sensor

    def __getattr__(self, name):
        return getattr(self._device, name)

    def environment(self):
        return {**self._device.environment(), "power_sensor": self._sensor}


@pytest.mark.parametrize("sensor", ["unavailable", "unavailable: RAPL may only be read by root"])
def test_without_a_sensor_there_is_no_energy(device, small, running, sensor):
    assert bench.energy(Told(device, sensor), small, running) is None


@pytest.mark.parametrize(("source", "told"), [("/sys", ""), ("simulated (x)", ", simulated")])
def test_passes_are_read(device, small, running, monkeypatch, source, told):  # noqa: PLR0917  # fixtures
    answer = {"meter": "INA3221 VDD_IN", "source": source, "passes": [PASS, PASS]}
    monkeypatch.setattr(metering, "ask", lambda *_, **__: answer)
    found = bench.energy(Told(device, "INA3221 VDD_IN"), small, running)
    assert found.sensor == f"INA3221 VDD_IN{told}"
    assert [one.joules for one in found.passes] == [0.002, 0.002]


def test_an_answer_that_makes_no_sense_is_the_devices_fault(device, small, running, monkeypatch):
    monkeypatch.setattr(metering, "ask", lambda *_, **__: {"meter": "m", "passes": [{}]})
    with pytest.raises(InfrastructureError, match="cannot be read"):
        bench.energy(Told(device, "m"), small, running)
