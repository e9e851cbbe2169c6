"""Doses and treatments of one of our models → periods of an experiment."""

from collections.abc import Mapping, Sequence

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
    UnsupportedFeatureError
        For an infusion or a clamp.
    """
    start = _start(model, treatment, estimated)
    jumps = _jumps(model, treatment.doses)
    times = sorted({0.0, *jumps})
    if times[0] < 0:
        raise InputError(f"A dose at {times[0]:g} is before the start at 0.")
    made = []
    if rests:
        made.append(Period(REST, start, Carry.NOTHING))
    for time in times:
        changes = tuple(jumps.get(time, {}).items())
        if made:
            made.append(Period(time, changes, Carry.ALL))
        else:
            made.append(Period(time, (*start, *changes), Carry.NOTHING))
    return tuple(made)


def _start(
    model: CompiledModel, treatment: Treatment, estimated: Sequence[str]
) -> tuple[tuple[str, ex.Expr], ...]:
    """Return the overrides of a treatment."""
    perturb = treatment.perturbations
    if perturb.clamp:
        name = next(iter(perturb.clamp))
        raise UnsupportedFeatureError(
            f"`{name}` is clamped; a fit cannot hold an amount. Use a knock-down."
        )
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
            raise UnsupportedFeatureError(
                f"The infusion `{dose}` is not supported in a fit; give single doses."
            )
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
