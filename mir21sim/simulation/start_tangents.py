"""Directions of parameters, start values and doses → tangents at the start of a solver.

A start value that is a formula changes with its arguments, a resting state with
every parameter. Here named numbers become seeds (``solvers.sensitivities.Seeds``).
"""

from collections.abc import Container
from dataclasses import dataclass

import numpy as np

from mir21sim._typing import FloatArray
from mir21sim.compiler import symbolic
from mir21sim.compiler.lane_derivatives import partials
from mir21sim.compiler.lane_programs import Planner
from mir21sim.compiler.model import CompiledModel
from mir21sim.compiler.tree_values import tree_value
from mir21sim.errors import SolverError, SolverStatus
from mir21sim.simulation import perturbations as perturbing
from mir21sim.simulation.perturbations import Perturbations
from mir21sim.simulation.rest_system import rest_tangents
from mir21sim.simulation.steady_state import resting_states
from mir21sim.solvers.problem import Problem


@dataclass(frozen=True, slots=True, eq=False)
class Directions:
    """Changes of one run along some columns.

    Attributes
    ----------
    p, y0, dose : float arrays, shapes (n_column, n_param), (n_column, n_state) and
        (n_column, n_action)
    """

    p: FloatArray
    y0: FloatArray
    dose: FloatArray


def with_formulas(
    model: CompiledModel,
    y0: FloatArray,
    p: FloatArray,
    made: Directions,
    kept: Container[str],
) -> Directions:
    """Return directions in which start values that are formulas follow.

    Parameters
    ----------
    y0, p : float arrays, shapes (n_state,) and (n_param,), the values at the start
    kept : names that have a value of their own in this run instead of their formula
    """
    if not model.equations.starts:
        return made
    system = symbolic.build(model.network)
    planner = Planner(system, frozenset(s.id for s in model.network.species))
    rows = {"t": np.zeros(1), "y": y0, "p": p, "a": np.zeros(len(system.a))}
    changes = {
        "y": np.array(made.y0.T),
        "p": np.array(made.p.T),
        "a": np.zeros((len(system.a), len(made.p))),
    }
    names = {"y": model.state_names, "p": model.param_names, "a": model.assigned_names}
    for kind, index, expression in system.initials:
        tree = planner.tree(expression)
        if kind == "a":
            rows["a"][index] = tree_value(tree, rows)
        elif names[kind][index] in kept:
            continue
        total = np.zeros(len(made.p))
        for (source, row), slope in partials(tree).items():
            if source != "t":
                total = total + tree_value(slope, rows) * changes[source][row]
        changes[kind][index] = total
    return Directions(changes["p"].T, changes["y"].T, made.dose)


def at_rest(
    model: CompiledModel,
    problem: Problem,
    perturb: Perturbations,
    made: Directions,
    *,
    starts: FloatArray,
    equilibrate: bool,
) -> Directions:
    """Return directions whose start values are those of the resting state.

    Parameters
    ----------
    problem : one run, from its start state
    starts : float array, shape (n_state,), the start values before the search for rest
    equilibrate : whether the run starts at rest
    """
    p, frozen = problem.p[0], problem.frozen
    y0 = made.y0
    if frozen is None:
        if equilibrate:
            y0 = rest_tangents(model, problem.y0[0], p, made.p, y0)
        return Directions(made.p, y0, made.dose)
    rest = np.array(starts)
    if equilibrate:
        found, status = resting_states(model, starts[np.newaxis], problem.p, "Rodas5P")
        if status[0] != SolverStatus.OK:
            raise SolverError(
                f"{model.id}: {SolverStatus(int(status[0])).message}",
                SolverStatus(int(status[0])),
            )
        rest = found[0]
        y0 = rest_tangents(model, rest, p, made.p, y0)
    y0 = np.array(y0)
    for row, clamp in perturbing.clamped_states(model, perturb).items():
        y0[:, row] = y0[:, row] * clamp.value if clamp.relative else 0.0
    if equilibrate:
        y0 = rest_tangents(model, problem.y0[0], p, made.p, y0, frozen=frozen)
    return Directions(made.p, y0, made.dose)
