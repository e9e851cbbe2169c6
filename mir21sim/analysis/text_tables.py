"""Tables of texts → lines for a terminal."""

from dataclasses import dataclass, replace

WIDTH = 80
"""Characters in a line of a terminal."""


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table as people read it: texts, and which columns hold numbers."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    caption: str = ""


def lines_of(table: TextTable) -> list[str]:
    """Return a table as lines for a terminal, numbers to the right."""
    columns = zip(table.titles, *table.rows, strict=True)
    widths = [max(map(len, column)) for column in columns]
    return [
        "  ".join(
            f"{cell:>{width}}" if k in table.numeric else f"{cell:{width}}"
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (table.titles, *table.rows)
    ]


def narrowed(table: TextTable, least: int) -> tuple[TextTable, list[str]]:
    """Return the first columns that fit into a line, and the titles of the others.

    Parameters
    ----------
    least : number of columns that are kept in any case

    Examples
    --------
    >>> table = TextTable(("dose", "peak", "x" * 70), (("1", "2", "3"),))
    >>> narrowed(table, 1)[0].titles
    ('dose', 'peak')
    """
    n = len(table.titles)
    while n > least and max(map(len, lines_of(_first(table, n)))) > WIDTH:
        n -= 1
    return _first(table, n), list(table.titles[n:])


def _first(table: TextTable, n: int) -> TextTable:
    """Return the first columns of a table."""
    rows = tuple(row[:n] for row in table.rows)
    return replace(table, titles=table.titles[:n], rows=rows)
