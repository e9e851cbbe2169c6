"""Single runs in which some quantities are solutions of equations (index-1 DAE).

An algebraic rule g(z, y, t) = 0 gives z, and the rates of fast reactions,
v(ξ, y, t) = 0, give their extents ξ. Both are parameters of the kernels, filled before
each call by Newton's method from the values of the last step, so that the integrator
(SciPy's Radau) sees an ordinary differential equation. Of several balances a fast
reaction goes to the one that dξ/ds = v leads to: this is integrated at the start, after
events, and where a balance is lost or no longer stable. A fast reaction whose rate is
zero whatever its extent rests.

References
----------
Hairer E & Wanner G 1996, Solving Ordinary Differential Equations II, section VI.1
(state space form of index 1), doi 10.1007/978-3-642-05221-7
SBML L3V1, section 4.13.6 (fast reactions)
"""

import math
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.integrate

from mir21sim._typing import FloatArray, Kernel
from mir21sim.compiler.kernels import Kernels
from mir21sim.compiler.model import CompiledModel, DelayPlaces, ImplicitPlaces
from mir21sim.errors import SolverStatus
from mir21sim.solvers.method import SINGLE, Method
from mir21sim.solvers.problem import Problem, Solution
from mir21sim.solvers.settings import Settings, Workers
from mir21sim.solvers.single import scale
from mir21sim.solvers.single.delayed import DelayedRun
from mir21sim.solvers.single.reduced_problem import ReducedProblem
from mir21sim.solvers.single.run import SingleRun

SOLVER = "Radau"

NEWTON_STEPS = 60
"""Steps of Newton's method at most; a simple root takes three to six."""

CLOSE = 1e-6
"""Relative change in one step below which a step that does not shrink ends at rounding;
a root where the step is longer is none."""

DIFFERENCE = 1e-7
"""Relative step of the differences that the derivatives are taken from."""

SINGULAR = 1e-12
"""Share of the largest singular value below which a direction is undetermined."""

DECADES = 40
"""Stretches of the way to a balance, each ten times as long as the one before."""

ROUNDS = 100
"""Times that events and fast reactions follow each other at one moment."""

_FILLED = ("rhs", "rates", "assigned")


