"""Exact tangents for models with conditions on time: from one turn to the next.

A condition such as ``time < t_end`` turns at a moment that is known before. Between two
moments the model has no conditions, and its state and the tangents go on continuously
where no moment depends on an estimated parameter.
"""

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mir21sim._typing import FloatArray, IntArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import SolverStatus
from mir21sim.estimation.batches import Batch, Seeds, States

ULPS = 8
"""Floating-point numbers between a moment and the ends of the stretches beside it."""

Run = Callable[[Batch, FloatArray, IntArray], States]
"""Integrates runs of a model without conditions, with tangents."""


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
    own = moments_of(model, batch, times)
    for direction in range(batch.seeds.p.shape[1]):
        step = 1e-3 * batch.seeds.size[direction] * batch.seeds.p[:, direction]
        if not step.any():
            continue
        moved = moments_of(model, replace(batch, p=batch.p + step), times)
        if not np.array_equal(own, moved, equal_nan=True):
            return True
    return False


def by_stretches(
    model: CompiledModel, run: Run, batch: Batch, times: FloatArray, keep: IntArray
) -> States:
    """Return states with exact tangents, integrated from moment to moment."""
    assert batch.seeds is not None
    moments = moments_of(model, batch, times)
    n_direction = batch.seeds.p.shape[1]
    shape = (len(batch), len(times), len(keep))
    values = np.full(shape, np.nan)
    slopes = np.full((*shape, n_direction), np.nan)
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
        assert found.slopes is not None
        slopes[rows] = found.slopes[:, :, keep]
        status[rows] = found.status
        steps += found.n_steps
    return States(values, slopes, status, steps)


def _group(run: Run, batch: Batch, times: FloatArray, turns: FloatArray) -> States:
    """Integrate runs that turn at the same moments; keep all states."""
    assert batch.seeds is not None
    n_run, n_state = batch.y0.shape
    keep = np.arange(n_state)
    values = np.full((n_run, len(times), n_state), np.nan)
    slopes = np.full((*values.shape, batch.seeds.p.shape[1]), np.nan)
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
        assert found.slopes is not None
        at = np.searchsorted(grid, wanted)
        values[:, inside] = found.values[:, at]
        slopes[:, inside] = found.slopes[:, at]
        status = np.where(status == SolverStatus.OK, found.status, status)
        steps += found.n_steps
        seeds = Seeds(
            np.moveaxis(found.slopes[:, -1], 1, 2), batch.seeds.p, batch.seeds.size
        )
        batch = replace(batch, y0=np.nan_to_num(found.values[:, -1]), seeds=seeds)
        if not np.isfinite(seeds.y).all():
            batch = replace(batch, seeds=replace(seeds, y=np.nan_to_num(seeds.y)))
    return States(values, slopes, status, steps)


def _away(moment: float, sign: float) -> float:
    return moment + sign * ULPS * float(np.spacing(abs(moment)))
