"""The work of each view: one call of the library for the settings of the page.

Every function takes a model, settings and a look, and returns what the view draws. All
numbers and sentences are those of the functions that the command line calls.
"""

import contextlib
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from mir21sim.analysis import ranking
from mir21sim.analysis.cell_death import death_quantity, death_times
from mir21sim.analysis.curves import compare, stimulus_time
from mir21sim.analysis.dish import activity_quantities, dish, dish_of, resample
from mir21sim.analysis.dish_response import half_effect_lines
from mir21sim.analysis.outcome import outcome_lines
from mir21sim.analysis.tables import death_text, feature_text
from mir21sim.analysis.trust import trust
from mir21sim.assays.assay import Assay, Reading
from mir21sim.assays.experiment import Experiment, Sample, run_experiment
from mir21sim.assays.flow import FlowCytometry
from mir21sim.assays.plate import PlateAssay
from mir21sim.assays.western import WesternBlot
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, SolverError, SolverStatus, UnknownNameError
from mir21sim.simulation.ensemble import Ensemble, bands, shipped
from mir21sim.simulation.options import Options
from mir21sim.simulation.population import Population, simulate_population
from mir21sim.simulation.sensitivity import sensitivities
from mir21sim.simulation.simulate import simulate
from mir21sim.simulation.stored_features import FEATURES
from mir21sim.simulation.sweep import sweep
from mir21sim.web.models import death_of
from mir21sim.web.settings import POINTS, Look, Settings
from mir21sim.web.work import Cache, Job

TIMEOUT = 60.0
"""Seconds that one run may take before the page says that it failed."""

REPLICATES = 3
"""Wells, lanes or tubes of each sample."""

CONTROL, NOW = "untreated", "now"
"""Names of the dishes of an assay."""

ASSAYS = {
    "western": "Western blot",
    "flow": "Annexin V/PI cytometer",
    "caspase": "Plate: caspase-3/7",
    "viability": "Plate: viability",
}


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """Pictures and texts of a view.

    Attributes
    ----------
    data : Dataset, table or reading, as the drawing of the view expects it
    lines : sentences, the outcome first
    """

    data: Any
    lines: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """Size in bytes, for the cache."""
        return int(getattr(self.data, "nbytes", 100_000))


def _options(job: Job | None, **more: Any) -> Options:
    return Options(timeout=TIMEOUT, progress=None if job is None else job.tell, **more)


def _treated(settings: Settings) -> dict[str, Any]:
    """Return the keyword arguments of ``simulate`` that the treatment is."""
    done = settings.treatment
    return {
        "doses": done.doses,
        "parameters": done.parameters,
        "initials": done.initials,
        "perturb": done.perturbations,
    }


def observed(model: CompiledModel, settings: Settings) -> list[str]:
    """Return the quantities of a run: those drawn, and the one that tells of death."""
    return list(dict.fromkeys([*settings.observe, *filter(None, [death_of(model)])]))


# --------------------------------------------------------------------------- one cell
def curves(model: CompiledModel, settings: Settings, look: Look, job: Job) -> Shown:
    """Return the curves of the average cell."""
    settings = settings.without_empty_doses()
    result = simulate(
        model,
        settings.end,
        points=POINTS,
        observe=observed(model, settings) or None,
        options=_options(job),
        **_treated(settings),
    )
    lines = outcome_lines(result, death_of(model)) or [result.attrs["summary"]]
    return Shown(result, tuple(lines))


def network(model: CompiledModel, settings: Settings, look: Look, job: Job) -> Shown:
    """Return amounts and rates of the average cell over time."""
    settings = settings.without_empty_doses()
    result = simulate(
        model,
        settings.end,
        points=POINTS,
        observe=[*model.state_names, *model.rate_names],
        options=_options(job),
        **_treated(settings),
    )
    return Shown(result, (result.attrs["summary"],))


def more(model: CompiledModel, settings: Settings, look: Look, job: Job) -> Shown:
    """Return the parts after the curves: bands of the parameter sets, and the trust."""
    settings = settings.without_empty_doses()
    done, lines = _treated(settings), []
    with contextlib.suppress(SolverError, InputError):  # as on the command line
        if not model.border.is_guest and "parameters" in model.source:
            active, death = activity_quantities(model)[0], death_quantity(model)
            options = _options(job)
            found = trust(model, active, death, settings.end, options=options, **done)
            lines.append(found.text())
    sets = parameter_sets(model, settings)
    if sets is None or not settings.observe:
        return Shown(None, tuple(lines))
    result = simulate(
        model,
        settings.end,
        points=POINTS,
        observe=list(settings.observe),
        options=_options(job),
        ensemble=sets,
        **done,
    )
    lines.append(f"Bands: 50 and 95 % of {len(sets)} parameter sets of the model.")
    return Shown(bands(result, list(settings.observe)), tuple(lines))


