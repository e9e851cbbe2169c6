"""TOML texts, and the line on which each entry of one stands."""

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

    What has no line of its own stands on that of the entry it is part of.

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
    where the lines since its start are a document of their own.
    """
    found: dict[TomlPath, int] = {}
    arrays: dict[TomlPath, int] = {}
    table: TomlPath = ()
    start, chunk = 1, ""
    for number, line in enumerate(text.splitlines(), start=1):
        if not chunk:
            start = number
        chunk += line + "\n"
        try:
            statement = tomllib.loads(chunk)
        except tomllib.TOMLDecodeError:
            continue
        head = chunk.lstrip()
        if head.startswith("["):
            table = _opened(statement, arrays, new=head.startswith("[["))
            for k in range(1, len(table) + 1):
                found.setdefault(table[:k], start)
        else:
            for path in _paths(statement):
                found.setdefault((*table, *path), start)
        chunk = ""
    return found


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
