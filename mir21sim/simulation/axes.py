"""Values of swept names: ``0,log:0.1:1000:12``, arrays or numbers."""

import re
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from mir21sim._typing import FloatArray
from mir21sim.errors import (
    InputError,
)
from mir21sim.units import parse_quantity

MAX_VALUES = 1_000_000
_FORM = (
    "a comma list of numbers, `log:FROM:TO:N` and `lin:FROM:TO:N`, with a unit at most "
    "at the end"
)
_LAST_RANGE = re.compile(r"(.*:\s*\d+)\s*([A-Za-zµμ].*?)?\s*")


def parse_values(text: str, name: str) -> tuple[FloatArray, str]:
    """Return the values of a list and the unit at its end ("" without one).

    Parameters
    ----------
    text : ``VALUES``: a comma list in which ``log:a:b:n`` and ``lin:a:b:n`` may stand
    name : swept name, for messages

    Raises
    ------
    InputError
        For an empty list, a value that is no finite number, or a bad range.

    Examples
    --------
    >>> parse_values("0,log:1:100:3 nM", "anti_miR21")
    (array([  0.,   1.,  10., 100.]), 'nM')
    """
    parts = [part.strip() for part in text.split(",")]
    if not any(parts):
        raise InputError(f"`{name}` has no values; write {_FORM}.")
    unit = ""
    in_range = _LAST_RANGE.fullmatch(parts[-1])
    if in_range:
        parts[-1], unit = in_range[1], in_range[2] or ""
    elif ":" not in parts[-1]:
        _, unit = parse_quantity(parts[-1], f"a value of `{name}`")
        parts[-1] = parts[-1].removesuffix(unit)
    pieces = [_piece(part, name, text) for part in parts]
    return np.concatenate(pieces), unit


def _piece(part: str, name: str, text: str) -> FloatArray:
    """Return the values of one entry between commas."""
    if ":" not in part:
        value, unit = parse_quantity(part, f"a value of `{name}`")
        if unit:
            raise InputError(f"`{name}`: write {_FORM}, got `{text}`.")
        return np.array([value])
    kind, *numbers = part.split(":")
    if kind not in ("log", "lin") or len(numbers) != 3:
        raise InputError(
            f"`{name}`: a range reads log:FROM:TO:N or lin:FROM:TO:N, got `{part}`."
        )
    limits = [parse_quantity(n, f"a limit of `{name}`") for n in numbers[:2]]
    if any(unit for _, unit in limits):
        raise InputError(f"`{name}`: write {_FORM}, got `{text}`.")
    first, last = (value for value, _ in limits)
    if not numbers[2].strip().isdigit() or not 1 <= int(numbers[2]) <= MAX_VALUES:
        raise InputError(
            f"`{name}`: N in `{part}` must be a whole number from 1 to {MAX_VALUES}."
        )
    count = int(numbers[2])
    if kind == "lin":
        return np.linspace(first, last, count)
    if first <= 0 or last <= 0:
        raise InputError(f"`{name}`: the limits of `{part}` must be above 0.")
    return np.geomspace(first, last, count)


SweptValues: TypeAlias = str | float | npt.ArrayLike


def axis_values(name: str, values: SweptValues) -> tuple[FloatArray, str]:
    """Return the values of one axis with their unit."""
    if isinstance(values, str):
        return parse_values(values, name)
    try:
        return np.atleast_1d(np.asarray(values, dtype=float)), ""
    except (TypeError, ValueError) as error:
        raise InputError(
            f"`{name}` must be swept over numbers, got {values!r}."
        ) from error
