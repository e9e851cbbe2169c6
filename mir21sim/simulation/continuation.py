"""Branches of steady states over one number, through folds, with their stability.

Pseudo-arclength continuation: from a steady state (y, μ) the next one lies at a
distance along the tangent t of the branch, and Newton's method solves

    G(y, μ) = 0,   t · W ((y, μ) − predicted) = 0,

which is regular at folds. W weighs each state by its size and μ by the range. A fold is
where the component of t along μ changes sign, a Hopf point where a pair of complex
eigenvalues crosses the imaginary axis; both are found by bisection of the step.

References
----------
Keller HB 1977, in: Applications of Bifurcation Theory (pseudo-arclength);
Kuznetsov YA 2004, Elements of Applied Bifurcation Theory, doi 10.1007/978-1-4757-3978-7
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from mir21sim._typing import FloatArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.simulation.stationary import (
    Start,
    Stationary,
    Steady,
    amounts_of,
    find,
    solved,
    stability,
)

STEP = 0.01
LARGEST_STEP = 0.04
LEAST_STEP = 1e-7
"""First, largest and least step, of the range of the varied number."""

MOST_POINTS = 3000
"""Points of one branch; more are a sign of a branch that winds without end."""

CORRECTIONS = 12
"""Newton steps for one point, after which the step is halved."""

TURN = 0.9
"""Least cosine between the tangents of neighbours; a larger turn halves the step."""

BISECTIONS = 45
"""Halvings of a step in which a fold or Hopf point lies."""

SEEDS = 5
"""Values of the varied number at which runs start."""

SAME = 1e-5
"""Largest relative difference of two states that are one."""


TIP = 0.1
"""Largest relative difference between a branch point and the fold of its arms."""


class Point(NamedTuple):
    """A point of a branch: states, value on the axis (or its logarithm), tangent.

    The tangent, shape (n_state + 1,), is scaled to length 1.
    """

    y: FloatArray
    mu: float
    tangent: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Special:
    """A fold or Hopf point.

    Attributes
    ----------
    kind : "fold", "Hopf" or "branch point"
    value : of the varied number
    y : float array, shape (n_state,)
    period : of the oscillation that begins at a Hopf point, model time; else NaN
    """

    kind: str
    value: float
    y: FloatArray
    period: float = math.nan


@dataclass(slots=True, eq=False)
class Branch:
    """One curve of steady states.

    Attributes
    ----------
    values : of the varied number, along the curve
    states : float arrays, shape (n_state,)
    leading : complex, the eigenvalue with the largest real part
    stability : words
    special : folds and Hopf points on it
    ends : why the curve ends, on either side
    """

    values: list[float] = field(default_factory=list)
    states: list[FloatArray] = field(default_factory=list)
    leading: list[complex] = field(default_factory=list)
    stability: list[str] = field(default_factory=list)
    special: list[Special] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)


class Continuation:
    """The steady states of a model over one number.

    Parameters
    ----------
    start_at : value → start of the run at this value
    low, high : range
    log : whether the axis is logarithmic
    """

    def __init__(
        self,
        model: CompiledModel,
        start_at: Callable[[float], Start],
        low: float,
        high: float,
        *,
        log: bool,
    ) -> None:
        self.model, self.start_at, self.log = model, start_at, log
        self.low, self.high = (math.log(low), math.log(high)) if log else (low, high)
        middle = self.value(0.5 * (self.low + self.high))
        self.equations = Stationary.at(model, start_at(middle))
        self.amounts = amounts_of(model)
        self.size = np.zeros(len(model.state_names))

    def value(self, mu: float) -> float:
        """Return the varied number at a place of the axis."""
        return math.exp(mu) if self.log else mu

    def at(self, mu: float) -> Stationary:
        """Return the equations at a place of the axis."""
        return self.equations.moved_to(self.start_at(self.value(mu)))

    def branches(self) -> list[Branch]:
        """Return all branches that runs and neighbouring steady states lead to."""
        found: list[Branch] = []
        for mu, y in self._seeds():
            if not any(self._on(branch, mu, y) for branch in found):
                found.append(self._branch(y, mu))
        for branch in found:
            branch.special = [s for s in branch.special if not self._is_tip(s, found)]
        return found

    def _is_tip(self, special: Special, branches: list[Branch]) -> bool:
        """Return whether a fold is the end of two arms at a branch point of another."""
        return special.kind == "fold" and any(
            other.kind == "branch point"
            and abs(other.value - special.value) <= 1e-3 * abs(other.value)
            and self._apart(other.y, special.y) < TIP
            for branch in branches
            for other in branch.special
        )

    # ------------------------------------------------------------------------- seeds
    def _seeds(self) -> list[tuple[float, FloatArray]]:
        """Return steady states: of runs from the start, and of runs from neighbours."""
        places = np.linspace(self.low, self.high, SEEDS)
        seeds: list[tuple[float, FloatArray]] = []
        for mu in places:
            start = self.start_at(self.value(mu))
            steady = find(self.model, start)
            if isinstance(steady, Steady):
                seeds.append((float(mu), steady.y))
        for order in (places, places[::-1]):  # from either end: hysteresis
            seeds += self._followed(order)
        return seeds

    def _followed(self, places: FloatArray) -> list[tuple[float, FloatArray]]:
        """Return steady states that runs reach from that at the place before."""
        seeds: list[tuple[float, FloatArray]] = []
        before: FloatArray | None = None
        for mu in places:
            start = self.start_at(self.value(mu))
            if before is not None:
                near = self._within_totals(before, start)
                start = start if near is None else start._replace(y0=near)
            steady = find(self.model, start)
            before = steady.y if isinstance(steady, Steady) else None
            if before is not None:
                seeds.append((float(mu), before))
        return seeds

    def _within_totals(self, y: FloatArray, start: Start) -> FloatArray | None:
        """Return a state near another that has the totals of a start; None for none."""
        totals = self.equations.totals
        if not len(totals):
            return y
        weight = self.equations.scale(y) ** 2
        missing = totals @ (start.y0 - y)
        inner = (totals * weight) @ totals.T
        moved = y + weight * (totals.T @ np.linalg.lstsq(inner, missing, rcond=None)[0])
        return None if (moved[self.amounts] < 0).any() else moved

    def _on(self, branch: Branch, mu: float, y: FloatArray) -> bool:
        """Return whether a steady state lies on a branch."""
        value, values = self.value(mu), np.array(branch.values)
        between = (values[:-1] - value) * (values[1:] - value) <= 0
        for k in np.flatnonzero(between):
            step = values[k + 1] - values[k]
            share = (value - values[k]) / step if step else 0.0
            guess = branch.states[k] + share * (branch.states[k + 1] - branch.states[k])
            other = self._corrected_at(guess, mu)
            if other is not None and self._apart(other, y) < SAME:
                return True
        return False

    def _apart(self, a: FloatArray, b: FloatArray) -> float:
        size = np.maximum(self.equations.scale(a), self.equations.scale(b))
        return float(np.max(np.abs(a - b) / size, initial=0.0))

    # ------------------------------------------------------------------------- curve
    def _branch(self, y: FloatArray, mu: float) -> Branch:
        """Return the curve through a steady state, followed to both sides."""
        self.size = np.maximum(self.equations.scale(y), 1e-3 * np.abs(y).max())
        branch = Branch()
        sides: list[list[Point]] = []
        for direction in (-1.0, 1.0):
            first = self._first(y, mu, direction)
            if first is None:
                branch.ends.append("the state is not isolated")
                sides.append([])
                continue
            points, why, closed = self._follow(first)
            branch.ends.append(why)
            sides.append(points)
            if closed:
                break
        back = [p._replace(tangent=-p.tangent) for p in reversed(sides[0])]
        whole = back + sides[-1][1:] if len(sides) > 1 and sides[0] else sides[-1]
        self._describe(branch, whole or [Point(y, mu, np.zeros(len(y) + 1))])
        return branch

    def _describe(self, branch: Branch, points: list[Point]) -> None:
        """Fill a branch with its points, stabilities and special points."""
        spectra = []
        for point in points:
            values = self.at(point.mu).eigenvalues(point.y)
            spectra.append(values)
            branch.values.append(self.value(point.mu))
            branch.states.append(point.y)
            branch.leading.append(complex(values[0]) if len(values) else complex(-1))
            branch.stability.append(stability(values))
        for k in range(len(points) - 1):
            found = self._special(points[k], points[k + 1], spectra[k], spectra[k + 1])
            branch.special += [] if found is None else [found]

    def _first(self, y: FloatArray, mu: float, direction: float) -> Point | None:
        """Return the first point, with its tangent towards one side of the axis."""
        way = np.zeros(len(y) + 1)
        way[-1] = direction
        tangent = self._tangent(y, mu, way)
        return None if tangent is None else Point(y, mu, tangent)

    def _follow(self, point: Point) -> tuple[list[Point], str, bool]:
        """Return the points to one side, why they end, and whether the curve closed."""
        points, step, length = [point], STEP, 0.0
        while len(points) < MOST_POINTS:
            if step < LEAST_STEP:
                return points, f"no further point at {self.value(point.mu):.6g}", False
            new, turns = self._next(point, step)
            if new is None:
                step *= 0.5
                continue
            if not self.low <= new.mu <= self.high:
                end = self._at_end(point, new)
                return [*points, *end], "the end of the range", False
            if (new.y[self.amounts] < -1e-9 * self.size[self.amounts]).any():
                return points, "an amount would become negative", False
            points.append(new)
            self.size = np.maximum(self.size, 1e-3 * np.abs(new.y).max())
            self.size = np.maximum(self.size, np.abs(new.y))
            length += step
            if length > 1.5 * LARGEST_STEP and self._distance(new, points[0]) < step:
                return points, "the curve is closed", True
            point = new
            step = min(LARGEST_STEP, step * (1.5 if turns <= 3 else 0.8))
        return points, f"{MOST_POINTS} points", False

    def _at_end(self, last: Point, beyond: Point) -> list[Point]:
        """Return the point at the end of the range between two points, or none."""
        mu = self.low if beyond.mu < self.low else self.high
        share = (mu - last.mu) / (beyond.mu - last.mu)
        y = self._corrected_at(last.y + share * (beyond.y - last.y), mu)
        if y is None or abs(mu - last.mu) < 1e-12 * (self.high - self.low):
            return []
        return [Point(y, mu, beyond.tangent)]

    # ------------------------------------------------------------------- corrections
    def _weights(self) -> FloatArray:
        """Return the length of one scaled unit of each state and of the axis."""
        n = math.sqrt(max(1, len(self.size)))
        return np.append(self.size * n, self.high - self.low)

    def _distance(self, a: Point, b: Point) -> float:
        step = np.append(a.y - b.y, a.mu - b.mu)
        return float(np.linalg.norm(step / self._weights()))

    def _slope_by_axis(self, y: FloatArray, mu: float) -> FloatArray:
        """Return dG/dμ by central differences."""
        h = 1e-5 * (self.high - self.low)
        ahead, back = self.at(mu + h).residual(y), self.at(mu - h).residual(y)
        return np.asarray((ahead - back) / (2 * h))

    def _augmented(self, y: FloatArray, mu: float, row: FloatArray) -> FloatArray:
        """Return [dG/dy, dG/dμ; row], in unscaled unknowns."""
        n = len(y)
        whole = np.zeros((n + 1, n + 1))
        whole[:n, :n] = self.at(mu).matrix(y)
        whole[:n, n] = self._slope_by_axis(y, mu)
        whole[n] = row
        return whole

    def _tangent(
        self, y: FloatArray, mu: float, before: FloatArray
    ) -> FloatArray | None:
        """Return the tangent that goes on in the direction of one before."""
        weights = self._weights()
        right = np.zeros(len(y) + 1)
        right[-1] = 1.0
        found = solved(self._augmented(y, mu, before / weights), right, weights)
        if found is None:
            return None
        scaled = found / weights
        return np.asarray(scaled / np.linalg.norm(scaled))

    def _next(self, point: Point, step: float) -> tuple[Point | None, int]:
        """Return the point one step ahead and the Newton steps it took."""
        weights = self._weights()
        x = np.append(point.y, point.mu) + step * point.tangent * weights
        row, predicted = point.tangent / weights, x.copy()
        for turn in range(1, CORRECTIONS + 1):
            y, mu = x[:-1], float(x[-1])
            if self.log and not -700 < mu < 700:
                return None, turn
            g = np.append(self.at(mu).residual(y), row @ (x - predicted))
            change = solved(self._augmented(y, mu, row), -g, weights)
            if change is None:
                return None, turn
            x = x + change
            if np.linalg.norm(change / weights) < 1e-9:
                break
        else:
            return None, CORRECTIONS
        moved = float(np.linalg.norm((x - predicted) / weights))
        tangent = self._tangent(x[:-1], float(x[-1]), point.tangent)
        if tangent is None or moved > step or tangent @ point.tangent < TURN:
            return None, CORRECTIONS
        return Point(x[:-1], float(x[-1]), tangent), turn

    def _corrected_at(self, y: FloatArray, mu: float) -> FloatArray | None:
        """Return the steady state near a state at a place of the axis."""
        equations = self.at(mu)
        for _ in range(CORRECTIONS):
            scale = equations.scale(y)
            step = solved(equations.matrix(y), -equations.residual(y), scale)
            if step is None:
                return None
            y = y + step
            if (np.abs(step) <= 1e-10 * scale).all():
                return y
        return None

    # --------------------------------------------------------------- special points
    def _special(
        self, a: Point, b: Point, left: FloatArray, right: FloatArray
    ) -> Special | None:
        """Return the fold, Hopf or branch point between two neighbours, if any."""
        if a.tangent[-1] * b.tangent[-1] < 0:
            return self._bisected(a, b, "fold", lambda p: float(p.tangent[-1]))
        if _unstable_pairs(left) != _unstable_pairs(right):
            return self._bisected(a, b, "Hopf", self._nearest_pair)
        if _unstable_real(left) != _unstable_real(right):
            return self._bisected(a, b, "branch point", self._nearest_real)
        return None

    def _nearest_pair(self, point: Point) -> float:
        """Return the real part of the complex pair nearest to the imaginary axis."""
        values = self.at(point.mu).eigenvalues(point.y)
        pairs = values[np.abs(values.imag) > 1e-9 * np.abs(values)]
        if not len(pairs):
            return math.nan
        return float(pairs.real[np.argmin(np.abs(pairs.real))])

    def _nearest_real(self, point: Point) -> float:
        values = self.at(point.mu).eigenvalues(point.y)
        single = values.real[np.abs(values.imag) <= 1e-9 * np.abs(values)]
        return float(single[np.argmin(np.abs(single))]) if len(single) else math.nan

    def _bisected(
        self, a: Point, b: Point, kind: str, test: Callable[[Point], float]
    ) -> Special | None:
        """Return the place where a test changes its sign; None where it does not."""
        first, place, step = test(a), a, self._distance(a, b)
        low, high = 0.0, step
        if not first * test(b) < 0:
            return None
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + high)
            new, _turns = self._next(a, middle)
            place = place if new is None else new
            if new is not None and test(new) * first > 0:
                low = middle
            else:
                high = middle
            if high - low < 1e-11:
                break
        period = math.nan
        if kind == "Hopf":
            values = self.at(place.mu).eigenvalues(place.y)
            pairs = values[np.abs(values.imag) > 1e-9 * np.abs(values)]
            nearest = pairs[np.argmin(np.abs(pairs.real))]
            period = 2 * math.pi / abs(nearest.imag)
        return Special(kind, self.value(place.mu), place.y, period)


def _unstable_pairs(values: FloatArray) -> int:
    return int(np.sum((values.real > 0) & (values.imag > 1e-9 * np.abs(values))))


def _unstable_real(values: FloatArray) -> int:
    single = np.abs(values.imag) <= 1e-9 * np.abs(values)
    return int(np.sum((values.real > 0) & single))
