"""Runs of models with conditions on time: from one turn to the next.

A condition such as ``time < t_end`` turns at a moment that is known before. Between two
moments the model has no conditions, and its state and the tangents go on continuously
where no moment depends on an estimated parameter. Where one does, each run goes on by
itself (``solvers.timed_sensitivities``).
"""

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mir21sim._typing import FloatArray, IntArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import SolverStatus
from mir21sim.estimation.batches import Batch, Seeds, States

GOLDEN = 0.6180339887498949
"""The golden ratio less 1; the fractions of its multiples are all different."""

ULPS = 8
"""Floating-point numbers between a moment and the ends of the stretches beside it."""

Run = Callable[[Batch, FloatArray, IntArray], States]
"""Integrates runs of a model without conditions."""


def without_conditions(model: CompiledModel) -> CompiledModel | None:
    """Return the model as it is between two moments, None where that is not known.

    It must have no events, and all its conditions must depend on time and parameters
    alone.
    """
    events = model.kernels.events
    if events is None or len(events.names) or (events.moving & ~events.timed).any():
        return None
    if events.pieced.any():
        return None  # moments that come again and again
    return replace(model, kernels=replace(model.kernels, events=None))


def moments_of(model: CompiledModel, batch: Batch, times: FloatArray) -> FloatArray:
    """Return the moments of every run, shape (n_run, n_relation), NaN for none."""
    events = model.kernels.events
    assert events is not None
    found = np.full((len(batch), len(events.kind)), np.nan)
    for run, row in enumerate(found):
        events.moments(float(times[0]), batch.y0[run], batch.p[run], row)
    found[:, ~events.timed] = np.nan
    found[~((found > times[0]) & (found < times[-1]))] = np.nan
    return found


def turns_move(model: CompiledModel, batch: Batch, times: FloatArray) -> bool:
    """Return whether a moment changes along any direction of the seeds."""
    assert batch.seeds is not None
    # All directions at once, each with a share of its own, so that none undoes another.
    shares = 1.0 + np.modf(GOLDEN * np.arange(1, batch.seeds.p.shape[1] + 1))[0]
    step = 1e-3 * np.tensordot(batch.seeds.size * shares, batch.seeds.p, (0, 1))
    if not step.any():
        return False
    own = moments_of(model, batch, times)
    moved = moments_of(model, replace(batch, p=batch.p + step), times)
    return not np.array_equal(own, moved, equal_nan=True)


def by_stretches(
    model: CompiledModel, run: Run, batch: Batch, times: FloatArray, keep: IntArray
) -> States:
    """Return states, with exact tangents by the seeds, from moment to moment."""
    moments = moments_of(model, batch, times)
    values = np.full((len(batch), len(times), len(keep)), np.nan)
    slopes = _no_slopes(values, batch.seeds)
    status = np.zeros(len(batch), np.int64)
    steps = 0
    groups: dict[bytes, list[int]] = {}
    for k, row in enumerate(moments):
        groups.setdefault(np.unique(row[np.isfinite(row)]).tobytes(), []).append(k)
    for mark, members in groups.items():
        rows = np.array(members)
        turns = np.frombuffer(mark, float)
        found = _group(run, batch.some(rows), times, turns)
        values[rows] = found.values[:, :, keep]
        if slopes is not None and found.slopes is not None:
            slopes[rows] = found.slopes[:, :, keep]
        status[rows] = found.status
        steps += found.n_steps
    return States(values, slopes, status, steps)


def _no_slopes(values: FloatArray, seeds: Seeds | None) -> FloatArray | None:
    """Return NaN for every derivative of some values, None where there are no seeds."""
    if seeds is None:
        return None
    return np.full((*values.shape, seeds.p.shape[1]), np.nan)


def _group(run: Run, batch: Batch, times: FloatArray, turns: FloatArray) -> States:
    """Integrate runs that turn at the same moments; keep all states."""
    n_run, n_state = batch.y0.shape
    keep = np.arange(n_state)
    values = np.full((n_run, len(times), n_state), np.nan)
    slopes = _no_slopes(values, batch.seeds)
    status, steps = np.zeros(n_run, np.int64), 0
    edges = [float(times[0]), *map(float, turns), float(times[-1])]
    for k, (left, right) in enumerate(itertools.pairwise(edges)):
        last = k == len(edges) - 2
        start = left if k == 0 else _away(left, 1.0)
        end = right if last else _away(right, -1.0)
        inside = (times >= left) & ((times <= right) if last else (times < right))
        wanted = np.clip(times[inside], start, end)
        grid = np.unique(np.concatenate([[start], wanted, [end]]))
        found = run(batch, grid, keep)
        at = np.searchsorted(grid, wanted)
        # A run that failed in an earlier stretch has no values here.
        whole = np.ix_(status == SolverStatus.OK, inside)
        values[whole] = found.values[:, at][status == SolverStatus.OK]
        if slopes is not None and found.slopes is not None:
            slopes[whole] = found.slopes[:, at][status == SolverStatus.OK]
        status = np.where(status == SolverStatus.OK, found.status, status)
        steps += found.n_steps
        batch = _from_the_end(batch, found)
    return States(values, slopes, status, steps)


def _from_the_end(batch: Batch, found: States) -> Batch:
    """Return runs that begin where others ended; those without an end, at zeros."""
    y0 = np.nan_to_num(found.values[:, -1])
    if batch.seeds is None or found.slopes is None:
        return replace(batch, y0=y0)
    moved = np.nan_to_num(np.moveaxis(found.slopes[:, -1], 1, 2))
    return replace(batch, y0=y0, seeds=replace(batch.seeds, y=moved))


def _away(moment: float, sign: float) -> float:
    return moment + sign * ULPS * float(np.spacing(abs(moment)))
