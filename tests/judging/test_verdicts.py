"""Rulings on constructed measurements: what passes, fails, and cannot be told, and why."""

from __future__ import annotations

import pytest

from edgekit.judging import judge, of_original, untimed
from edgekit.release import Budget

ORIGINAL = "a" * 64


def check_of(measurement, text, **options):
    verdict = judge(measurement, [Budget.parse(text, **options)])
    return verdict.checks[0]


@pytest.mark.parametrize(
    ("limit", "ruling"), [("0.6", "pass"), ("0.4", "fail"), ("0.5", "inconclusive")]
)
def test_a_ratio_is_ruled_by_its_whole_interval(make, limit, ruling):
    measurement = make.measurement(blocks=make.blocks(10, 0.5))
    check = check_of(measurement, f"latency.p50.ratio<={limit}")
    assert check.ruling == ruling
    assert check.interval.low < 0.5 < check.interval.high
    assert "10 paired blocks" in check.reason


@pytest.mark.parametrize("metric", ["p50", "p95", "p99", "mean"])
def test_every_statistic_has_a_paired_ratio(make, metric):
    measurement = make.measurement(blocks=make.blocks(10, 0.5))
    assert check_of(measurement, f"latency.{metric}.ratio<=0.7").ruling == "pass"


def test_too_few_blocks_say_how_many_are_missing(make):
    check = check_of(make.measurement(blocks=make.blocks(3, 0.5)), "latency.p50.ratio<=0.6")
    assert (check.ruling, check.needed) == ("inconclusive", 2)
    assert "needs at least 5 blocks, found 3: 2 more" in check.reason


def test_disturbed_blocks_do_not_count_and_are_named(make):
    disturbed = make.blocks(4, 3.0, disturbed=("throttled: 1.2 of 2.6 GHz",))
    check = check_of(
        make.measurement(blocks=(*make.blocks(5, 0.5), *disturbed)), "latency.p50.ratio<=0.6"
    )
    assert check.ruling == "pass"
    assert "4 of 9 blocks left out: throttled, e.g. throttled: 1.2 of 2.6 GHz" in check.reason


def test_an_inconclusive_ratio_says_what_could_have_been_seen(make):
    check = check_of(make.measurement(blocks=make.blocks(5, 0.97)), "latency.p50.ratio<=0.969")
    assert check.ruling == "inconclusive"
    assert "the smallest change that 5 blocks can show is" in check.reason
    assert check.needed is None or 0 < check.needed <= 25


@pytest.mark.parametrize(
    ("text", "ruling"),
    [
        ("latency.p50<=6ms", "pass"),
        ("latency.p95<=6ms", "pass"),
        ("latency.p95<=4ms", "fail"),
    ],
)
def test_a_percentile_is_ruled_between_blocks_too(make, text, ruling):
    assert check_of(make.measurement(blocks=make.blocks(10, 0.5)), text).ruling == ruling


def test_a_limit_within_the_interval_of_a_percentile_is_inconclusive(make):
    measurement = make.measurement(blocks=make.blocks(10, 0.5))
    found = check_of(measurement, "latency.p50<=6ms").interval
    check = check_of(measurement, f"latency.p50<={(found.low + found.high) / 2:.9f}s")
    assert check.ruling == "inconclusive"
    assert "lies inside" in check.reason


def test_too_few_samples_for_a_percentile_say_how_many_are_missing(make):
    blocks = make.blocks(2, 0.5, samples=12)
    check = check_of(make.measurement(blocks=blocks), "latency.p99<=100ms")
    assert check.ruling == "inconclusive"
    assert "needs at least 22 blocks of 24 samples, found 2: 20 more" in check.reason
    enough = make.blocks(2 + check.needed, 0.5, samples=12)
    assert check_of(make.measurement(blocks=enough), "latency.p99<=100ms").ruling == "pass"


def test_the_least_number_of_samples_depends_on_the_confidence(make):
    blocks = make.blocks(5, 0.5, samples=24)
    assert check_of(make.measurement(blocks=blocks), "latency.p95<=100ms").ruling == "pass"
    strict = check_of(make.measurement(blocks=blocks), "latency.p99<=100ms", confidence=0.9)
    assert "needs at least 11 blocks of 48 samples" in strict.reason


def test_pooled_samples_alone_cannot_pass_when_blocks_differ(make):
    """Half the blocks lie above the limit: thousands of samples do not make it safe."""
    slow, fast = make.blocks(2, 1.0, base_s=0.011), make.blocks(2, 1.0, base_s=0.008)
    measurement = make.measurement(blocks=(*slow, *fast))
    assert check_of(measurement, "latency.p50<=10.5ms").ruling == "inconclusive"


