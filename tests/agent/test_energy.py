"""Energy against a simulated board whose truth is known. Nothing of it is hardware."""

import math

import numpy as np
import pytest

from edgekit.agent import energy
from edgekit.agent.power import meter
from edgekit.agent.wire import AgentError

IDLE_W, LATENCY_S, WRAPS_UJ = 3.2, 0.004, 262_143_000_000


class Board:
    """Time that goes on when it is slept through, and sensors that tell the power of that time."""

    def __init__(self, tree, kind, seed, *, busy_w, interval_s=0.005):
        self.tree, self.kind, self.busy_w, self.interval_s = tree, kind, busy_w, interval_s
        self.random = np.random.default_rng(seed)
        self.now_s = 100 * self.random.random()
        self.counted_j = 250_000.0 + self.random.random() * 12_000
        self.until_s = self.started_s = 0.0
        self.spent_j = 0.0
        if kind == "rails":
            tree.rail(1, "VDD_IN", IDLE_W, interval_ms=5)
        else:
            tree.package(0, 0.0, wraps_j=WRAPS_UJ / 1e6)
        self.tell(IDLE_W)

    def tell(self, watts):
        if self.kind == "rails":
            milliamperes = 200 * watts * (1 + 0.01 * self.random.standard_normal())
            self.tree.write("class/hwmon/hwmon0/curr1_input", round(milliamperes))
        else:
            counted_uj = round(self.counted_j * 1e6) % WRAPS_UJ
            self.tree.write("class/powercap/intel-rapl:0/energy_uj", counted_uj)

    def power_w(self):
        """Idle drifts slowly; inference takes a little more or less from one moment to the next."""
        idle = IDLE_W + 0.05 * math.sin(self.now_s / 3)
        busy = self.started_s <= self.now_s < self.until_s
        return idle, (self.busy_w * (1 + 0.2 * math.sin(40 * self.now_s)) if busy else 0.0)

    def sleep(self, seconds):
        step = self.interval_s / 5
        end = self.now_s + seconds * (1 + 0.1 * self.random.random())
        mean, since = [], self.now_s
        while self.now_s < end:
            idle, extra = self.power_w()
            mean.append(idle + extra)
            self.counted_j += (idle + extra) * step
            self.spent_j += extra * step
            self.now_s += step
            if self.now_s - since >= self.interval_s:
                self.tell(sum(mean) / len(mean))
                mean, since = [], self.now_s
        self.tell(sum(mean) / len(mean) if mean else sum(self.power_w()))

    @property
    def clock(self):
        return energy.Clock(lambda: int(self.now_s * 1e9), self.sleep)

    # As the inference process that the pass talks to:

    def start(self, command):
        assert command["do"] == "repeat"
        self.started_s, self.until_s = self.now_s, self.now_s + command["seconds"]

    def answered(self, within_s):
        self.sleep(within_s)
        return self.now_s > self.until_s

    def answer(self):
        self.inferences = round((self.until_s - self.started_s) / LATENCY_S)
        return {
            "start_ns": int(self.started_s * 1e9),
            "end_ns": int(self.until_s * 1e9),
            "inferences": self.inferences,
        }

    def stop(self):
        pass


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("busy_w", [1.0, 8.0])
@pytest.mark.parametrize("kind", ["rails", "counter"])
def test_energy_is_within_2_percent_of_the_simulated_truth(tree, kind, busy_w, seed):
    board = Board(tree, kind, seed, busy_w=busy_w)
    found = energy.one_pass(meter(), board, board.clock)
    truth = board.spent_j / board.inferences
    assert found["updates"] >= energy.UPDATES
    assert found["joules"] == pytest.approx(truth, rel=0.02)
    assert found["idle_w"] == pytest.approx(IDLE_W, rel=0.03)


def test_a_counter_that_starts_again_is_followed(tree):
    tree.package(0, 1.0)
    found = meter()._replace(wraps_j=(10.0,))
    readings = [energy.Reading(int(1e9 * at), [(9.0 + 2 * at) % 10]) for at in range(4)]
    assert energy.mean_w(found, readings) == pytest.approx(2.0)


def test_several_packages_are_summed(tree):
    tree.package(0, 5.0)
    tree.package(1, 7.0)
    assert meter().read() == [5.0, 7.0]
    assert meter().name == "RAPL package-0 + package-1"


def test_a_sensor_that_goes_silent_is_the_devices_fault(tree):
    board = Board(tree, "rails", 0, busy_w=1.0)
    found = meter()
    tree.write("class/hwmon/hwmon0/curr1_input", "")
    with pytest.raises(AgentError, match="silent"):
        energy.one_pass(found, board, board.clock)


def test_without_a_sensor_the_agent_says_so(agent, tree, infer_spec):
    answer = agent.answers("energy", {**infer_spec, "passes": 1, "timeout_s": 30})[-1]
    assert answer["error"] == "device"
    assert "no sensor" in answer["message"]


def test_the_agent_answers_with_each_pass(agent, tree, infer_spec):
    tree.rail(1, "VDD_IN", 4.0)
    *told, answer = agent.answers("energy", {**infer_spec, "passes": 1, "timeout_s": 30})
    assert told == [{"progress": [1, 1]}]
    assert answer["meter"] == "INA3221 VDD_IN"
    assert answer["source"].startswith("simulated")
    for one in answer["passes"]:
        assert one["busy_w"] == pytest.approx(4.0)
        assert one["joules"] == pytest.approx(0.0, abs=1e-9)
        assert one["inferences"] > 0
