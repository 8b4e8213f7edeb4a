"""Throttling against a simulated /sys: whatever happens while a block is timed is flagged."""

import json
import threading

import numpy as np
import pytest

from edgekit.agent import block
from edgekit.agent.throttling import Throttling


def at_rest(tree):
    for cpu in range(2):
        tree.cpu(cpu)
        tree.throttled(cpu, 3)
    tree.cooling(0, "cpufreq-cpu0", 0)
    tree.cooling(1, "pwm-fan", 1)
    tree.write("devices/platform/soc/soc:firmware/get_throttled", "50000")
    tree.write("class/hwmon/hwmon0/oc1_event_cnt", 0)


EPISODES = {
    "a counter grows": lambda tree, _on: tree.throttled(1, 4),
    "over-current": lambda tree, _on: tree.write("class/hwmon/hwmon0/oc1_event_cnt", 1),
    "a cooling device": lambda tree, on: tree.cooling(0, "cpufreq-cpu0", 2 if on else 0),
    "the limit falls": lambda tree, on: tree.cpu(1, limit=1_200_000 if on else 2_400_000),
    "firmware flag": lambda tree, on: tree.write(
        "devices/platform/soc/soc:firmware/get_throttled", "50004" if on else "50000"
    ),
}


class Stub:
    """In place of an inference process: its slices are when things happen."""

    def __init__(self, happen):
        self.happen = happen

    def ask(self, command):
        self.happen()
        return {"samples_ns": [1.0] * command["least"]}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("episode", sorted(EPISODES))
def test_every_throttled_block_is_flagged(tree, episode, seed):
    """An episode begins before one slice, ends after another, and leaves no level behind."""
    at_rest(tree)
    slices = 4 * block.rounds_for([0.001] * 4, 0.03)
    choose = np.random.default_rng(seed)
    begin, end = sorted(choose.choice(slices + 1, 2, replace=False))
    at = 0

    def happen():
        nonlocal at
        if at == begin:
            EPISODES[episode](tree, True)
        if at == end:
            EPISODES[episode](tree, False)
        at += 1

    watch = block.Watch(None, [])
    block._rounds([Stub(happen)] * 4, [0.001] * 4, 0.03, watch)
    assert at == slices
    (reason,) = [each for each in watch.disturbances() if each.startswith("throttled")]
    assert ": " in reason


def test_a_device_at_rest_is_not_flagged(tree):
    at_rest(tree)
    watching = Throttling()
    watching.look()
    tree.cooling(1, "pwm-fan", 4)
    tree.cpu(0, now=800_000)
    watching.look()
    assert watching.reasons == []


def test_a_device_that_is_throttled_all_the_time_is_flagged(tree):
    at_rest(tree)
    tree.cooling(0, "cpufreq-cpu0", 1)
    assert Throttling().reasons == ["cooling_device0 cpufreq-cpu0 at level 1"]


def test_a_limit_that_the_user_set_before_is_not_throttling(tree):
    at_rest(tree)
    tree.cpu(0, limit=1_000_000)
    assert Throttling().reasons == []


def test_a_counted_change_between_two_looks_is_flagged(tree):
    at_rest(tree)
    tree.write("class/thermal/cooling_device0/stats/total_trans", 4)
    watching = Throttling()
    tree.write("class/thermal/cooling_device0/stats/total_trans", 6)
    assert watching.reasons == ["changes of cooling_device0 cpufreq-cpu0 grew by 2"]


def test_the_agent_flags_a_real_block(agent, infer_spec, tree):
    at_rest(tree)
    process = agent.start(
        "block", {"original": infer_spec, "candidate": infer_spec, "timeout_s": 60}
    )
    stop = threading.Event()

    def count():
        number = 3
        while not stop.wait(0.05):
            number += 1
            tree.throttled(0, number)

    counting = threading.Thread(target=count)
    counting.start()
    text, _ = process.communicate(timeout=120)
    stop.set()
    counting.join()
    answer = json.loads(text.splitlines()[-1])
    assert any(each.startswith("throttled: core_throttle") for each in answer["disturbed"])