@pytest.mark.parametrize(
    ("text", "ruling"),
    [
        ("memory.peak<=128MiB", "pass"),
        ("memory.peak<=64MiB", "fail"),
        ("memory.arena<=10MiB", "pass"),
        ("load<=40ms", "fail"),
        ("latency.first<=100ms", "pass"),
        ("latency.mean<=10ms", "pass"),
        ("throughput>=100/s", "pass"),
        ("throughput>=300/s", "fail"),
        ("size<=300kB", "pass"),
        ("size<=299kB", "fail"),
        ("size.ratio<=0.3", "pass"),
        ("energy<=1J", "inconclusive"),
    ],
)
def test_figures_of_runs_and_files(make, text, ruling):
    assert check_of(make.measurement(blocks=make.blocks(5, 0.5)), text).ruling == ruling


def test_throughput_counts_samples_not_batches(make):
    one = make.measurement(blocks=make.blocks(5, 0.5))
    batched = make.measurement(
        blocks=one.blocks, setup=one.setup.__class__(**{**_fields(one.setup), "batch": 8})
    )
    single, eight = (check_of(m, "throughput>=1/s").interval.value for m in (one, batched))
    assert eight == pytest.approx(8 * single)


def _fields(setup):
    return {name: getattr(setup, name) for name in setup.__slots__}


def test_nothing_timed_is_inconclusive_and_says_so(make):
    measurement = make.measurement(device=None)
    for text in ("latency.p50.ratio<=1.0", "latency.p95<=12ms", "memory.peak<=64MiB"):
        check = check_of(measurement, text)
        assert check.ruling == "inconclusive"
        assert check.reason == "nothing was timed: no device of target 'x86' was given"


@pytest.mark.parametrize(
    ("text", "ruling"),
    [
        ("accuracy.drop<=0.5pt", "pass"),
        ("accuracy.drop<=0.4pt", "inconclusive"),
        ("accuracy>=91.9pt", "pass"),
        ("accuracy>=95pt", "fail"),
        ("agreement>=98pt", "pass"),
        ("sqnr_db>=30dB", "pass"),
        ("sqnr_db>=32dB", "fail"),
    ],
)
def test_accuracy_is_bounded_on_the_same_samples(make, text, ruling):
    assert check_of(make.measurement(accuracy=make.accuracy()), text).ruling == ruling


def test_a_real_drop_fails(make):
    measurement = make.measurement(accuracy=make.accuracy(lost=60, gained=2))
    assert check_of(measurement, "accuracy.drop<=0.5pt").ruling == "fail"


def test_two_hundred_samples_cannot_pass_half_a_point_and_say_what_would(make):
    measurement = make.measurement(accuracy=make.accuracy(200, lost=0, gained=0, right=190))
    check = check_of(measurement, "accuracy.drop<=0.5pt")
    assert check.ruling == "inconclusive"
    assert 398 <= check.needed <= 430
    assert f"about {check.needed} more samples" in check.reason
    enough = make.accuracy(200 + check.needed, lost=0, gained=0, right=190)
    assert check_of(make.measurement(accuracy=enough), "accuracy.drop<=0.5pt").ruling == "pass"


@pytest.mark.parametrize("labelled", [False, None])
def test_accuracy_without_labels_names_the_option_that_settles_it(make, labelled):
    accuracy = None if labelled is None else make.accuracy(labelled=False)
    check = check_of(make.measurement(accuracy=accuracy), "accuracy.drop<=0.5pt")
    assert check.ruling == "inconclusive"
    assert "--eval DATA" in check.reason


def test_simulated_accuracy_is_marked(make):
    measurement = make.measurement(accuracy=make.accuracy(simulated=True))
    verdict = judge(measurement, [Budget.parse("accuracy.drop<=0.5pt")])
    assert "simulated" in verdict.checks[0].reason
    assert any("simulated" in remark for remark in verdict.remarks)


def test_an_error_rate_of_the_user_counts_downwards(make):
    worse = make.accuracy(
        400, metric="ocr:cer", better="lower", values=(0.06,) * 400, original_values=(0.05,) * 400
    )
    check = check_of(make.measurement(accuracy=worse), "accuracy.drop<=0.5pt")
    assert check.ruling == "fail"
    assert check.interval.value == pytest.approx(1.0)


