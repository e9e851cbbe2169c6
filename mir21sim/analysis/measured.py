"""Measured curves read from CSV files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

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

    Columns: ``time_h`` and ``value``; optional ``error`` (one SD) and ``label`` (one
    curve a label).

    Raises
    ------
    InputError
        For a missing file or column, or an entry that is no number, by line.
    """
    path = Path(path)
    try:
        table = pd.read_csv(path, comment="#")
    except FileNotFoundError as error:
        raise InputError(f"The measured curve `{path}` does not exist.") from error
    except (
        pd.errors.ParserError,
        pd.errors.EmptyDataError,
        UnicodeDecodeError,
    ) as error:
        raise InputError(f"`{path}` is not a CSV table: {error}.") from error
    known = ("time_h", "value", "error", "label")
    for name in table.columns:
        if name not in known:
            raise InputError(f"`{path}`: unknown column `{name}`. {hint(name, known)}")
    for name in ("time_h", "value"):
        if name not in table.columns:
            raise InputError(f"`{path}` needs the column `{name}`.")
    numeric = [name for name in known[:3] if name in table.columns]
    for name in numeric:
        column = pd.to_numeric(table[name], errors="coerce")
        bad = np.flatnonzero(column.isna())
        if bad.size:
            raise InputError(
                f"`{path}`, line {bad[0] + 2}: {name} must be a number, got "
                f"`{table[name].iloc[bad[0]]}`."
            )
        table[name] = column.astype(float)
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
