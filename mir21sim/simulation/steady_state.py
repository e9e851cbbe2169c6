"""Resting states: where a cell settles without any dose, kept on disk.

A long integration brings the state near, Newton steps within the conserved totals make
it exact. A cell that does not settle is an error, never a start value.
"""

import functools
import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import scipy.linalg

from mir21sim._typing import BoolArray, FloatArray, IntArray
from mir21sim.compiler import cache_folder
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, SolverStatus
from mir21sim.simulation.rest_system import (
    RestSystem,
    exact_totals,
    held_states,
    jacobian,
)
from mir21sim.solvers.blas_threads import one_blas_thread
from mir21sim.solvers.methods import is_batch
from mir21sim.solvers.problem import Problem, Schedule, Selection
from mir21sim.solvers.settings import RETRIED, Settings, Workers
from mir21sim.solvers.solve import solve

HORIZON_S = 1e8
"""s (3 years) of undisturbed life before a state counts as settled."""

DRIFT_PER_S = 1e-10
"""1/s, the fastest relative change that a resting state may have (4e-7 an hour)."""

SETTLE_RTOL = 1e-5
"""Relative tolerance on the way there; the rest itself is as exact as `DRIFT_PER_S`."""

MOST_STEPS = 20_000
"""Steps on the way. Cells that rest take some hundreds; those that still move after so
many oscillate or grow without end."""

NEAR = 0.5
"""Largest relative change of a state in one Newton step from a near resting state: a
longer one may end at another rest."""

_NEWTON_STEPS = 8


def resting_states(
    model: CompiledModel,
    y0: FloatArray,
    p: FloatArray,
    method: str = "BDF",
    frozen: BoolArray | None = None,
    *,
    n_jobs: int = 1,
) -> tuple[FloatArray, IntArray]:
    """Return the resting state that each run settles to from its start values.

    Equal runs are settled once. Every state is kept on disk, and that there is none.

    Parameters
    ----------
    y0, p : float arrays, shapes (n_run, n_state) and (n_run, n_param)
    method : a batch method settles all at once; any other stands for BDF
    frozen : bool array, shape (n_state,): states held where they start
    n_jobs : threads over runs

    Returns
    -------
    y : float array, shape (n_run, n_state); a row is NaN where there is no rest
    status : int array, shape (n_run,), OK or why there is none

    Raises
    ------
    InputError
        For a model with events: where it settles would depend on when they happen.
    """
    if model.network.events:
        raise InputError(
            f"{model.id} has events (`{model.network.events[0].id}`), so it has no "
            "resting state without them; start from the given initial amounts "
            "(`equilibrate=False`, on the command line `--no-equilibrate`)."
        )
    if model.solver_fills:
        raise InputError(
            f"The resting state of {model.id} cannot be looked for: "
            f"{model.solver_fills}; start from the given initial amounts "
            "(`equilibrate=False`, on the command line `--no-equilibrate`)."
        )
    method = method if is_batch(method) else "BDF"
    if len(y0) > 1 and y0.strides[0] == p.strides[0] == 0:  # one row, broadcast
        rest, status = resting_states(model, y0[:1], p[:1], method, frozen)
        return np.broadcast_to(rest, y0.shape), np.broadcast_to(status, len(y0))
    together = np.concatenate([y0, p], axis=1)
    common = _key(model, method, frozen)
    names = [_name(common, row) for row in together]
    first: dict[str, int] = {}
    for run, name in enumerate(names):
        first.setdefault(name, run)
    distinct = list(first)
    rows = together[list(first.values())]
    starts = np.ascontiguousarray(rows[:, : y0.shape[1]])
    parameters = np.ascontiguousarray(rows[:, y0.shape[1] :])
    found = _kept(distinct, y0.shape[1])
    nowhere = np.full(y0.shape[1], np.nan)
    settled = np.array([nowhere if f is None else f for f in found])
    status = np.where(
        np.isnan(settled).any(axis=1), SolverStatus.NO_RESTING_STATE, SolverStatus.OK
    )
    missing = np.array([k for k, f in enumerate(found) if f is None], dtype=np.int64)
    if missing.size:
        made, how = settle(
            model, starts[missing], parameters[missing], method, frozen, n_jobs=n_jobs
        )
        status[missing] = how
        for k, y, outcome in zip(missing, made, how, strict=True):
            if outcome == SolverStatus.OK:
                settled[k] = y
        rested = np.isin(how, (SolverStatus.OK, SolverStatus.NO_RESTING_STATE))
        _keep({distinct[k]: settled[k] for k in missing[rested]})
    place = {name: k for k, name in enumerate(distinct)}
    which = np.array([place[name] for name in names], dtype=np.int64)
    return settled[which], status[which]