def test_equal_answers_of_few_samples_do_not_prove_equality(make):
    same = make.accuracy(
        20, metric="ocr:cer", better="lower", values=(0.05,) * 20, original_values=(0.05,) * 20
    )
    assert check_of(make.measurement(accuracy=same), "accuracy.drop<=0.5pt").ruling == (
        "inconclusive"
    )


def test_the_original_itself_is_judged_exactly(make):
    measurement = make.measurement(sha256=ORIGINAL, blocks=make.blocks(5, 1.0))
    for text in ("latency.p50.ratio<=1.0", "latency.p95.ratio<=1.0", "accuracy.drop<=0pt"):
        check = check_of(measurement, text)
        assert check.ruling == "pass"
        assert "the original itself" in check.reason
    assert check_of(measurement, "latency.p50.ratio<=0.99").ruling == "fail"


def test_the_originals_own_figures_come_out_of_any_comparison(make):
    measurement = make.measurement(blocks=make.blocks(10, 0.5), accuracy=make.accuracy())
    original = of_original(measurement)
    assert check_of(original, "latency.p50<=8ms").ruling == "fail"
    assert check_of(original, "latency.p50<=12ms").ruling == "pass"
    assert check_of(original, "size<=1MB").ruling == "pass"
    assert check_of(original, "accuracy>=94pt").interval.value == pytest.approx(93.0)


def test_a_failed_null_control_voids_ratios_only(make):
    measurement = make.measurement(
        blocks=make.blocks(10, 0.5), null_blocks=make.blocks(10, 1.05, spread=0.003)
    )
    budgets = [Budget.parse("latency.p50.ratio<=0.6"), Budget.parse("latency.p50<=6ms")]
    verdict = judge(measurement, budgets)
    assert verdict.null_control == "fail"
    assert [check.ruling for check in verdict.checks] == ["inconclusive", "pass"]
    assert "null control failed" in verdict.checks[0].reason


@pytest.mark.parametrize(
    ("number", "ratio", "spread", "ruling"),
    [
        (0, 1.0, 0.01, "inconclusive"),
        (1, 1.0, 0.01, "inconclusive"),
        (8, 1.0, 0.001, "pass"),
        (8, 1.003, 0.0005, "pass"),
        (8, 1.05, 0.003, "fail"),
        (3, 1.0, 0.05, "inconclusive"),
    ],
)
def test_the_null_control_tells_chance_from_difference(make, number, ratio, spread, ruling):
    blocks = make.blocks(number, ratio, spread=spread, noise=0.002)
    assert judge(make.measurement(null_blocks=blocks), []).null_control == ruling


def test_the_verdict_is_the_worst_ruling_of_severity_error(make):
    measurement = make.measurement(blocks=make.blocks(10, 0.5), accuracy=make.accuracy())

    def ruling(*budgets):
        verdict = judge(measurement, budgets)
        return verdict.ruling, verdict.exit_code

    good, bad = Budget.parse("size<=1MB"), Budget.parse("size<=1kB")
    unknown = Budget.parse("energy<=1J")
    shown = Budget.parse("size<=1kB", severity="warn")
    assert ruling(good) == ("pass", 0)
    assert ruling(good, shown) == ("pass", 0)
    assert ruling(good, unknown) == ("inconclusive", 3)
    assert ruling(good, unknown, bad) == ("fail", 1)
    assert ruling() == ("inconclusive", 3)
    assert ruling(shown) == ("inconclusive", 3)


def test_worse_than_the_original_is_said_although_no_budget_asks(make):
    measurement = make.measurement(
        blocks=make.blocks(10, 1.3), accuracy=make.accuracy(lost=60, gained=2)
    )
    remarks = judge(measurement, [Budget.parse("size<=1MB")]).remarks
    assert any(remark.startswith("slower than the original") for remark in remarks)
    assert any(remark.startswith("less accurate than the original") for remark in remarks)
    asked = [Budget.parse("latency.p50.ratio<=2"), Budget.parse("accuracy.drop<=9pt")]
    assert judge(measurement, asked).remarks == ()


@pytest.mark.parametrize(("lost", "ruling"), [(11, "pass"), (80, "fail"), (20, "inconclusive")])
def test_answers_are_ruled_on_before_anything_is_timed(make, lost, ruling):
    found = make.measurement(accuracy=make.accuracy(lost=lost, gained=11))
    budgets = [Budget.parse("accuracy.drop<=0.5pt"), Budget.parse("latency.p50.ratio<=0.6")]
    assert untimed(found, budgets) == ruling
    assert judge(found, budgets).ruling in {ruling, "inconclusive"}
