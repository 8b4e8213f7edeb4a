"""Reading a bundle: every file is checked against the manifest first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit import graph
from edgekit.bundle.contents import (
    MANIFEST,
    MEASUREMENTS,
    MODEL,
    TFLITE_MODEL,
    contents,
    json_object,
    manifest,
    model_name,
    sha256,
)
from edgekit.errors import UsageError
from edgekit.result import Result, from_value


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle that was read and found whole.

    Attributes:
        files: sha256 of every file but the manifest, by its path within the folder.
    """

    folder: Path
    result: Result
    files: dict[str, str]

    @property
    def model(self) -> Path:
        """The model file."""
        return self.folder / model_name(self.result.chosen_candidate.file)


def read(path: str | Path) -> Bundle:
    """Read a bundle; every file is checked first.

    Raises:
        UsageError: there is no bundle, or it is not as it was written.
    """
    folder = Path(path)
    recorded = manifest(folder)
    problems = verify(folder)
    if problems:
        raise UsageError(
            "the bundle is not as it was written",
            where=str(folder),
            found=problems[0],
            remedy=f"see all {len(problems)} with `edgekit verify`; build it anew",
        )
    measured = json_object(folder / MEASUREMENTS)
    document = {**recorded, "kind": "result", "measurements": measured.get("measurements")}
    result = from_value(document, Result, where=str(folder / MANIFEST))
    found = Bundle(folder=folder, result=result, files=dict(recorded["files"]))
    _check_identity(found)
    return found


def verify(path: str | Path) -> list[str]:
    """Return what is wrong with a bundle, one line each; empty when it is as it was written.

    Raises:
        UsageError: there is no bundle.
    """
    folder = Path(path)
    recorded: dict[str, str] = manifest(folder)["files"]
    problems, present = [], contents(folder)
    for name, kind in sorted(present.items()):
        if kind != "file":
            problems.append(f"{name}: a {kind}, expected a regular file")
        elif name == MANIFEST:
            continue
        elif name not in recorded:
            problems.append(f"{name}: not in the manifest")
        elif sha256(folder / name) != recorded[name]:
            problems.append(f"{name}: changed (its sha256 is not the recorded one)")
    problems += [f"{name}: missing" for name in sorted(set(recorded) - set(present))]
    problems += [
        f"{name}: not recorded in the manifest"
        for name in (TFLITE_MODEL if TFLITE_MODEL in recorded else MODEL, MEASUREMENTS)
        if name not in recorded
    ]
    return problems


def _check_identity(found: Bundle) -> None:
    """Refuse a bundle whose model is not the candidate that it says was judged."""
    names = [candidate.name for candidate in found.result.candidates]
    if found.result.chosen not in names:
        raise UsageError(
            "the chosen candidate is not among those recorded", where=str(found.folder)
        )
    if graph.file_sha256(found.model) != found.result.chosen_candidate.sha256:
        raise UsageError("the model is not the one that was measured", where=str(found.model))
