"""Write a file in one move: to a temporary file beside it, then rename."""

import contextlib
import hashlib
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mir21sim.errors import InputError

_FORMULA = {*"=+-@", "\t", "\r"}
_ABANDONED_S = 86_400.0
"""Age at which a temporary file is taken for one of a process that died."""


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """Give the path of a temporary file; the file takes the name when all went well.

    The file is on the disk before it is renamed, so that a crash leaves the old file
    or the new one. After an error the temporary file is deleted.

    Raises
    ------
    InputError
        When the file cannot be written: no folder, no permission, a full disk.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with writing(path) as part:
    ...     _ = part.write_text("whole")
    >>> path.read_text(), len(list(path.parent.iterdir()))
    ('whole', 1)
    """
    path = Path(path)
    part = prepare_output(path)
    try:
        yield part
        _synchronize(part)
        part.replace(path)
    except OSError as error:
        raise InputError(f"`{path}` cannot be written: {reason(error)}.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> Path:
    """Write a text file (UTF-8, lines end in LF) in one move.

    Raises
    ------
    InputError
        When the file cannot be written.
    """
    return write_bytes(path, text.encode())


def write_bytes(path: str | Path, data: bytes) -> Path:
    """Write a file in one move.

    Raises
    ------
    InputError
        When the file cannot be written.
    """
    with writing(path) as part:
        part.write_bytes(data)
    return Path(path)


def reason(error: OSError) -> str:
    """Return in a few words why a file could not be read or written."""
    if error.errno is not None:
        return os.strerror(error.errno)
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__


def prepare_output(path: Path) -> Path:
    """Return a temporary file beside a path that can be written, folders made.

    Temporary files that a killed process left for the same path are deleted.

    Raises
    ------
    InputError
        When the folder cannot be made or written, before any work is lost.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            path.lstat()  # raises OSError for a name that is too long
        if path.is_dir():
            raise InputError(f"`{path}` is a folder, not a file.")
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(path.parent, f".{path.name[:40]}.")
        # Not by tempfile, whose files nobody else may read when they are renamed.
        part = path.parent / f".{path.name[:40]}.{unique()}.part"
        part.touch(exist_ok=False)
    except OSError as error:
        raise InputError(f"`{path}` cannot be written: {reason(error)}.") from error
    return part


def check_writable(path: str | Path, kinds: Sequence[str]) -> Path:
    """Return a path after checking its ending and that a file can be made there.

    Raises
    ------
    InputError
        Before any work is done that could not be kept.
    """
    path = Path(path)
    if path.suffix.lower() not in kinds:
        raise InputError(f"`{path.name}` must end in {' or '.join(kinds)}.")
    prepare_output(path).unlink(missing_ok=True)
    return path


def slug(name: str) -> str:
    """Return a name as a file may be called.

    Examples
    --------
    >>> slug("TRAIL 10 ng/ml")
    'TRAIL_10_ng-ml'
    """
    return re.sub(r"[^\w.+-]+", "-", name.replace(" ", "_"))


def no_formula(value: Any) -> Any:
    """Return a value, a text behind an apostrophe if a spreadsheet would compute it.

    Examples
    --------
    >>> no_formula("=1+1"), no_formula("-5.1"), no_formula("TRAIL"), no_formula(-5.1)
    ("'=1+1", '-5.1', 'TRAIL', -5.1)
    """
    if not isinstance(value, str) or value[:1] not in _FORMULA:
        return value
    try:
        float(value)
    except ValueError:
        return "'" + value
    return value


def with_formula(text: str) -> str:
    """Return the text that ``no_formula`` has put behind an apostrophe."""
    return text[1:] if text[:1] == "'" and text[1:2] in _FORMULA else text


def sealed(body: bytes) -> bytes:
    """Return data behind a line with its SHA-256, a comment in many languages.

    Examples
    --------
    >>> unsealed(sealed(b"whole")), unsealed(sealed(b"whole")[:-1])
    (b'whole', None)
    """
    return _seal(body) + b"\n" + body


def unsealed(data: bytes) -> bytes | None:
    """Return sealed data, None where any bit is not as it was written."""
    seal, _, body = data.partition(b"\n")
    return body if seal == _seal(body) else None


def _seal(body: bytes) -> bytes:
    return b"# sha256 of the rest: " + hashlib.sha256(body).hexdigest().encode()


def unique() -> str:
    """Return the part of a temporary file's name that tells its process."""
    return f"{machine()}-{os.getpid()}-{secrets.token_hex(4)}"


def remove_abandoned(folder: Path, prefix: str = ".") -> None:
    """Delete the temporary files of processes that died, and those a day old."""
    # Of some thousand files a path for each would cost a tenth of a second.
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries]
    for name in names:
        if name.startswith(prefix) and name.endswith(".part"):
            part = folder / name
            with contextlib.suppress(OSError):
                if _is_abandoned(part):
                    part.unlink()


def _is_abandoned(part: Path) -> bool:
    """Say whether the process that writes a temporary file is gone."""
    if time.time() - part.stat().st_mtime > _ABANDONED_S:
        return True
    where, _, rest = part.name.removesuffix(".part").rpartition(".")[2].partition("-")
    pid = rest.partition("-")[0]
    return where == machine() and pid.isdecimal() and not is_alive(int(pid))


def is_alive(pid: int) -> bool:
    """Say whether a process of this machine runs; True where that cannot be known."""
    if os.name == "nt":  # os.kill would end the process there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def machine() -> str:
    """Return 8 digits for this machine and, in a container, its numbering of processes.

    Process numbers mean nothing outside of it.
    """
    names = "/proc/self/ns/pid"
    space = Path(names).readlink().name if Path(names).is_symlink() else ""
    return hashlib.sha256(f"{socket.gethostname()} {space}".encode()).hexdigest()[:8]


def _synchronize(path: Path) -> None:
    """Wait until a file is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
