import pytest

from edgekit import bench, statistics


def log_ratio(block, statistic="p50"):
    return statistics.paired_log_ratio([run.rounds for run in block.runs], statistic)


@pytest.mark.quiet
def test_a_block_holds_four_fresh_runs_in_the_order_abba(device, small, large, running):
    block = bench.compare(device, small, large, running, looks=(1,))[0]
    assert [run.role for run in block.runs] == ["original", "candidate", "candidate", "original"]
    for run in block.runs:
        assert len(run.rounds) == 12
        assert all(len(each) >= 3 for each in run.rounds)
        assert run.load_s > 0
        assert run.first_s > 0
        assert run.warmup_iterations > 0
        assert run.memory.peak_bytes >= run.memory.runtime_bytes > 0
        assert run.batched >= 1
    assert block.state["before"]["load_average"]
    assert log_ratio(block) > 1


@pytest.mark.quiet
def test_measuring_ends_at_the_look_that_settles_it(device, small, running):
    seen = []

    def stop(blocks):
        seen.append(sum(1 for block in blocks if not block.disturbed))
        return len(seen) == 2

    blocks = bench.compare(device, small, small, running, looks=(1, 2, 3), stop=stop)
    assert seen == [1, 2][: len(seen)]
    assert [block.index for block in blocks] == list(range(len(blocks)))


def test_a_disturbed_block_is_kept_marked_and_repeated_up_to_a_limit(
    device, small, running, monkeypatch
):
    from edgekit.bench import comparing

    answer = {}
    real = comparing.ask

    def always_busy(*arguments, **options):
        answer.update(answer or real(*arguments, **options))
        return {**answer, "disturbed": ["busy"]}

    monkeypatch.setattr(comparing, "ask", always_busy)
    blocks = bench.compare(device, small, small, running, looks=(5,))
    assert len(blocks) == 6
    assert {block.disturbed for block in blocks} == {("busy",)}


@pytest.mark.parametrize("fault", [{"runs": 3}, {"disturbed": None}])
def test_an_answer_that_makes_no_sense_is_the_devices_fault(
    device, small, running, monkeypatch, fault
):
    from edgekit.bench import comparing
    from edgekit.errors import InfrastructureError

    whole = {"runs": [], "disturbed": [], "before": {}, "after": {}, "cpus": []}
    monkeypatch.setattr(comparing, "ask", lambda *_, **__: {**whole, **fault})
    with pytest.raises(InfrastructureError, match="cannot be read"):
        bench.compare(device, small, small, running)
