"""Steady states of any model: where it settles, how stable it is.

A steady state solves f(y, p) = 0 within the conserved totals T y = T y(0), see
``rest_system``. The state that is reached from the start is found by a long integration
and made exact by Newton's method. Where nothing is reached, as on a limit cycle, damped
Newton steps look for a state at which no run stays.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import scipy.linalg

from mir21sim._typing import BoolArray, FloatArray, IntArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, SolverStatus
from mir21sim.model.expressions import uses_time
from mir21sim.simulation import perturbations as perturbing
from mir21sim.simulation.outputs import species_of
from mir21sim.simulation.perturbations import Clamp
from mir21sim.simulation.plan import Plan
from mir21sim.simulation.rest_system import exact_totals, held_states, jacobian
from mir21sim.simulation.steady_state import settle
from mir21sim.simulation.translate import translate
from mir21sim.simulation.treatment import Treatment
from mir21sim.solvers.blas_threads import one_blas_thread

NEUTRAL = 1e-9
"""Largest real part, over the largest eigenvalue, that counts as neither sign."""

NEWTON_STEPS = 100
"""Steps of the damped method; it converges in tens of them or not at all."""

MOST_STEPS = 4000
"""Steps of a run that settles; one that still moves after them is on a cycle."""

GONE = 1e-9
"""Share of the largest amount below which one that falls for ever counts as zero."""

RESIDUAL = 1e-9
"""Largest |dy/dt| of a steady state, over the sum of the fluxes through the state."""


class Start(NamedTuple):
    """Where a run would start, which fixes the totals: states, parameters, held states.

    y0 : (n_state,), p : (n_param,), frozen : bool, (n_state,).
    """

    y0: FloatArray
    p: FloatArray
    frozen: BoolArray


def start_of(model: CompiledModel, treatment: Treatment) -> Start:
    """Return the start of a model under a treatment without doses.

    A clamp relative to rest is relative to the steady state without it.

    Raises
    ------
    InputError
        For doses, since a steady state has no time, and as ``translate``.
    """
    if treatment.doses:
        name = treatment.doses[0].target
        raise InputError(
            f"A steady state has no time and so no dose of `{name}`: hold it "
            f"(--clamp {name}=AMOUNT) or vary it (--over {name}=VALUES)."
        )
    names = (model.state_names or model.param_names)[:1]
    problem = translate(
        model, Plan.of(model, treatment, np.array([0.0, 1.0]), observe=names)
    ).problem
    y0, p = np.array(problem.y0), np.array(problem.p)
    frozen = problem.frozen
    if frozen is None:
        return Start(y0[0], p[0], np.zeros(y0.shape[1], bool))
    clamps = treatment.perturbations.clamps().values()
    if any(clamp.relative for clamp in clamps):
        y0, status = settle(model, y0, p)
        if status[0] != SolverStatus.OK:
            raise InputError(
                "A clamp relative to rest needs a steady state without it; give the "
                "level as an amount."
            )
    y0 = perturbing.clamped(model, treatment.perturbations, y0, p)
    return Start(y0[0], p[0], np.array(frozen))


def amounts_of(model: CompiledModel) -> BoolArray:
    """Return which states are amounts of species, bool array, shape (n_state,)."""
    species = species_of(model)
    return np.array([name in species for name in model.state_names], bool)


def check_autonomous(model: CompiledModel) -> None:
    """Stop at a model whose formulas depend on time: it has no steady state.

    Raises
    ------
    InputError
        With the reaction or rule that depends on time, or a quantity that only the
        solver of a run finds.
    """
    if model.solver_fills:
        raise InputError(
            f"The steady state of {model.id} cannot be looked for: "
            f"{model.solver_fills}. Simulate it for a long time instead."
        )
    formulas = [(f"rate of `{r.id}`", r.rate) for r in model.network.reactions]
    formulas += [(f"rule of `{r.variable}`", r.math) for r in model.network.rules]
    for what, formula in formulas:
        if uses_time(formula):
            raise InputError(
                f"{model.id} has no steady state: the {what} depends on time. Simulate "
                "it instead."
            )


@dataclass(frozen=True, slots=True, eq=False)
class Stationary:
    """The equations G(y) = 0 of a steady state at one start.

    The slopes of as many states as there are totals follow from the others; their
    places hold the totals T (y − y0), so that G has n_state entries.

    Attributes
    ----------
    model, start : of the run
    held : bool array, shape (n_state,): states that cannot move
    totals : float array, shape (n_total, n_state)
    spare : int array, shape (n_total,), places of the totals in G
    """

    model: CompiledModel
    start: Start
    held: BoolArray
    totals: FloatArray
    spare: IntArray

    @classmethod
    def at(cls, model: CompiledModel, start: Start) -> "Stationary":
        """Return the equations; which states can move follows from the start."""
        held = held_states(model, start.y0, start.frozen)
        totals = exact_totals(model, start.y0, held)
        spare = np.zeros(0, np.int64)
        if len(totals):
            order = scipy.linalg.qr(totals, mode="r", pivoting=True)[1]
            spare = np.asarray(order[: len(totals)], np.int64)
        return cls(model, start, held, totals, spare)

    def moved_to(self, start: Start) -> "Stationary":
        """Return the equations at another start in which the same states can move."""
        return replace(self, start=start)

    def slope(self, y: FloatArray) -> FloatArray:
        """Return f, zero for held states."""
        f = np.empty(len(y))
        self.model.kernels.rhs(0.0, np.array(y), np.array(self.start.p), f)
        f[self.held] = 0.0
        return f

    def residual(self, y: FloatArray) -> FloatArray:
        """Return G; float array, shape (n_state,)."""
        found = self.slope(y)
        found[self.spare] = self.totals @ (y - self.start.y0)
        return found

    def matrix(self, y: FloatArray) -> FloatArray:
        """Return dG/dy; float array, shape (n_state, n_state)."""
        found = jacobian(self.model, y, self.start.p)
        found[self.held] = 0.0
        found[self.spare] = self.totals
        return found

    def scale(self, y: FloatArray) -> FloatArray:
        """Return the size of each state: its own, or its share of the largest total."""
        largest = float(max(np.abs(y).max(initial=0.0), np.abs(self.start.y0).max()))
        return np.maximum(np.abs(y), 1e-9 * (largest or 1.0))

    def solved(self, y: FloatArray) -> bool:
        """Return whether a state is steady, measured by the fluxes through it."""
        v = np.empty(self.model.kernels.n_rate)
        self.model.kernels.rates(0.0, np.array(y), np.array(self.start.p), v)
        kernels = self.model.kernels
        through = np.zeros(len(y))
        np.add.at(through, kernels.n_row, np.abs(kernels.n_value * v[kernels.n_col]))
        f = np.abs(self.slope(y))
        floor = RESIDUAL * max(float(through.max(initial=0.0)) * 1e-6, 1e-300)
        still = bool((f <= RESIDUAL * through + floor).all())
        return still and bool(np.isfinite(y).all())

    @one_blas_thread()
    def newton(self, y: FloatArray) -> FloatArray | None:
        """Return the steady state that damped Newton steps reach; None for none."""
        amounts = amounts_of(self.model)
        best = np.array(y)
        for _ in range(NEWTON_STEPS):
            g = self.residual(best)
            step = solved(self.matrix(best), -g, self.scale(best))
            if step is None:
                return None
            falls = amounts & (step < 0) & (best > 0)
            room = np.min(best[falls] / -step[falls], initial=np.inf)
            share = min(1.0, 0.9 * room)  # amounts stay above zero
            best = np.where(self.held, best + step, best + share * step)
            small = np.abs(step) <= 1e-12 * self.scale(best)
            if share == 1.0 and small.all():
                break
        return best if self.solved(best) else None

    @one_blas_thread()
    def eigenvalues(self, y: FloatArray) -> FloatArray:
        """Return the eigenvalues of the modes within the totals, largest real first.

        Returns
        -------
        complex array, shape (n_state − n_total,), per model time
        """
        scale = self.scale(y)
        j = jacobian(self.model, y, self.start.p)
        j[self.held] = 0.0
        j = j * scale / scale[:, np.newaxis]
        if len(self.totals):
            basis = scipy.linalg.null_space(self.totals * scale)
            j = basis.T @ j @ basis
        if not len(j):
            return np.zeros(0, complex)
        found = np.linalg.eigvals(j)
        order = np.argsort(-found.real)
        return np.asarray(found[order])


def solved(
    matrix: FloatArray, right: FloatArray, scale: FloatArray
) -> FloatArray | None:
    """Return the solution of a linear system, scaled; None for a singular one."""
    whole = matrix * scale
    size = np.abs(whole).max(axis=1)
    if not np.isfinite(whole).all() or not np.isfinite(right).all() or not size.all():
        return None
    try:
        found = scipy.linalg.solve(whole / size[:, np.newaxis], right / size)
    except (scipy.linalg.LinAlgError, scipy.linalg.LinAlgWarning):
        return None
    return np.asarray(found * scale)


def stability(values: FloatArray) -> str:
    """Return a steady state's stability in a word or two, from its eigenvalues.

    Examples
    --------
    >>> stability(np.array([-0.1, -2.0])), stability(np.array([0.1 + 2j, 0.1 - 2j]))
    ('stable', 'unstable, oscillating')
    """
    if not len(values):
        return "stable"
    largest = float(np.abs(values).max())
    real = float(values[0].real)
    if abs(real) <= NEUTRAL * largest:
        return "undecided"
    if real < 0:
        return "stable"
    pair = abs(values[0].imag) > 1e-6 * abs(values[0])
    return "unstable, oscillating" if pair else "unstable"


class Steady(NamedTuple):
    """A steady state: states, eigenvalues, and whether a run reaches it."""

    y: FloatArray
    eigenvalues: FloatArray
    reached: bool


class Restless(NamedTuple):
    """No steady state was found; ``name`` is the state that moved most at the end."""

    name: str


def find(model: CompiledModel, start: Start) -> Steady | Restless:
    """Return the steady state that a run from the start reaches, or one that it leaves.

    Where neither the integration nor Newton's method finds one, the state that still
    moved is returned.
    """
    equations = Stationary.at(model, start)
    frozen = start.frozen if start.frozen.any() else None
    found, status = settle(
        model,
        start.y0[np.newaxis],
        start.p[np.newaxis],
        frozen=frozen,
        most_steps=MOST_STEPS,
    )
    y = found[0]
    if status[0] == SolverStatus.OK:
        exact = equations.newton(y)
        near = exact is not None and np.allclose(exact, y, rtol=1e-3, atol=0.0)
        reached = exact if exact is not None and near else y
        return Steady(reached, equations.eigenvalues(reached), reached=True)
    if not np.isfinite(y).all():
        y = start.y0
    ended = _ended(equations, y)
    if ended is not None:
        return Steady(ended, equations.eigenvalues(ended), reached=True)
    for guess in (y, start.y0, np.abs(start.y0) + equations.scale(start.y0)):
        other = equations.newton(guess)
        if other is not None:
            return Steady(other, equations.eigenvalues(other), reached=False)
    moved = np.abs(equations.slope(y)) / equations.scale(y)
    return Restless(model.state_names[int(np.argmax(moved))])


def _ended(equations: Stationary, y: FloatArray) -> FloatArray | None:
    """Return the steady state of a run in which amounts fall to zero for ever.

    Relative changes of such amounts never end. They count as zero below a share of the
    largest amount, if all fluxes end with them.
    """
    largest = np.abs(y).max(initial=0.0)
    gone = amounts_of(equations.model) & (np.abs(y) <= GONE * largest)
    state = np.where(gone, 0.0, y)
    return state if gone.any() and equations.solved(state) else None


def varied(treatment: Treatment, name: str, value: float, how: str) -> Treatment:
    """Return a treatment with another value of one number.

    Parameters
    ----------
    how : "parameter", "initial" (which changes totals) or "held"
    """
    if how == "parameter":
        return replace(treatment, parameters={**treatment.parameters, name: value})
    if how == "initial":
        return replace(treatment, initials={**treatment.initials, name: value})
    done = treatment.perturbations
    clamps = {**done.clamp, name: Clamp(value)}
    return replace(treatment, perturbations=replace(done, clamp=clamps))