@one_blas_thread()
def settle(
    model: CompiledModel,
    y0: FloatArray,
    p: FloatArray,
    method: str = "BDF",
    frozen: BoolArray | None = None,
    *,
    n_jobs: int = 1,
    near: FloatArray | None = None,
    most_steps: int | None = None,
) -> tuple[FloatArray, IntArray]:
    """Integrate runs without doses until they rest, then refine by Newton steps.

    Nothing is read from or written to disk.

    Parameters
    ----------
    near : float array, shape (n_run, n_state), resting states of similar runs, NaN for
        none: where Newton steps from there reach a rest nearby, nothing is integrated
    most_steps : steps after which a run counts as one that does not rest; by default
        ``MOST_STEPS``

    Returns
    -------
    y : float array, shape (n_run, n_state)
    status : int array, shape (n_run,): OK, the status of a failed integration, or
        NO_RESTING_STATE
    """
    if near is None:
        return _settle(
            model, y0, p, method, frozen, n_jobs=n_jobs, most_steps=most_steps
        )
    y = np.full_like(y0, np.nan)
    status = np.full(len(y0), int(SolverStatus.OK))
    for run in np.flatnonzero(np.isfinite(near).all(axis=1)):
        y[run] = _from_near(model, near[run], y0[run], p[run], frozen)
    left = np.flatnonzero(np.isnan(y).any(axis=1))
    if left.size:
        y[left], status[left] = _settle(
            model, y0[left], p[left], method, frozen, n_jobs=n_jobs
        )
    return y, status


def _from_near(
    model: CompiledModel,
    near: FloatArray,
    y0: FloatArray,
    p: FloatArray,
    frozen: BoolArray | None,
) -> FloatArray:
    """Return the rest that Newton steps reach from a near one; NaN where none is."""
    nowhere = np.full_like(y0, np.nan)
    held = held_states(model, near, frozen)
    if not np.array_equal(held, held_states(model, y0, frozen)):
        return nowhere
    found = _refine(model, near, p, frozen, change=y0 - near, largest=NEAR)
    totals = exact_totals(model, near, held)
    size = np.abs(totals) @ (np.abs(y0) + model.atol)
    kept = np.abs(totals @ (found - y0)) <= 1e-9 * size
    rests = drift(model, found, p, frozen) / model.seconds_per_time <= DRIFT_PER_S
    whole = not ((found < 0) & (y0 >= 0)).any()
    return found if rests and whole and kept.all() else nowhere


def _settle(
    model: CompiledModel,
    y0: FloatArray,
    p: FloatArray,
    method: str,
    frozen: BoolArray | None,
    *,
    n_jobs: int,
    most_steps: int | None = None,
) -> tuple[FloatArray, IntArray]:
    """Integrate runs until they rest, and refine; see ``settle``."""
    n_run = len(y0)
    empty = np.empty(0, dtype=np.int64)
    problem = Problem(
        y0=y0,
        p=p,
        times=np.array([0.0, HORIZON_S / model.seconds_per_time]),
        schedule=Schedule(np.empty(0), empty, empty, np.empty((n_run, 0))),
        selection=Selection(empty, empty, empty, empty, np.empty(0)),
        amounts=np.isfinite(model.y0) & (model.y0 >= 0),
        frozen=frozen,
    )
    settings = Settings(
        method,
        SETTLE_RTOL,
        np.array(model.atol),
        max_steps=most_steps or MOST_STEPS,
        timeout=120.0,
        allow_negative=True,
        retried=RETRIED - {SolverStatus.MAX_STEPS},
    )
    results, interrupted = solve(model, problem, settings, Workers(n_jobs))
    if interrupted:
        raise KeyboardInterrupt
    status = results.status.copy()
    status[status == SolverStatus.MAX_STEPS] = SolverStatus.NO_RESTING_STATE
    y = results.y_end
    for run in np.flatnonzero(status == SolverStatus.OK):
        quiet = _without_noise(model, y[run], y0[run])
        refined = _refine(model, quiet, p[run], frozen)
        y[run] = _without_noise(model, refined, y0[run])
        if drift(model, y[run], p[run], frozen) / model.seconds_per_time > DRIFT_PER_S:
            status[run] = SolverStatus.NO_RESTING_STATE
    return y, status


def _without_noise(model: CompiledModel, y: FloatArray, y0: FloatArray) -> FloatArray:
    """Return a state in which amounts below zero by rounding are zero."""
    return np.where((y < 0) & (y > -model.atol) & (y0 >= 0), 0.0, y)


def drift(
    model: CompiledModel,
    y: FloatArray,
    p: FloatArray,
    frozen: BoolArray | None = None,
) -> float:
    """Return the largest relative rate of change of a state, per model time."""
    f = _slope(model, y, p, frozen)
    return float(np.max(np.abs(f) / (np.abs(y) + model.atol), initial=0.0))


def _slope(
    model: CompiledModel, y: FloatArray, p: FloatArray, frozen: BoolArray | None
) -> FloatArray:
    """Return dy/dt, zero for held states; float array, shape (n_state,)."""
    f = np.empty(len(y))
    model.kernels.rhs(0.0, np.array(y), np.array(p), f)
    if frozen is not None:
        f[frozen] = 0.0
    return f


def stoichiometry(model: CompiledModel) -> FloatArray:
    """Return N, float array, shape (n_state, n_rate)."""
    kernels = model.kernels
    dense = np.zeros((kernels.n_state, kernels.n_rate))
    dense[kernels.n_row, kernels.n_col] = kernels.n_value
    return dense


