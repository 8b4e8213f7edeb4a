"""All that training needs to go on from where it was, in one file: the old one or the new one."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.errors import OutputError

_FACTS = "facts"

Arrays = dict[str, npt.NDArray[Any]]


def write(file: Path, arrays: Mapping[str, npt.NDArray[Any]], facts: Mapping[str, Any]) -> None:
    """Write arrays and JSON values beside `file`, and rename.

    Raises:
        OutputError: it cannot be written; what was there stays.
    """
    part = file.with_name(f".{file.name}.part")
    try:
        with part.open("wb") as stream:
            named: dict[str, Any] = {_FACTS: np.array(json.dumps(facts)), **arrays}
            np.savez(stream, **named)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)
    except OSError as error:
        raise OutputError(
            "cannot be written", where=str(file), found=error.strerror or str(error)
        ) from None


def read(file: Path) -> tuple[Arrays, dict[str, Any]] | None:
    """Return what `write` wrote; None when there is nothing, or nothing readable."""
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if name != _FACTS}
            return arrays, json.loads(str(archive[_FACTS]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
