"""`module:callable`: how a user names code of their own."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable
from typing import Any

from edgekit.errors import UsageError

_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def is_reference(text: str) -> bool:
    """Say whether `text` has the form `module:callable`."""
    return _REFERENCE.fullmatch(text) is not None


def resolve(text: str, *, where: str) -> Callable[..., Any]:
    """Import `module:callable`; modules of the current directory are found, too.

    Raises:
        UsageError: no such module or attribute, it cannot be called, or importing it failed.
    """
    if not is_reference(text):
        raise UsageError(
            "not a reference to code", where=where, found=repr(text), expected="module:callable"
        )
    module_name, _, path = text.partition(":")
    here = os.getcwd()  # noqa: PTH109  # sys.path holds strings
    if here not in sys.path:
        sys.path.append(here)
    try:
        value: Any = importlib.import_module(module_name)
        for part in path.split("."):
            value = getattr(value, part)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"cannot find {text!r}",
            where=where,
            found=str(error),
            remedy="the module must be importable from the current directory",
        ) from error
    except Exception as error:
        raise UsageError(
            f"importing {module_name!r} failed",
            where=where,
            found=f"{type(error).__name__}: {error}",
        ) from error
    if not callable(value):
        raise UsageError(f"{text!r} cannot be called", where=where, found=type(value).__name__)
    return value  # type: ignore[no-any-return]  # checked to be callable above
