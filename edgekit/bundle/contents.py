"""What lies in a bundle, read without following a link or trusting a name."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError, UsageError

SCHEMA = 1
MODEL, TFLITE_MODEL = "model.onnx", "model.tflite"
MANIFEST = "manifest.json"
MEASUREMENTS = "measurements.json"
_LARGEST_JSON_BYTES = 1 << 30
_CHUNK_BYTES = 1 << 20


def model_name(file: Path) -> str:
    """Return what the model `file` is called in a bundle."""
    return TFLITE_MODEL if file.suffix == ".tflite" else MODEL


def is_finished(path: str | Path) -> bool:
    """Say whether a folder has the manifest of a bundle; not whether its files are intact."""
    try:
        manifest(Path(path))
    except EdgekitError:
        return False
    return True


def manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a bundle.

    Raises:
        UsageError: there is none.
    """
    if not folder.is_dir():
        raise UsageError("no bundle", where=str(folder), expected="a folder with a manifest.json")
    found = json_object(folder / MANIFEST)
    files = found.get("files")
    hashes_files = isinstance(files, dict) and all(
        isinstance(digest, str) for digest in files.values()
    )
    if found.get("kind") != "bundle" or not hashes_files:
        raise UsageError("not the manifest of a bundle", where=str(folder / MANIFEST))
    return found


def json_object(file: Path) -> dict[str, Any]:
    """Return the JSON object in a file of a bundle.

    Raises:
        UsageError: it is missing, a link, no regular file, or no JSON object.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST_JSON_BYTES:
                raise UsageError("no file of a bundle", where=str(file))
            found = json.loads(stream.read())
    except FileNotFoundError:
        raise UsageError("no bundle: there is no manifest", where=str(file)) from None
    except OSError as error:
        raise UsageError(
            "cannot be read", where=str(file), found=error.strerror or str(error)
        ) from None
    except (ValueError, RecursionError) as error:
        raise UsageError("not valid JSON", where=str(file), found=str(error)) from None
    if not isinstance(found, dict):
        raise UsageError("not an object", where=str(file))
    return found


def contents(folder: Path) -> dict[str, str]:
    """Return what lies in a folder, at any depth: its kind (`file`, `link`, `device`) by path."""
    found: dict[str, str] = {}
    for inner, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(inner, name)
            mode = path.lstat().st_mode
            relative = path.relative_to(folder).as_posix()
            if stat.S_ISLNK(mode):
                found[relative] = "link"
            elif stat.S_ISREG(mode):
                found[relative] = "file"
            elif not stat.S_ISDIR(mode):
                found[relative] = "device"
    return found


def sha256(file: Path) -> str:
    """Return the hash of a file that is no link."""
    digest = hashlib.sha256()
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
