"""Networks as read and checked, kept in the cache by the content of their files.

A process that loads a known model needs neither libSBML nor the checks.
"""

import functools
import hashlib
import importlib.metadata
import pickle
import platform
import zlib
from pathlib import Path

from mir21sim.compiler import cache_folder
from mir21sim.compiler.version import PACKAGE, digest_of
from mir21sim.model.files import ModelFiles
from mir21sim.model.read import Reading

READER_SOURCES = ("model/**/*.py", "units.py", "errors.py")
"""Source files that decide how the texts of a model are read and checked."""


def kept(files: ModelFiles) -> Reading | None:
    """Return the reading of a model, None where it is missing or damaged."""
    body = cache_folder.read(_path(files))
    if body is None:
        return None
    # The seal is whole, so these are the bytes that this program has written.
    found = pickle.loads(zlib.decompress(body))
    return found if isinstance(found, Reading) else None


def keep(files: ModelFiles, found: Reading) -> None:
    """Keep the reading of a model whose structure has no error."""
    body = pickle.dumps(found, pickle.HIGHEST_PROTOCOL)
    cache_folder.write(_path(files), zlib.compress(body, 1))


def _path(files: ModelFiles) -> Path:
    parts = (files.name, sorted(files.texts.items()), files.context)
    name = hashlib.sha256(_stamp() + repr(parts).encode()).hexdigest()[:24]
    return cache_folder.folder() / f"n_{name}.network"


@functools.cache
def _stamp() -> bytes:
    """Return the digest of the programs that read models."""
    versions = importlib.metadata.version("python-libsbml"), platform.python_version()
    paths = (path for p in READER_SOURCES for path in sorted(PACKAGE.glob(p)))
    return digest_of(paths) + repr(versions).encode()
