"""Reads the problem of a calibration: free numbers with priors, and the rows to fit.

A problem is a folder: a PEtab v2 problem (levels at rest, with the priors of all free
numbers), and what PEtab has no word for, as the extension ``mir21sim``:

* ``rows``: the table of observations (``models/validation/observations.csv``), read as
  ``validate`` reads it;
* ``fit_rows``: ``rows.tsv`` with ``id``, ``in_fit`` (yes or no) and ``reason``;
* ``lines``: ``lines.tsv`` with ``parameter``, ``line``, ``value``, ``status``, ``sd``:
  what is uncertain in one cell line on top of the common number.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from mir21sim._typing import FloatArray
from mir21sim.errors import InputError, hint
from mir21sim.simulation.ensemble import LINE_MARK
from mir21sim.validation.claims import ValidationRow, validation_rows

EXTENSION = "mir21sim"
"""Name of the extension in the PEtab file."""


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Free numbers, and the rows they are fitted to.

    Attributes
    ----------
    model : name of the model
    names : parameters, and ``NAME@LINE`` for a cell line alone
    sd : float array, shape (n_free,): standard deviation of the prior of the logarithm
        of a factor
    values : float array, shape (n_free,): the number that the factor is on
    statuses : status of each
    rows : observations that are fitted
    left_out : id of a row with the use ``fit`` to the reason why it is not fitted
    lines : cell lines whose weak cell must rest
    dies : cell lines whose average cell must die of a lethal dose of TRAIL
    """

    model: str
    names: tuple[str, ...]
    sd: FloatArray
    values: FloatArray
    statuses: tuple[str, ...]
    rows: tuple[ValidationRow, ...]
    left_out: Mapping[str, str]
    lines: tuple[str, ...]
    dies: tuple[str, ...] = ()

    def factors(self, z: FloatArray) -> FloatArray:
        """Return factors from draws over the prior's standard deviation."""
        return np.asarray(np.exp(z * self.sd))


def read_calibration(path: str | Path) -> Calibration:
    """Read the problem of a calibration from its PEtab file.

    Raises
    ------
    InputError
        For a file without the extension, a test row that is fitted, a row without use
        or unit, a prior that excludes the value, an unknown id.
    """
    config = _extension(Path(path))
    folder = Path(path).parent
    model = str(config["model"])
    known = _observations(folder / str(config["rows"]), model)
    rows, left_out = _fit_rows(folder / str(config["fit_rows"]), known)
    names, sd, values, statuses = _free(folder, config)
    lines, dies = (
        tuple(dict.fromkeys(map(str, cast("list[str]", config.get(key, [])))))
        for key in ("rest", "dies")
    )
    return Calibration(model, names, sd, values, statuses, rows, left_out, lines, dies)


def _extension(path: Path) -> Mapping[str, object]:
    """Return the settings of the extension in a PEtab file."""
    import yaml

    if not path.is_file():
        raise InputError(f"The PEtab file `{path}` does not exist.")
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(f"`{path}` is no YAML file: {error}") from error
    found = (read or {}).get("extensions", {}).get(EXTENSION, {}).get("config")
    wanted = ("model", "rows", "fit_rows", "lines", "rest")
    if not isinstance(found, dict) or any(key not in found for key in wanted):
        raise InputError(
            f"`{path}` has no extension `{EXTENSION}` with {', '.join(wanted)}; "
            "`mir21sim fit run` fits a plain PEtab problem."
        )
    return found


