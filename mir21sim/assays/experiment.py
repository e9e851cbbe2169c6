"""Virtual experiments: dishes of the same cells, each with another treatment.

One experiment is one Dataset, which all assays read (``mir21sim.assays``). So a blot, a
plate and a flow plot of one experiment agree with each other: cell 7 of one dish is
cell 7 of every other, apart from its treatment.
"""

import json
import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from mir21sim._typing import FloatArray, IntArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import FailedRunsWarning, InputError, SolverStatus
from mir21sim.model.files import BASE
from mir21sim.model.info import unique
from mir21sim.simulation.checkpoint import PartialDishes
from mir21sim.simulation.dataset import (
    quantities,
    status_attributes,
    time_coordinate,
)
from mir21sim.simulation.doses import Dose, DosesLike
from mir21sim.simulation.ensemble import Ensemble
from mir21sim.simulation.options import Options
from mir21sim.simulation.outputs import amount_unit, select_outputs
from mir21sim.simulation.plan import Plan, checked_times
from mir21sim.simulation.population import Population, cell_options, simulate_population
from mir21sim.simulation.provenance import numerical_versions
from mir21sim.simulation.spread import spread, with_sets
from mir21sim.simulation.translate import translate
from mir21sim.simulation.treatment import Treatment
from mir21sim.solvers.problem import Progress

MAX_BYTES = 2**30
"""Largest result of an experiment; more than this is a list of times too long."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One treated dish.

    Parameters
    ----------
    name : unlike that of every other sample
    treatment : doses, parameters and perturbations of the dish; doses or their texts
        alone will do. Overrides are the same in all cells
    group : name shared by the dishes that were treated alike but for the dose or
        the reporter; by default `name`
    dose : amount that plates and kill curves plot, in `dose_unit`; NaN for none
    dish : kind of dish: "" for plain cells, which blot, cytometer and plate read;
        "reporter …" for cells with a plasmid, which only luciferase reads

    Examples
    --------
    >>> Sample("mimic", "miR21_mimic=50 nM@0h").done.last_dose_h
    0.0
    """

    name: str
    treatment: Treatment | DosesLike = ()
    group: str = ""
    dose: float = math.nan
    dose_unit: str = ""
    dish: str = ""

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise InputError("A sample must have a name.")
        object.__setattr__(self, "treatment", self.done)
        object.__setattr__(self, "group", self.group or self.name)

    @property
    def done(self) -> Treatment:
        """The treatment of this dish."""
        given = self.treatment
        return given if isinstance(given, Treatment) else Treatment.of(given)

    def to_record(self) -> dict[str, Any]:
        """Return plain values, for a file."""
        done = self.done
        return {
            "name": self.name,
            "doses": [str(dose) for dose in done.doses],
            "perturb": done.perturbations.to_record(),
            "parameters": dict(done.parameters),
            "initials": dict(done.initials),
            "treatment": self.group,
            "dose": None if math.isnan(self.dose) else self.dose,
            "dose_unit": self.dose_unit,
            "dish": self.dish,
        }


def dose_series(
    group: str,
    dose: Dose | str,
    amounts: Sequence[float],
    *,
    treatment: Treatment | DosesLike = (),
) -> tuple[Sample, ...]:
    """Return one sample for each amount of one dose.

    Parameters
    ----------
    group : name of the series
    dose : the dose that is given in rising amounts, e.g. ``"TRAIL=1 ng/ml@24h"``; its
        own amount does not matter
    treatment : of all samples besides

    Examples
    --------
    >>> [s.name for s in dose_series("TRAIL", "TRAIL=1 ng/ml@24h", [0, 10])]
    ['TRAIL 0 ng/ml', 'TRAIL 10 ng/ml']
    """
    pattern = dose if isinstance(dose, Dose) else Dose.parse(dose)
    shared = treatment if isinstance(treatment, Treatment) else Treatment.of(treatment)
    return tuple(
        Sample(
            name=f"{group} {amount:g} {pattern.unit}".strip(),
            treatment=replace(
                shared, doses=(*shared.doses, replace(pattern, amount=float(amount)))
            ),
            group=group,
            dose=float(amount),
            dose_unit=pattern.unit,
        )
        for amount in amounts
    )


