"""Many runs of one model over doses, parameters or initial amounts."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from mir21sim._typing import FloatArray
from mir21sim.compiler.load import loaded
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import (
    FailedRunsWarning,
    InputError,
    SolverError,
    SolverStatus,
    UnknownNameError,
)
from mir21sim.simulation import dataset as results
from mir21sim.simulation import zarr_store
from mir21sim.simulation.axes import SweptValues, axis_values
from mir21sim.simulation.checkpoint import refuse_to_lose
from mir21sim.simulation.doses import DosesLike
from mir21sim.simulation.draws import draws_of
from mir21sim.simulation.ensemble import EnsembleLike
from mir21sim.simulation.options import Options
from mir21sim.simulation.perturbations import Perturbations
from mir21sim.simulation.plan import Plan, doses_or_default, output_times
from mir21sim.simulation.population import Population, cell_options, cell_plan
from mir21sim.simulation.run import Executed, execute
from mir21sim.simulation.spread import members, with_sets
from mir21sim.simulation.treatment import Treatment


def sweep(
    model: CompiledModel | str,
    over: Mapping[str, SweptValues],
    end: float | str | None = None,
    *,
    start: float | str = 0.0,
    points: int = 601,
    times: npt.ArrayLike | None = None,
    observe: Sequence[str] | str | None = None,
    doses: DosesLike | None = None,
    parameters: Mapping[str, float] | None = None,
    initials: Mapping[str, float] | None = None,
    perturb: Perturbations | None = None,
    options: Options | None = None,
    cells: Population | Mapping[str, FloatArray] | None = None,
    on_failure: Literal["mask", "raise"] = "mask",
    output: str | Path | None = None,
    resume: bool = False,
    ensemble: EnsembleLike | None = None,
) -> xr.Dataset:
    """Integrate a model once per grid point of `over`, on one time grid.

    One bad run does not cost the others: it is NaN from the moment it stopped, and
    ``status`` and ``message`` say why. Ctrl-C keeps the runs that are finished.

    Parameters
    ----------
    over : name to values; each name becomes a dimension, the last varies fastest.
        A dose target gets these amounts in its doses (or one dose at the start, where
        `doses` has none for it), in the unit of those doses or of the input; a
        parameter or species gets them as value or initial amount in the model's unit.
        Values are numbers, an array, or text such as ``"0,log:0.1:1000:12"`` or
        ``"1,10 uM"``.
    cells : unlike cells to run at every grid point, the same ones at each, as in
        ``simulate_population``; None for the average cell alone
    on_failure : "mask" to keep the good runs and warn once, or "raise"
    output : netCDF file, or zarr folder, to save the result in; while the sweep runs
        its numbers lie in a folder beside it, so that a sweep that was stopped can go
        on. With a zarr folder (extra `zarr`) they are not held in memory
    resume : go on with the sweep that was stopped, losing at most the part it was at
    ensemble : draws of parameters, or their file: the sweep is run for each draw; with
        `cells` of a population, these are spread over the draws (``parameter_set``)
    others : as in ``simulate``

    Returns
    -------
    Dataset with the swept names and ``time`` (h) as dimensions, ``cell`` first where
    `cells` are given

    Raises
    ------
    InputError
        For an empty or non-finite axis, a negative dose, an unknown name, …
    SolverError
        With ``on_failure="raise"``, for the first run that failed.

    Examples
    --------
    >>> from mir21sim.compiler.load import load
    >>> model = load("earm_1_3", backend="numpy")
    >>> result = sweep(model, {"L": [0, 10]}, "1 min", points=2, observe="[L]")
    >>> result["[L]"].values[:, 0]  # 3000 molecules are there; 10 ng/ml add 600
    array([3., 3.6])
    """
    if on_failure not in ("mask", "raise"):
        raise UnknownNameError("on_failure", on_failure, ("mask", "raise"))
    if not over:
        raise InputError("`over` must name one quantity to sweep or more, got none.")
    model = loaded(model)
    treatment = Treatment.of(
        doses_or_default(model, doses, over),
        parameters=parameters,
        initials=initials,
        perturb=perturb,
    )
    times = output_times(model, start, end, points, times)
    axes = {name: axis_values(name, values) for name, values in over.items()}
    plan = Plan.of(model, treatment, times, observe=observe, over=axes)
    of_cell = None
    if cells is not None:
        cells, of_cell = members(model, cells, ensemble, plan)
        plan, options = cell_plan(model, cells, plan), cell_options(options)
    elif ensemble is not None:
        return draws_of(model, plan, options or Options(), ensemble)
    output = _checked_output(output, resume)
    done = execute(
        model, plan, options or Options(), "sweep", output=output, resume=resume
    )
    found = with_sets(done.dataset, of_cell)
    try:
        if output is not None:
            results.save(found, output, model.source)
            if output.suffix.lower() == zarr_store.SUFFIX:
                found = results.read(output)  # not what lies in the parts
        if done.store is not None and not done.interrupted:
            done.store.remove()
    finally:
        if done.store is not None:
            done.store.close()
    _report_failures(model, done, on_failure)
    return found


def _checked_output(output: str | Path | None, resume: bool) -> Path | None:
    """Return the file to write, after checks that no unfinished sweep is lost."""
    if output is None:
        if resume:
            raise InputError("`resume` needs the `output` of the sweep to go on with.")
        return None
    path = results.check_place(output)
    if not resume:
        refuse_to_lose(path, "sweep")
    return path


def _report_failures(
    model: CompiledModel, done: Executed, on_failure: Literal["mask", "raise"]
) -> None:
    """Raise or warn once about the runs that failed or were not run."""
    failed = np.flatnonzero(done.status != SolverStatus.OK)
    if not failed.size:
        return
    run = int(failed[0])
    status = SolverStatus(done.status[run])
    if done.interrupted:
        finished = len(done.status) - failed.size
        text = (
            f"Interrupted: {finished} of {len(done.status)} runs are finished and kept"
            f"{'; --resume goes on with the others' if done.store else ''}."
        )
    else:
        text = (
            f"{failed.size} of {len(done.status)} runs failed; first: run {run} "
            f"({status.name}) at {swept_values(done.dataset, run)}. "
            f"{done.messages[run]} `status` and `message` in the result say which runs "
            "and why."
        )
    if on_failure == "raise":
        raise SolverError(f"{model.id}: {text}", status, run, float(done.t_end[run]))
    warnings.warn(f"{model.id}: {text}", FailedRunsWarning, stacklevel=3)


def swept_values(result: xr.Dataset, run: int) -> str:
    """Return 'name = value' for every swept name of one run."""
    names = result["status"].dims
    index = np.unravel_index(run, result["status"].shape)
    return ", ".join(
        f"{name} = {float(result[name].values[i]):.6g}"
        for name, i in zip(names, index, strict=True)
    )
