"""Write a file in one move: to a temporary file beside it, then rename."""

import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from mir21sim.errors import InputError


def prepare_output(path: Path) -> Path:
    """Return a temporary file beside a path that can be written, folders made.

    Raises
    ------
    InputError
        When the folder cannot be made or written, before any work is lost.
    """
    try:
        if path.is_dir():
            raise InputError(f"`{path}` is a folder, not a file.")
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not by tempfile, whose files nobody else may read when they are renamed.
        part = path.parent / f"{secrets.token_hex(8)}.part"
        part.touch(exist_ok=False)
    except OSError as error:
        raise InputError(f"`{path}` cannot be written: {error.strerror}.") from error
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
    prepare_output(path).unlink()
    return path


def slug(name: str) -> str:
    """Return a name as a file may be called.

    Examples
    --------
    >>> slug("TRAIL 10 ng/ml")
    'TRAIL_10_ng-ml'
    """
    return re.sub(r"[^\w.+-]+", "-", name.replace(" ", "_"))
