"""Doses and treatments of one of our models → periods of an experiment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mir21sim import units
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, UnknownNameError, UnsupportedFeatureError
from mir21sim.estimation.problem import REST, Carry, Period
from mir21sim.model import expressions as ex
from mir21sim.simulation import perturbations
from mir21sim.simulation.doses import Dose
from mir21sim.simulation.translate import dose_input, molecules_per_unit
from mir21sim.simulation.treatment import Treatment


def periods(
    model: CompiledModel,
    treatment: Treatment,
    *,
    rests: bool,
    estimated: Sequence[str] = (),
) -> tuple[Period, ...]:
    """Return the periods of an experiment that begins at time zero.

    Parameters
    ----------
    treatment : doses, overrides and perturbations
    rests : start from the resting state
    estimated : parameters that a perturbation multiplies instead of replacing

    Raises
    ------
    InputError
        For a dose before the start, or of a species that is clamped.
    """
    start = _start(model, treatment, estimated)
    levels = _levels(model, treatment, start)
    jumps, flows = _jumps(model, treatment.doses), _flows(model, treatment.doses)
    dosed = {name for changes in jumps.values() for name in changes}
    both = dosed.union(flow.state for flow in flows) & levels.keys()
    if both:
        raise InputError(
            f"`{min(both)}` is clamped and also dosed: drop one of the two."
        )
    jumps.setdefault(0.0, {}).update(levels)
    times = sorted({*jumps, *(t for f in flows for t in (f.start, f.end))})
    if times[0] < 0:
        raise InputError(f"A dose at {times[0]:g} is before the start at 0.")
    made = []
    if rests:
        made.append(Period(REST, start, Carry.NOTHING))
    for time in times:
        changes = tuple(jumps.get(time, {}).items())
        carry = Carry.ALL if made else Carry.NOTHING
        if not made:
            changes = tuple({**dict(start), **dict(changes)}.items())
        rates = _rates(flows, time)
        made.append(Period(time, changes, carry, rates, tuple(levels)))
    return tuple(made)


@dataclass(frozen=True, slots=True)
class _Flow:
    """An infusion: a constant rate of a state between two model times."""

    state: str
    rate: float
    start: float
    end: float


def _flows(model: CompiledModel, doses: Sequence[Dose]) -> list[_Flow]:
    """Return the infusions among some doses."""
    made = []
    for dose in doses:
        if dose.mode != "infusion":
            continue
        entry = dose_input(model, dose.target)
        amount = dose.amount
        if not (model.border.is_guest and not (dose.unit or entry.unit)):
            amount *= molecules_per_unit(model, entry, dose.unit or entry.unit)
        length = dose.duration * model.border.per_time
        for time in dose.times():
            start = time * model.border.per_time
            made.append(_Flow(entry.species, amount / length, start, start + length))
    return made


def _rates(flows: Sequence[_Flow], time: float) -> tuple[tuple[str, float], ...]:
    """Return the infusions that go on from a moment, summed by state."""
    total: dict[str, float] = {}
    for flow in flows:
        if flow.start <= time < flow.end:
            total[flow.state] = total.get(flow.state, 0.0) + flow.rate
    return tuple(total.items())


def _levels(
    model: CompiledModel, treatment: Treatment, start: tuple[tuple[str, ex.Expr], ...]
) -> dict[str, ex.Expr]:
    """Return the species that are clamped and the formulas of their levels."""
    set_before = dict(start)
    made: dict[str, ex.Expr] = {}
    states = perturbations.clamped_states(model, treatment.perturbations)
    for row, clamp in states.items():
        name = model.state_names[row]
        level: ex.Expr = ex.Number(clamp.value)
        if clamp.relative:
            own = set_before.get(name, ex.Symbol(name))
            level = ex.Call("times", (own, ex.Number(clamp.value)))
        made[name] = level
    return made


def _start(
    model: CompiledModel, treatment: Treatment, estimated: Sequence[str]
) -> tuple[tuple[str, ex.Expr], ...]:
    """Return the overrides of a treatment."""
    perturb = treatment.perturbations
    changes: dict[str, ex.Expr] = {}
    for kind, given, known in (
        ("parameter", treatment.parameters, model.param_names),
        ("species", treatment.initials, model.state_names),
    ):
        for name, value in given.items():
            if name not in known:
                raise UnknownNameError(kind, name, known)
            changes[name] = ex.Number(float(value))
    nominal = {n: np.array([v]) for n, v in treatment.parameters.items()}
    columns = perturbations.parameter_columns(model, perturb, nominal)
    for name, column in columns.items():
        value = float(column[0])
        if name in estimated:
            own = float(model.p0[model.param_names.index(name)])
            factor = ex.Number(value / own)
            changes[name] = ex.Call("times", (ex.Symbol(name), factor))
        else:
            changes[name] = ex.Number(value)
    return tuple(changes.items())


def _jumps(
    model: CompiledModel, doses: Sequence[Dose]
) -> dict[float, dict[str, ex.Expr]]:
    """Return model time → {species: formula of its value after the doses}."""
    jumps: dict[float, dict[str, ex.Expr]] = {}
    for dose in doses:
        if dose.mode == "infusion":
            continue
        amount = ex.Number(dose.amount * value_per_unit(model, dose))
        for time in dose.times():
            at = jumps.setdefault(time * model.border.per_time, {})
            before = at.get(dose.target, ex.Symbol(dose.target))
            added = ex.Call("plus", (before, amount))
            at[dose.target] = amount if dose.mode == "set" else added
    return jumps


def value_per_unit(model: CompiledModel, dose: Dose) -> float:
    """Return the change of the species' value that one unit of a dose makes."""
    entry = dose_input(model, dose.target)
    unit = dose.unit or entry.unit
    pool = next(s for s in model.network.species if s.id == entry.species)
    if model.border.is_guest and not unit:
        return 1.0
    amount = molecules_per_unit(model, entry, unit)
    if pool.only_amount:
        return amount
    home = pool.compartment
    if home not in model.param_names:
        raise UnsupportedFeatureError(
            f"A dose of `{dose.target}`: its compartment `{home}` changes its size."
        )
    return amount / float(model.p0[model.param_names.index(home)])


def with_amounts(
    model: CompiledModel, treatment: Treatment, amounts: Mapping[str, tuple[float, str]]
) -> Treatment:
    """Return a treatment whose doses of some species have other amounts.

    Parameters
    ----------
    amounts : species → (amount, unit, "" for the unit of the model's input); one
        without a dose is given at time zero
    """
    doses = [d for d in treatment.doses if d.target not in amounts]
    for target, (amount, unit) in amounts.items():
        dose_input(model, target)
        if unit:
            units.dose_unit(unit, f"dose `{target}`")
        there = [d for d in treatment.doses if d.target == target and d.mode == "bolus"]
        doses.extend(
            Dose(
                dose.time,
                amount,
                target,
                unit or dose.unit,
                dose.interval,
                dose.additional,
            )
            for dose in there or [Dose(0.0, 0.0, target)]
        )
    return Treatment(
        tuple(doses),
        treatment.parameters,
        treatment.initials,
        treatment.perturbations,
    )
