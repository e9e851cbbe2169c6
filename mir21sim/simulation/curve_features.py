"""Features of a curve by name, ``peak(CASP3_active)``, with their derivatives.

A feature is a function of the curve at a few moments. At a maximum the value changes
with the curve alone; a crossing of a level moves by dT = −(S − dlevel)/ẏ, a maximum by
dT = −Ṡ/ÿ, with S the tangent of the curve. A corner or a jump at a breakpoint whose
time τ moves goes with it: dT = dτ, and the value at a corner changes by S + ẏ dτ.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mir21sim._typing import FloatArray
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.solvers.sensitivities import Moment
from mir21sim.solvers.step_curve import NODES, WEIGHTS, Place, StepCurve, node_times

RISES = {"lag": (0.1,), "t_half": (0.5,), "switch_time": (0.1, 0.9)}
"""Features of the rise from the first value to the peak: shares of it."""

KINDS = ("peak", "peak_time", "area", "final", "crossing", *RISES, "rest")
"""Names of the features of a curve; ``crossing`` takes a level as well."""

SAME = 4e-12
"""Relative difference of times that are the same moment."""

JUMP = 1e-6
"""Share of a curve's range by which it jumps between two steps, if at all."""

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


class _Moving(NamedTuple):
    """A curve with its tangents and the moments at which it may turn or jump."""

    curve: StepCurve
    tangent: Tangent
    moments: Sequence[Moment]
    n_column: int

    def of_time(self, moment: float) -> FloatArray:
        """Return the change of a time at which a step begins, 0 where it stays."""
        for time, tangents in self.moments:
            if abs(time - moment) <= SAME * abs(time):
                return tangents
        return np.zeros(self.n_column)

    def of_corner(self, place: Place) -> FloatArray:
        """Return the change of the time of a place at an end of a step."""
        end = float(self.curve.start[place.step])
        if place.theta == 1.0:
            end += float(self.curve.length[place.step])
        elif place.theta != 0.0:
            return np.zeros(self.n_column)
        return self.of_time(end)

    def top(self, place: Place) -> FloatArray:
        """Return the change of the value at a maximum, which goes with its corner."""
        return _at(self.tangent, place) + self.curve.slope(place) * self.of_corner(
            place
        )

    def jumps_at(self, place: Place) -> bool:
        """Return whether the curve jumps at the start of the step of a place."""
        if place.theta != 0.0 or place.step == 0:
            return False
        nodes = self.curve.nodes
        jump = abs(nodes[place.step, 0] - nodes[place.step - 1, 4])
        return bool(jump > JUMP * np.ptp(nodes))


def differentiate(
    feature: Feature,
    curve: StepCurve,
    tangent: Tangent,
    n_column: int,
    moments: Sequence[Moment] = (),
) -> Differentiated:
    """Return a feature of a curve with its derivatives along the columns.

    Parameters
    ----------
    moments : those of the run that may move
    """
    since = float(curve.start[0])
    moving = _Moving(curve, tangent, moments, n_column)
    if feature.kind == "peak":
        place = curve.peak()
        return Differentiated(place.value, moving.top(place))
    if feature.kind == "peak_time":
        return _peak_time(moving, since)
    if feature.kind == "final":
        last = len(curve.start) - 1
        place = curve.at(last, 1.0)
        return Differentiated(place.value, _at(tangent, place))
    if feature.kind == "area":
        return Differentiated(curve.area(), _area(moving))
    if feature.kind == "crossing":
        found = _crossing(moving, feature.level, np.zeros(n_column))
        if found.note:
            return found
        return Differentiated(found.value - since, found.tangents)
    return _rise(feature, moving)


def _at(tangent: Tangent, place: Place) -> FloatArray:
    found: FloatArray = tangent(np.array([place.time]))[0]
    return found


def _nothing(n_column: int, note: str) -> Differentiated:
    return Differentiated(float("nan"), np.full(n_column, np.nan), note)


def _peak_time(moving: _Moving, since: float) -> Differentiated:
    curve, tangent = moving.curve, moving.tangent
    place = curve.peak()
    bend = curve.slope(place, 2)
    corner = moving.of_corner(place)
    if corner.any():
        return Differentiated(place.time - since, corner)
    if place.theta in {0.0, 1.0} or not bend < 0:
        note = "The peak is at an end of the run or at a dose, whose time is given."
        return Differentiated(place.time - since, corner, note)
    step, length = slice(place.step, place.step + 1), curve.length[place.step]
    times = node_times(curve.start[step], curve.length[step])[0]
    fit = np.linalg.solve(np.vander(NODES, 5, increasing=True), tangent(times))
    powers = np.arange(1, 5) * place.theta ** np.arange(4)
    slope = powers @ fit[1:] / length
    return Differentiated(place.time - since, -slope / bend)


def _crossing(moving: _Moving, level: float, d_level: FloatArray) -> Differentiated:
    curve, n_column = moving.curve, moving.n_column
    place = curve.crossing(level)
    if place is None:
        low, high = curve.nodes.min(), curve.nodes.max()
        return _nothing(
            n_column,
            f"The curve never passes {level:g}: it stays between {low:.4g} and "
            f"{high:.4g}.",
        )
    if moving.jumps_at(place):
        return Differentiated(place.time, moving.of_corner(place))
    slope = curve.slope(place)
    if slope == 0.0:
        return _nothing(n_column, f"The curve touches {level:g} without passing it.")
    return Differentiated(place.time, -(_at(moving.tangent, place) - d_level) / slope)


def _rise(feature: Feature, moving: _Moving) -> Differentiated:
    """Return a time between shares of the rise from the first value to the peak."""
    curve, n_column = moving.curve, moving.n_column
    first, top = curve.at(0, 0.0), curve.peak()
    rise = top.value - first.value
    if not rise > FLAT * abs(top.value):
        return _nothing(n_column, "The curve does not rise after the reference time.")
    d_first, d_top = _at(moving.tangent, first), moving.top(top)
    moments = []
    for share in RISES[feature.kind]:
        level = first.value + share * rise
        d_level = (1.0 - share) * d_first + share * d_top
        moments.append(_crossing(moving, level, d_level))
    if len(moments) == 1:
        since = float(curve.start[0])
        return Differentiated(moments[0].value - since, moments[0].tangents)
    change = moments[1].tangents - moments[0].tangents
    return Differentiated(moments[1].value - moments[0].value, change)


def _area(moving: _Moving) -> FloatArray:
    """Return the integral of the tangents, by the nodes of every step.

    Where the curve jumps at a moment that moves, (y⁻ − y⁺) dτ joins it.
    """
    curve, tangent = moving.curve, moving.tangent
    times = node_times(curve.start, curve.length)
    made = tangent(times.ravel()).reshape(*times.shape, -1)
    total: FloatArray = np.einsum("s,n,snc->c", curve.length, WEIGHTS, made)
    for step, start in enumerate(curve.start[1:].tolist(), start=1):
        jump = curve.nodes[step - 1, 4] - curve.nodes[step, 0]
        if jump != 0.0:
            total += jump * moving.of_time(start)
    return total
