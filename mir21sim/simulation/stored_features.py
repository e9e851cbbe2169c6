"""Features of curves as variables of a result, ``CASP3_active__peak``."""

import xarray as xr

from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import SolverStatus
from mir21sim.simulation.dataset import variable_name
from mir21sim.simulation.run_features import (
    CROSSING,
    CROSSING_TEXT,
    FEATURES,
    run_features,
)
from mir21sim.simulation.translate import Translated
from mir21sim.solvers.settings import Settings, Workers

FEATURE_OF = "feature_of"
"""Attribute of a feature: the quantity it belongs to."""

NOTE = (
    "peaks, times and areas since the last dose were found by the dense output of the "
    "solver and do not depend on the output times"
)
"""Attribute ``features`` of a result that holds them."""

_POWERS = {"max_rate_per_h": 1, "area_h": -1}
"""Power of the model's time units in one of the border's, by which a feature is
multiplied; −1 for times, 0 for values."""

_NO_UNIT = ("", "1", "dimensionless")

_SAME = 1e-9
"""Times that differ by less are the same, in the unit of the result's times."""


def with_features(
    result: xr.Dataset,
    model: CompiledModel,
    runs: Translated,
    *,
    settings: Settings,
    workers: Workers,
) -> xr.Dataset:
    """Return a result with the features of its quantities since the last dose."""
    per_time, clock = model.border.per_time, model.border.time_unit
    since = _reference(runs)
    found = run_features(
        model,
        runs.problem,
        settings,
        workers,
        good=result["status"].values.ravel() == SolverStatus.OK,
        since=since * per_time,
        shares=[output.unit in _NO_UNIT for output in runs.outputs],
    )
    if found is None:
        return result
    dims, shape = result["status"].dims, result["status"].shape
    data = {}
    for k, output in enumerate(runs.outputs):
        quantity = variable_name(output.name)
        for name, values in found.items():
            unit, text = FEATURES.get(name, CROSSING_TEXT)
            if name == CROSSING and output.unit not in _NO_UNIT:
                continue
            power = _POWERS.get(name, -1 if unit == "{time}" else 0)
            numbers = values[:, k].reshape(shape) * per_time**power
            data[feature_name(quantity, name)] = (
                dims,
                numbers,
                {
                    "units": unit.format(unit=output.unit or "1", time=clock),
                    "long_name": f"{output.name}: {text}",
                    FEATURE_OF: quantity,
                    "since": since,
                    "until": float(runs.times_h[-1]),
                },
            )
    return result.assign(data).assign_attrs(features=NOTE)


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
    found = result.data_vars.get(feature_name(quantity, feature))
    if found is None or found.attrs.get(FEATURE_OF) != quantity:
        return None
    ends = (found.attrs["since"], since), (found.attrs["until"], result["time"][-1])
    if any(abs(float(a) - float(b)) > _SAME for a, b in ends):
        return None
    return found


def _reference(runs: Translated) -> float:
    """Return the time of the last dose in the run that is not swept, else the start.

    Where all doses are swept it is the last of them.
    """
    first, last = float(runs.times_h[0]), float(runs.times_h[-1])
    swept = {axis.name for axis in runs.axes}
    doses = [dose for dose in runs.protocol.to_records() if dose["time"] < last]
    fixed = [dose for dose in doses if dose["target"] not in swept]
    return max((first, *(float(dose["time"]) for dose in fixed or doses)))
