"""Convert models of your own to TFLite, float and int8, and print what LiteRT makes of them.

    EDGEKIT_ONNX2TF=.../python python tools/bench/tflite.py JOBS.toml [--threads N]

JOBS.toml is that of `optimize.py`: a table a model, with `model` and `data`, and where data does
not settle dynamic axes with `shape = "x=1x3x48x320"`. SQNR is against the ONNX model, on up to 64
samples of the data. Latencies are medians of interleaved slices: LiteRT's two forms beside each
other, the ONNX model in onnxruntime by itself. A form that is refused is told with its reason.
"""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path
from typing import Any

from edgekit import bench, graph
from edgekit import target as targets
from edgekit.cli.options import read_shapes
from edgekit.dataset import open_data
from edgekit.errors import EdgekitError
from edgekit.exporting import Exported, check_ready, float_form, int8_form
from edgekit.job import Conditions, Job, open_job, silent
from edgekit.measuring import timing_device
from edgekit.runtimes import as_litert

_SECONDS_EACH = 1.5


def main() -> None:
    """Print a row a model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("jobs", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[])
    given = parser.parse_args()
    print(
        "| model | fp32 dB | int8 dB | int8 size | MACs int8 | fp32 ms | int8 ms | ratio |"
        " onnxruntime fp32 ms |"
    )
    print("|-|-|-|-|-|-|-|-|-|")
    for name, job in tomllib.loads(given.jobs.read_text(encoding="utf-8")).items():
        if not given.only or name in given.only:
            print(_row(name, job, given.jobs.parent, given.threads), flush=True)


def _row(name: str, job: dict[str, Any], home: Path, threads: int) -> str:
    file = home / job["model"]
    model = graph.load(file)
    data = open_data(home / job["data"], model)
    conditions = Conditions(
        device=None,
        threads=threads,
        batch=1,
        shapes=read_shapes((job["shape"],)) if "shape" in job else None,
        progress=silent,
    )
    with open_job(file, model, as_litert(targets.load("x86")), conditions, data=data) as opened:
        check_ready(opened)
        forms: list[Exported] = []
        for form in (float_form, int8_form):
            try:
                forms.append(form(opened, data))
            except EdgekitError as error:
                return f"| {name} | {form.__name__}: {error} |"
        return f"| {name} | {_figures(opened, *forms)} |"


def _figures(job: Job, plain: Exported, int8: Exported) -> str:
    share = int8.record.facts["share of multiply-adds in int8"]
    size = graph.file_size(int8.file) / graph.file_size(plain.file)
    decibels = [form.record.facts["sqnr_db under LiteRT"] for form in (plain, int8)]
    ours = _screened(job, plain.file, int8.file)
    (theirs,) = _screened(job, job.file)
    times = [f"{1e3 * found.p50.value:.2f}" for found in (*ours, theirs)]
    ratio = ours[1].ratio
    return (
        f"{decibels[0]:.0f} | {decibels[1]:.1f} | {size:.2f} | {100 * share:.0f} % | {times[0]} |"
        f" {times[1]} | {ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f}) | {times[2]}"
    )


def _screened(job: Job, *files: Path) -> list[bench.Screened]:
    device = timing_device(job)
    return bench.screen(device, list(files), job.running, seconds_each=_SECONDS_EACH)


if __name__ == "__main__":
    main()