class Unknowns:
    """The quantities of a run that equations determine, as parameters to be filled.

    Parameters
    ----------
    kernels : of the model, which read the unknowns from parameters
    places : of unknowns and of the quantities that must become zero
    """

    def __init__(
        self, kernels: Kernels, places: ImplicitPlaces, y: FloatArray, p: FloatArray
    ) -> None:
        self.kernels, self.places = kernels, places
        self.inner_rates, self.inner_assigned = kernels.rates, kernels.assigned
        self.n_flow = len(places.extent)
        self.where = np.concatenate([places.extent, places.root])
        self.first = np.abs(p[self.where])
        self.held = False  # while events act, extents stay

    # -------------------------------------------------------------------- equations
    def rest(self, t: float, y: FloatArray, p: FloatArray, u: FloatArray) -> FloatArray:
        """Return the residuals; float array, shape (n_unknown,)."""
        p[self.where] = u
        k, out = self.kernels, np.empty(len(u))
        if self.n_flow:
            rates = np.empty(k.n_rate)
            self.inner_rates(t, y, p, rates)
            out[: self.n_flow] = rates[self.places.rate]
        if len(u) > self.n_flow:
            values = np.empty(k.n_assigned)
            self.inner_assigned(t, y, p, values)
            out[self.n_flow :] = values[self.places.rest]
        return out

    def sizes(self, y: FloatArray, u: FloatArray) -> FloatArray:
        """Return the sizes by which changes of the unknowns are judged."""
        pools = np.max(np.abs(y[self.places.pool]), initial=0.0)
        size = np.maximum(np.abs(u), self.first)
        size[: self.n_flow] = np.maximum(size[: self.n_flow], pools)
        size[size == 0.0] = 1.0
        return np.asarray(size)

    def matrix(
        self, t: float, y: FloatArray, p: FloatArray, u: FloatArray, g: FloatArray
    ) -> FloatArray:
        """Return dg/du by differences, shape (n_unknown, n_unknown)."""
        out = np.empty((len(u), len(u)))
        for k, size in enumerate(DIFFERENCE * self.sizes(y, u)):
            for step in (size, -size):
                moved = u.copy()
                moved[k] += step
                out[:, k] = (self.rest(t, y, p, moved) - g) / (moved[k] - u[k])
                if np.isfinite(out[:, k]).all():
                    break
        return out

    # ---------------------------------------------------------------------- solving
    def newton(
        self, t: float, y: FloatArray, p: FloatArray, start: FloatArray
    ) -> FloatArray | None:
        """Return the root that Newton's method finds from a start, None for none."""
        u, last = start.copy(), math.inf
        g = self.rest(t, y, p, u)
        for _ in range(NEWTON_STEPS):
            if not np.isfinite(g).all():
                return None
            if not g.any():
                return u
            jac = self.matrix(t, y, p, u, g)
            if not np.isfinite(jac).all() or self._undetermined(jac):
                return None
            step = np.asarray(np.linalg.lstsq(jac, -g, rcond=SINGULAR)[0], float)
            length = float(np.max(np.abs(step) / self.sizes(y, u)))
            if length < CLOSE and not length < 0.5 * last:
                return u
            u, g = self._damped(t, y, p, u, g, step)
            last = length
        return u if last < CLOSE else None

    def _damped(
        self,
        t: float,
        y: FloatArray,
        p: FloatArray,
        u: FloatArray,
        g: FloatArray,
        step: FloatArray,
    ) -> tuple[FloatArray, FloatArray]:
        """Return the unknowns after a step, halved while it leaves the domain."""
        for half in range(30):
            trial = u + step * 0.5**half
            new = self.rest(t, y, p, trial)
            if np.isfinite(new).all():
                break
        return trial, new

    def _undetermined(self, jac: FloatArray) -> bool:
        """Say whether an algebraic rule does not determine its quantity here."""
        part = jac[self.n_flow :, self.n_flow :]
        if not part.size:
            return False
        sizes = np.linalg.svd(part, compute_uv=False)
        return bool(sizes[-1] <= SINGULAR * sizes[0])

    def stable(self, t: float, y: FloatArray, p: FloatArray, u: FloatArray) -> bool:
        """Say whether fast reactions come back to a balance."""
        n = self.n_flow
        if not n:
            return True
        jac = self.matrix(t, y, p, u, self.rest(t, y, p, u))
        if not np.isfinite(jac).all():
            return False
        flow = jac[:n, :n]
        if len(u) > n:
            flow = flow - jac[:n, n:] @ np.linalg.lstsq(jac[n:, n:], jac[n:, :n])[0]
        largest = float(np.linalg.eigvals(flow).real.max())
        return largest <= CLOSE * float(np.abs(flow).max())

    def settled(
        self, t: float, y: FloatArray, p: FloatArray, start: FloatArray
    ) -> FloatArray | None:
        """Return where fast reactions and algebraic rules come to from a start."""
        n = self.n_flow
        if not n:
            return self.newton(t, y, p, start)
        u = start.copy()
        g = self._flow_of(t, y, p, u)
        jac = self.matrix(t, y, p, u, self.rest(t, y, p, u))[:n, :n]
        if g is None or not np.isfinite(jac).all():
            return None
        quickest = float(np.abs(jac).max())
        if not g.any() and (not quickest or self.stable(t, y, p, u)):
            return u
        if not g.any():
            return None  # an unstable balance, which nothing makes it leave
        span = 0.1 / quickest if quickest else float(self.sizes(y, u)[0] / g.max())
        for _ in range(DECADES):
            moved = self._flow(t, y, p, u, span)
            if moved is None:
                return None
            near = float(np.max(np.abs(moved - u) / self.sizes(y, moved))) < 1e-3
            u, span = moved, 10.0 * span
            found = self.newton(t, y, p, u) if near else None
            if found is not None and self.stable(t, y, p, found):
                close = np.max(np.abs(found - u) / self.sizes(y, u))
                if close < 1e-2:
                    return found
        return None

    def _flow_of(
        self, t: float, y: FloatArray, p: FloatArray, u: FloatArray
    ) -> FloatArray | None:
        """Return dξ/ds, with the algebraic rules obeyed; None where they cannot be."""
        n = self.n_flow
        if len(u) > n:
            held = _Held(self, u[:n])
            z = held.solve(t, y, p, u[n:])
            if z is None:
                return None
            u[n:] = z
        return self.rest(t, y, p, u)[:n]

    def _flow(
        self, t: float, y: FloatArray, p: FloatArray, u: FloatArray, span: float
    ) -> FloatArray | None:
        """Return the unknowns after fast reactions went on for a while."""
        n, sizes = self.n_flow, self.sizes(y, u)[: self.n_flow]
        moved = u.copy()

        def slope(_: float, extents: FloatArray) -> FloatArray:
            moved[:n] = extents
            found = self._flow_of(t, y, p, moved)
            return np.full(n, np.nan) if found is None else found

        try:
            ended = scipy.integrate.solve_ivp(
                slope, (0.0, span), u[:n], "Radau", rtol=1e-6, atol=1e-9 * sizes,
                t_eval=[span],
            )  # fmt: skip
        except (ValueError, np.linalg.LinAlgError):  # of numbers that are not finite
            return None
        if not ended.success or not np.isfinite(ended.y).all():
            return None
        moved[:n] = ended.y[:, -1]
        return moved if self._flow_of(t, y, p, moved) is not None else None

    # ---------------------------------------------------------------------- filling
    def fill(self, t: float, y: FloatArray, p: FloatArray) -> None:
        """Write the unknowns of a moment into its parameters; NaN for no solution.

        The parameters come with values of a moment before, from which it starts.
        """
        start = p[self.where]
        if self.held:
            found = self._with_extents(t, y, p, start)
        else:
            found = self.newton(t, y, p, start)
            if found is None and self.n_flow:
                found = self.settled(t, y, p, start)
        p[self.where] = math.nan if found is None else found

    def _with_extents(
        self, t: float, y: FloatArray, p: FloatArray, start: FloatArray
    ) -> FloatArray | None:
        n = self.n_flow
        if len(start) == n:
            return start
        z = _Held(self, start[:n]).solve(t, y, p, start[n:])
        return None if z is None else np.concatenate([start[:n], z])

    def filled(self, kernel: Kernel) -> Kernel:
        """Return a kernel that gets the unknowns of the moment it is called for."""

        def call(t: float, y: FloatArray, p: FloatArray, *rest: Any) -> None:
            numbers = np.array(p)
            self.fill(float(t), np.asarray(y), numbers)
            kernel(t, y, numbers, *rest)

        return call

    def wrapped(self) -> Kernels:
        """Return the kernels with unknowns filled in, and a full Jacobian."""
        inner, n = self.kernels, self.kernels.n_state

        def make(name: str) -> Kernel:
            if name == "jac":
                return self.differences(make("rhs"))
            kernel = inner.make(name)
            return self.filled(kernel) if name in _FILLED else kernel

        events = inner.events
        if events is not None:
            events = events.wrapped(self.filled)
        places = np.arange(n, dtype=inner.j_row.dtype)
        return replace(
            inner,
            make=make,
            events=events,
            j_row=np.tile(places, n),
            j_col=np.repeat(places, n),
        )

    def differences(self, rhs: Kernel) -> Kernel:
        """Return the Jacobian of a right-hand side by differences."""

        def call(t: float, y: FloatArray, p: FloatArray, out: FloatArray) -> None:
            n, start = len(y), np.array(y)
            here, there = np.empty(n), np.empty(n)
            rhs(t, start, p, here)
            floor = np.max(np.abs(start), initial=0.0) or 1.0
            for k in range(n):
                moved = start.copy()
                moved[k] += DIFFERENCE * max(abs(start[k]), 1e-3 * floor)
                rhs(t, moved, p, there)
                out[k * n : (k + 1) * n] = (there - here) / (moved[k] - start[k])

        return call


