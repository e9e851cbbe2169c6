"""Names, units and hours → the arrays that solvers take."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from mir21sim import units
from mir21sim._typing import BoolArray, FloatArray, IntArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.model.info import Input, unique
from mir21sim.simulation import perturbations as perturb
from mir21sim.simulation.doses import Clock, Dose, Protocol
from mir21sim.simulation.meaning import sizes_of_home, start_amounts, unknown_name
from mir21sim.simulation.memory import check_fits
from mir21sim.simulation.outputs import (
    Output,
    amounts_of,
    select_outputs,
    species_of,
    start_unit,
)
from mir21sim.simulation.plan import MAX_RUNS, Axis, Plan
from mir21sim.solvers.problem import Action, Problem, Schedule

Values: TypeAlias = dict[str, FloatArray | float]
"""Name → the value of each run, shape (n_run,), or one number for all."""


@dataclass(frozen=True, slots=True, eq=False)
class Translated:
    """The initial value problems of a plan, and the labels of their results."""

    problem: Problem
    axes: tuple[Axis, ...]
    outputs: tuple[Output, ...]
    times_h: FloatArray
    protocol: Protocol


def translate(model: CompiledModel, plan: Plan) -> Translated:
    """Check a plan against a model and return its runs as arrays, in C order."""
    _stop_on_observed_axes(model, plan)
    axes = _axes(model, plan)
    n_run = math.prod(axis.values.size for axis in axes)
    if n_run > MAX_RUNS:
        raise InputError(f"The sweep has {n_run} runs; at most {MAX_RUNS} are allowed.")
    check_fits(
        n_run * (len(model.state_names) + len(model.param_names)),
        f"The start values of {n_run} runs",
        "run fewer at once",
    )
    columns = _columns(axes)
    parameters, initials = _values(model, plan, axes, columns)
    y0, p = start_amounts(model, n_run, parameters, initials)
    swept = {axis.name: axis for axis in axes if axis.kind == "dose"}
    protocol = _with_swept_targets(plan, swept, is_guest=model.border.is_guest)
    protocol = Protocol(tuple(_with_unit(model, dose) for dose in protocol.doses))
    schedule = _schedule(
        model, protocol, plan.times_h, swept=swept, columns=columns, starts=(y0, p)
    )
    outputs, selection = select_outputs(model, plan.observe)
    problem = Problem(
        y0=y0,
        p=p,
        times=plan.times_h * model.border.per_time,
        schedule=schedule,
        selection=selection,
        amounts=amounts_of(model),
        frozen=_frozen(model, plan, swept=initials, doses=schedule.state),
    )
    return Translated(problem, axes, outputs, plan.times_h, protocol)


def _axes(model: CompiledModel, plan: Plan) -> tuple[Axis, ...]:
    """Return the dimensions of the runs: cells first, then the swept names."""
    protocol = Protocol(plan.treatment.doses)
    axes = tuple(
        _axis(model, name, values, unit, protocol)
        for name, (values, unit) in plan.over.items()
    )
    return (_cell_axis(plan), *axes) if plan.cells else axes


def _columns(axes: tuple[Axis, ...]) -> dict[str, FloatArray]:
    """Return the value of each axis in each run, float arrays, shape (n_run,)."""
    grid = np.meshgrid(*(axis.values for axis in axes), indexing="ij") if axes else []
    return {axis.name: column.ravel() for axis, column in zip(axes, grid, strict=True)}


def _values(
    model: CompiledModel,
    plan: Plan,
    axes: tuple[Axis, ...],
    columns: Mapping[str, FloatArray],
) -> tuple[Values, Values]:
    """Return the parameters and the initial amounts that are overridden.

    A number stands for all runs, an array of shape (n_run,) for each of them.
    """
    by_kind: dict[str, Values] = {"parameter": {}, "initial": {}}
    done = plan.treatment
    for kind, fixed in (
        ("parameter", done.parameters),
        ("initial", {**plan.rest_from, **done.initials}),
    ):
        for name, value in fixed.items():
            by_kind[kind][name] = _checked(model, kind, name, value)
    for axis in axes:
        if axis.kind in by_kind:
            by_kind[axis.kind][axis.name] = columns[axis.name]
    for name, values in plan.cells.items():
        kind = "initial" if name in model.state_places else "parameter"
        _checked(model, kind, name, float(values.min()))
        by_kind[kind][name] = values[columns[CELL].astype(int)]
    parameters, initials = by_kind["parameter"], by_kind["initial"]
    given = {name: np.atleast_1d(values) for name, values in parameters.items()}
    changed = perturb.parameter_columns(model, done.perturbations, given)
    return parameters | changed, initials


def _stop_on_observed_axes(model: CompiledModel, plan: Plan) -> None:
    """Stop where one name would be both a dimension and a variable of the result."""
    for name in plan.observe:
        if name not in plan.over:
            continue
        remedy = "leave it out of the observed names: it is a coordinate of the result"
        if name in species_of(model) and not model.border.is_guest:
            remedy = f"observe it as `[{name}]`, its concentration"
        raise InputError(f"`{name}` is both swept and observed; {remedy}.")


CELL = "cell"
"""Name of the dimension of a population."""


def _cell_axis(plan: Plan) -> Axis:
    """Return the dimension of a population after checking that its numbers fit."""
    sizes = {values.shape for values in plan.cells.values()}
    if len(sizes) != 1 or len(next(iter(sizes))) != 1:
        raise InputError(f"All cells must have all numbers, got shapes {sizes}.")
    done = plan.treatment
    both = set(plan.cells) & {*plan.over, *done.parameters, *done.initials, CELL}
    if both or CELL in plan.over:
        raise InputError(
            f"`{min(both or {CELL})}` cannot differ between cells and be set for all."
        )
    count = len(next(iter(plan.cells.values())))
    return Axis(CELL, "cell", np.arange(count, dtype=float), "", "cell")


def _frozen(
    model: CompiledModel,
    plan: Plan,
    *,
    swept: Collection[str],
    doses: IntArray,
) -> BoolArray | None:
    """Return which states are clamped; these take no dose and no initial amount."""
    mask = perturb.frozen(model, plan.treatment.perturbations)
    if mask is None:
        return None
    for row in np.flatnonzero(mask):
        name = model.state_names[row]
        if row in doses or (name in swept and name not in plan.cells):
            raise InputError(
                f"`{name}` is clamped and also dosed or given an initial amount: drop "
                "one of the two."
            )
    return mask


def _checked(model: CompiledModel, kind: str, name: str, value: float) -> float:
    """Return a fixed override after checking its name and value."""
    known = model.param_places if kind == "parameter" else model.state_places
    if name not in known:
        words = "parameter" if kind == "parameter" else "species"
        raise unknown_name(model, words, name, tuple(known))
    value = float(value)
    if not math.isfinite(value):
        raise InputError(f"`{name}` must be finite, got {value}.")
    if kind == "initial" and value < 0 and name in species_of(model):
        raise InputError(
            f"The initial amount of `{name}` must not be negative: {value:g}."
        )
    return value


def _axis(
    model: CompiledModel, name: str, values: FloatArray, unit: str, protocol: Protocol
) -> Axis:
    """Return a swept name with its kind: dose before parameter before initial."""
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise InputError(
            f"`{name}` must be swept over 1 finite value or more, in one dimension; "
            f"got shape {values.shape}: {values.ravel()[:4]}."
        )
    if name in model.info.inputs or name in protocol.targets():
        if (values < 0).any():
            raise InputError(
                f"A dose of `{name}` must not be negative: {values.min():g}."
            )
        entry = dose_input(model, name)
        said = next((d.unit for d in protocol.doses if d.target == name and d.unit), "")
        shown = unit or said or entry.unit or start_unit(model, entry.species)
        return Axis(name, "dose", values, shown, entry.label)
    if unit:
        raise InputError(
            f"`{name}` is swept in the model's own unit; only doses take another, "
            f"got `{unit}`."
        )
    if name in model.param_names:
        parameter = {p.id: p for p in model.network.parameters}.get(name)
        text = start_unit(model, name) if parameter else ""
        return Axis(name, "parameter", values, text, name)
    if name in model.state_names:
        if (values < 0).any() and name in species_of(model):
            raise InputError(f"`{name}` must not start negative: {values.min():g}.")
        return Axis(name, "initial", values, start_unit(model, name), f"initial {name}")
    known = unique((*model.info.inputs, *model.param_names, *model.state_names))
    raise unknown_name(model, "name to sweep over", name, known)


def dose_input(model: CompiledModel, name: str) -> Input:
    """Return the input that a species is dosed through; any species will do."""
    if name in model.info.inputs:
        return model.info.inputs[name]
    if name not in model.state_names:
        aliases = (a for entry in model.info.inputs.values() for a in entry.aliases)
        known = unique((*model.info.inputs, *aliases, *model.state_names))
        raise UnknownNameError("dose target", name, known)
    return Input(species=name, label=name, unit="" if model.border.is_guest else "nM")


def _with_unit(model: CompiledModel, dose: Dose) -> Dose:
    """Return a dose whose unit is named where the model's input gives it."""
    if dose.unit or (dose.mode == "set" and not dose.amount):
        return dose
    return replace(dose, unit=dose_input(model, dose.target).unit)


