"""Steps that assays share: choose dishes and times, mean signals, controls, noise."""

from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr

from mir21sim._typing import FloatArray
from mir21sim.assays.statistics import Scale
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.model.info import unique
from mir21sim.simulation.randomness import lognormal_factors, stream


def noise_of(
    seed: int, cells: xr.Dataset, place: int | None, *labels: object
) -> np.random.Generator:
    """Return the random numbers of one reading.

    Dishes of another cell line, population, name, treatment or time are other samples,
    so their noise is drawn anew; that of one dish does not depend on the others.

    Parameters
    ----------
    cells : at one time, see ``at_time``
    place : of the dish among the samples; None for what all dishes of one day share:
        a membrane, blanks, stained controls
    labels : assay, and what is drawn
    """
    when = cells["time"].item()
    if place is None:
        lines = unique(map(str, cells["cells"].values))
        return stream(seed, *labels, *lines, when)
    own = cells.isel(sample=place)
    return stream(seed, *labels, own["cells"].item(), own["done"].item(), when)


def lognormal(rng: np.random.Generator, cv: float) -> float:
    """Return one factor of mean 1 with a coefficient of variation."""
    return float(lognormal_factors(cv, rng.standard_normal(1))[0])


def replicates_of(noise: bool, replicates: int) -> int:
    """Return how many replicates to read: without noise all would be equal, so one."""
    if replicates < 1:
        raise InputError(f"`replicates` must be 1 or more, got {replicates}.")
    return replicates if noise else 1


def dishes_of(cells: xr.Dataset, dish: str = "") -> xr.Dataset:
    """Return the samples of one kind of dish; none is an error."""
    chosen = np.flatnonzero(cells["dish"].values == dish)
    if not len(chosen):
        raise InputError(
            f"The experiment has no dish of the kind `{dish or 'plain'}`: make it with "
            "`run_assays` and this assay."
        )
    return cells.isel(sample=chosen)


def at_time(cells: xr.Dataset, time_h: float | None) -> xr.Dataset:
    """Return the cells at one of the times that were kept; None: at the last."""
    times = cells["time"].values
    if time_h is None:
        return cells.isel(time=-1)
    nearest = int(np.argmin(np.abs(times - time_h)))
    if abs(times[nearest] - time_h) > 1e-9 * max(1.0, abs(time_h)):
        kept = ", ".join(f"{t:g}" for t in times)
        raise InputError(f"No cells were kept at {time_h:g} h; kept: {kept} h.")
    return cells.isel(time=nearest)


def quantity_of(cells: xr.Dataset, names: Sequence[str]) -> xr.DataArray:
    """Return the sum of some quantities in each cell."""
    for name in names:
        if name not in cells:
            known = tuple(str(n) for n in cells.data_vars if n != "status")
            raise UnknownNameError("quantity of the experiment", name, known)
    total = cells[names[0]]
    for name in names[1:]:
        total = total + cells[name]
    return total


def of_replicate(cells: xr.Dataset, replicate: int) -> xr.Dataset:
    """Return the cells of one replicate dish.

    Parameters
    ----------
    replicate : from 1; an experiment with fewer dishes is read again from the first
    """
    if "replicate" not in cells.coords:
        return cells
    numbers = cells["replicate"].values
    return cells.isel(
        cell=np.flatnonzero(numbers == (replicate - 1) % numbers.max() + 1)
    )


def dish_mean(cells: xr.Dataset, names: Sequence[str]) -> FloatArray:
    """Return the mean over the cells of each dish, float array (n_sample,).

    Cells whose run stopped before are left out; a dish in which all did is an error.
    """
    block = quantity_of(cells, names).transpose("sample", "cell").values
    known = np.isfinite(block)
    if not known.any(axis=1).all():
        lost = str(cells["sample"].values[int(np.argmin(known.any(axis=1)))])
        raise InputError(f"No cell of the sample `{lost}` could be run to its end.")
    means: FloatArray = np.where(known, block, 0.0).sum(axis=1) / known.sum(axis=1)
    return means


def control_of(names: Sequence[str], control: str | None) -> str:
    """Return the control's name: the first where none is given."""
    if control is None:
        return names[0]
    if control not in names:
        raise UnknownNameError("control", control, unique(names))
    return control


def scale_of(signals: Iterable[FloatArray], floor: float) -> Scale:
    """Return the scale to compare signals on: logarithms where all can be detected.

    The logarithm of a signal near the blank is noise without bounds.
    """
    return "log" if all((values > floor).all() for values in signals) else "plain"


def nothing_seen(what: str) -> str:
    """Return the note on a signal that no sample gives."""
    return (
        f"No sample gives a signal of {what} that can be told from a blank, so nothing "
        "is tested: read at another time or dose, or choose a more sensitive assay."
    )


def no_signal(control: str, what: str) -> str:
    """Return the note on a control that nothing can be divided by."""
    return (
        f"The control `{control}` gives no signal of {what}, so there is no ratio to "
        "it: compare the absolute signals, or choose another control."
    )