class _Held:
    """The algebraic rules alone, at fixed extents of the fast reactions."""

    def __init__(self, whole: Unknowns, extents: FloatArray) -> None:
        self.whole, self.extents = whole, extents

    def solve(
        self, t: float, y: FloatArray, p: FloatArray, z: FloatArray
    ) -> FloatArray | None:
        """Return the quantities that the rules determine, None for no solution."""
        whole, p = self.whole, p.copy()
        n = whole.n_flow
        p[whole.places.extent] = self.extents
        alone = Unknowns(
            whole.kernels,
            whole.places._replace(extent=whole.places.extent[:0]),
            y,
            p,
        )
        alone.first = whole.first[n:]
        return alone.newton(t, y, p, z)


class SolvingRun(SingleRun):
    """A run that keeps the unknowns of its last step, and balances after events.

    A stop that events make shows the amounts before fast reactions to events alone.
    """

    unknowns: Unknowns

    def _act(self) -> SolverStatus:
        """Apply doses and events; fast reactions go on after them."""
        unknowns = self.unknowns
        for _ in range(ROUNDS):
            unknowns.held = True
            status = super()._act()
            unknowns.held = False
            if status != SolverStatus.OK:
                return status
            start = self.p[unknowns.where]
            found = unknowns.settled(self.t, self.y, self._numbers(), start)
            if found is None:
                return SolverStatus.NON_FINITE
            moved = np.abs(found - start) > 1e-9 * unknowns.sizes(self.y, found)
            self._rebase(found)
            if self.events is None or not moved.any():
                return SolverStatus.OK
        return SolverStatus.EVENT_LOOP

    def _rebase(self, found: FloatArray) -> None:
        """Put products of fast reactions into the states; set their extents to zero."""
        unknowns, places = self.unknowns, self.unknowns.places
        self.p[unknowns.where] = found
        if unknowns.n_flow:
            values = np.empty(self.kernels.n_assigned)
            unknowns.inner_assigned(self.t, self.y, self._numbers(), values)
            self.y[places.pool] = values[places.whole]
            self.p[places.extent] = 0.0

    def _numbers(self) -> FloatArray:
        """Return the parameters of this moment, delayed values included."""
        return np.array(self.p, float)

    def _after_step(
        self, solver: Any, reduced: ReducedProblem
    ) -> tuple[SolverStatus, bool]:
        """Take over a step; a balance that is lost or not stable ends it."""
        status, crossed = super()._after_step(solver, reduced)
        return status, self._remember() or crossed

    def _advance_constant(self, end: float) -> SolverStatus:
        status = super()._advance_constant(end)
        self._remember()
        return status

    def _remember(self) -> bool:
        """Keep the unknowns of this moment; say whether they must be found anew."""
        unknowns, t = self.unknowns, min(self.t, self.latest)
        numbers = self._numbers()
        found = unknowns.newton(t, self.y, numbers, self.p[unknowns.where])
        lost = found is None or not unknowns.stable(t, self.y, numbers, found)
        if found is not None:
            self.p[unknowns.where] = found
        return lost


