"""A quantity between the steps of a run: its peak, crossings and area.

The dense output of a step is a polynomial of degree four in the share θ of the step
that has passed, so five values of θ hold it exactly. Its features are those of the run,
to the tolerance, whatever the output times are.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from mir21sim._typing import FloatArray

NODES = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
"""Shares of a step at which its polynomial is known."""

BEFORE_END = 1e-9
"""The last node is this share of the step before its end, where a dose may act."""

_SAME = 4e-12
"""The same in shares of the time: an event there acts on outputs that near."""

_TO_COEFFICIENTS = np.linalg.inv(np.vander(NODES, 5, increasing=True))
WEIGHTS = np.array([7.0, 32.0, 12.0, 32.0, 7.0]) / 90.0
"""Boole's rule: exact for the polynomial of a step."""

_CANDIDATES = 16
"""Steps that are searched for the peak, those with the largest nodes."""


@dataclass(frozen=True, slots=True)
class Place:
    """A moment within a step.

    Attributes
    ----------
    step : number of the step
    theta : share of the step that has passed
    time, value : where and how much
    """

    step: int
    theta: float
    time: float
    value: float


def node_times(start: FloatArray, length: FloatArray) -> FloatArray:
    """Return the times of the nodes of some steps, float array, shape (n_step, 5)."""
    times: FloatArray = start[:, np.newaxis] + length[:, np.newaxis] * NODES
    aside = np.maximum(BEFORE_END * length, _SAME * np.abs(start + length))
    times[:, -1] -= np.minimum(aside, 0.01 * length)
    return times


@dataclass(frozen=True, slots=True, eq=False)
class StepCurve:
    """One quantity over all steps of a run.

    Attributes
    ----------
    start, length : float arrays, shape (n_step,)
    nodes : float array, shape (n_step, 5), its values at ``node_times``
    """

    start: FloatArray
    length: FloatArray
    nodes: FloatArray

    def after(self, moment: float) -> "StepCurve":
        """Return the part from the first step that starts at a moment or later.

        A step that contains the moment is cut there.
        """
        ends = self.start + self.length
        first = int(np.searchsorted(ends, moment, side="right"))
        first = min(first, len(self.start) - 1)
        start, length = self.start[first:].copy(), self.length[first:].copy()
        nodes = self.nodes[first:].copy()
        if moment > start[0]:
            theta = (moment - start[0]) / length[0]
            shares = theta + (1.0 - theta) * NODES
            nodes[0] = np.vander(shares, 5, increasing=True) @ self._polynomial(first)
            length[0] -= moment - start[0]
            start[0] = moment
        return StepCurve(start, length, nodes)

    def _polynomial(self, step: int) -> FloatArray:
        found: FloatArray = _TO_COEFFICIENTS @ self.nodes[step]
        return found

    def value(self, step: int, theta: float) -> float:
        """Return the value within a step."""
        return float(np.polynomial.polynomial.polyval(theta, self._polynomial(step)))

    def slope(self, place: Place, order: int = 1) -> float:
        """Return a derivative by time at a place."""
        made = np.polynomial.polynomial.polyder(self._polynomial(place.step), order)
        value = float(np.polynomial.polynomial.polyval(place.theta, made))
        return value / float(self.length[place.step]) ** order

    def at(self, step: int, theta: float) -> Place:
        """Return a place of this curve; its end is that before a dose there."""
        one = slice(step, step + 1)
        last = float(node_times(self.start[one], self.length[one])[0, -1])
        time = min(float(self.start[step] + theta * self.length[step]), last)
        return Place(step, theta, time, self.value(step, theta))

    def peak(self) -> Place:
        """Return the largest value; the first where there are several."""
        tops = self.nodes.max(axis=1)
        order = np.argsort(-tops, kind="stable")[:_CANDIDATES]
        # Between its nodes a polynomial passes them by less than they are apart.
        reach = tops[order] + np.ptp(self.nodes[order], axis=1)
        order = order[reach >= tops[order[0]]]
        best: Place | None = None
        for step in np.sort(order):
            for theta in self._turns(int(step)):
                place = self.at(int(step), theta)
                if best is None or place.value > best.value:
                    best = place
        assert best is not None
        return best

    def _turns(self, step: int) -> list[float]:
        """Return the ends of a step and where its polynomial is level."""
        made = np.polynomial.polynomial.polyder(self._polynomial(step))
        if not made.any():  # a constant
            return [0.0, 1.0]
        roots = np.polynomial.polynomial.polyroots(np.trim_zeros(made, "b"))
        real = roots[np.abs(roots.imag) < 1e-12].real
        return [0.0, *sorted(float(x) for x in real if 0.0 < x < 1.0), 1.0]

    def crossing(self, level: float) -> Place | None:
        """Return where the curve first passes a level, up or down; None for never."""
        flat = self.nodes.ravel() - level
        changes = np.flatnonzero(np.sign(flat[1:]) * np.sign(flat[:-1]) < 0)
        touches = np.flatnonzero(flat == 0.0)
        if touches.size and (not changes.size or touches[0] <= changes[0]):
            step, node = divmod(int(touches[0]), 5)
            return self.at(step, float(NODES[node]))
        if not changes.size:
            return None
        step, node = divmod(int(changes[0]), 5)
        if node == 4:  # between two steps: a dose, or rounding
            return self.at(step + 1, 0.0)
        theta = brentq(
            lambda x: self.value(step, x) - level,
            NODES[node],
            NODES[node + 1],
            xtol=1e-14,
        )
        return self.at(step, float(theta))

    def area(self) -> float:
        """Return the integral over time."""
        return float(self.length @ (self.nodes @ WEIGHTS))

    def steepest(self) -> float:
        """Return the largest slope at the nodes and between them."""
        best = -np.inf
        powers = np.arange(1, 5)
        coefficients = (self.nodes @ _TO_COEFFICIENTS.T)[:, 1:] * powers
        shares = np.linspace(0.0, 1.0, 17)
        slopes = coefficients @ np.vander(shares, 4, increasing=True).T
        if len(slopes):
            best = float((slopes / self.length[:, np.newaxis]).max())
        return best
