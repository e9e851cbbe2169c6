"""Run a result again from its own file."""

from pathlib import Path

import numpy as np
import xarray as xr

from mir21sim.compiler import load as library
from mir21sim.errors import ModelError
from mir21sim.model import files as model_files
from mir21sim.simulation import dataset as results
from mir21sim.simulation.provenance import plan_from
from mir21sim.simulation.run import execute


def rerun(path: str | Path) -> tuple[xr.Dataset, float]:
    """Repeat the run or sweep that a result file holds, from the record in the file.

    The model's texts, context, doses, tolerances and method are all in the file;
    nothing else is read.

    Returns
    -------
    result : Dataset, as if saved anew
    difference : float, the largest |new − old| / (|old| + 1e-12·max|old|) over all
        quantities, 0 for identical numbers

    Raises
    ------
    InputError
        When the file is missing, damaged or has no provenance.
    """
    old = results.read(path)
    record = results.provenance(old)
    files = model_files.ModelFiles(
        record["model"], results.read_source(path), record["context"]
    )
    model = library.assemble(files, backend=record["backend"])
    if model.digest != record["model_sha256"]:
        raise ModelError(
            f"`{path}`: the model kept in the file has SHA-256 {model.digest[:12]}…, "
            f"the result was made with {record['model_sha256'][:12]}…: the file was "
            "changed."
        )
    plan, options = plan_from(record)
    new = execute(model, plan, options, record["kind"]).dataset
    return new, largest_difference(old, new, plan.observe)


def largest_difference(
    old: xr.Dataset, new: xr.Dataset, names: tuple[str, ...]
) -> float:
    """Return the largest relative difference of any quantity between two results."""
    worst = 0.0
    for name in names:
        a, b = old[name].values, new[name].values
        if not np.array_equal(np.isnan(a), np.isnan(b)):
            return float("inf")
        scale = np.abs(a) + 1e-12 * np.nanmax(np.abs(a), initial=0.0)
        with np.errstate(all="ignore"):
            ratio = np.where(a == b, 0.0, np.abs(b - a) / scale)
        worst = max(worst, float(np.nanmax(ratio, initial=0.0)))
    return worst