def parameter_sets(model: CompiledModel, settings: Settings) -> Ensemble | None:
    """Return the parameter sets of a shipped model, where they are wanted and fit."""
    if not settings.sets:
        return None
    try:
        return shipped(model)
    except InputError as error:  # of another version of the model
        warnings.warn(f"Bands are of resampled cells. {error}", stacklevel=2)
        return None


# -------------------------------------------------------------------------- many cells
def population(model: CompiledModel, settings: Settings, look: Look, job: Job) -> Shown:
    """Return death times of unlike cells under one treatment."""
    death = _needs_death(model)
    settings = settings.without_empty_doses()
    members = Population(settings.cells, settings.cv, seed=settings.seed)
    result = simulate_population(
        model,
        members,
        settings.end,
        observe=[death],
        options=_options(job),
        ensemble=parameter_sets(model, settings),
        **_treated(settings),
    )
    since = stimulus_time(result) or 0.0
    _check_some_ran(result)
    died = death_times(result, death, since=since)
    data = result.assign(death_time=died).assign_attrs(
        since=since, length=float(result["time"][-1]) - since, death=death
    )
    dishes = dish(result, [death], death, since=since)
    lines = (
        *outcome_lines(result, death),
        death_text(result, death, since=since),
        f"Band: {dishes['dead'].attrs['band']}.",
    )
    return Shown((data, dishes), lines)


def response(model: CompiledModel, settings: Settings, look: Look, job: Job) -> Shown:
    """Return a dose–response: of dishes of unlike cells, or of the average cell."""
    if not look.target:
        raise InputError("Choose the substance whose dose is varied.")
    settings = settings.without_empty_doses(look.target)
    death = death_of(model)
    if settings.cells > 1 and death:
        return _dishes(model, settings, look, death, job)
    if not settings.observe:
        raise InputError("Choose the quantity whose response is drawn.")
    name = settings.observe[0]
    result = sweep(
        model,
        {look.target: look.values},
        settings.end,
        points=POINTS,
        observe=[name],
        options=_options(job),
        **_treated(settings),
    )
    features = compare(
        result,
        name,
        over=look.target,
        since=stimulus_time(result),
        response=look.response if look.response in FEATURES else "peak",
    )
    return Shown(features, tuple(feature_text(features).splitlines()))


def _dishes(
    model: CompiledModel, settings: Settings, look: Look, death: str, job: Job
) -> Shown:
    """Return the responses of dishes, one for each amount of a dose."""
    active = activity_quantities(model)
    result = sweep(
        model,
        {look.target: look.values},
        settings.end,
        points=POINTS,
        observe=list(dict.fromkeys([*active, death])),
        options=_options(job),
        cells=Population(settings.cells, settings.cv, seed=settings.seed),
        ensemble=parameter_sets(model, settings),
        **_treated(settings),
    )
    if (result["status"].values < 0).any():
        raise KeyboardInterrupt
    _check_some_ran(result)
    last = stimulus_time(result)
    since = float(result["time"][0]) if last is None else last
    drawn = resample(result, active, death, since=since)
    found = dish_of(drawn, result, active, since)
    swept = result[drawn.dims[0]]
    unit = str(swept.attrs.get("units", ""))
    lines = [
        *outcome_lines(result, death),
        *half_effect_lines(drawn, swept.values.astype(float), unit),
    ]
    return Shown(found, tuple(lines))


def _check_some_ran(result: xr.Dataset) -> None:
    """Stop where no cell of a dish ran to its end: nobody is dead or alive in it."""
    status = result["status"]
    ran = (status == SolverStatus.OK).any("cell")
    if bool(ran.all()):
        return
    failed = status.where(~ran, SolverStatus.OK).values.ravel()
    first = int(np.flatnonzero(failed != SolverStatus.OK)[0])
    doses = [
        f"{d} {', '.join(f'{v:g}' for v in ran[d][~ran].values)}" for d in ran.dims
    ]
    where = f" at {doses[0]}" if len(doses) == 1 else ""
    raise SolverError(
        f"No cell{where} could be run to its end. The first: "
        f"{result['message'].values.ravel()[first]}",
        SolverStatus(int(failed[first])),
        first,
    )


def _needs_death(model: CompiledModel) -> str:
    death = death_of(model)
    if not death:
        raise InputError(
            f"No quantity of {model.id} says that a cell dies, so there is no one to "
            "count; the curves show the average cell."
        )
    return death


