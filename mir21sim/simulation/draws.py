"""Runs of a plan for every draw of an ensemble."""

from dataclasses import replace

import xarray as xr

from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError
from mir21sim.simulation.ensemble import DRAW, Ensemble, EnsembleLike
from mir21sim.simulation.options import Options
from mir21sim.simulation.plan import Plan
from mir21sim.simulation.run import execute
from mir21sim.simulation.translate import CELL


def draws_of(
    model: CompiledModel, plan: Plan, options: Options, ensemble: EnsembleLike
) -> xr.Dataset:
    """Return the results of a plan with the dimension ``draw`` before the others.

    Raises
    ------
    InputError
        Where a quantity is drawn and also set or swept.
    """
    if plan.cells:
        raise InputError("Give cells or an ensemble, not both.")
    drawn = Ensemble.of(ensemble)
    cells = drawn.cells(model)
    treatment = plan.treatment
    for name in cells:
        if name in treatment.parameters or name in treatment.initials:
            raise InputError(f"`{name}` is drawn by the ensemble and also set.")
        if name in plan.over:
            raise InputError(f"`{name}` is drawn by the ensemble and also swept.")
    done = execute(model, replace(plan, cells=cells), options, "sweep")
    if done.interrupted:
        raise KeyboardInterrupt
    found = done.dataset.rename({CELL: DRAW})
    found.attrs["summary"] = str(found.attrs["summary"]).replace(" cells;", " draws;")
    return found