@dataclass(frozen=True, slots=True, eq=False)
class Experiment:
    """Dishes of one population of cells, and when they are looked at.

    Parameters
    ----------
    samples : one dish each, names unlike; the first is the control of every assay that
        is not told of another
    population : the cells; every dish gets the same ones
    times_h : float array, shape (n_time,), h, ascending from 0: only these are kept
    replicates : dishes of each sample, each of other cells: the population is dealt to
        them in equal parts, and the n-th replicate of an assay reads the n-th

    Raises
    ------
    InputError
        For no sample, a name given twice, times that do not ascend from 0, or cells
        that cannot be dealt to the replicates.

    Examples
    --------
    >>> import mir21sim as ms
    >>> samples = (ms.Sample("control"), ms.Sample("TRAIL", "TRAIL=50 ng/ml@0h"))
    >>> experiment = ms.Experiment(samples, ms.Population(10), times_h=(24.0,))
    >>> [sample.name for sample in experiment.samples]
    ['control', 'TRAIL']
    """

    samples: tuple[Sample, ...]
    population: Population
    times_h: tuple[float, ...]
    replicates: int = 1

    def __post_init__(self) -> None:
        if self.replicates < 1 or self.population.n % self.replicates:
            raise InputError(
                f"{self.population.n} cells cannot be dealt to {self.replicates} "
                "replicates in equal parts: take a multiple."
            )
        samples = tuple(self.samples)
        object.__setattr__(self, "samples", samples)
        if not samples:
            raise InputError("An experiment needs one sample or more.")
        twice = [n for n, k in Counter(s.name for s in samples).items() if k > 1]
        if twice:
            raise InputError(f"Two samples are called `{twice[0]}`; names must differ.")
        times = np.array(self.times_h, dtype=float).ravel()
        if len(times) and times[0] > 0:
            times = np.concatenate([[0.0], times])
        checked = checked_times(times)
        object.__setattr__(self, "times_h", tuple(float(t) for t in checked))


def run_experiment(
    model: CompiledModel,
    experiment: Experiment,
    observe: Sequence[str],
    *,
    options: Options | None = None,
    progress: Progress | None = None,
    store: PartialDishes | None = None,
    ensemble: Ensemble | None = None,
) -> xr.Dataset:
    """Run every dish of an experiment and return its virtual cells.

    Dishes that differ in their doses alone start from the same resting cells, which are
    sought once.

    Parameters
    ----------
    observe : quantities to keep: the union of the assays' ``needs``
    options : method, tolerances; by default Rodas5P at rtol 1e-3
    progress : called with (cells done, cells in all dishes)
    store : where each dish is kept as it is done, and from where it is taken when it
        is there; its plan must be the ``record`` of the same arguments
    ensemble : parameter sets over which the cells are spread, the same cells and sets
        in every dish; the coordinate ``parameter_set`` says which set a cell has

    Returns
    -------
    Dataset with the dimensions ``sample``, ``cell`` and ``time`` (h); the coordinates
    ``treatment``, ``dose``, ``dish``, ``cells`` (line and seed of its cells) and
    ``done`` (all that was done to them) on ``sample``; ``status`` on (sample, cell)

    Raises
    ------
    InputError
        For an unknown name, or a result larger than ``MAX_BYTES``.

    Warns
    -----
    FailedRunsWarning
        Where the run of a cell failed; it is NaN from then on, and assays leave it out.
    """
    observe = unique(observe)
    outputs, _ = select_outputs(model, observe)
    shape = (len(experiment.samples), experiment.population.n, len(experiment.times_h))
    size = 8 * math.prod(shape) * len(observe)
    if size > MAX_BYTES:
        raise InputError(
            f"{shape[0]} samples of {shape[1]} cells at {shape[2]} times with "
            f"{len(observe)} quantities take {size / 2**30:.1f} GiB, more than "
            f"{MAX_BYTES / 2**30:.0f}: keep fewer times, or fewer cells."
        )
    cells, of_cell = _cells(model, experiment.population, ensemble)
    values = {name: np.full(shape, np.nan) for name in observe}
    status = np.full(shape[:2], SolverStatus.NOT_RUN, dtype=np.int64)
    options = cell_options(options)
    n = experiment.population.n
    for k, sample in enumerate(experiment.samples):
        tell = _shifted(progress, k * n, status.size)
        seen = None if store is None else store.read(k)
        if seen is None:
            seen = _dish(
                model,
                cells,
                sample,
                experiment.times_h,
                observe,
                options=replace(options, progress=tell),
            )
            if store is not None:
                store.write(k, seen)
        elif tell:
            tell(n, n)
        for name, value in zip(observe, seen["values"], strict=True):
            values[name][k] = value
        status[k] = seen["status"]
    _warn_of_failures(experiment, status)
    dims = ("sample", "cell", "time")
    data = quantities(
        [(o.name, o.unit, o.label) for o in outputs],
        dims,
        [values[o.name] for o in outputs],
    )
    data["status"] = (("sample", "cell"), status, status_attributes())
    result = xr.Dataset(
        data,
        coords=_coordinates(model, experiment),
        attrs=_attributes(model, experiment),
    )
    return with_sets(result, of_cell)


def _cells(
    model: CompiledModel, population: Population, ensemble: Ensemble | None
) -> tuple[dict[str, FloatArray], IntArray | None]:
    """Return the numbers of each cell, and which parameter set it has, None without."""
    if ensemble is None:
        return population.cells(model), None
    return spread(model, population, ensemble)


