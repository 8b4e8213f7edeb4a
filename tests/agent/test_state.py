import pytest

from edgekit.agent import state


def test_sensors_that_are_not_there_are_unavailable(tree):
    found = state.state()
    for name in ("governor", "frequency_hz", "frequency_limit_hz", "temperature_c", "throttling"):
        assert found[name] == "unavailable"
    assert found["gpu"] == "unavailable"
    assert state.environment()["power_sensor"] == "unavailable"


def test_simulated_sensors_are_read_and_called_simulated(tree):
    tree.cpu(0)
    tree.cpu(1, limit=1_800_000)
    tree.zone(0, "cpu-thermal", 48312)
    tree.zone(1, "asleep", "")
    tree.cooling(0, "cpufreq-cpu0", 2)
    tree.cooling(1, "pwm-fan", 3)
    tree.throttled(0, 7)
    tree.write("class/devfreq/17000000.gpu/cur_freq", 306_000_000)
    tree.write("class/devfreq/17000000.gpu/max_freq", 624_750_000)
    tree.write("class/devfreq/17000000.gpu/device/load", 455)
    tree.write("class/drm/card0/device/mem_info_vram_used", 123_456)
    tree.write("class/drm/card0/device/mem_info_vram_total", 999_999)
    found = state.state()
    assert found["governor"] == ["schedutil", "schedutil"]
    assert found["frequency_hz"] == [1_500_000_000] * 2
    assert found["frequency_limit_hz"] == [2_400_000_000, 1_800_000_000]
    assert found["frequency_top_hz"] == [2_400_000_000] * 2
    assert found["temperature_c"] == {"thermal_zone0 cpu-thermal": 48.312}
    assert found["throttling"]["active"] == {"cooling_device0 cpufreq-cpu0": 2}
    assert found["throttling"]["counts"] == {"core_throttle_count of cpu0": 7}
    assert found["gpu"]["17000000.gpu"] == {
        "frequency_hz": 306_000_000,
        "frequency_limit_hz": 624_750_000,
        "load": 0.455,
    }
    assert found["gpu"]["card0"] == {"memory_used_bytes": 123_456, "memory_total_bytes": 999_999}
    assert state.environment()["sensors"].startswith("simulated")


@pytest.mark.parametrize(
    ("rails", "name"),
    [
        (("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"), "INA3221 VDD_IN"),
        (("VDD_GPU_SOC", "VDD_CPU_CV", "NC"), "INA3221 VDD_CPU_CV + VDD_GPU_SOC"),
    ],
)
def test_the_rail_of_the_whole_board_is_preferred(tree, rails, name):
    for channel, label in enumerate(rails, 1):
        tree.rail(channel, label, 4.0)
    assert state.environment()["power_sensor"] == name


def test_one_thread_is_pinned_to_the_fastest_cpu_and_all_threads_to_none(tree, monkeypatch):
    for cpu, top in enumerate((1_800_000, 2_400_000, 2_400_000, 1_800_000)):
        tree.cpu(cpu, top=top)
    monkeypatch.setattr(state.os, "sched_getaffinity", lambda _pid: {0, 1, 2, 3})
    assert state.choose_cpus(1) == [2]
    assert state.choose_cpus(2) == [1, 2]
    assert state.choose_cpus(4) is None
