"""Ranges and priors of numbers, from the parameter table of a model."""

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass

SIGMAS = 2.0
"""Standard deviations between the middle and a bound of the parameter table: the range
holds 95 % of a log-normal prior."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """Range and prior of a parameter in the table of its model."""

    lower: float
    upper: float
    prior: str
    unit: str

    @property
    def log_width(self) -> float:
        """Standard deviation of the natural logarithm; NaN without such a prior."""
        if self.prior == "log-normal" and 0 < self.lower < self.upper:
            return math.log(self.upper / self.lower) / (2.0 * SIGMAS)
        return math.nan


def table_of(texts: Mapping[str, str]) -> dict[str, TableRow]:
    """Return ranges and priors from the parameter table among a model's texts.

    Empty for a model without a table.
    """
    text = texts.get("parameters")
    if text is None:
        return {}
    found = {}
    for row in csv.DictReader(io.StringIO(text), delimiter="\t"):
        try:
            lower, upper = float(row["lower"]), float(row["upper"])
        except (KeyError, TypeError, ValueError):
            continue
        found[row["id"]] = TableRow(
            lower, upper, row.get("prior") or "", row["unit"] or ""
        )
    return found
