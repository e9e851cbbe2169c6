"""Features of curves as variables of a result, ``CASP3_active__peak``."""

import numpy as np
import xarray as xr

from mir21sim._typing import FloatArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.simulation.dataset import extended, variable_name
from mir21sim.simulation.translate import Translated
from mir21sim.solvers.methods import ONE, is_batch
from mir21sim.solvers.problem import FeatureRequest
from mir21sim.solvers.settings import Settings

FEATURES = {
    "baseline": (
        "{unit}",
        "value at the reference time (or the last output before it)",
    ),
    "peak": ("{unit}", "largest value after the reference time"),
    "peak_time_h": ("{time}", "time of the peak, from the reference time"),
    "lag_h": ("{time}", "time to 10 % of the rise"),
    "t_half_h": ("{time}", "time to half of the rise"),
    "switch_time_h": ("{time}", "time from 10 % to 90 % of the rise"),
    "max_rate_per_h": ("{unit}/{time}", "steepest slope"),
    "area_h": ("{unit}·{time}", "area under the curve from the reference time"),
    "final_fraction": ("1", "value at the end over the peak"),
}
"""Units and meanings of features, in the order of ``solvers.problem.FEATURES``."""

CROSSING = "half_level_h"
"""Feature of a share: time at which it first reaches one half, infinite for never."""

CROSSING_TEXT = ("{time}", "time at which one half is first reached")

MOST = 12
"""Quantities up to which features are found where nobody asks for them."""

MOST_SINGLE = 40
"""Runs up to which they are found where a method has to repeat its runs for them."""

FEATURE_OF = "feature_of"
"""Attribute of a feature: the quantity it belongs to."""

NOTE = (
    "peaks, times and areas since the last dose (and __from_start) were found by the "
    "dense output of the solver and do not depend on the output times"
)
"""Attribute ``features`` of a result that holds them."""

_ENDINGS = ("", "__from_start")
"""Ends of the names of features since the last dose, and since the start."""

_POWERS = {"max_rate_per_h": 1, "area_h": -1}
"""Power of the model's time units in one of the border's, by which a feature is
multiplied; −1 for times, 0 for values."""

_NO_UNIT = ("", "1", "dimensionless")

_CLOSE = 1e-4
"""Difference of a curve and its features, over its size, that polynomials explain."""

_SAME = 1e-9
"""Times that differ by less are the same, in the unit of the result's times."""


def wanted(
    asked: bool | None, model: CompiledModel, runs: Translated, settings: Settings
) -> bool:
    """Return whether the features of some runs are to be found.

    Where nobody says: of few quantities, and where the method keeps its steps, which
    makes them cheap, or where the runs of a model in our units are few. A run of a
    stranger's model by its default method would take ten times as long.
    """
    if asked is not None:
        return asked
    if len(runs.outputs) > MOST:
        return False
    if is_batch(settings.method) and model.kernels.events is None:
        return True
    few = len(runs.problem) <= MOST_SINGLE
    return few and not model.border.is_guest and settings.method != ONE.name


def request(model: CompiledModel, runs: Translated) -> FeatureRequest:
    """Return the features of the quantities since the last dose and the start."""
    return FeatureRequest(
        np.array(_references(runs)) * model.border.per_time,
        np.array([output.unit in _NO_UNIT for output in runs.outputs], np.bool_),
    )


def with_features(
    result: xr.Dataset, model: CompiledModel, runs: Translated, found: FloatArray
) -> xr.Dataset:
    """Return a result with the features of its quantities.

    Parameters
    ----------
    found : float array, shape (n_run, n_row, n_select), of a ``Solution``
    """
    per_time, clock = model.border.per_time, model.border.time_unit
    shape = result["status"].shape
    texts = {**FEATURES, CROSSING: CROSSING_TEXT}
    rows = [
        (since, ending, name, *text)
        for since, ending in zip(_references(runs), _ENDINGS, strict=False)
        for name, text in texts.items()
    ]
    data = {}
    for k, output in enumerate(runs.outputs):
        quantity = variable_name(output.name)
        for n, (since, ending, name, unit, text) in enumerate(rows):
            if name == CROSSING and output.unit not in _NO_UNIT:
                continue
            power = _POWERS.get(name, -1 if unit == "{time}" else 0)
            data[feature_name(quantity, name) + ending] = (
                found[:, n, k].reshape(shape) * per_time**power,
                {
                    "units": unit.format(unit=output.unit or "1", time=clock),
                    "long_name": f"{output.name}: {text}",
                    FEATURE_OF: quantity,
                    "since": since,
                    "until": float(runs.times_h[-1]),
                },
            )
    return extended(result, data, {"features": NOTE})


def feature_name(quantity: str, feature: str) -> str:
    """Return the name of the variable of a feature."""
    return f"{quantity}__{feature}"


def stored_feature(
    result: xr.Dataset, quantity: str, feature: str, since: float
) -> xr.DataArray | None:
    """Return a feature that the solver found; None where there is none for these times.

    Parameters
    ----------
    since : reference time, in the unit of the result's times
    """
    for ending in _ENDINGS:
        name = feature_name(quantity, feature) + ending
        if name not in result.data_vars:
            continue  # `get` would look for names like it: 10 ms of CPU among 1,500
        found = result[name]
        if found.attrs.get(FEATURE_OF) != quantity:
            continue
        ends = (found.attrs["since"], since), (found.attrs["until"], result["time"][-1])
        same_times = all(abs(float(a) - float(b)) <= _SAME for a, b in ends)
        if same_times and _fits(result, quantity, ending, since):
            return found
    return None


def _fits(result: xr.Dataset, quantity: str, ending: str, since: float) -> bool:
    """Return whether stored features can be those of the curves beside them.

    Curves that were changed afterwards (scaled, filtered, replaced) have others: the
    value at the end is another one then, or a curve passes its peak.
    """
    curves = result[quantity].transpose(..., "time")
    stored = [
        result.get(feature_name(quantity, name) + ending)
        for name in ("peak", "final_fraction")
    ]
    if any(values is None for values in stored):
        return False
    dims = [d for d in curves.dims if d != "time"]
    if any(set(values.dims) != set(dims) for values in stored if values is not None):
        return False
    peak, share = (
        values.transpose(*dims).values for values in stored if values is not None
    )
    numbers = np.where(np.isnan(curves.values), 0.0, curves.values)
    after = numbers[..., result["time"].values >= since - _SAME]
    size = np.abs(after).max(axis=-1, initial=0.0)
    last = np.where(peak == 0.0, 0.0, share * peak)
    wrong = np.abs(last - numbers[..., -1]) > _CLOSE * size
    wrong &= peak != 0.0  # its share at the end is not a number
    wrong |= after.max(axis=-1, initial=-np.inf) - peak > _CLOSE * size
    return not bool((wrong & np.isfinite(peak)).any())


def _references(runs: Translated) -> tuple[float, ...]:
    """Return the times from which on features count, one or two.

    The first is that of the last dose in the run that is not swept, or of the last dose
    where all are swept; the second is the start of the run, where that is another.
    """
    first, last = float(runs.times_h[0]), float(runs.times_h[-1])
    swept = {axis.name for axis in runs.axes}
    doses = [dose for dose in runs.protocol.to_records() if dose["time"] < last]
    fixed = [dose for dose in doses if dose["target"] not in swept]
    dose = max((first, *(float(dose["time"]) for dose in fixed or doses)))
    return (first,) if dose == first else (dose, first)
