"""Measured curves read from CSV files."""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mir21sim import units
from mir21sim._typing import FloatArray
from mir21sim.errors import InputError, hint


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A measured curve.

    Attributes
    ----------
    label : text for the legend
    times_h, values : float arrays, shape (n_point,)
    errors : float array, shape (n_point,), or None: one standard deviation
    """

    label: str
    times_h: FloatArray
    values: FloatArray
    errors: FloatArray | None


def read_measured(path: str | Path) -> list[Measured]:
    """Read measured curves from a CSV file.

    Columns: a time (``time_h``, ``time (min)``, ``time``, which is in hours) and
    ``value``; optional ``error`` (one SD) and ``label`` (one curve a label). A wide
    table has a time and one column a curve; its empty cells are left out. Columns are
    separated by commas, semicolons or tabs; with the latter two, decimals may have a
    comma.

    Raises
    ------
    InputError
        For a missing file or column, no rows, or an entry that is no finite number,
        by line.
    """
    path = Path(path)
    try:
        table = _long(_timed(_table_of(path)))
    except FileNotFoundError as error:
        raise InputError(f"The measured curve `{path}` does not exist.") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"`{path}` is not text in UTF-8 ({error.reason} at byte {error.start}): "
            "save it as `CSV UTF-8`."
        ) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, csv.Error) as error:
        raise InputError(f"`{path}` is not a CSV table: {error}.") from error
    table = _checked(table, path)
    table["time_h"] = units.in_hours(
        table["time_h"].to_numpy(), table.attrs.get("time_unit", "")
    )
    labels = table["label"].astype(str) if "label" in table else None
    groups = (
        table.groupby(labels, sort=False)
        if labels is not None
        else [(path.stem, table)]
    )
    return [
        Measured(
            label=str(label),
            times_h=part["time_h"].to_numpy(),
            values=part["value"].to_numpy(),
            errors=part["error"].to_numpy() if "error" in part else None,
        )
        for label, part in groups
    ]


def _checked(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return a long table with its columns as numbers; stop at what is none."""
    known = ("time_h", "value", "error", "label")
    for name in table.columns:
        if name not in known:
            raise InputError(f"`{path}`: unknown column `{name}`. {hint(name, known)}")
    for name in ("time_h", "value"):
        if name not in table.columns:
            raise InputError(
                f"`{path}` needs the column `{name}`; it has "
                f"{', '.join(f'`{column}`' for column in table.columns)}."
            )
    if table.empty:
        raise InputError(f"`{path}` has no row of numbers below its header.")
    for name in known[:3]:
        if name in table.columns:
            table[name] = _numbers(table[name], path)
    return table


def _numbers(column: "pd.Series[Any]", path: Path) -> "pd.Series[float]":
    """Return a column as finite numbers; an error bar is also 0 or more."""
    found = pd.to_numeric(column, errors="coerce").astype(float)
    error = column.name == "error"
    good = np.isfinite(found) & ((found >= 0) | (not error))
    if not good.all():
        bad = int(np.flatnonzero(~good)[0])
        more = ", 0 or more" if error else ""
        raise InputError(
            f"`{path}`, line {column.index[bad]}: {column.name} must be a finite "
            f"number{more}, got `{column.iloc[bad]}`."
        )
    return found


def _table_of(path: Path) -> pd.DataFrame:
    """Return the columns of a file, separated by comma, semicolon or tab.

    Its index is the line of each row.
    """
    text = path.read_text(encoding="utf-8-sig")
    first = next((row for row in text.splitlines() if row and row[0] != "#"), "")
    mark = next((m for m in (";", "\t") if m in first), ",")
    comma = mark != "," and not re.search(r"\d\.\d", text)
    _check_widths(text, mark, path)
    table = pd.read_csv(
        io.StringIO(text), comment="#", sep=mark, decimal="," if comma else "."
    )
    lines = [k + 1 for k, row in enumerate(text.splitlines()) if row.split("#")[0]]
    if len(lines) == len(table) + 1:  # else a cell has line breaks in quotes
        table.index = pd.Index(lines[1:])
    return table


def _check_widths(text: str, mark: str, path: Path) -> None:
    """Stop at a row with more cells than there are columns.

    Pandas would take the first cell for a label and shift all others.
    """
    lines = [line.partition("#")[0] for line in text.splitlines()]
    rows = csv.reader(lines, delimiter=mark)
    width = 0
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        width = width or len(row)
        if len(row) > width:
            raise InputError(
                f"`{path}`, line {rows.line_num}: {len(row)} cells in {width} columns; "
                "where decimals have a comma, separate the columns by semicolons."
            )


def _timed(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose first column of times is ``time_h``, its unit beside it."""
    for column in table.columns:
        unit = units.time_column(str(column))
        if unit is not None:
            table = table.rename(columns={column: "time_h"})
            table.attrs["time_unit"] = unit
            break
    return table


def _long(table: pd.DataFrame) -> pd.DataFrame:
    """Return a wide table in long form; a long one as it is."""
    columns = [str(name) for name in table.columns]
    long_form = {"value", "error", "label"} & {*columns}
    if long_form or "time_h" not in columns or len(columns) < 2:
        return table
    curves = table.columns.drop("time_h")
    long = table.melt(
        "time_h",
        list(curves),
        var_name="label",
        value_name="value",
        ignore_index=False,
    )
    long.attrs = table.attrs
    return long.dropna(subset="value")
