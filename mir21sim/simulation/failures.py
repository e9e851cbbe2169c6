"""One sentence on how a run failed, with the reaction and species concerned."""

import math

import numpy as np

from mir21sim._typing import FloatArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import SolverStatus
from mir21sim.simulation.translate import Translated
from mir21sim.solvers.problem import Solution


def describe(
    model: CompiledModel,
    translated: Translated,
    found: Solution,
    run: int,
    atol: FloatArray,
) -> str:
    """Return one sentence on how a run failed and where, "" for a good one."""
    status = SolverStatus(found.status[run])
    if status == SolverStatus.OK:
        return ""
    text = status.message
    y, t = found.y_end[run], float(found.t_end[run])
    if not math.isfinite(t) or status == SolverStatus.NO_RESTING_STATE:
        return text
    border = model.border
    event = int(found.culprit[run])
    if event >= 0:
        culprit = f", event `{model.network.events[event].id}`"
    else:
        culprit = suspect(model, status, t, y, p=translated.problem.p[run], atol=atol)
    return f"At {t / border.per_time:.4g} {border.time_unit}{culprit}: {text}"


def suspect(
    model: CompiledModel,
    status: SolverStatus,
    t: float,
    y: FloatArray,
    *,
    p: FloatArray,
    atol: FloatArray,
) -> str:
    """Return the reaction and species with the largest scaled flux at a failure."""
    v = np.empty(model.kernels.n_rate)
    if not len(v) or _events_set_parameters(model):
        return ""  # with the parameters of the start it would name the wrong one
    model.kernels.rates(t, np.array(y), np.array(p), v)
    if not np.isfinite(v).all():
        rate = int(np.flatnonzero(~np.isfinite(v))[0])
        return f", reaction `{model.rate_names[rate]}` (rate {v[rate]})"
    rows, columns = model.kernels.n_row, model.kernels.n_col
    if not len(rows):
        return ""
    flux = model.kernels.n_value * v[columns]
    if status == SolverStatus.NEGATIVE:
        state = int(np.argmin(y / (np.abs(y).max() + atol)))
        mine = np.flatnonzero(rows == state)
        worst = mine[np.argmin(flux[mine])]
        name, value = model.state_names[state], y[state]
        reaction = model.rate_names[columns[worst]]
        return f", species `{name}` ({value:.3g}) in reaction `{reaction}`"
    k = int(np.argmax(np.abs(flux) / (np.abs(y[rows]) + atol[rows])))
    return (
        f", where reaction `{model.rate_names[columns[k]]}` changes "
        f"`{model.state_names[rows[k]]}` fastest"
    )


def _events_set_parameters(model: CompiledModel) -> bool:
    events = model.kernels.events
    return events is not None and not events.is_state.all()
