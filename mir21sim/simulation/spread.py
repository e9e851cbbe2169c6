"""Cells of a dish spread over the parameter sets of an ensemble.

Each cell has protein levels of its own, and the numbers of one parameter set. All cells
of one set make a small dish; how far these small dishes lie apart beyond the drawing of
their cells is the uncertainty of the numbers (``analysis.set_bands``).
"""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from mir21sim._typing import FloatArray, IntArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, SolverStatus
from mir21sim.simulation.ensemble import Ensemble, EnsembleLike
from mir21sim.simulation.plan import Plan
from mir21sim.simulation.steady_state import resting_states
from mir21sim.simulation.translate import CELL
from mir21sim.simulation.varied import varied
from mir21sim.solvers.methods import MANY

if TYPE_CHECKING:  # `simulate_population` of the same module calls this one
    from mir21sim.simulation.population import Population

SETS = 50
"""Parameter sets of a dish: enough for the ends of a 95 % band."""

LEAST = 4
"""Least cells of a set, from which the drawing of cells is told from the numbers."""

SET = "parameter_set"
"""Name of the coordinate of a cell that says which draw it has."""


def sets_of(n_cell: int, n_draw: int, wanted: int = SETS) -> int:
    """Return over how many parameter sets the cells of a dish are spread.

    Raises
    ------
    InputError
        For fewer cells than two sets need.
    """
    if n_cell < 2 * LEAST:
        raise InputError(
            f"An ensemble needs {2 * LEAST} cells or more, got {n_cell}: give more, or "
            "leave the ensemble out (--no-ensemble, in Python `ensemble=None`)."
        )
    return max(2, min(wanted, n_draw, n_cell // LEAST))


def spread(
    model: CompiledModel,
    cells: "Population",
    ensemble: Ensemble,
    *,
    fixed: Collection[str] = (),
    sets: int = SETS,
) -> tuple[dict[str, FloatArray], IntArray]:
    """Return the numbers of each cell, and which draw of the ensemble it has.

    Parameters
    ----------
    cells : cell k has the levels of cell k of the population and parameter set k modulo
        the number of sets
    fixed : names that the treatment sets for all cells; these are left out
    sets : parameter sets at most, the first ones that have a resting state

    Returns
    -------
    parameter or species to float array, shape (n_cell,), and int array, shape (n_cell,)

    Raises
    ------
    InputError
        For too few cells, or where fewer than two sets have a resting state.
    """
    groups = varied(model)
    cells.check(groups)
    count = sets_of(cells.n, len(ensemble), sets)
    tried = ensemble.first(min(len(ensemble), 2 * count))
    drawn = {n: v for n, v in tried.cells(model).items() if n not in fixed}
    starts, good = _rests(model, drawn, len(tried))
    chosen = good[:count]
    if len(chosen) < 2:
        raise InputError(
            f"{len(chosen)} of {len(tried)} parameter sets of the ensemble have a "
            "resting state; leave the ensemble out (--no-ensemble)."
        )
    of_cell = chosen[np.arange(cells.n) % len(chosen)]
    found = {name: values[of_cell] for name, values in drawn.items()}
    found |= {
        name: starts[of_cell, k]
        for k, name in enumerate(model.state_names)
        if name not in fixed and name not in found
    }
    nominal = dict(zip(model.param_names, model.p0, strict=True))
    factors = cells.factors(tuple(groups))
    for key, names in groups.items():
        for name in names:
            if name not in fixed:
                own = found.get(name, np.full(cells.n, nominal.get(name, np.nan)))
                found[name] = own * factors[key]
    return found, of_cell.astype(np.int64)


def _rests(
    model: CompiledModel, drawn: dict[str, FloatArray], n: int
) -> tuple[FloatArray, IntArray]:
    """Return where the average cell of each set starts, and which sets rest."""
    states = {k: v for k, v in drawn.items() if k in model.state_names}
    others = {k: v for k, v in drawn.items() if k not in states}
    y, p = (np.array(block) for block in model.start_values(n, others, states))
    if not model.info.equilibrate:
        return y, np.arange(n)
    rests, status = resting_states(model, y, p, MANY.name)
    # A rest is exact but for rounding, which leaves a state at -1e-20.
    rests = np.where(y >= 0, np.maximum(rests, 0.0), rests)
    return rests, np.flatnonzero(status == SolverStatus.OK)


def members(
    model: CompiledModel,
    cells: "Population | Mapping[str, FloatArray]",
    ensemble: EnsembleLike | None,
    plan: Plan,
) -> "tuple[Population | Mapping[str, FloatArray], IntArray | None]":
    """Return the cells of a plan, spread over an ensemble where one is given.

    Returns
    -------
    the cells, and the draw of each cell; None without an ensemble

    Raises
    ------
    InputError
        For cells whose numbers are given, with an ensemble: they have theirs.
    """
    if ensemble is None:
        return cells, None
    if isinstance(cells, Mapping):
        raise InputError(
            "An ensemble needs cells that are drawn (`Population`): cells given number "
            "by number have numbers of their own."
        )
    return spread(model, cells, Ensemble.of(ensemble), fixed=plan.fixed(model))


def with_sets(result: xr.Dataset, of_cell: IntArray | None) -> xr.Dataset:
    """Return a result whose cells say which draw of an ensemble they have."""
    if of_cell is None:
        return result
    about = {"long_name": "draw of the ensemble that a cell has"}
    return result.assign_coords({SET: (CELL, of_cell, about)})
