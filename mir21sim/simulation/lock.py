"""One process at a time in a folder of unfinished results.

The operating system holds the lock and gives it up when the process ends, however it
ends. So a lock that a dead process left is no obstacle, and nobody has to delete it.
"""

import datetime as dt
import errno
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

from mir21sim import files
from mir21sim.errors import InputError

NAME = "lock"
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
_held: set[Path] = set()
"""Folders that this process holds; the system does not lock a process from itself."""


class FolderLock:
    """The right to write into a folder, which is made if need be.

    Raises
    ------
    InputError
        When another process, or another call in this one, has the folder.
    OSError
        When the folder cannot be made or written.
    """

    def __init__(self, folder: Path) -> None:
        self._file: int | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder.resolve()
        if self._folder in _held:
            raise InputError(_in_use(folder, f"process {os.getpid()}, this one"))
        self._file = _acquire(folder)
        _held.add(self._folder)
        who = {"pid": os.getpid(), "machine": files.machine()}
        who |= {"host": socket.gethostname()}
        who |= {"since": dt.datetime.now().astimezone().isoformat(timespec="seconds")}
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, json.dumps(who).encode())

    def release(self) -> None:
        """Give the folder up."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
            _held.discard(self._folder)

    def __del__(self) -> None:
        self.release()


def refuse_if_held(folder: Path) -> None:
    """Stop where a process is writing into a folder.

    Raises
    ------
    InputError
        With the process and its machine.
    """
    if folder.resolve() in _held:
        raise InputError(_in_use(folder, f"process {os.getpid()}, this one"))
    if (folder / NAME).is_file():
        os.close(_acquire(folder))


def _acquire(folder: Path) -> int:
    """Return an open and locked file of a folder."""
    path = folder / NAME
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        free = _is_free(file)
        if free and _is_still_there(file, path):
            return file
        who = _holder(file)
        os.close(file)
        if not free:
            raise InputError(_in_use(folder, who))
        # Its folder was deleted in between.


def _is_still_there(file: int, path: Path) -> bool:
    """Return whether a path still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return False


def _is_free(file: int) -> bool:
    """Lock a file; return False where another process has locked it."""
    try:
        _lock(file)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            return False
        # A file system without locks: the number of the process must do.
        who = _read(file)
        here = who.get("machine") == files.machine()
        pid = who.get("pid")
        return not (here and isinstance(pid, int) and files.is_alive(pid))
    return True


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        """Lock a byte far behind the text, which others can then still read."""
        os.lseek(file, 1 << 20, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: int) -> None:
        """Lock a file; children of this process do not inherit the lock."""
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _read(file: int) -> dict[str, Any]:
    """Return the record in a lock file, empty where there is none."""
    os.lseek(file, 0, os.SEEK_SET)
    try:
        who = json.loads(os.read(file, 1000))
    except (OSError, ValueError):
        return {}
    return who if isinstance(who, dict) else {}


def _holder(file: int) -> str:
    """Return the process, machine and time in a lock file, as text."""
    who = _read(file)
    pid, host, since = (str(who.get(k, "?"))[:60] for k in ("pid", "host", "since"))
    return f"process {pid} on {host} since {since}"


def _in_use(folder: Path, who: str) -> str:
    return (
        f"`{folder}` is in use by {who}; wait until it has finished, or give another "
        "output."
    )
