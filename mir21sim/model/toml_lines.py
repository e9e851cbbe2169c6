"""TOML texts, and the line on which each entry of one stands."""

import re
import tomllib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from mir21sim.errors import ModelError

TomlPath: TypeAlias = tuple[str | int, ...]
"""The keys that lead to an entry; tables of an array count from 0."""


def parse(text: str, name: str) -> dict[str, Any]:
    """Return the tables of a TOML text.

    Raises
    ------
    ModelError
        When the text is not TOML, with `name` and the line.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ModelError(f"{name} is not valid TOML: {error}.") from error


def line_of(text: str, path: Sequence[str | int]) -> int:
    r"""Return the line of an entry of a valid TOML text, 0 where none leads there.

    An entry without a line of its own has that of the entry that contains it.

    Examples
    --------
    >>> line_of("[a]\nb = 1\n[[c]]\n[[c]]\nd = [\n 1,\n]", ("c", 1, "d", 0))
    5
    """
    lines = _lines(text)
    wanted = tuple(path)
    while wanted and wanted not in lines:
        wanted = wanted[:-1]
    return lines.get(wanted, 0)


def place(text: str, name: str, path: Sequence[str | int]) -> str:
    """Return 'file, line N' of an entry; without a line, the file alone."""
    line = line_of(text, path)
    return f"{name}, line {line}" if line else name


@lru_cache(maxsize=8)
def _lines(text: str) -> dict[TomlPath, int]:
    """Return the first line of every table and key.

    Statement by statement, each understood by the TOML reader itself: a statement ends
    where its brackets and quotes are closed. The text is valid.
    """
    found: dict[TomlPath, int] = {}
    arrays: dict[TomlPath, int] = {}
    table: TomlPath = ()
    start, parts = 1, list[str]()
    depth, quote = 0, ""
    for number, line in enumerate(text.splitlines(), start=1):
        if not parts:
            start = number
        parts.append(line)
        depth, quote = _after_line(line, depth, quote)
        if depth or quote:
            continue
        chunk = "\n".join(parts)
        statement = tomllib.loads(chunk)
        head = chunk.lstrip()
        if head.startswith("["):
            table = _opened(statement, arrays, new=head.startswith("[["))
            for k in range(1, len(table) + 1):
                found.setdefault(table[:k], start)
        else:
            for path in _paths(statement):
                found.setdefault((*table, *path), start)
        parts = []
    return found


_TOKEN = re.compile(r'"""|\'\'\'|"(?:[^"\\]|\\.)*"|\'[^\']*\'|[\[\]{}]|#.*')
"""Quotes, whole strings of one line, brackets and comments."""


def _after_line(line: str, depth: int, quote: str) -> tuple[int, str]:
    """Return the open brackets and the open multi-line quote after a line."""
    at = 0
    while True:
        if quote:
            end = _end_of_quote(line, at, quote)
            if end < 0:
                return depth, quote
            at, quote = end, ""
        found = _TOKEN.search(line, at)
        if found is None:
            return depth, ""
        at, token = found.end(), found[0]
        if len(token) == 3 and token in ('"""', "'''"):
            quote = token
        elif token in "[{":
            depth += 1
        elif token in "]}":
            depth -= 1


def _end_of_quote(line: str, at: int, quote: str) -> int:
    """Return where a multi-line string ends in a line, -1 where it goes on."""
    while True:
        end = line.find(quote, at)
        if end < 0:
            return -1
        before = line[at:end]
        slashes = len(before) - len(before.rstrip("\\"))
        if quote == "'''" or slashes % 2 == 0:
            end += 3
            while line[end : end + 1] == quote[0]:  # quotes before the closing ones
                end += 1
            return end
        at = end + 1


def _opened(
    statement: dict[str, Any], arrays: dict[TomlPath, int], *, new: bool
) -> TomlPath:
    """Return the path of a table whose header is `statement`, arrays counted."""
    names = [key for key in _paths(statement)[-1] if isinstance(key, str)]
    path: TomlPath = ()
    for k, name in enumerate(names):
        path = (*path, name)
        if new and k == len(names) - 1:
            arrays[path] = arrays.get(path, -1) + 1
        if path in arrays:
            path = (*path, arrays[path])
    return path


def entries(value: Any, path: TomlPath = ()) -> Iterator[tuple[TomlPath, Any]]:
    """Yield the path and value of every entry below a value, the outer ones first."""
    if isinstance(value, dict):
        items: list[tuple[str | int, Any]] = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    else:
        return
    for key, inner in items:
        yield (*path, key), inner
        yield from entries(inner, (*path, key))


def _paths(value: Any) -> list[TomlPath]:
    return [path for path, _ in entries(value)]
