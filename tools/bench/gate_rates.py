"""How often the gate is right, on windows drawn from recorded blocks.

    python tools/bench/gate_rates.py RECORD.npz [RECORD.npz ...] [--draws 1000]

Each RECORD.npz is of record_blocks.py and holds blocks of one model against itself and against
itself made slower. A window is 30 blocks of one kind, gated as `edgekit profile --against` and
`edgekit gate` do: looks at 5, 10, 15, 20 and 30 blocks, the null control of 5 more blocks against
itself. Windows are drawn in two ways: without order, and as neighbours in time.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgekit import judging, statistics
from edgekit.measurement import Block, Measurement, Memory, Role, Run, Setup

_WINDOW, _NULL = statistics.LOOKS[-1], 5
_MEMORY = Memory(peak_bytes=None, runtime_bytes=None, weights_bytes=None, arena_bytes=None)
_SETUP = Setup(target="", device="recorded", runtime="", threads=1, batch=1, shapes={})
_ROLES: tuple[Role, ...] = ("original", "candidate", "candidate", "original")


class Rates(NamedTuple):
    """Of all windows of one kind: the share that fails and passes, and blocks used in the mean."""

    windows: int
    fails: float
    passes: float
    blocks: float


def main() -> None:
    """Print the table and whether each claim holds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("records", type=Path, nargs="+")
    parser.add_argument("--draws", type=int, default=1000)
    given = parser.parse_args()
    print("model | kind | runs | spread | windows | drawn | fails | passes | blocks used | claim")
    for file in given.records:
        blocks, planted = recorded(file)
        for kind, found in blocks.items():
            d = judging.differences(found, "p50")
            spread = float(np.std(d, ddof=1)) if len(d) > 1 else float("nan")
            title = "against itself" if kind == "same" else f"{planted:+.1%} planted"
            for drawn, rates in (
                ("without order", rates_of(kind, blocks, _drawn(len(found), given.draws))),
                ("neighbours", rates_of(kind, blocks, _neighbours(len(found)))),
            ):
                print(
                    f"{file.stem} | {title} | {4 * len(found)} | {spread:.2%} | {rates.windows} |"
                    f" {drawn} | {rates.fails:.2%} | {rates.passes:.2%} | {rates.blocks:.1f} |"
                    f" {'holds' if claimed(kind, rates) else 'DOES NOT HOLD'}"
                )
        between, within = levels(blocks["same"])
        print(
            f"{file.stem} | level of a block | {4 * len(blocks['same'])} | {between:.2%} between "
            f"blocks, {within:.2%} between the processes of one | | | | | |"
        )
        floor = rates_of("same", blocks, _drawn(len(blocks["same"]), given.draws), most=4)
        print(
            f"{file.stem} | 4 blocks, below the floor | | | {floor.windows} | without order |"
            f" {floor.fails:.2%} | {floor.passes:.2%} | | "
            f"{'holds' if floor.fails == floor.passes == 0 else 'DOES NOT HOLD'}"
        )


def levels(blocks: Sequence[Block]) -> tuple[float, float]:
    """Return how much blocks differ, and how much the processes of a block do, as shares."""
    logs = np.log([[np.median(run.samples) for run in block.runs] for block in blocks])
    within = float(logs.var(axis=1, ddof=1).mean())
    between = float(logs.mean(axis=1).var(ddof=1)) - within / logs.shape[1]
    return max(between, 0.0) ** 0.5, within**0.5


def claimed(kind: str, rates: Rates) -> bool:
    """Against itself at most 1% fail, 80% pass; planted 90% fail, at most 1% pass; half saved."""
    saved = rates.blocks <= _WINDOW / 2
    if kind == "same":
        return rates.fails <= 0.01 and rates.passes >= 0.80 and saved
    return rates.fails >= 0.90 and rates.passes <= 0.01 and saved


def recorded(file: Path) -> tuple[dict[str, tuple[Block, ...]], float]:
    """Return the undisturbed blocks of each kind, as recorded, and what was planted."""
    with np.load(file, allow_pickle=False) as stored:
        rows = zip(stored["kind"], stored["medians_s"], stored["disturbed"], strict=True)
        found: dict[str, list[Block]] = {"same": [], "slower": []}
        for kind, medians, disturbed in rows:
            if not disturbed:
                found[str(kind)].append(_block(len(found[str(kind)]), medians))
        return {kind: tuple(blocks) for kind, blocks in found.items()}, float(stored["planted"][0])


def rates_of(
    kind: str,
    blocks: dict[str, tuple[Block, ...]],
    windows: Iterator[tuple[list[int], list[int]]],
    *,
    most: int = _WINDOW,
) -> Rates:
    """Gate every window: (places of its blocks, places of its null control)."""
    rulings, used = [], []
    for places, null_places in windows:
        window = [blocks[kind][at] for at in places[:most]]
        null = [blocks["same"][at % len(blocks["same"])] for at in null_places]
        ruling, number = gated(window, null)
        rulings.append(ruling)
        used.append(number)
    number = len(rulings)
    if not number:
        return Rates(0, float("nan"), float("nan"), float("nan"))
    return Rates(
        number,
        rulings.count("fail") / number,
        rulings.count("pass") / number,
        float(np.mean(used)),
    )


def gated(window: list[Block], null: list[Block]) -> tuple[str, int]:
    """Measure until it is settled, as profiling does, and rule."""
    budgets = judging.regression_budgets()
    taken = window
    for look in statistics.LOOKS:
        if look <= len(window) and judging.settled(window[:look], budgets):
            taken = window[:look]
            break
    measurement = Measurement(
        candidate="candidate",
        sha256="1",
        size_bytes=1,
        original_sha256="0",
        original_size_bytes=1,
        setup=_SETUP,
        blocks=tuple(taken),
        null_blocks=tuple(null),
    )
    return judging.overall(judging.regression(measurement)), len(taken)


def _drawn(number: int, draws: int) -> Iterator[tuple[list[int], list[int]]]:
    random = np.random.default_rng(20240)
    for _ in range(draws if number >= _WINDOW + _NULL else 0):
        places = random.permutation(number)[: _WINDOW + _NULL].tolist()
        yield places[:_WINDOW], places[_WINDOW:]


def _neighbours(number: int) -> Iterator[tuple[list[int], list[int]]]:
    for start in range(number - _WINDOW - _NULL + 1):
        places = list(range(start, start + _NULL + _WINDOW))
        yield places[_NULL:], places[:_NULL]


def _block(index: int, medians_s: np.ndarray) -> Block:
    runs = tuple(
        Run(
            role=role,
            rounds=tuple((float(median),) for median in medians if median > 0),
            first_s=1.0,
            load_s=1.0,
            warmup_iterations=1,
            settled=True,
            memory=_MEMORY,
        )
        for role, medians in zip(_ROLES, medians_s, strict=True)
    )
    return Block(index=index, runs=runs)


if __name__ == "__main__":
    main()
