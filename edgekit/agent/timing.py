"""Timing one model: the loop, the batch a sample needs, and when the process is warm."""

from __future__ import annotations

import gc
from time import perf_counter_ns
from typing import Any, Callable, List, NamedTuple, Sequence, Tuple

import numpy as np

from .session import Feeds

_TIMER_SHARE = 1000
_WINDOW = 20
_WINDOW_NS = 100_000_000
_CAP_WINDOWS = 20
_CAP_NS = 1_500_000_000
_STEADY_SHARE = 0.02


class WarmUp(NamedTuple):
    """How a process became warm; `typical_ns` is one inference once it was."""

    iterations: int
    settled: bool
    typical_ns: float


def timer_cost_ns() -> float:
    """Return the median cost of reading the timer."""
    reads = [perf_counter_ns() for _ in range(2001)]
    return float(max(np.median(np.diff(reads)), 1.0))


def batch_for(typical_ns: float, timer_ns: float) -> int:
    """Return how many inferences (a power of two) make a sample 1000 timer costs long."""
    batched = 1
    while batched * typical_ns < _TIMER_SHARE * timer_ns:
        batched *= 2
    return batched


class Loop:
    """The timed loop over rotated feeds; its position survives from slice to slice."""

    def __init__(self, run: Callable[[Feeds], Any], feeds: List[Feeds]) -> None:
        self._run, self._feeds, self._next = run, feeds, 0
        self.batched = 1

    def once_ns(self) -> int:
        """Time one inference."""
        return self._timed(0, 1)[0]

    def slice_ns(self, seconds: float, least: int) -> List[float]:
        """Time for `seconds`, at least `least` samples; ns per inference.

        One sample more is taken first and dropped: it brings back the caches that another
        process used meanwhile.
        """
        return [sample / self.batched for sample in self._timed(int(seconds * 1e9), least + 1)[1:]]

    def repeat(self, seconds: float) -> Tuple[int, int, int]:
        """Run for `seconds` without a sample; return the start and end (ns) and how many ran."""
        run, feeds, at, clock = self._run, self._feeds, self._next, perf_counter_ns
        done, start = 0, clock()
        end, until = start, start + int(seconds * 1e9)
        while end < until:
            run(feeds[at])
            at = (at + 1) % len(feeds)
            done += 1
            end = clock()
        self._next = at
        return start, end, done

    def _timed(self, for_ns: int, least: int) -> List[int]:
        run, feeds, at, count, batched = (
            self._run,
            self._feeds,
            self._next,
            len(self._feeds),
            self.batched,
        )
        clock = perf_counter_ns
        samples: List[int] = []
        gc.disable()
        try:
            until = clock() + for_ns
            end = 0
            if batched == 1:
                while end < until or len(samples) < least:
                    feed = feeds[at]
                    at = (at + 1) % count
                    start = clock()
                    run(feed)
                    end = clock()
                    samples.append(end - start)
            else:
                repeats = range(batched)
                while end < until or len(samples) < least:
                    feed = feeds[at]
                    at = (at + 1) % count
                    start = clock()
                    for _ in repeats:
                        run(feed)
                    end = clock()
                    samples.append(end - start)
        finally:
            gc.enable()
        self._next = at
        return samples


def warm_up(loop: Loop) -> WarmUp:
    """Run until two consecutive windows look alike, or give up at a cap of 1.5 s.

    Sets `loop.batched`. Source: pyperf, calibration of warm-ups.
    """
    samples = [loop.once_ns() for _ in range(3)]
    typical = float(np.median(samples))
    loop.batched = batch_for(typical, timer_cost_ns())
    window = int(min(_WINDOW, max(4, _WINDOW_NS // typical)))
    step = max(1, window // 4)
    taken: List[float] = []
    while True:
        taken.extend(loop.slice_ns(0, step))
        if len(taken) < 2 * window:
            continue
        settled = alike(taken[-2 * window : -window], taken[-window:])
        spent = sum(taken) * loop.batched
        if settled or len(taken) >= _CAP_WINDOWS * window or spent > _CAP_NS:
            iterations = (len(taken) + len(taken) // step) * loop.batched + len(samples)
            return WarmUp(iterations, settled, float(np.median(taken[-window:])))


def alike(earlier: Sequence[float], later: Sequence[float]) -> bool:
    """Say whether two windows of latencies could be of one warm process.

    The first value is no outlier of its window (at most Q3 + 1.5 IQR); means and MADs differ by
    at most 10%, quartiles by 5%. MADs under 2% of the median are alike whatever their ratio.
    """
    first, second = np.asarray(earlier), np.asarray(later)
    q1, median, q3 = np.percentile(first, [25, 50, 75])
    r1, other_median, r3 = np.percentile(second, [25, 50, 75])
    if first[0] > q3 + 1.5 * (q3 - q1):
        return False
    mad = float(np.median(np.abs(first - median)))
    other_mad = float(np.median(np.abs(second - other_median)))
    steady = max(mad / median, other_mad / other_median) <= _STEADY_SHARE
    return bool(
        _within(first.mean(), second.mean(), 0.10)
        and (steady or _within(mad, other_mad, 0.10))
        and _within(q1, r1, 0.05)
        and _within(q3, r3, 0.05)
    )


def _within(a: float, b: float, share: float) -> bool:
    return abs(a - b) <= share * b