def _with_swept_targets(
    plan: Plan, swept: Mapping[str, Axis], *, is_guest: bool
) -> Protocol:
    """Return the protocol with a dose at the start for swept targets that have none."""
    start = float(plan.times_h[0])
    clock: Clock = "own" if is_guest else ""
    extra = [
        Dose(start, 0.0, name, axis.unit, clock=clock)
        for name, axis in swept.items()
        if name not in Protocol(plan.treatment.doses).targets()
    ]
    return Protocol((*plan.treatment.doses, *extra))


def _schedule(
    model: CompiledModel,
    protocol: Protocol,
    times_h: FloatArray,
    *,
    swept: Mapping[str, Axis],
    columns: Mapping[str, FloatArray],
    starts: tuple[FloatArray, FloatArray],
) -> Schedule:
    """Return every dose of every run as timed actions on states, in molecules."""
    start, end = float(times_h[0]), float(times_h[-1])
    per_hour = model.border.per_time
    n_run = len(starts[0])
    rows: list[tuple[float, int, Action, FloatArray]] = []
    for dose in protocol.doses:
        entry = dose_input(model, dose.target)
        at_end = start < dose.time == end and _is_own(model, dose)
        if dose.time < start or dose.time > end or at_end:
            raise InputError(_outside(model, dose, start, end))
        axis = swept.get(dose.target)
        is_swept = axis is not None and dose.mode != "set"
        unit = axis.unit if axis is not None and is_swept else dose.unit or entry.unit
        per_unit = _per_unit(model, entry, unit, starts)
        amount = columns[dose.target] if is_swept else np.full(n_run, dose.amount)
        state = model.state_index(dose.target)
        for time in dose.times():
            rows += _actions(time, state, dose, amount * per_unit, per_hour)
    rows = [(_snapped(row[0], times_h), *row[1:]) for row in rows]
    rows = sorted((r for r in rows if r[0] <= end), key=lambda row: row[0])
    return Schedule(
        time=np.array([row[0] * per_hour for row in rows]),
        state=np.array([row[1] for row in rows], dtype=np.int64),
        kind=np.array([row[2] for row in rows], dtype=np.int64),
        value=np.stack([row[3] for row in rows], axis=1)
        if rows
        else np.empty((n_run, 0)),
    )


