"""Checks by weights of draws how far measurements narrow a prediction.

The linear estimate can be far off. Here the model is run for draws of its numbers, and
each draw is weighted by how likely it makes a measurement.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from mir21sim._typing import FloatArray
from mir21sim.analysis.cell_death import crossing_times
from mir21sim.analysis.design import removed_by_weighting
from mir21sim.analysis.trust import Numbers
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError
from mir21sim.model.info import unique
from mir21sim.simulation.curve_features import Feature
from mir21sim.simulation.doses import Protocol
from mir21sim.simulation.ensemble import Ensemble
from mir21sim.simulation.population import simulate_population


@dataclass(frozen=True, slots=True)
class Readout:
    """A quantity that an assay reads.

    Attributes
    ----------
    name : as the assay calls it
    assay : ``western``, ``caspase`` or ``given``
    binds : quantities of the model whose sum it is
    cv : of one replicate, of the signal or, where `relative`, of the ratio
    relative : whether it is read relative to the untreated cells at the start
    """

    name: str
    assay: str
    binds: tuple[str, ...]
    cv: float
    relative: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class SharedRuns:
    """The parts that all runs of one question share.

    Attributes
    ----------
    numbers : the uncertain numbers
    times_h : float array, shape (n_time,), output times
    since : reference time of the predicted feature, h or text
    """

    model: CompiledModel
    numbers: Numbers
    times_h: FloatArray
    since: float | str | None


def shares_by_weights(
    case: tuple[CompiledModel, SharedRuns, Feature, Protocol],
    about: Sequence[Mapping[str, Any]],
    draws: Ensemble | int,
) -> FloatArray:
    """Return the share that weights of draws give for each candidate, NaN for none.

    All candidates of one treatment are read from the same runs, a run a draw.
    """
    model, settings, feature, protocol = case
    found = np.full(len(about), math.nan)
    if draws == 0:
        return found
    cells = (
        draws.cells(model)
        if isinstance(draws, Ensemble)
        else _drawn(settings.numbers, draws)
    )
    run = _simulated(model, cells, settings, protocol, (feature.name,))
    with np.errstate(divide="ignore", invalid="ignore"):
        predictions = np.log(_feature(run, feature, settings.since))
    places: dict[str, list[int]] = {}
    for k, one in enumerate(about):
        places.setdefault(one["dose"], []).append(k)
    for own in places.values():
        names = unique(n for k in own for n in about[k]["readout"].binds)
        curves = _simulated(model, cells, settings, about[own[0]]["protocol"], names)
        for k in own:
            found[k] = removed_by_weighting(
                predictions, _read_logs(curves, about[k]), about[k]["noise"]
            )
    return found


def _read_logs(curves: xr.Dataset, one: Mapping[str, Any]) -> FloatArray:
    """Return the logarithm of the reading of each draw."""
    readout: Readout = one["readout"]
    total = np.asarray(sum(curves[name].values for name in readout.binds))
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.log(total[:, one["moment"]])
        return np.asarray(z - np.log(total[:, 0]) if readout.relative else z)


def _drawn(numbers: Numbers, draws: int) -> dict[str, FloatArray]:
    """Return draws of the numbers from their ranges."""
    rng = np.random.default_rng(0)
    normal = rng.standard_normal((draws, len(numbers.names)))
    values = numbers.values * np.exp(numbers.widths * normal)
    return {name: values[:, k] for k, name in enumerate(numbers.names)}


def _simulated(
    model: CompiledModel,
    cells: Mapping[str, FloatArray],
    settings: SharedRuns,
    protocol: Protocol,
    observe: Sequence[str],
) -> xr.Dataset:
    """Return the average cell of each draw."""
    return simulate_population(
        model, cells, times=settings.times_h, doses=protocol, observe=list(observe)
    )


def _feature(
    run: xr.Dataset, feature: Feature, since: float | str | None
) -> FloatArray:
    """Return a feature of each curve, on the output times."""
    from mir21sim import units

    start = 0.0
    if since is not None:
        start = units.seconds(since, "since") / units.SECONDS_PER_HOUR
    times = run["time"].values
    curves = run[feature.name].values
    late = curves[:, times >= start - 1e-9]
    if feature.kind == "peak":
        return np.asarray(late.max(axis=1))
    if feature.kind == "final":
        return np.asarray(late[:, -1])
    if feature.kind == "area":
        return np.asarray(np.trapezoid(late, times[times >= start - 1e-9], axis=1))
    if feature.kind == "crossing":
        found = crossing_times(times, curves, feature.level, start)
        return np.where(np.isfinite(found), found, math.nan)
    raise InputError(
        f"`{feature.text}` cannot be checked by draws; peak, final, area and crossing "
        "can."
    )