# ------------------------------------------------------------------------------ assays
class DishStore:
    """Dishes that were run before, by their settings: the untreated one is run once."""

    def __init__(self, cache: Cache, keys: list[str]) -> None:
        self._cache, self._keys = cache, keys

    def read(self, dish: int) -> dict[str, np.ndarray[Any, Any]] | None:
        """Return the arrays of a dish, None where it was not run yet."""
        found: dict[str, np.ndarray[Any, Any]] | None = self._cache.get(
            self._keys[dish]
        )
        return found

    def write(self, dish: int, arrays: Any) -> None:
        """Keep the arrays of a dish."""
        self._cache.put(self._keys[dish], arrays)


def assay_of(look: Look, proteins: tuple[str, ...]) -> Assay[Any]:
    """Return the assay that a view shows."""
    if look.assay == "western":
        chosen = look.proteins or proteins
        if not chosen:
            raise InputError("No antibody binds a quantity of this model: no blot.")
        return WesternBlot(proteins=chosen)
    if look.assay == "flow":
        return FlowCytometry()
    if look.assay in ("caspase", "viability"):
        return PlateAssay(kind="caspase" if look.assay == "caspase" else "viability")
    raise UnknownNameError("assay", look.assay, tuple(ASSAYS))


def samples_of(settings: Settings) -> tuple[Sample, ...]:
    """Return the dishes of an assay: untreated cells first, then the settings."""
    settings = settings.without_empty_doses()
    return (
        Sample(CONTROL, settings.untreated().treatment),
        Sample(NOW, settings.treatment),
    )


def cells_of(settings: Settings) -> int:
    """Return the cells of a dish: a multiple of the replicates."""
    return max(1, round(settings.cells / REPLICATES)) * REPLICATES


def read_hours(settings: Settings, look: Look) -> float:
    """Return when an assay is read, h; by default at the end."""
    from mir21sim.web.settings import hours

    return hours(look.read_at or settings.end, "time of reading")


def assay(
    cache: Cache, proteins: tuple[str, ...]
) -> Callable[[CompiledModel, Settings, Look, Job], Shown]:
    """Return the work of the view of assays, which keeps its dishes in a cache."""

    def work(model: CompiledModel, settings: Settings, look: Look, job: Job) -> Shown:
        chosen = assay_of(look, proteins)
        count, when = cells_of(settings), read_hours(settings, look)
        observe = list(chosen.needs(model))
        people = Population(count, settings.cv, seed=settings.seed)
        samples = samples_of(settings)
        keys = [
            repr(("dish", model.digest, count, settings.cv, settings.seed, when, *x))
            for x in ((observe, str(sample.done)) for sample in samples)
        ]
        store: Any = DishStore(cache, keys)
        cells = run_experiment(
            model,
            Experiment(samples, people, (when,), replicates=REPLICATES),
            observe,
            options=_options(None, features=False),
            progress=job.tell,
            store=store,
        )
        reading: Reading = chosen.read(
            cells, noise=True, seed=settings.seed, replicates=REPLICATES
        )
        head = (
            f"{chosen.heading} at {when:g} h: {REPLICATES} {chosen.replicate_word}, "
            f"{count} cells a dish."
        )
        lines = (head, *reading.notes, *_fates(cells))
        return Shown((chosen, reading), lines)

    return work


def _fates(cells: xr.Dataset) -> list[str]:
    failed = int((cells["status"].values != 0).sum())
    return (
        [f"{failed} cells could not be run to the end and are left out."]
        if failed
        else []
    )


# -------------------------------------------------------------------------- parameters
def parameters(model: CompiledModel, settings: Settings, look: Look, job: Job) -> Shown:
    """Return every number with source and status, and its sensitivity where asked."""
    frame = model.parameters.reset_index()
    frame["log_derivative"] = math.nan
    lines = [f"{len(frame)} numbers."]
    if look.of:
        settings = settings.without_empty_doses()
        result = sensitivities(
            model,
            [look.of],
            end=settings.end,
            options=Options(timeout=TIMEOUT),
            **_treated(settings),
        )
        ranked = ranking.ranked(result, look.of).set_index("number")
        frame["log_derivative"] = frame["id"].map(ranked["log_derivative"])
        order = (
            frame["log_derivative"]
            .abs()
            .sort_values(ascending=False, na_position="last", kind="stable")
        )
        frame = frame.loc[order.index]
        lines.append(
            f"Sorted by the size of d log({look.of})/d log(number): 1 means that a "
            "number 1 % larger makes it 1 % larger."
        )
    return Shown(pd.DataFrame(frame), tuple(lines))


WORKS: dict[str, Callable[[CompiledModel, Settings, Look, Job], Shown]] = {
    "curves": curves,
    "more": more,
    "response": response,
    "population": population,
    "network": network,
    "parameters": parameters,
}
"""View → its work; the view of assays has a cache of its own, see ``assay``."""