def _table(path: Path, columns: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """Return the rows of a tab-separated table with their places."""
    if not path.is_file():
        raise InputError(f"The table `{path}` does not exist.")
    reader = csv.DictReader(
        io.StringIO(path.read_text(encoding="utf-8")), delimiter="\t"
    )
    titles = tuple(reader.fieldnames or ())
    missing = [name for name in columns if name not in titles]
    if missing:
        raise InputError(f"{path.name}, line 1: the column `{missing[0]}` is missing.")
    return [
        (f"{path.name}, line {reader.line_num}", {k: v or "" for k, v in row.items()})
        for row in reader
    ]


def _observations(path: Path, model: str) -> dict[str, ValidationRow]:
    """Return the observations by id; each must say its unit and use."""
    if not path.is_file():
        raise InputError(f"The table of observations `{path}` does not exist.")
    rows = validation_rows(model, folder=path.parent)
    return {row.id: row for row in rows if row.kind == "observation"}


def _fit_rows(
    path: Path, known: Mapping[str, ValidationRow]
) -> tuple[tuple[ValidationRow, ...], dict[str, str]]:
    """Return the rows that are fitted, and those that are not with the reason."""
    fitted, left_out = [], {}
    for place, row in _table(path, ("id", "in_fit", "reason")):
        name = row["id"]
        if name not in known:
            raise InputError(
                f"{place}: unknown row `{name}`. {hint(name, tuple(known))}"
            )
        if row["in_fit"] not in ("yes", "no"):
            raise InputError(
                f"{place}: `in_fit` must be yes or no, got `{row['in_fit']}`."
            )
        found = known[name]
        if row["in_fit"] == "no":
            if not row["reason"]:
                raise InputError(f"{place}: `{name}` is left out without a reason.")
            left_out[name] = row["reason"]
        elif found.use != "fit":
            raise InputError(
                f"{place}: `{name}` has the use `{found.use}` ({found.place}): only "
                "rows marked `fit` may be fitted, so that the others test the fit."
            )
        else:
            fitted.append(found)
    for name, found in known.items():
        if found.use == "fit" and name not in left_out and found not in fitted:
            raise InputError(
                f"{path.name}: the row `{name}` has the use `fit` and is not listed; "
                "add it with `in_fit` yes, or no and a reason."
            )
    if not fitted:
        raise InputError(f"{path.name}: no row is fitted.")
    return tuple(fitted), left_out


def _free(
    folder: Path, config: Mapping[str, object]
) -> tuple[tuple[str, ...], FloatArray, FloatArray, tuple[str, ...]]:
    """Return names, prior widths, values and statuses of the free numbers."""
    columns = (
        *("parameterId", "lowerBound", "upperBound", "nominalValue"),
        *("estimate", "priorDistribution", "priorParameters"),
    )
    found: list[tuple[str, float, float, str]] = []
    for place, row in _table(folder / "parameters.tsv", columns):
        if row["estimate"] != "true":
            continue
        name = row["parameterId"]
        value, low, high = (
            _number(place, row[c]) for c in ("nominalValue", "lowerBound", "upperBound")
        )
        if row["priorDistribution"] != "log-normal":
            raise InputError(
                f"{place}: the prior of `{name}` must be log-normal, got "
                f"`{row['priorDistribution']}`."
            )
        middle, width = (_number(place, v) for v in _pair(place, row))
        if not low <= value <= high or abs(math.log(value) - middle) > 4 * width:
            raise InputError(
                f"{place}: the prior of `{name}` excludes its value {value:g} (bounds "
                f"{low:g} to {high:g}, median {math.exp(middle):.4g})."
            )
        found.append((name, width, value, row.get("status", "")))
    lines = ("parameter", "line", "value", "status", "sd")
    for place, row in _table(folder / str(config["lines"]), lines):
        width = _number(place, row["sd"])
        if not width > 0:
            raise InputError(f"{place}: `sd` must be above 0, got {width:g}.")
        name = f"{row['parameter']}{LINE_MARK}{row['line']}"
        found.append((name, width, _number(place, row["value"]), row["status"]))
    names, widths, values, statuses = zip(*found, strict=True)
    return names, np.array(widths), np.array(values), statuses


def _number(place: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise InputError(f"{place}: `{text}` is not a number.") from error
    if not math.isfinite(value):
        raise InputError(f"{place}: a number must be finite, got `{text}`.")
    return value


def _pair(place: str, row: Mapping[str, str]) -> list[str]:
    parts = row["priorParameters"].split(";")
    if len(parts) != 2:
        raise InputError(
            f"{place}: a log-normal prior has two numbers, got "
            f"`{row['priorParameters']}`."
        )
    return parts
