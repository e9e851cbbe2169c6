"""Run a result again from its own file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from mir21sim.compiler import load as library
from mir21sim.errors import InputError, ModelError
from mir21sim.model import files as model_files
from mir21sim.simulation import dataset as results
from mir21sim.simulation.plan import Plan
from mir21sim.simulation.provenance import plan_from
from mir21sim.simulation.run import execute

LONGEST_RUN_S = 600.0
"""Time that a run of a file may take, which may be a stranger's, s."""


def rerun(path: str | Path) -> tuple[xr.Dataset, float]:
    """Repeat the run or sweep that a result file holds, from the record in the file.

    The model's texts, context, doses, tolerances and method are all in the file;
    nothing else is read. A run takes 10 minutes at most, whatever the file says.

    Returns
    -------
    result : Dataset, as if saved anew
    difference : float, the largest ``|new − old| / (|old| + 1e-12·max|old|)`` over all
        quantities, 0 for identical numbers

    Raises
    ------
    InputError
        When the file is missing or damaged, or its provenance is missing or not as
        this package writes it.

    Examples
    --------
    >>> import mir21sim as ms
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = tempfile.TemporaryDirectory()
    >>> model = ms.load("earm_1_3", backend="numpy")
    >>> result = ms.simulate(model, "10 min", points=3, observe="CASP8_active")
    >>> path = ms.save(result, Path(folder.name) / "run.nc")
    >>> again, difference = ms.rerun(path)
    >>> bool(difference < 1e-6)
    True
    >>> folder.cleanup()
    """
    old = results.read(path)
    record = results.provenance(old)
    files = model_files.ModelFiles(
        record["model"], results.read_source(path), record["context"]
    )
    try:
        model = library.assemble(files, backend=record["backend"])
    except KeyError as error:  # metadata and context are kept by the model's name
        raise ModelError(
            f"`{path}`: the model kept in the file has nothing on {error}: the file "
            "was changed."
        ) from error
    if model.digest != record["model_sha256"]:
        raise ModelError(
            f"`{path}`: the model kept in the file has SHA-256 {model.digest[:12]}…, "
            f"the result was made with {record['model_sha256'][:12]}…: the file was "
            "changed."
        )
    plan, options = plan_from(record)
    _check_shape(path, old, plan)
    options = replace(options, timeout=min(options.timeout, LONGEST_RUN_S))
    new = execute(model, plan, options, record["kind"]).dataset
    return new, largest_difference(old, new, plan.observe)


def _check_shape(path: str | Path, old: xr.Dataset, plan: Plan) -> None:
    """Stop where the record asks for more or other numbers than the file holds."""
    asked = {results.variable_name(n): v.size for n, (v, _) in plan.over.items()}
    asked |= {"time": plan.times_h.size}
    if plan.cells:
        asked["cell"] = next(iter(plan.cells.values())).size
    held = {str(n): size for n, size in old.sizes.items()}
    wrong = [n for n in (*asked, *held) if asked.get(n) != held.get(n)]
    wrong += [n for n in plan.observe if results.variable_name(n) not in old]
    if wrong:
        raise InputError(
            f"`{path}`: the provenance does not fit the numbers in the file (look at "
            f"{', '.join(f'`{n}`' for n in wrong[:5])}): the file was changed."
        )


def largest_difference(
    old: xr.Dataset, new: xr.Dataset, names: tuple[str, ...]
) -> float:
    """Return the largest relative difference of any number between two results.

    Quantities, times, swept values and the status of runs are compared. A number that
    is not finite differs from all others without bound.
    """
    kept = [results.variable_name(name) for name in names]
    kept += [str(name) for name in (*new.coords, "status") if name in new]
    worst = 0.0
    for name in kept:
        if name not in old or old[name].shape != new[name].shape:
            return float("inf")
        a, b = old[name].values, new[name].values
        if not np.issubdtype(b.dtype, np.floating):
            if not np.array_equal(a, b):
                return float("inf")
            continue
        known = np.isfinite(a) & np.isfinite(b)
        if not np.array_equal(a[~known], b[~known], equal_nan=True):
            return float("inf")
        a, b = a[known].astype(float), b[known].astype(float)
        scale = np.abs(a) + 1e-12 * np.max(np.abs(a), initial=0.0)
        with np.errstate(all="ignore"):
            ratio = np.where(a == b, 0.0, np.abs(b - a) / scale)
        worst = max(worst, float(np.max(ratio, initial=0.0)))
    return worst
