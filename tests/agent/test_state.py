from edgekit.agent import state


def test_sensors_that_are_not_there_are_unavailable(monkeypatch, tmp_path):
    monkeypatch.setattr(state, "_CPU_DIR", tmp_path)
    monkeypatch.setattr(state, "_THERMAL_DIR", tmp_path)
    found = state.state()
    for name in ("governor", "frequency_hz", "temperature_c", "throttle_events"):
        assert found[name] == "unavailable"


def test_simulated_sensors_are_read(monkeypatch, tmp_path):
    cpufreq = tmp_path / "cpu0/cpufreq"
    cpufreq.mkdir(parents=True)
    (cpufreq / "scaling_governor").write_text("powersave\n")
    (cpufreq / "scaling_cur_freq").write_text("1500000\n")
    zone = tmp_path / "thermal_zone0"
    zone.mkdir()
    (zone / "type").write_text("cpu-thermal\n")
    (zone / "temp").write_text("48312\n")
    cooling = tmp_path / "cooling_device0"
    cooling.mkdir()
    (cooling / "type").write_text("cpufreq-cpu0\n")
    (cooling / "cur_state").write_text("2\n")
    monkeypatch.setattr(state, "_CPU_DIR", tmp_path)
    monkeypatch.setattr(state, "_THERMAL_DIR", tmp_path)
    found = state.state()
    assert found["governor"] == ["powersave"]
    assert found["frequency_hz"] == [1_500_000_000]
    assert found["temperature_c"] == {"thermal_zone0 cpu-thermal": 48.312}
    assert found["throttle_events"] == 2


def test_one_thread_is_pinned_to_the_fastest_cpu_and_all_threads_to_none(monkeypatch, tmp_path):
    for cpu, speed in enumerate(("1800000", "2400000", "2400000", "1800000")):
        folder = tmp_path / f"cpu{cpu}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "cpuinfo_max_freq").write_text(speed)
    monkeypatch.setattr(state, "_CPU_DIR", tmp_path)
    monkeypatch.setattr(state.os, "sched_getaffinity", lambda _pid: {0, 1, 2, 3})
    assert state.choose_cpus(1) == [2]
    assert state.choose_cpus(2) == [1, 2]
    assert state.choose_cpus(4) is None
