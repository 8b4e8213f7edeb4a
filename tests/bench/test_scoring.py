import sys

import numpy as np
import pytest

from edgekit import bench
from edgekit.errors import DataError, UsageError

SCORES = np.array([[0.1, 0.9, 0.0], [0.8, 0.1, 0.1], [0.2, 0.3, 0.5]], np.float32)
OTHER = np.array([[0.9, 0.1, 0.0], [0.8, 0.1, 0.1], [0.2, 0.3, 0.5]], np.float32)
LABELS = np.array([1, 0, 1])


def scored(name, labels=LABELS, **options):
    return bench.accuracy(
        [OTHER], [SCORES], labels, bench.scorer(name, **options), metadata={"k": "v"}
    )


def test_top1_is_one_value_a_sample_beside_the_originals():
    found = scored("top1")
    assert found.values == (0.0, 1.0, 0.0)
    assert found.original_values == (1.0, 1.0, 0.0)
    assert found.agreement == pytest.approx(2 / 3)
    assert found.labelled
    assert found.sqnr_db == pytest.approx(bench.sqnr_db([OTHER], [SCORES]))


def test_without_labels_only_closeness_is_known():
    found = scored("top1", labels=None)
    assert found.values == ()
    assert not found.labelled
    assert found.agreement == pytest.approx(2 / 3)


def test_agreement_needs_no_labels():
    found = scored("agreement", labels=None)
    assert found.values == (0.0, 1.0, 1.0)
    assert found.original_values == (1.0, 1.0, 1.0)


def test_outputs_that_are_no_class_scores_have_no_agreement():
    boxes = np.zeros((3, 4, 5), np.float32)
    found = bench.accuracy([boxes], [boxes], None, bench.scorer("sqnr_db"), metadata={})
    assert found.agreement is None
    assert found.sqnr_db == 200.0


def test_sqnr_is_ten_decibels_for_a_tenth_of_the_power():
    signal = np.full((4, 10), 10.0)
    noisy = signal + np.sqrt(10.0)
    assert bench.sqnr_db([noisy], [signal]) == pytest.approx(10.0)
    assert bench.sqnr_db([noisy * np.nan], [signal]) == -200.0


@pytest.fixture
def own(monkeypatch, tmp_path):
    (tmp_path / "own_metric.py").write_text(
        "import numpy as np\n"
        "def good(outputs, labels, metadata):\n"
        "    assert metadata == {'k': 'v'}\n"
        "    return [float(o.sum()) for o in outputs[0]]\n"
        "def short(outputs, labels, metadata):\n    return [1.0]\n"
        "def infinite(outputs, labels, metadata):\n    return [1.0, float('nan'), 1.0]\n"
        "def broken(outputs, labels, metadata):\n    return 1 / 0\n"
        "number = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own_metric", None)


@pytest.mark.usefixtures("own")
def test_a_callable_of_the_users_own_scores():
    found = scored("own_metric:good", better="lower")
    assert found.better == "lower"
    assert found.values == pytest.approx((1.0, 1.0, 1.0))


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("name", "says"),
    [("short", "a value per sample"), ("infinite", "sample 1"), ("broken", "ZeroDivisionError")],
)
def test_a_callable_that_returns_nonsense_is_told_so(name, says):
    with pytest.raises(DataError, match=says):
        scored(f"own_metric:{name}")


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize("name", ["top2", "own_metric:none", "own_metric:number", "nowhere:x", ":"])
def test_a_metric_that_is_not_there_is_a_usage_error(name):
    with pytest.raises(UsageError, match="metric"):
        bench.scorer(name)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (np.array([1, 0]), "differ in number"),
        (np.array([1, 0, 3]), "no class"),
        (np.array([0.5, 0.1, 0.2]), "one class number"),
        (np.array(["a", "b", "c"]), "one class number"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, says):
    with pytest.raises(DataError, match=says):
        scored("top1", labels=labels)
