"""Features of a curve by name, ``peak(CASP3_active)``, with their derivatives.

A feature is a function of the curve at a few moments. At a maximum the value changes
with the curve alone; a crossing of a level moves by dT = −(S − dlevel)/ẏ, a maximum by
dT = −Ṡ/ÿ, with S the tangent of the curve.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mir21sim._typing import FloatArray
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.solvers.step_curve import NODES, WEIGHTS, Place, StepCurve, node_times

RISES = {"lag": (0.1,), "t_half": (0.5,), "switch_time": (0.1, 0.9)}
"""Features of the rise from the first value to the peak: shares of it."""

KINDS = ("peak", "peak_time", "area", "final", "crossing", *RISES, "rest")
"""Names of the features of a curve; ``crossing`` takes a level as well."""

FLAT = 1e-9
"""A rise below this share of the peak is none."""

_CALL = re.compile(r"\s*(?P<kind>[A-Za-z_]\w*)\s*\((?P<inside>.*)\)\s*\Z")

Tangent = Callable[[FloatArray], FloatArray]
"""Times, shape (n,), → tangents of the curve there, shape (n, n_column)."""


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature that was asked for.

    Attributes
    ----------
    text : as it was written
    kind : one of ``KINDS``
    name : the quantity
    level : of a crossing, in the unit of the quantity; else NaN
    """

    text: str
    kind: str
    name: str
    level: float = float("nan")

    @property
    def is_time(self) -> bool:
        """Whether its value is a time."""
        return self.kind in {"peak_time", "crossing", *RISES}


def parse_feature(text: str) -> Feature | None:
    """Return the feature that a text asks for; None for the name of a quantity.

    Raises
    ------
    UnknownNameError, InputError
        For an unknown feature or a level that is no number.

    Examples
    --------
    >>> parse_feature("peak(CASP3_active)").name
    'CASP3_active'
    >>> parse_feature("CASP3_active") is None
    True
    """
    found = _CALL.match(text)
    if found is None:
        return None
    kind = found["kind"]
    if kind not in KINDS:
        raise UnknownNameError("feature", kind, KINDS)
    parts = [part.strip() for part in found["inside"].split(",")]
    expected = 2 if kind == "crossing" else 1
    if len(parts) != expected or not all(parts):
        shape = "crossing(NAME, LEVEL)" if expected == 2 else f"{kind}(NAME)"
        raise InputError(f"`{text}` must read `{shape}`.")
    if expected == 1:
        return Feature(text, kind, parts[0])
    try:
        level = float(parts[1])
    except ValueError as error:
        raise InputError(
            f"The level in `{text}` must be a number, got `{parts[1]}`."
        ) from error
    return Feature(text, kind, parts[0], level)


@dataclass(frozen=True, slots=True, eq=False)
class Differentiated:
    """A feature with its derivatives, or the reason why it has none.

    Attributes
    ----------
    value : float, time from the reference time for a time
    tangents : float array, shape (n_column,)
    note : one sentence where the value or the tangents are NaN
    """

    value: float
    tangents: FloatArray
    note: str = ""


def differentiate(
    feature: Feature, curve: StepCurve, tangent: Tangent, n_column: int
) -> Differentiated:
    """Return a feature of a curve with its derivatives along the columns."""
    since = float(curve.start[0])
    if feature.kind == "peak":
        place = curve.peak()
        return Differentiated(place.value, _at(tangent, place))
    if feature.kind == "peak_time":
        return _peak_time(curve, tangent, since, n_column)
    if feature.kind == "final":
        last = len(curve.start) - 1
        place = curve.at(last, 1.0)
        return Differentiated(place.value, _at(tangent, place))
    if feature.kind == "area":
        return Differentiated(curve.area(), _area(curve, tangent))
    if feature.kind == "crossing":
        found = _crossing(curve, tangent, feature.level, np.zeros(n_column), n_column)
        if found.note:
            return found
        return Differentiated(found.value - since, found.tangents)
    return _rise(feature, curve, tangent, n_column)


def _at(tangent: Tangent, place: Place) -> FloatArray:
    found: FloatArray = tangent(np.array([place.time]))[0]
    return found


def _nothing(n_column: int, note: str) -> Differentiated:
    return Differentiated(float("nan"), np.full(n_column, np.nan), note)


def _peak_time(
    curve: StepCurve, tangent: Tangent, since: float, n_column: int
) -> Differentiated:
    place = curve.peak()
    bend = curve.slope(place, 2)
    if place.theta in {0.0, 1.0} or not bend < 0:
        note = "The peak is at an end of the run or at a dose, whose time is given."
        return Differentiated(place.time - since, np.zeros(n_column), note)
    step, length = slice(place.step, place.step + 1), curve.length[place.step]
    times = node_times(curve.start[step], curve.length[step])[0]
    fit = np.linalg.solve(np.vander(NODES, 5, increasing=True), tangent(times))
    powers = np.arange(1, 5) * place.theta ** np.arange(4)
    slope = powers @ fit[1:] / length
    return Differentiated(place.time - since, -slope / bend)


def _crossing(
    curve: StepCurve,
    tangent: Tangent,
    level: float,
    d_level: FloatArray,
    n_column: int,
) -> Differentiated:
    place = curve.crossing(level)
    if place is None:
        low, high = curve.nodes.min(), curve.nodes.max()
        return _nothing(
            n_column,
            f"The curve never passes {level:g}: it stays between {low:.4g} and "
            f"{high:.4g}.",
        )
    slope = curve.slope(place)
    if slope == 0.0:
        return _nothing(n_column, f"The curve touches {level:g} without passing it.")
    return Differentiated(place.time, -(_at(tangent, place) - d_level) / slope)


def _rise(
    feature: Feature, curve: StepCurve, tangent: Tangent, n_column: int
) -> Differentiated:
    """Return a time between shares of the rise from the first value to the peak."""
    first, top = curve.at(0, 0.0), curve.peak()
    rise = top.value - first.value
    if not rise > FLAT * abs(top.value):
        return _nothing(n_column, "The curve does not rise after the reference time.")
    d_first, d_top = _at(tangent, first), _at(tangent, top)
    moments = []
    for share in RISES[feature.kind]:
        level = first.value + share * rise
        d_level = (1.0 - share) * d_first + share * d_top
        moments.append(_crossing(curve, tangent, level, d_level, n_column))
    if len(moments) == 1:
        since = float(curve.start[0])
        return Differentiated(moments[0].value - since, moments[0].tangents)
    change = moments[1].tangents - moments[0].tangents
    return Differentiated(moments[1].value - moments[0].value, change)


def _area(curve: StepCurve, tangent: Tangent) -> FloatArray:
    """Return the integral of the tangents, by the nodes of every step."""
    times = node_times(curve.start, curve.length)
    made = tangent(times.ravel()).reshape(*times.shape, -1)
    total: FloatArray = np.einsum("s,n,snc->c", curve.length, WEIGHTS, made)
    return total
