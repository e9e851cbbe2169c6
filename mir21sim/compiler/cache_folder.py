"""The cache folder, which only its user can write, and its sealed files.

Compiled code is loaded from here and run. So the folder must belong to the user, and
each file carries the SHA-256 of its content: a damaged file is taken for a missing one.
"""

import atexit
import contextlib
import functools
import os
import shutil
import stat
import tempfile
from pathlib import Path

import platformdirs

from mir21sim import files

_SUBFOLDERS = ("resting",)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


def folder() -> Path:
    """Return the cache folder: ``$MIR21SIM_CACHE`` or the user's cache folder.

    It is safe to delete. Where it cannot be used, see ``problem``, a new temporary
    folder serves until the process ends, and every process compiles anew.
    """
    path, why = _wanted()
    return _temporary() if why else path


def problem() -> str:
    """Return why the wanted cache folder is not used, "" where it is."""
    path, why = _wanted()
    return why and f"`{path}` {why}"


def _wanted() -> tuple[Path, str]:
    """Return the folder that is asked for, and why it cannot be used."""
    chosen = os.environ.get("MIR21SIM_CACHE")
    path = Path(chosen or platformdirs.user_cache_dir("mir21sim"))
    if not chosen and not path.is_absolute():
        return path, "is in no home folder"
    path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
    return path, _why_not(path)


def _why_not(path: Path) -> str:
    """Make a private folder; return why there is none, "" where all is well."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        return f"cannot be made ({files.reason(error)})"
    if stat.S_ISLNK(found.st_mode):
        return "is a symbolic link"
    if not stat.S_ISDIR(found.st_mode):
        return "is no folder"
    if not _is_private(found):
        return "belongs to another user or can be written by one (see `chmod go-w`)"
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return "cannot be written"
    _tidy(path)
    return ""


def _is_private(found: os.stat_result) -> bool:
    """Say whether a file or folder is this user's, and others cannot write it."""
    if not hasattr(os, "geteuid"):  # Windows, where folders of users are private
        return True
    return found.st_uid == os.geteuid() and not found.st_mode & 0o022


@functools.cache
def _tidy(path: Path) -> None:
    """Delete the temporary files of dead processes, once a process."""
    for place in (path, *(path / name for name in _SUBFOLDERS)):
        with contextlib.suppress(OSError):
            files.remove_abandoned(place)


@functools.cache
def _temporary() -> Path:
    """Return a new private folder, deleted when this process ends.

    Where there is none to be had, the path is one at which nothing can be written, and
    compiled code is kept in memory.
    """
    try:
        path = Path(tempfile.mkdtemp(prefix="mir21sim-"))
    except OSError:
        return Path(os.devnull) / "mir21sim"
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # not a fork of the process
            shutil.rmtree(path, ignore_errors=True)

    atexit.register(remove)
    return path


def read(path: Path) -> bytes | None:
    """Return the content of a sealed file, None where it is missing or damaged."""
    try:
        with path.open("rb") as file:
            if not _is_private(os.fstat(file.fileno())):
                return None
            data = file.read()
    except OSError:
        return None
    return files.unsealed(data)


def write(path: Path, body: bytes) -> None:
    """Write a sealed file in one move; a disk that is full or read-only is no error."""
    part = path.with_name(f".{path.name}.{files.unique()}.part")
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(os.open(part, _NEW, 0o600), "wb") as file:
            file.write(files.sealed(body))
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def clear() -> int:
    """Delete the files of the cache; return the number of models that it held.

    Files of others in the folder stay.
    """
    home = folder()
    count = len(list(home.glob("m_*.py")))
    for pattern in ("[a-z]_*", ".[a-z]_*.part", "resting/*.state", "resting/.*.part"):
        for path in home.glob(pattern):
            with contextlib.suppress(OSError):
                path.unlink()
    for place in (*(home / name for name in _SUBFOLDERS), home):
        with contextlib.suppress(OSError):
            place.rmdir()
    return count
