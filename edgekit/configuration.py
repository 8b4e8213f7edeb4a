"""Reading the TOML files that users write: targets and release profiles.

A file is named by path, or by name: then it lies in a directory on `EDGEKIT_PATH` or is shipped.
Whatever is wrong with it becomes one line with the file, the key, what was found and what was
expected.
"""

from __future__ import annotations

import difflib
import os
import stat
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from edgekit.errors import UsageError

Kind = Literal["targets", "profiles"]
Table = TypeVar("Table", bound=BaseModel)

SEARCH_PATH = "EDGEKIT_PATH"
_LARGEST_BYTES = 1 << 20
_MARKER: dict[Kind, str] = {"targets": "quantized", "profiles": "budgets"}
_SINGULAR: dict[Kind, str] = {"targets": "target", "profiles": "release profile"}


def load(table: type[Table], name_or_path: str | Path, *, kind: Kind) -> Table:
    """Read a target or a release profile.

    Args:
        table: the model of the file's content.
        name_or_path: a path (a `Path`, or text with a separator or the ending `.toml`), or the
            name of a file on `EDGEKIT_PATH` or of a shipped one. The user's come first.
        kind: which of the two kinds of file it is.

    Raises:
        UsageError: unknown name, unreadable file, wrong TOML, or a wrong key or value.
    """
    return read(table, _locate(name_or_path, kind))


def read(table: type[Table], path: Path) -> Table:
    """Read the file at `path`.

    Raises:
        UsageError: unreadable file, wrong TOML, or a wrong key or value.
    """
    return _validated(table, _document(path), path)


def names(kind: Kind) -> tuple[str, ...]:
    """Return every name that `load` takes for this kind, sorted."""
    return tuple(sorted(_named(kind)))


def _locate(name_or_path: str | Path, kind: Kind) -> Path:
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or os.sep in text or text.endswith(".toml"):
        return Path(name_or_path)
    known = _named(kind)
    if text in known:
        return known[text]
    close = difflib.get_close_matches(text, known, n=1, cutoff=0.4)
    raise UsageError(
        f"unknown {_SINGULAR[kind]} {text!r}",
        remedy=(f"did you mean {close[0]!r}? " if close else "")
        + f"known: {', '.join(sorted(known))}; or give the path of a .toml file",
    )


def _named(kind: Kind) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in filter(None, os.environ.get(SEARCH_PATH, "").split(os.pathsep)):
        for path in sorted(Path(folder).glob("*.toml")):
            if _is_of_kind(path, kind):
                found.setdefault(path.stem, path)
    for path in sorted(_shipped(kind).glob("*.toml")):
        found.setdefault(path.stem, path)
    return found


def _shipped(kind: Kind) -> Path:
    package = Path(__file__).resolve().parent
    packaged = package / "_data" / kind
    return packaged if packaged.is_dir() else package.parent / kind


def _is_of_kind(path: Path, kind: Kind) -> bool:
    """Tell a user's targets from profiles; a file that cannot be read is of both kinds."""
    try:
        return _MARKER[kind] in _document(path)
    except UsageError:
        return True


def _document(path: Path) -> dict[str, Any]:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UsageError("not a file", where=str(path), expected="a TOML file")
        if status.st_size > _LARGEST_BYTES:
            raise UsageError(
                "too large",
                where=str(path),
                found=f"{status.st_size} bytes",
                expected=f"at most {_LARGEST_BYTES}",
            )
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError("no such file", where=str(path)) from None
    except OSError as error:
        raise UsageError(
            "cannot be read", where=str(path), found=error.strerror or str(error)
        ) from None
    except UnicodeDecodeError:
        raise UsageError("not text", where=str(path), expected="TOML in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError("not valid TOML", where=str(path), found=str(error)) from None
    except RecursionError:
        raise UsageError("nested too deeply", where=str(path), expected="TOML") from None


def _validated(table: type[Table], document: dict[str, Any], path: Path) -> Table:
    try:
        return table.model_validate(document)
    except UsageError as error:
        raise UsageError(
            error.what,
            where=f"{path}: {error.where}",
            found=error.found,
            expected=error.expected,
            remedy=error.remedy,
        ) from None
    except ValidationError as error:
        raise _one_line(error, table, document, path) from None


def _one_line(
    error: ValidationError, table: type[BaseModel], document: dict[str, Any], path: Path
) -> UsageError:
    """Translate one of pydantic's errors, a mistyped key before all; the rest are counted."""
    details = error.errors(include_url=False, include_context=False)
    first = next((d for d in details if d["type"] == "extra_forbidden"), details[0])
    key = _key(first["loc"], document)
    where = f"{path}: {key}" if key else str(path)
    others = {_key(detail["loc"], document) for detail in details} - {key}
    more = f"{len(others)} more key(s) of this file are wrong" if others else ""
    if first["type"] == "missing":
        missing = str(first["loc"][-1])
        return UsageError("missing key", where=where, expected=repr(missing), remedy=more)
    if first["type"] == "extra_forbidden":
        known = _keys_beside(table, first["loc"])
        close = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.5)
        expected = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(known)}"
        return UsageError("unknown key", where=where, remedy=f"{expected} {more}")
    expected = first["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    if first["type"] in {"model_type", "dict_type"}:
        expected = "a table"
    found = repr(first["input"])
    if len(found) > 80:  # noqa: PLR2004  # one line stays readable
        found = found[:77] + "..."
    return UsageError("wrong value", where=where, found=found, expected=expected, remedy=more)


def _key(location: tuple[int | str, ...], document: object) -> str:
    """Write pydantic's location as the key in the file, `steps[1].params`."""
    text = ""
    for index, part in enumerate(location):
        inside: object = None
        if isinstance(part, int):
            if isinstance(document, list) and part < len(document):
                inside = document[part]
                text += f"[{part}]"
        elif isinstance(document, Mapping) and part in document:
            inside = document[part]
            text += f".{part}" if text else part
        elif isinstance(document, Mapping) and index == len(location) - 1:
            return text
        document = inside if inside is not None else document
    return text


def _keys_beside(table: type[BaseModel], location: tuple[int | str, ...]) -> tuple[str, ...]:
    """Return the keys that are allowed where the unknown one stands."""
    for part in location[:-1]:
        if isinstance(part, str) and part in table.model_fields:
            table = _table_within(table.model_fields[part].annotation) or table
    return tuple(field.alias or name for name, field in table.model_fields.items())


def _table_within(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_table_within, get_args(annotation))), None)


def write_beside(path: Path, text: str) -> None:
    """Write `text` to `path`: beside it, then renamed, so that what was there stays until then.

    Raises:
        OSError: it cannot be written.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