def _is_own(model: CompiledModel, dose: Dose) -> bool:
    """Return whether a dose is that which the model gives where none is named."""
    return dose in Protocol.of(model.info.doses).doses


def _outside(model: CompiledModel, dose: Dose, start: float, end: float) -> str:
    """Return the message for a dose that the run cannot show."""
    unit = model.border.time_unit
    text = f"The dose `{dose}` lies outside the run, {start:g} to {end:g} {unit}."
    if dose.time == end:
        text = (
            f"The dose `{dose}` lies at the end of the run, {end:g} {unit}, and "
            "nothing can follow it: end later."
        )
    if not _is_own(model, dose):
        return text
    return (
        f"{text} It is the model's own, which is given where no dose is named: name "
        "one (or `none`, on the command line `--dose none`), or end later."
    )


def _snapped(time: float, times_h: FloatArray) -> float:
    """Return the output time that a dose time is equal to but for rounding."""
    nearest = float(times_h[np.argmin(np.abs(times_h - time))])
    same = abs(nearest - time) <= 1e-9 * max(1.0, abs(time))
    return nearest if same else time


def _actions(
    time: float, state: int, dose: Dose, amount: FloatArray, per_hour: float
) -> list[tuple[float, int, Action, FloatArray]]:
    """Return the actions of one dose: a jump, a new level, or a rate on and off."""
    if dose.mode == "bolus":
        return [(time, state, Action.ADD, amount)]
    if dose.mode == "set":
        return [(time, state, Action.SET, amount)]
    rate = amount / (dose.duration * per_hour)
    return [
        (time, state, Action.RATE, rate),
        (time + dose.duration, state, Action.RATE, -rate),
    ]


