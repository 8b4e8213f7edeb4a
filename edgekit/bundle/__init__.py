"""A bundle: a folder with the model, its evidence, and a manifest that hashes every file."""

from edgekit.bundle.contents import MANIFEST, MEASUREMENTS, MODEL, is_finished
from edgekit.bundle.reading import Bundle, read, verify
from edgekit.bundle.writing import check_out, write

__all__ = [
    "MANIFEST",
    "MEASUREMENTS",
    "MODEL",
    "Bundle",
    "check_out",
    "is_finished",
    "read",
    "verify",
    "write",
]
