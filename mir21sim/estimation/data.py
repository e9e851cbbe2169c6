"""Measured curves for fits: tables of a plate reader or long tables, as rows.

Two forms are read. *Long*: one row a value, with the columns ``time``, ``value`` and
``observable`` (where there are several), optionally ``error`` (one SD). *Wide*: one
column per observable. All other columns describe the condition (doses, parameters, a
treatment) or the data set (``plate``, ``replicate``).
"""

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mir21sim._typing import FloatArray
from mir21sim.errors import InputError, UnknownNameError, hint
from mir21sim.units import time_column

TIME = "time"
_KNOWN = ("time", "value", "observable", "error")
_HEADER = re.compile(r"^(?P<name>.*?)\s*(?:\[(?P<unit>[^\]]*)\])?$")


@dataclass(frozen=True, slots=True, eq=False)
class DataRows:
    """Measured values in long form.

    Attributes
    ----------
    observable : str array, shape (n_row,)
    time : float array, shape (n_row,), in ``time_unit``
    time_unit : text, "" for the border's unit
    value : float array, shape (n_row,)
    error : float array, shape (n_row,), NaN where none is given; or None
    columns : the other columns by name: condition and data set
    units : column → unit in its header, "" for none
    """

    observable: np.ndarray
    time: FloatArray
    time_unit: str
    value: FloatArray
    error: FloatArray | None
    columns: Mapping[str, np.ndarray]
    units: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.value)


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a CSV file: ``,``, ``;`` or tabs between columns, ``1.5`` or ``1,5``.

    Raises
    ------
    InputError
        For a missing file, or one that is no table.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"The data file `{path}` does not exist.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The data file `{path}` cannot be read: {error}.") from error
    lines = [line for line in text.splitlines() if line.strip() and line[0] != "#"]
    if len(lines) < 2:
        raise InputError(f"`{path}` needs a line of column names and a line of data.")
    separator = max(";\t,", key=lines[0].count)
    rows = list(csv.reader(lines, delimiter=separator))
    names = [name.strip() for name in rows[0]]
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(names):
            raise InputError(
                f"`{path}`, line {number}: {len(row)} entries for {len(names)} columns."
            )
    table = pd.DataFrame(rows[1:], columns=names)
    for name in names:
        table[name] = _column(table[name], decimal_comma=separator != ",")
    return table


def _column(entries: "pd.Series[Any]", *, decimal_comma: bool) -> "pd.Series[Any]":
    """Return numbers where every entry is one or is empty, else the texts."""
    texts = entries.str.strip()
    plain = texts.str.replace(",", ".") if decimal_comma else texts
    plain = plain.where(~plain.str.lower().isin(["", "na", "nan", "n/a"]), "nan")
    numbers = pd.to_numeric(plain, errors="coerce")
    return texts if (numbers.isna() & (plain != "nan")).any() else numbers


def data_rows(table: pd.DataFrame, observables: Iterable[str]) -> DataRows:
    """Return a table, long or wide, as rows.

    Raises
    ------
    InputError
        For missing or unknown columns, entries that are no numbers, columns without a
        single value.
    """
    observables = tuple(observables)
    headers = {str(column): _split(str(column)) for column in table.columns}
    names = {name: column for column, (name, _) in headers.items()}
    if len(names) != len(headers):
        raise InputError("Two columns of the data have the same name.")
    if TIME not in names:
        raise InputError(
            f"The data need a column `time` (or `time [h]`). {hint(TIME, list(names))}"
        )
    frame = table.rename(columns={column: name for name, column in names.items()})
    units = dict(headers.values())
    wide = [name for name in observables if name in names]
    if "value" not in names:
        frame = _melted(frame, wide, observables)
    elif "observable" not in names:
        if len(observables) != 1:
            raise InputError(
                "Data of several observables need a column `observable`, or one column "
                "for each."
            )
        frame = frame.assign(observable=observables[0])
    return _checked(frame, units, observables)


def _split(column: str) -> tuple[str, str]:
    """Return name and unit of a header like ``time [h]``."""
    match = _HEADER.match(column.strip())
    assert match is not None
    name, unit = match["name"], (match["unit"] or "").strip()
    time = time_column(column)
    return (name, unit) if time is None else (TIME, time)


def _melted(
    frame: pd.DataFrame, wide: list[str], observables: tuple[str, ...]
) -> pd.DataFrame:
    if not wide:
        raise InputError(
            "The data have neither a column `value` nor one of the observables "
            f"{', '.join(observables)}; columns: {', '.join(map(str, frame.columns))}."
        )
    for name in wide:
        numbers = pd.to_numeric(frame[name], errors="coerce")
        if numbers.isna().all():
            raise InputError(f"The column `{name}` has no number at all: leave it out.")
    kept = [column for column in frame.columns if column not in wide]
    return frame.melt(id_vars=kept, var_name="observable", value_name="value")


def _checked(
    frame: pd.DataFrame, units: Mapping[str, str], observables: tuple[str, ...]
) -> DataRows:
    """Return the rows with numbers in the place of texts."""
    for name in pd.unique(frame["observable"]):
        if str(name) not in observables:
            raise UnknownNameError("observable in the data", str(name), observables)
    time = _numbers(frame, TIME)
    value = _numbers(frame, "value", missing=True)
    error = _numbers(frame, "error", missing=True) if "error" in frame else None
    for name in pd.unique(frame["observable"]):
        if np.isnan(value[(frame["observable"] == name).to_numpy()]).all():
            raise InputError(f"All values of `{name}` are missing: leave it out.")
    there = np.isfinite(value)
    if error is not None and (error[there] <= 0).any():
        row = int(np.flatnonzero(there & (error <= 0))[0])
        raise InputError(
            f"Data row {row + 1}: an error of {error[row]:g}; the noise must be "
            "positive."
        )
    others = [c for c in frame.columns if c not in _KNOWN]
    return DataRows(
        observable=frame["observable"].astype(str).to_numpy()[there],
        time=time[there],
        time_unit=units.get(TIME, ""),
        value=value[there],
        error=None if error is None else error[there],
        columns={str(c): frame[c].to_numpy()[there] for c in others},
        units=units,
    )


def _numbers(frame: pd.DataFrame, name: str, *, missing: bool = False) -> FloatArray:
    """Return a column of numbers; without ``missing`` every row must have one."""
    found = pd.to_numeric(frame[name], errors="coerce").to_numpy(float)
    blank = frame[name].isna().to_numpy() | (frame[name].astype(str) == "").to_numpy()
    bad = np.isnan(found) & ~(blank if missing else np.zeros(len(found), bool))
    bad |= np.isinf(found)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"Data row {row + 1}: {name} must be a finite number, got "
            f"`{frame[name].iloc[row]}`."
        )
    return np.asarray(found, float)
