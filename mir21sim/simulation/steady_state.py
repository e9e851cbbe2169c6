"""Resting states: where a cell settles without any dose, kept on disk.

A long integration brings the state near, Newton steps within the conserved totals make
it exact. What does not settle is an error, never a start value.
"""

import hashlib
import math
from pathlib import Path

import numpy as np
import scipy.linalg

from mir21sim._typing import BoolArray, FloatArray, IntArray
from mir21sim.compiler import cache_folder
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, SolverStatus
from mir21sim.solvers.blas_threads import one_blas_thread
from mir21sim.solvers.methods import is_batch
from mir21sim.solvers.problem import Problem, Schedule, Selection
from mir21sim.solvers.settings import RETRIED, Settings, Workers
from mir21sim.solvers.single.reduction import moving_states
from mir21sim.solvers.solve import solve

HORIZON_S = 1e8
"""s (3 years) of undisturbed life before a state counts as settled."""

DRIFT_PER_S = 1e-10
"""1/s, the fastest relative change that a resting state may have (4e-7 an hour)."""

SETTLE_RTOL = 1e-5
"""Relative tolerance on the way there; the rest itself is as exact as `DRIFT_PER_S`."""

MOST_STEPS = 20_000
"""Steps on the way; what rests takes some hundreds, and what still moves after so many
oscillates or grows without end."""

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
    rows = together[list(first.values())]
    starts = np.ascontiguousarray(rows[:, : y0.shape[1]])
    parameters = np.ascontiguousarray(rows[:, y0.shape[1] :])
    folder = cache_folder.folder() / "resting"
    paths = [folder / f"{name}.state" for name in first]
    found = [_read(path, y0.shape[1]) for path in paths]
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
            if outcome in (SolverStatus.OK, SolverStatus.NO_RESTING_STATE):
                _write(paths[k], settled[k])
    place = {name: k for k, name in enumerate(first)}
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
) -> tuple[FloatArray, IntArray]:
    """Integrate runs without doses until they rest, then refine by Newton steps.

    Returns
    -------
    y : float array, shape (n_run, n_state)
    status : int array, shape (n_run,): OK, the status of a failed integration, or
        NO_RESTING_STATE
    """
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
        max_steps=MOST_STEPS,
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
    totals: dict[bytes, FloatArray] = {}  # the same for all runs, and slow to find
    for run in np.flatnonzero(status == SolverStatus.OK):
        quiet = _without_noise(model, y[run], y0[run])
        refined = _refine(model, quiet, p[run], frozen, totals)
        y[run] = _without_noise(model, refined, y0[run])
        if drift(model, y[run], p[run], frozen) / model.seconds_per_time > DRIFT_PER_S:
            status[run] = SolverStatus.NO_RESTING_STATE
    return y, status


def _without_noise(model: CompiledModel, y: FloatArray, y0: FloatArray) -> FloatArray:
    """Return a state in which what rounding took below zero is zero."""
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
    """Return dy/dt, zero for what is held; float array, shape (n_state,)."""
    f = np.empty(len(y))
    model.kernels.rhs(0.0, np.array(y), np.array(p), f)
    if frozen is not None:
        f[frozen] = 0.0
    return f


def jacobian(model: CompiledModel, y: FloatArray, p: FloatArray) -> FloatArray:
    """Return the dense Jacobian of the right-hand side at a state.

    Returns
    -------
    float array, shape (n_state, n_state), per model time
    """
    kernels = model.kernels
    data = np.empty(len(kernels.j_row))
    kernels.jac(0.0, np.array(y), np.array(p), data)
    dense = np.zeros((len(y), len(y)))
    dense[kernels.j_row, kernels.j_col] = data
    return dense


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


def _refine(
    model: CompiledModel,
    y: FloatArray,
    p: FloatArray,
    frozen: BoolArray | None,
    known: dict[bytes, FloatArray],
) -> FloatArray:
    """Make a nearly resting state exact by Newton steps that keep conserved totals.

    What cannot move, held or absent, is a conserved total of its own, so that nothing
    that is absent becomes 1e-30 of something. `known` has the totals of other runs by
    what is held.
    """
    best, best_drift = y, drift(model, y, p, frozen)
    if best_drift / model.seconds_per_time < 1e-3 * DRIFT_PER_S:
        return best
    held = ~moving_states(model.kernels, y, np.zeros_like(y), frozen)
    if held.tobytes() not in known:
        known[held.tobytes()] = _totals(model, held)
    totals = known[held.tobytes()]
    for _ in range(_NEWTON_STEPS):
        scale = np.abs(best) + model.atol
        f = _slope(model, best, p, frozen)
        slopes = jacobian(model, best, p) * scale / scale[:, np.newaxis]
        slopes[held] = 0.0
        system = np.vstack([slopes, totals * scale])
        target = np.concatenate([-f / scale, np.zeros(len(totals))])
        if not (np.isfinite(system).all() and np.isfinite(target).all()):
            break
        step = scipy.linalg.lstsq(system, target, lapack_driver="gelsy")[0]
        trial = best + scale * step
        tiny = (trial < 0) & (best >= 0)
        trial[tiny] = 0.0  # rounding below zero of what is not there
        trial[held] = best[held]
        new = drift(model, trial, p, frozen)
        if not new < best_drift or np.abs(step).max() > 0.1:
            break
        best, best_drift = trial, new
    return best


def _totals(model: CompiledModel, held: BoolArray) -> FloatArray:
    """Return what no reaction changes, shape (n_total, n_state); held states are."""
    reactions = stoichiometry(model)
    reactions[held] = 0.0
    return np.asarray(scipy.linalg.null_space(reactions.T).T, dtype=np.float64)


def _key(model: CompiledModel, method: str, frozen: BoolArray | None) -> bytes:
    """Return what all runs of a model have in common, by content."""
    parts = hashlib.sha256(model.kernel_key.encode())
    numbers = (HORIZON_S, DRIFT_PER_S, SETTLE_RTOL, MOST_STEPS)
    parts.update(repr((numbers, method, model.state_names)).encode())
    if frozen is not None:
        parts.update(frozen.tobytes())
    return parts.digest()


def _name(common: bytes, row: FloatArray) -> str:
    return hashlib.sha256(common + row.tobytes()).hexdigest()[:32]


def _read(path: Path, n_state: int) -> FloatArray | None:
    """Return a state from disk, NaN for no rest; None where missing or damaged."""
    body = cache_folder.read(path)
    if body is None or len(body) != 8 * n_state:
        return None
    return np.frombuffer(body, dtype="<f8").astype(float)


def _write(path: Path, y: FloatArray) -> None:
    """Put a state on disk in one move; a cache that cannot be written is no error."""
    cache_folder.write(path, y.astype("<f8").tobytes())
