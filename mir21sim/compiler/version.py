"""Version of the generated text, and digests of source files, without SymPy."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
"""The folder of this package."""

GENERATOR = 15
"""Raise by one whenever the text or the machine code for the same network changes."""


def digest_of(paths: Iterable[Path]) -> bytes:
    """Return a digest of the names and contents of files."""
    total = hashlib.sha256()
    for path in paths:
        total.update(f"{path.name}\n".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.digest()
