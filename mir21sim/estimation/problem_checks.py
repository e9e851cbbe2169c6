"""Checks of a problem that was read: names, bounds and scales that cannot be used."""

from collections.abc import Iterable

from mir21sim.errors import InputError, UnknownNameError
from mir21sim.estimation.problem import SCALES, FitProblem, Parameter, scaled
from mir21sim.estimation.starts import ModelValues, not_changeable
from mir21sim.model import expressions as ex

FAMILIES = ("normal", "laplace")
"""Distributions of the noise."""


def check_problem(problem: FitProblem) -> FitProblem:
    """Return a problem all of whose names and numbers can be used.

    Raises
    ------
    InputError
        For bounds or a nominal value that a scale cannot have, a problem without data,
        a formula with an unknown id.
    UnsupportedFeatureError
        For a condition that sets a quantity which a rule of the model defines.
    """
    if not len(problem.data):
        raise InputError(f"`{problem.id}` has no data rows; a fit needs some.")
    for parameter in problem.parameters:
        _check_parameter(parameter)
    for observable in problem.observables:
        _check_word("transformation", observable.id, observable.scale, SCALES)
        _check_word("noise distribution", observable.id, observable.family, FAMILIES)
    values = ModelValues(problem.model)
    _check_changes(problem, values)
    _check_overrides(problem, values)
    return problem


def _check_word(kind: str, name: str, got: str, known: tuple[str, ...]) -> None:
    if got not in known:
        raise InputError(
            f"The {kind} of `{name}` is `{got}`; it must be one of {', '.join(known)}."
        )


def _check_parameter(parameter: Parameter) -> None:
    _check_word("scale", parameter.id, parameter.scale, SCALES)
    if not parameter.estimated:
        return
    name, lower, upper = parameter.id, parameter.lower, parameter.upper
    if not lower <= upper:
        raise InputError(
            f"The bounds of `{name}` are {lower:g} and {upper:g}; the lower one must "
            "not be above the upper one."
        )
    if parameter.scale == "lin":
        return
    for text, value in (("lower bound", lower), ("nominal value", parameter.value)):
        if not scaled([value], [parameter.scale])[0] > -float("inf"):
            raise InputError(
                f"The {text} of `{name}` is {value:g}, but the scale is "
                f"{parameter.scale}, which needs a positive number."
            )


def _check_changes(problem: FitProblem, values: ModelValues) -> None:
    """Check the ids in the changes at the start of every period."""
    own = {p.id for p in problem.parameters}
    for experiment in problem.experiments:
        for period in experiment.periods:
            for target, formula in period.changes:
                if not values.has(target) or target in values.equations.defined:
                    raise not_changeable(target, values)
                _check_names(ex.symbols(formula), own, values, f"`{target}`")


def _check_overrides(problem: FitProblem, values: ModelValues) -> None:
    """Check the ids in place of the placeholders of each data row."""
    own = {p.id for p in problem.parameters}
    known: set[ex.Expr] = set()
    for rows in (problem.data.overrides, problem.data.noise_overrides):
        for k, row in enumerate(rows):
            for formula in row:
                if formula not in known:
                    known.add(formula)
                    _check_names(ex.symbols(formula), own, values, f"data row {k + 1}")


def _check_names(
    names: Iterable[str], own: set[str], values: ModelValues, where: str
) -> None:
    for name in names:
        if name not in own and not values.has(name):
            known = (*values.model.network.ids(), *own)
            raise UnknownNameError(f"name in the formula of {where}:", name, known)
