"""Standard output and error that take every text and every reader."""

import codecs
import io
import os
import sys
from contextlib import suppress
from typing import Any, TextIO

from mir21sim import files
from mir21sim.errors import InputError

_PLAIN = {
    "→": "->",
    "←": "<-",
    "↔": "<->",
    "–": "-",
    "—": "-",
    "−": "-",
    "·": "*",
    "×": "x",
    "µ": "u",
    "μ": "u",
    "∞": "inf",
    "≤": "<=",
    "≥": ">=",
    "±": "+/-",
    "…": "...",
    "²": "2",
    "³": "3",
    "½": "1/2",
    "°": "deg",
}
"""Characters of our texts → ASCII, for terminals whose code page lacks them."""

_HANDLER = "mir21sim.plain"


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Return ASCII for the characters that an encoding lacks, ``?`` for unknown ones.

    Raises
    ------
    UnicodeError
        When the error is not one of encoding.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_PLAIN.get(c, "?") for c in missing), error.end


class _Pipe(io.FileIO):
    """An open file descriptor; writes after its reader has closed are dropped.

    The command goes on, so that the files it writes are complete. A text that is lost
    for another reason, such as a full disk, ends it.
    """

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            if not isinstance(error, BrokenPipeError):
                raise InputError(
                    f"The output cannot be written: {files.reason(error)}."
                ) from error
            return len(data)


def prepare() -> None:
    """Make the output of this process accept all texts, and readers that stop early.

    Streams that are not those of the interpreter (of a notebook or a test) stay.
    """
    codecs.register_error(_HANDLER, _plain)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and stream is getattr(sys, f"__{name}__"):
            setattr(sys, name, _prepared(stream))


def _prepared(stream: TextIO) -> TextIO:
    """Return a stream that replaces characters and outlives its reader."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=_HANDLER)
    if stream.isatty():
        return stream
    with suppress(OSError, ValueError):  # a stream without a file descriptor stays
        stream.flush()
        pipe = _Pipe(stream.fileno(), "w", closefd=False)
        return io.TextIOWrapper(
            io.BufferedWriter(pipe),
            encoding=stream.encoding,
            errors=_HANDLER,
            line_buffering=stream is sys.stderr,
        )
    return stream