def _per_unit(
    model: CompiledModel,
    entry: Input,
    unit: str,
    starts: tuple[FloatArray, FloatArray],
) -> FloatArray | float:
    """Return the model amounts, one a run, that one unit of a dose makes.

    Without a unit, a dose of a guest is in the file's own meaning of the species.
    """
    if model.border.is_guest and unit in ("", start_unit(model, entry.species)):
        return sizes_of_home(model, entry.species, *starts)
    return molecules_per_unit(model, entry, unit)


def molecules_per_unit(model: CompiledModel, entry: Input, unit: str) -> float:
    """Return the model amount that one unit of a dose puts into its compartment."""
    what = f"dose `{entry.species}`"
    molecules = _by_stated_conversion(entry, unit, what)
    if molecules is None:
        home = species_of(model)[entry.species].compartment
        volume = _constant_volume(model, entry.species, home, unit)
        molecules = units.molecules(1.0, unit, volume, what, entry.molecular_weight)
    if model.molecules_per_amount is None:
        raise InputError(
            f"The model declares no amount that {what} in `{unit}` can be converted "
            "to; give a bare number, in the model's own unit."
        )
    return molecules / model.molecules_per_amount


def _by_stated_conversion(entry: Input, unit: str, what: str) -> float | None:
    """Return molecules per dose unit by the conversion that the input states.

    A conversion for a concentration holds for all concentrations: mass and molar ones
    are related by the molecular weight. None where the volume decides.
    """
    stated = entry.molecules_per_unit
    if stated is None:
        units.dose_unit(unit, what)  # an unknown unit is named before anything else
        return None
    (kind, size), (own_kind, own_size) = (
        units.dose_scale(u, what) for u in (unit, entry.unit)
    )
    if "amount" in (kind, own_kind) and kind != own_kind:
        return None
    if kind == own_kind:
        return stated * (size / own_size)
    if entry.molecular_weight is None:
        raise InputError(
            f"{what} is given in `{unit}`, but the model converts `{entry.unit}` to "
            "molecules and states no `molecular_weight` of the input; give it in "
            f"`{entry.unit}` or molecule."
        )
    in_own = entry.molecular_weight if kind == "molar" else 1.0 / entry.molecular_weight
    return stated * (size * in_own / own_size)


def _constant_volume(model: CompiledModel, species: str, home: str, unit: str) -> float:
    """Return the volume of a compartment, pL; one that changes converts nothing."""
    if home not in model.volumes_pL and units.dose_scale(unit)[0] == "amount":
        return math.nan  # which no amount needs
    if home not in model.volumes_pL:
        raise InputError(
            f"`{species}` is in compartment `{home}`, which is no volume of constant "
            f"size in a declared unit, so {unit} cannot be turned into an amount; give "
            "a bare number, in the model's own unit."
        )
    return model.volumes_pL[home]
