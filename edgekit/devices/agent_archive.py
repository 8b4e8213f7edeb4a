"""Packs the agent as one file that is named by its content."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zipfile
from pathlib import Path

import platformdirs

from edgekit.errors import OutputError

_SOURCE = Path(__file__).parent.parent / "agent"
_PACKAGE = "edgekit_agent"
_START = f"import sys\n\nfrom {_PACKAGE}.main import main\n\nsys.exit(main(sys.argv[1:]))\n"
_DATE = (1980, 1, 1, 0, 0, 0)


def agent_archive(folder: Path | None = None) -> Path:
    """Return the packed agent, written to `folder` (the user's cache) unless it is there.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder = folder or Path(platformdirs.user_cache_dir("edgekit")) / "agent"
    content = _packed()
    file = folder / f"edgekit-agent-{hashlib.sha256(content).hexdigest()[:16]}.pyz"
    try:
        if not file.exists() or file.read_bytes() != content:
            _write(file, content)
    except OSError as error:
        raise OutputError(
            "cannot write the agent",
            where=str(file),
            found=str(error),
            remedy="set XDG_CACHE_HOME to a folder that can be written",
        ) from error
    return file


def _packed() -> bytes:
    sources = {f"{_PACKAGE}/{file.name}": file.read_bytes() for file in _SOURCE.glob("*.py")}
    sources["__main__.py"] = _START.encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(sources):
            entry = zipfile.ZipInfo(name, date_time=_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, sources[name])
    return buffer.getvalue()


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(dir=file.parent, prefix=file.name)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    Path(part).replace(file)