def _dish(
    model: CompiledModel,
    cells: Mapping[str, FloatArray],
    sample: Sample,
    times_h: Sequence[float],
    observe: Sequence[str],
    *,
    options: Options,
) -> dict[str, np.ndarray[Any, Any]]:
    """Run one dish and return the kept quantities.

    Returns
    -------
    ``values``, shape (n_observe, n_cell, n_time), and ``status``, shape (n_cell,)
    """
    done = sample.done
    fixed = {*done.parameters, *done.initials}  # the same in all cells of a dish
    result = simulate_population(
        model,
        {name: values for name, values in cells.items() if name not in fixed},
        times=times_h,
        observe=observe,
        doses=done.doses,
        parameters=done.parameters,
        initials=done.initials,
        perturb=done.perturbations,
        options=options,
    )
    return {
        "values": np.stack([result[name].values for name in observe]),
        "status": result["status"].values.astype(np.int64),
    }


def experiment_record(
    model: CompiledModel,
    experiment: Experiment,
    observe: Sequence[str],
    options: Options | None = None,
    ensemble: Ensemble | None = None,
) -> dict[str, Any]:
    """Return all inputs that decide the numbers of ``run_experiment``, by name."""
    options = cell_options(options)
    return {
        "model": model.digest,
        "context": model.context,
        "backend": model.kernels.backend,
        "samples": [sample.to_record() for sample in experiment.samples],
        "population": experiment.population.to_record(),
        "replicates": experiment.replicates,
        "times": list(experiment.times_h),
        "quantities": list(unique(observe)),
        "method": options.method,
        "rtol": options.rtol,
        "atol": None if options.atol is None else np.asarray(options.atol).tolist(),
        "max_steps": options.max_steps,
        "max_step": options.max_step,
        "equilibrate": options.equilibrate,
        "allow_negative": options.allow_negative,
        "versions": numerical_versions(),
        "ensemble": None if ensemble is None else ensemble.digest(),
    }


def _shifted(progress: Progress | None, before: int, total: int) -> Progress | None:
    """Return a progress call of one dish that counts the dishes before it."""
    if progress is None:
        return None
    return lambda done, _: progress(before + done, total)


def _warn_of_failures(experiment: Experiment, status: np.ndarray[Any, Any]) -> None:
    failed = np.argwhere(status != SolverStatus.OK)
    if not len(failed):
        return
    sample, cell = failed[0]
    code = SolverStatus(int(status[sample, cell]))
    warnings.warn(
        f"{len(failed)} of {status.size} cells could not be run to the end; first: "
        f"cell {cell} of `{experiment.samples[sample].name}`: {code.message} "
        "Assays leave them out from where they stop.",
        FailedRunsWarning,
        stacklevel=3,
    )


def _coordinates(model: CompiledModel, experiment: Experiment) -> dict[str, Any]:
    samples = experiment.samples
    seed = experiment.population.seed
    cells = f"{model.id}, {model.context or BASE}, cells of seed {seed}"

    def text(values: Sequence[str]) -> np.ndarray[Any, Any]:
        return np.array(values, dtype=object)

    return {
        "sample": ("sample", text([s.name for s in samples])),
        "treatment": ("sample", text([s.group for s in samples])),
        "dose": ("sample", np.array([s.dose for s in samples], dtype=float)),
        "dose_unit": ("sample", text([s.dose_unit for s in samples])),
        "dish": ("sample", text([s.dish for s in samples])),
        "cells": ("sample", text([cells] * len(samples))),
        "done": ("sample", text([json.dumps(s.to_record()) for s in samples])),
        "cell": ("cell", np.arange(experiment.population.n)),
        "replicate": (
            "cell",
            np.arange(experiment.population.n)
            * experiment.replicates
            // experiment.population.n
            + 1,
        ),
        "time": time_coordinate(np.array(experiment.times_h)),
    }


def _attributes(model: CompiledModel, experiment: Experiment) -> dict[str, Any]:
    record = {
        "kind": "experiment",
        "samples": [sample.to_record() for sample in experiment.samples],
        "population": experiment.population.to_record(),
        "times_h": list(experiment.times_h),
    }
    return {
        "title": model.info.title or model.id,
        "summary": f"{model.id}, {model.context or BASE}; {len(experiment.samples)} "
        f"samples; {experiment.population.n} cells each; times "
        f"{', '.join(f'{t:g}' for t in experiment.times_h)} h",
        "model_id": model.id,
        "model_sha256": model.digest,
        "context": model.context,
        "amount_unit": amount_unit(model),
        "genes": json.dumps({n: g.protein for n, g in model.info.genes.items()}),
        "experiment": json.dumps(record),
    }


def check_sample(
    model: CompiledModel, sample: Sample, times_h: Sequence[float]
) -> None:
    """Stop at a treatment that a model does not support, without running it.

    Raises
    ------
    InputError
        For an unknown name, a unit that does not convert, a dose outside the times.
    """
    asked = Plan.of(model, sample.done, checked_times(times_h))
    translate(model, asked)


def origins(cells: xr.Dataset) -> list[str]:
    """Return the sample of each dish; of a dish that an assay added, its treatment."""
    dishes = zip(
        *(cells[n].values for n in ("sample", "treatment", "dish")), strict=True
    )
    return [str(treatment if dish else sample) for sample, treatment, dish in dishes]
