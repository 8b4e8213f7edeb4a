"""Build an architecture zoo with random weights and export it by both of torch's exporters.

    pip install torch==2.13.0 transformers onnx onnxscript
    python tools/zoo OUT [--only NAME] [--exporter torchscript|dynamo]

Nothing is downloaded: every model comes of its configuration. Writes `<name>.<exporter>.onnx`
and `zoo.json` with the inputs of each, and with what an exporter refused and why.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import configured
import images
import sequences
from exporting import EXPORTERS, export, write_index


def main() -> None:
    """Export what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("out", type=Path, help="a folder")
    parser.add_argument("--only", help="name of one architecture")
    parser.add_argument("--exporter", choices=EXPORTERS)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for recipe in (*images.recipes(), *sequences.recipes(), *configured.recipes()):
        if arguments.only not in {None, recipe.name}:
            continue
        for exporter in EXPORTERS:
            if arguments.exporter not in {None, exporter}:
                continue
            started = time.monotonic()
            done = export(recipe, exporter, arguments.out)
            write_index([done], arguments.out)
            said = f"  refused: {done.refusal}" if done.refusal else ""
            state = "written" if done.file else "none"
            took = time.monotonic() - started
            print(f"{recipe.name:20} {exporter:12} {state} {took:5.1f} s{said}", flush=True)


if __name__ == "__main__":
    main()
