"""``steady_state`` and ``continuation``: steady states of a model as Datasets."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from mir21sim._typing import FloatArray
from mir21sim.compiler.load import loaded
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, SolverError, SolverStatus, UnknownNameError
from mir21sim.simulation.axes import SweptValues, axis_values
from mir21sim.simulation.continuation import Branch, Continuation
from mir21sim.simulation.names import canonical, canonical_names, canonical_treatment
from mir21sim.simulation.outputs import (
    Output,
    default_outputs,
    select_outputs,
    start_unit,
)
from mir21sim.simulation.perturbations import Perturbations
from mir21sim.simulation.stationary import (
    Restless,
    Start,
    Stationary,
    check_autonomous,
    find,
    stability,
    start_of,
    varied,
)
from mir21sim.simulation.summary import named_model
from mir21sim.simulation.translate import molecules_per_unit
from mir21sim.simulation.treatment import Treatment
from mir21sim.solvers.single.outputs import Outputs
from mir21sim.units import dose_unit, parts_text

HOW = ("parameter", "initial", "held")
"""How a number is varied: ``initial`` changes conserved totals, ``held`` is a clamp."""


def steady_state(
    model: CompiledModel | str,
    *,
    observe: Sequence[str] | str | None = None,
    parameters: Mapping[str, float] | None = None,
    initials: Mapping[str, float] | None = None,
    perturb: Perturbations | None = None,
) -> xr.Dataset:
    """Return the steady state that a run from the start reaches, and its stability.

    Events are left out, and named in the attribute ``note``. Where no run settles, as
    on a limit cycle, the state that Newton's method finds is returned, with
    ``reached`` 0.

    Parameters
    ----------
    observe : names; by default the model's observables, or all of a file without any
    parameters, initials, perturb : as in ``simulate``

    Returns
    -------
    Dataset of the quantities (no dimension), ``flux`` on the dimension ``reaction``,
    ``eigenvalue_real`` and ``eigenvalue_imag`` (per unit of time) on ``mode``, largest
    real part first; the attributes ``stability`` and ``reached``

    Raises
    ------
    InputError
        For a model that depends on time.
    SolverError
        Where neither a run nor Newton's method finds a steady state.

    Examples
    --------
    >>> import mir21sim as ms
    >>> found = ms.steady_state("mir21_core", observe=["PTEN"])
    >>> found.attrs["stability"]
    'stable'
    """
    model = loaded(model)
    check_autonomous(model)
    treatment = _treatment(model, parameters, initials, perturb)
    start = start_of(model, treatment)
    steady = find(model, start)
    if isinstance(steady, Restless):
        raise SolverError(
            f"{model.id} has no steady state that was found: from its start "
            f"`{steady.name}` grows, falls or oscillates without end, and Newton's "
            "method finds none.",
            SolverStatus.NO_RESTING_STATE,
        )
    outputs, rows = _quantities(model, observe, [steady.y], [start])
    _, fluxes = _quantities(model, model.rate_names, [steady.y], [start], empty=True)
    per_time = model.border.per_time
    result = xr.Dataset(
        {o.name: ((), v, _labels(o)) for o, v in zip(outputs, rows[0], strict=True)}
    )
    result["flux"] = ("reaction", fluxes[0])
    unit = {"units": f"1/{model.border.time_unit}"}
    result["eigenvalue_real"] = ("mode", steady.eigenvalues.real * per_time, unit)
    result["eigenvalue_imag"] = ("mode", steady.eigenvalues.imag * per_time, unit)
    result = result.assign_coords(reaction=list(model.rate_names))
    words = stability(steady.eigenvalues)
    told = words if steady.reached else f"{words}; no run settles there"
    result.attrs = {
        **_attributes(model, treatment),
        "stability": words,
        "reached": int(steady.reached),
        "summary": f"{named_model(model)}; {_changes(treatment)}steady state, {told}",
    }
    return result


def continuation(
    model: CompiledModel | str,
    over: Mapping[str, SweptValues],
    *,
    how: str | None = None,
    observe: Sequence[str] | str | None = None,
    parameters: Mapping[str, float] | None = None,
    initials: Mapping[str, float] | None = None,
    perturb: Perturbations | None = None,
) -> xr.Dataset:
    """Return the branches of steady states over one number, through folds.

    Runs start at five values, from the start and from the steady state before, up and
    down; each new steady state is followed to both ends of the range. A branch that
    no such run meets, and that is not connected with one, is not found.

    Parameters
    ----------
    over : one name to its values, of which the ends count, and whether they are
        logarithmic: ``{"k": "log:0.1:10:20"}``
    how : "parameter", "initial" or "held" (a species is held at the value); by default
        by the kind of the name: a species that reactions conserve starts with the
        value, others are held
    others : as in ``steady_state``

    Returns
    -------
    Dataset on ``point``, along the curves: the quantities, the varied number,
    ``branch`` (from 0), ``stable`` (1 or 0), ``eigenvalue_real`` and
    ``eigenvalue_imag`` of the leading mode; on ``special``: ``special_value``,
    ``special_kind`` (fold, Hopf, branch point), ``special_branch`` and
    ``special_period``; the attribute ``outcome`` with the ranges in words

    Raises
    ------
    InputError, UnknownNameError
        For a model that depends on time, more than one name, a range without width.
    SolverError
        Where no steady state is found in the range.

    Examples
    --------
    >>> import mir21sim as ms
    >>> found = ms.continuation("mir21_core", {"k_deg_PTEN": "log:1e-6:1e-4:2"},
    ...     observe=["PTEN"])
    >>> int(found["branch"].max()), bool(found["stable"].all())
    (0, True)
    """
    model = loaded(model)
    check_autonomous(model)
    treatment = _treatment(model, parameters, initials, perturb)
    name, low, high, log, unit = _range(model, over)
    how = _how(model, name, how, treatment)
    _check_free(name, treatment)
    factor, unit = _amounts_per_unit(model, name, how, unit)

    def start_at(value: float) -> Start:
        return start_of(model, varied(treatment, name, value * factor, how))

    start_at(low)
    branches = Continuation(model, start_at, low, high, log=log).branches()
    if not branches:
        raise SolverError(
            f"{model.id} has no steady state for `{name}` from {low:g} to {high:g} "
            "that a run reaches: something grows, falls or oscillates without end.",
            SolverStatus.NO_RESTING_STATE,
        )
    result = _curves(model, name, branches, start_at, observe)
    result[name].attrs["units"] = unit
    span = {"low": low, "high": high, "log": int(log), "how": how}
    result.attrs = {
        **_attributes(model, treatment),
        **span,
        "summary": f"{named_model(model)}; {_changes(treatment)}steady states over "
        f"{name} {low:g} to {high:g}{f' {unit}' if unit else ''} ({how})",
        "outcome": "\n".join(outcome(result, name)),
    }
    return result


def outcome(result: xr.Dataset, name: str) -> list[str]:
    """Return folds, Hopf points, and ranges of several stable states as sentences."""
    lines = []
    ranges = several_stable(result, name)
    for low, high, count in ranges:
        lines.append(f"{count} stable states for {name} from {low:.4g} to {high:.4g}.")
    if not ranges:
        lines.append(f"No value of {name} in the range has two stable states.")
    unit = result["special_period"].attrs.get("units", "")
    for k in range(result.sizes["special"]):
        row = result.isel(special=k)
        kind, value = str(row["special_kind"].values), float(row["special_value"])
        period = float(row["special_period"])
        tail = f", period {period:.4g} {unit}" if np.isfinite(period) else ""
        lines.append(f"{kind} at {name} = {value:.6g}{tail}.")
    return lines


def several_stable(result: xr.Dataset, name: str) -> list[tuple[float, float, int]]:
    """Return ranges of the varied number with two stable states or more: (from, to, n).

    The ends are folds, Hopf points and ends of branches.
    """
    values, branch = result[name].values, result["branch"].values
    stable = result["stable"].values == 1
    pieces = [
        (min(values[k], values[k + 1]), max(values[k], values[k + 1]))
        for k in range(len(values) - 1)
        if branch[k] == branch[k + 1] and (stable[k] or stable[k + 1])
    ]
    ends = np.unique(
        [*values[[0, -1]], values.min(), values.max(), *result["special_value"].values]
    )
    found: list[tuple[float, float, int]] = []
    for low, high in itertools.pairwise(map(float, ends)):
        middle = math.sqrt(low * high) if low > 0 else 0.5 * (low + high)
        count = sum(a <= middle < b for a, b in pieces)
        if count < 2 or high - low <= 1e-9 * abs(high):
            continue
        joined = bool(found) and found[-1][1:] == (low, count)
        first = found.pop()[0] if joined else low
        found.append((first, high, count))
    return found


# ------------------------------------------------------------------------------ input
def _treatment(
    model: CompiledModel,
    parameters: Mapping[str, float] | None,
    initials: Mapping[str, float] | None,
    perturb: Perturbations | None,
) -> Treatment:
    done = Treatment.of((), parameters=parameters, initials=initials, perturb=perturb)
    return canonical_treatment(model, done)


def _range(
    model: CompiledModel, over: Mapping[str, SweptValues]
) -> tuple[str, float, float, bool, str]:
    """Return name, ends, kind of axis and unit of the varied number."""
    if len(over) != 1:
        raise InputError(f"Vary one number at a time, got {len(over)}.")
    ((typed, given),) = over.items()
    name = canonical(model, typed)
    values, unit = axis_values(name, given)
    low, high = float(values.min()), float(values.max())
    if not low < high:
        raise InputError(
            f"The range of `{name}` needs two different ends, got {low:g}."
        )
    steps = np.diff(np.sort(values))
    log = low > 0 and (
        high / low > 30 if len(values) < 3 else bool(steps[-1] > 1.5 * steps[0])
    )
    if isinstance(given, str):
        log = "log:" in given and low > 0
    return name, low, high, log, unit


def _amounts_per_unit(
    model: CompiledModel, name: str, how: str, unit: str
) -> tuple[float, str]:
    """Return the amounts in one unit of the varied number, and the unit's name.

    The level of an input that is held is in the unit of its doses.
    """
    entry = model.info.inputs.get(name)
    if how == "held" and entry is not None:
        unit = dose_unit(unit, "range") if unit else entry.unit
        return molecules_per_unit(model, entry, unit), unit
    own = start_unit(model, name) if name in model.state_places else ""
    if unit and unit != own:
        raise InputError(
            f"Give the range of `{name}` in the unit of the model, without `{unit}`."
        )
    if name in model.param_places:
        table = {p.id: p.unit for p in model.network.parameters}
        given = table.get(name)
        own = "" if given is None else parts_text(given)
    return 1.0, own


def _how(model: CompiledModel, name: str, how: str | None, done: Treatment) -> str:
    """Return how a name is varied, after checking that it can be."""
    if name in model.param_places:
        kinds: tuple[str, ...] = ("parameter",)
    elif name in model.state_places:
        kinds = ("initial", "held")
    else:
        known = (*model.param_places, *model.state_places)
        raise UnknownNameError("number to vary", name, known)
    if how is not None:
        if how not in HOW:
            raise UnknownNameError("way to vary a number", how, HOW)
        if how not in kinds:
            ways = " or ".join(kinds)
            raise InputError(f"`{name}` can be varied as {ways}, not as {how}.")
        return how
    if kinds == ("parameter",):
        return "parameter"
    totals = Stationary.at(model, start_of(model, done)).totals
    column = totals[:, model.state_places[name]]
    shared = (totals[column != 0] != 0).sum(axis=1) > 1
    return "initial" if shared.any() else "held"


def _check_free(name: str, done: Treatment) -> None:
    """Stop where the varied number is also fixed."""
    if name in {**done.parameters, **done.initials, **done.perturbations.clamp}:
        raise InputError(f"`{name}` is both varied and set: drop one of the two.")


# ----------------------------------------------------------------------------- output
def _quantities(
    model: CompiledModel,
    observe: Sequence[str] | str | None,
    states: Sequence[FloatArray],
    starts: Sequence[Start],
    *,
    empty: bool = False,
) -> tuple[tuple[Output, ...], FloatArray]:
    """Return quantities at some states; float array, shape (n_state, n_quantity)."""
    if empty and not observe:
        return (), np.zeros((len(states), 0))
    if observe is None:
        observe = default_outputs(model)
    names = [observe] if isinstance(observe, str) else observe
    outputs, selection = select_outputs(model, canonical_names(model, names))
    made = Outputs(model.kernels, selection)
    rows = [
        made.rows(np.zeros(1), np.array(y)[np.newaxis], start.p, lambda s: s)[0]
        for y, start in zip(states, starts, strict=True)
    ]
    return outputs, np.array(rows)


def _curves(
    model: CompiledModel,
    name: str,
    branches: Sequence[Branch],
    start_at: Callable[[float], Start],
    observe: Sequence[str] | str | None,
) -> xr.Dataset:
    """Return the points of all branches as a Dataset."""
    values = np.concatenate([branch.values for branch in branches])
    states = [y for branch in branches for y in branch.states]
    starts = [start_at(value) for value in values]
    outputs, rows = _quantities(model, observe, states, starts)
    leading = np.array([v for branch in branches for v in branch.leading])
    words = [word for branch in branches for word in branch.stability]
    unit = {"units": f"1/{model.border.time_unit}"}
    per_time = model.border.per_time
    result = xr.Dataset(
        {
            o.name: ("point", column, _labels(o))
            for o, column in zip(outputs, rows.T, strict=True)
            if o.name != name
        }
    )
    result[name] = ("point", values)
    sizes = [len(branch.values) for branch in branches]
    result["branch"] = ("point", np.repeat(np.arange(len(branches)), sizes))
    result["stable"] = ("point", np.array([int(w == "stable") for w in words]))
    result["eigenvalue_real"] = ("point", leading.real * per_time, unit)
    result["eigenvalue_imag"] = ("point", leading.imag * per_time, unit)
    special = [(k, s) for k, branch in enumerate(branches) for s in branch.special]
    result["special_value"] = ("special", np.array([s.value for _, s in special]))
    result["special_kind"] = ("special", np.array([s.kind for _, s in special], str))
    result["special_branch"] = ("special", np.array([k for k, _ in special], int))
    result["special_period"] = (
        "special",
        np.array([s.period / per_time for _, s in special]),
        {"units": model.border.time_unit},
    )
    at = np.zeros((0, len(outputs)))
    if special:
        places = [start_at(s.value) for _, s in special]
        _, at = _quantities(model, observe, [s.y for _, s in special], places)
    for output, column in zip(outputs, at.T, strict=True):
        result[f"special_{output.name}"] = ("special", column, _labels(output))
    return result.set_coords([name, "branch", "special_value"])


def _labels(output: Output) -> dict[str, str]:
    return {"units": output.unit, "long_name": output.label}


def _changes(treatment: Treatment) -> str:
    return "" if treatment == Treatment() else f"{treatment}; "


def _attributes(model: CompiledModel, treatment: Treatment) -> dict[str, Any]:
    """Return the attributes of a result: model, line, changes, events left out."""
    events = [event.id for event in model.network.events]
    left = f"Events are left out: {', '.join(events[:5])}." if events else ""
    return {
        "model_id": model.id,
        "model_sha256": model.digest,
        "context": model.context,
        "changes": str(treatment) if treatment != Treatment() else "",
        "note": left,
    }
