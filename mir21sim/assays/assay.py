"""What all assays share: the contract, the cells they read, the control.

A replicate is a well, a blot or a tube from a dish of its own, treated alike; what such
dishes differ by is in the noise of each assay. Cells and events are no replicates.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from mir21sim._typing import FloatArray
from mir21sim.assays.experiment import Experiment, Sample, run_experiment
from mir21sim.assays.noise import Noise
from mir21sim.assays.statistics import Scale, Test
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.model.info import unique
from mir21sim.simulation.options import Options
from mir21sim.solvers.problem import Progress


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What an assay measured.

    Attributes
    ----------
    assay : name of the assay
    raw : one row a replicate, lane or well, as an instrument would write it
    summary : one row a group: mean, sd, n, relative, test, p
    notes : sentences that a reader of the tables must see
    """

    assay: str
    raw: pd.DataFrame
    summary: pd.DataFrame
    notes: tuple[str, ...] = ()


class Assay(Protocol):
    """An assay: settings that know what to keep, how to read and how to draw."""

    @property
    def name(self) -> str:
        """The assay's name."""

    @property
    def noise(self) -> Noise:
        """The numbers of its noise."""

    def needs(self, model: CompiledModel) -> tuple[str, ...]:
        """Return the model quantities that must be kept."""

    def dishes(
        self, samples: Sequence[Sample], model: CompiledModel
    ) -> tuple[Sample, ...]:
        """Return the dishes it needs besides the samples of the experiment."""

    def read(
        self,
        cells: xr.Dataset,
        *,
        noise: bool = True,
        seed: int = 0,
        replicates: int = 3,
        test: Test = "auto",
    ) -> Reading:
        """Return what the assay measures in the cells of an experiment."""

    def plot(self, reading: Reading) -> Figure:
        """Return the picture of a reading of this assay."""


Kind = TypeVar("Kind", bound=Reading)


def own(reading: Reading, kind: type[Kind], assay: str) -> Kind:
    """Return a reading as what an assay draws; that of another assay is an error."""
    if not isinstance(reading, kind) or reading.assay != assay:
        raise InputError(
            f"The assay `{assay}` draws its own readings, got one of `{reading.assay}`."
        )
    return reading


def run_assays(
    model: CompiledModel,
    experiment: Experiment,
    assays: Sequence[Assay],
    *,
    options: Options | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Run an experiment with all dishes and quantities that some assays need.

    Returns
    -------
    Dataset of ``run_experiment``
    """
    extra = [
        dish for assay in assays for dish in assay.dishes(experiment.samples, model)
    ]
    observe = unique(name for assay in assays for name in assay.needs(model))
    whole = replace(experiment, samples=(*experiment.samples, *extra))
    return run_experiment(model, whole, observe, options=options, progress=progress)


def stream(seed: int, *labels: object) -> np.random.Generator:
    """Return random numbers that belong to labels, in whatever order others are drawn.

    Examples
    --------
    >>> a = stream(1, "western", "PTEN", 0).random()
    >>> a == stream(1, "western", "PTEN", 0).random()
    True
    """
    if seed < 0:
        raise InputError(f"`seed` must be 0 or more, got {seed}.")
    digest = hashlib.sha256("\0".join(map(str, labels)).encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])


def lognormal(rng: np.random.Generator, cv: float) -> float:
    """Return a factor of mean 1 with a coefficient of variation."""
    spread = np.sqrt(np.log1p(cv**2))
    return float(np.exp(spread * rng.standard_normal() - spread**2 / 2))


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

    The logarithm of what is left of a blank is noise without bounds.
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
