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

    A number that the treatment sets or sweeps holds for all draws.

    Raises
    ------
    InputError
        For cells, or an ensemble of which nothing is left to vary.
    """
    if plan.cells:
        raise InputError("Give cells or an ensemble, not both.")
    drawn = Ensemble.of(ensemble)
    fixed = plan.fixed(model)
    cells = {n: v for n, v in drawn.cells(model).items() if n not in fixed}
    if not cells:
        raise InputError(
            "All that the ensemble draws is also set or swept: "
            f"{', '.join(sorted(fixed))}. Leave one of the two out."
        )
    done = execute(model, replace(plan, cells=cells), options, "sweep")
    if done.interrupted:
        raise KeyboardInterrupt
    found = done.dataset.rename({CELL: DRAW})
    found.attrs["summary"] = str(found.attrs["summary"]).replace(" cells;", " draws;")
    return found
