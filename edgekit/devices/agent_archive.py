"""Packs the agent as one file that is named by its content."""

from __future__ import annotations

import functools
import hashlib
import io
import zipfile
from pathlib import Path

_SOURCE = Path(__file__).parent.parent / "agent"
_PACKAGE = "edgekit_agent"
_START = f"import sys\n\nfrom {_PACKAGE}.main import main\n\nsys.exit(main(sys.argv[1:]))\n"
_DATE = (1980, 1, 1, 0, 0, 0)


def agent_archive(folder: Path) -> Path:
    """Write the packed agent into `folder` and return its path.

    The same source gives the same bytes and the same name everywhere.
    """
    content = agent_content()
    file = folder / f"edgekit-agent-{hashlib.sha256(content).hexdigest()[:16]}.pyz"
    file.write_bytes(content)
    return file


def bootstrap_program() -> bytes:
    """Return the Python text that puts the agent into a device's cache and becomes it."""
    content = agent_content()
    call = f"\n\nstart({hashlib.sha256(content).hexdigest()!r}, {len(content)})\n"
    return (_SOURCE / "bootstrap.py").read_bytes() + call.encode()


@functools.cache
def agent_content() -> bytes:
    """Return the packed agent."""
    sources = {f"{_PACKAGE}/{file.name}": file.read_bytes() for file in _SOURCE.glob("*.py")}
    sources["__main__.py"] = _START.encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(sources):
            entry = zipfile.ZipInfo(name, date_time=_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, sources[name])
    return buffer.getvalue()