class DelayedImplicitRun(SolvingRun, DelayedRun):
    """One run with unknowns and with delayed values."""

    def __init__(
        self,
        kernels: Kernels,
        places: tuple[ImplicitPlaces, DelayPlaces],
        problem: Problem,
        run: int,
        settings: Settings,
        stop: threading.Event,
    ) -> None:
        y, p = problem.y0[run], problem.p[run]
        self.unknowns = Unknowns(kernels, places[0], y, p)
        self.unknowns.held = True
        inner = self.unknowns.wrapped()
        super().__init__(inner, places[1], problem, run, settings, stop)
        before = Unknowns(kernels, places[0], y, p)
        before.held = True
        self.history.before_start = before.wrapped()

    def _numbers(self) -> FloatArray:
        numbers = np.array(self.p, float)
        self.history.fill(self.t, self.y, numbers)
        return numbers


class ImplicitRun(SolvingRun):
    """One run of a model with unknowns."""

    def __init__(
        self,
        kernels: Kernels,
        places: ImplicitPlaces,
        problem: Problem,
        run: int,
        settings: Settings,
        stop: threading.Event,
    ) -> None:
        self.unknowns = Unknowns(kernels, places, problem.y0[run], problem.p[run])
        self.unknowns.held = True  # the start is that before fast reactions
        super().__init__(self.unknowns.wrapped(), problem, run, settings, SOLVER, stop)


def supports(model: CompiledModel) -> str | None:
    """Return why the method cannot run a model, None where it can."""
    if model.implicit is None:
        return "the model has no unknown that an equation determines"
    return None


def _integrate(
    model: CompiledModel, problem: Problem, settings: Settings, workers: Workers
) -> tuple[Solution, bool]:
    from mir21sim.solvers.single.integrate import integrate_runs  # imports SciPy

    places, delays = model.implicit, model.delays
    assert places is not None

    def work(run: int, stop: threading.Event) -> scale.Ended:
        def make(chosen: Settings, _growth: float) -> SingleRun:
            parts = (problem, run, chosen, stop)
            if delays is None:
                return ImplicitRun(model.kernels, places, *parts)
            return DelayedImplicitRun(model.kernels, (places, delays), *parts)

        return scale.integrate(make, problem, run, settings)

    return integrate_runs(problem, workers, work)


METHOD = Method("Radau-implicit", "KISAO:0000304", SINGLE, supports, _integrate)
