"""Tables of texts → lines for a terminal."""

from dataclasses import dataclass


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