@one_blas_thread()
def leading_eigenvalue(model: CompiledModel, y: FloatArray, p: FloatArray) -> float:
    """Return the largest real part among the modes that reactions can excite, 1/s.

    Directions in which a conserved total would change are projected out: they have
    eigenvalue zero and no reaction moves along them. Negative means stable.
    """
    basis = scipy.linalg.orth(stoichiometry(model))
    if not basis.shape[1]:
        return -math.inf
    reduced = basis.T @ jacobian(model, y, p) @ basis
    largest = float(np.linalg.eigvals(reduced).real.max())
    return largest / model.seconds_per_time


_AT_REST = 1e-6
"""Share of ``DRIFT_PER_S`` below which another Newton step changes nothing of use."""

_ROUNDING = 1e-13
"""Error of a slope near rest, in shares of the fluxes that nearly cancel in it."""


def _refine(
    model: CompiledModel,
    y: FloatArray,
    p: FloatArray,
    frozen: BoolArray | None,
    *,
    change: FloatArray | None = None,
    largest: float = 0.1,
) -> FloatArray:
    """Make a nearly resting state exact by Newton steps that keep conserved totals.

    A state that cannot move, held or absent, is a conserved total itself, so that an
    absent species stays exactly 0.

    Parameters
    ----------
    change : float array, shape (n_state,): added to the totals of `y` by the first step
    largest : relative change of a state above which a step is not taken
    """
    best, best_drift = y, drift(model, y, p, frozen)
    missing = np.zeros_like(y) if change is None else change
    if not missing.any() and best_drift / model.seconds_per_time < 1e-3 * DRIFT_PER_S:
        return best
    held = held_states(model, y, frozen)
    totals = exact_totals(model, y, held)
    for _ in range(_NEWTON_STEPS):
        system = RestSystem.at(model, best, p, held, totals)
        f = _slope(model, best, p, frozen)
        if not (system.finite and np.isfinite(f).all()):
            break
        try:
            step = system.solve(
                -f[:, np.newaxis],
                (totals @ missing)[:, np.newaxis],
                rounding=_ROUNDING,
            )
        except scipy.linalg.LinAlgError:
            break
        trial = best + step[:, 0]
        tiny = (trial < 0) & (best >= 0)
        trial[tiny] = 0.0  # rounding below zero of an absent species
        trial[held] = best[held] + missing[held]
        new = drift(model, trial, p, frozen)
        worse = not new < best_drift and not missing.any()
        if worse or np.abs(step[:, 0] / system.scale).max() > largest:
            break
        best, best_drift, missing = trial, new, np.zeros_like(y)
        if best_drift / model.seconds_per_time < _AT_REST * DRIFT_PER_S:
            break
    return best


def _key(model: CompiledModel, method: str, frozen: BoolArray | None) -> bytes:
    """Return the hash of all that the runs of a model share."""
    numbers = (HORIZON_S, DRIFT_PER_S, SETTLE_RTOL, MOST_STEPS)
    clamped = b"" if frozen is None else frozen.tobytes()
    return _hashed(model.kernel_key, (numbers, method, model.state_names), clamped)


@functools.lru_cache(maxsize=16)
def _hashed(kernel_key: str, settings: tuple[object, ...], clamped: bytes) -> bytes:
    parts = hashlib.sha256(kernel_key.encode())
    parts.update(repr(settings).encode())
    parts.update(clamped)
    return parts.digest()


def _name(common: bytes, row: FloatArray) -> str:
    return hashlib.sha256(common + row.tobytes()).hexdigest()[:32]


_IN_MEMORY: dict[str, bytes] = {}
"""States read or written by this process, little-endian doubles, by their names."""

_MOST_IN_MEMORY = 1024
"""States kept in memory; those of a large population are read from disk again."""


def _folder() -> Path:
    return cache_folder.folder() / "resting"


def _kept(names: Sequence[str], n_state: int) -> list[FloatArray | None]:
    """Return kept states, NaN for no rest; None where missing or damaged."""
    found = [_IN_MEMORY.get(name) for name in names]
    if None in found:
        folder = _folder()
        for k, name in enumerate(names):
            if found[k] is None:
                found[k] = _from_disk(folder / f"{name}.state", name, n_state)
    return [
        None if body is None else np.frombuffer(body, dtype="<f8").astype(float)
        for body in found
    ]


def _from_disk(path: Path, name: str, n_state: int) -> bytes | None:
    """Return the doubles of a state on disk; None where missing or damaged."""
    body = cache_folder.read(path)
    if body is None or len(body) != 8 * n_state:
        return None
    _remember(name, body)
    return body


def _keep(states: Mapping[str, FloatArray]) -> None:
    """Put states on disk, each in one move; a full or read-only disk is no error."""
    folder = _folder()
    for name, y in states.items():
        body = y.astype("<f8").tobytes()
        cache_folder.write(folder / f"{name}.state", body)
        _remember(name, body)


def _remember(name: str, body: bytes) -> None:
    if len(_IN_MEMORY) >= _MOST_IN_MEMORY:
        _IN_MEMORY.clear()
    _IN_MEMORY[name] = body
