"""One sentence on how a run failed, with the reaction and species concerned."""

import math
import warnings

import numpy as np

from mir21sim._typing import FloatArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import ModelWarning, SolverStatus
from mir21sim.model.expressions import text
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
    words = status.message
    y, t = found.y_end[run], float(found.t_end[run])
    if not math.isfinite(t) or status == SolverStatus.NO_RESTING_STATE:
        return words
    border = model.border
    event = int(found.culprit[run])
    if event >= 0:
        culprit = f", event `{model.network.events[event].id}`"
    else:
        culprit = suspect(model, status, t, y, p=translated.problem.p[run], atol=atol)
    return f"At {t / border.per_time:.4g} {border.time_unit}{culprit}: {words}"


def warn_of_signed(model: CompiledModel, found: Solution) -> None:
    """Warn once of amounts that were let below zero since they start there."""
    good = (found.status == SolverStatus.OK) & (found.signed >= 0)
    if not good.any():
        return
    names = sorted({model.state_names[k] for k in found.signed[good].tolist()})
    others = f" and {len(names) - 1} others" if len(names) > 1 else ""
    warnings.warn(
        f"{model.id}: `{names[0]}`{others} starts at 0 and the reactions take it below "
        "zero from there, so it is taken for a quantity that may be negative. If it is "
        "an amount, give it a start value or make the rates zero where it is.",
        ModelWarning,
        stacklevel=3,
    )


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
    singular = singular_derivative(model, t, y, p) if status in _BROKEN else ""
    if singular:
        return singular
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


_BROKEN = frozenset({SolverStatus.NON_FINITE, SolverStatus.STEP_TOO_SMALL})

_LONGEST = 120
"""Letters of a formula in a message at most."""


def singular_derivative(
    model: CompiledModel, t: float, y: FloatArray, p: FloatArray
) -> str:
    """Name the reaction whose finite rate has a derivative that is not, "" for none.

    Rates such as ``X^0.5`` and ``1/(1 + (K/X)^n)`` are finite at zero where their
    derivatives are not. Among the reactions that read the state and change the row of
    such an element of the Jacobian, it is the one whose rate moves most for a small
    change of the state.
    """
    kernels = model.kernels
    data = np.empty(len(kernels.j_row))
    kernels.jac(t, np.array(y), np.array(p), data)
    odd = np.flatnonzero(~np.isfinite(data))
    if not odd.size:
        return ""
    row, column = int(kernels.j_row[odd[0]]), int(kernels.j_col[odd[0]])
    before, after = np.empty(kernels.n_rate), np.empty(kernels.n_rate)
    kernels.rates(t, np.array(y), np.array(p), before)
    moved = np.array(y)
    moved[column] += 1e-9 * max(1.0, float(np.abs(y).max()))
    kernels.rates(t, moved, np.array(p), after)
    mine = np.unique(kernels.n_col[kernels.n_row == row])
    change = np.nan_to_num(np.abs(after - before)[mine], nan=np.inf)
    if not change.size or not change.max() > 0:
        return ""
    name, state = model.rate_names[mine[np.argmax(change)]], model.state_names[column]
    formulas = {reaction.id: reaction.rate for reaction in model.network.reactions}
    shown = text(formulas[name]) if name in formulas else ""
    formula = f" = {shown}" if 0 < len(shown) <= _LONGEST else ""
    return (
        f", reaction `{name}`{formula}, whose derivative by `{state}` is not finite at "
        f"{state} = {y[column]:.4g}"
    )


def _events_set_parameters(model: CompiledModel) -> bool:
    events = model.kernels.events
    return events is not None and not events.is_state.all()
