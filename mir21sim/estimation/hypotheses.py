"""Models or variants compared on the same data: AIC, BIC, weights, best experiments.

With k estimated parameters, n data and L the largest likelihood,

* AIC = 2k − 2 ln L, and the small-sample AICc = AIC + 2k(k + 1)/(n − k − 1),
* BIC = k ln n − 2 ln L,
* weight of model i = exp(−Δᵢ/2)/Σⱼ exp(−Δⱼ/2), Δ the AICc over the least.

Priors are left out of L. The models part most where the difference of their predictions
over the noise is largest.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from mir21sim.errors import InputError
from mir21sim.estimation.fit import FitResult

CLOSE, FAR = 2.0, 10.0
"""Differences in AICc below which two models are alike, and above which one is out."""


@dataclass(frozen=True, slots=True)
class Parting:
    """Where the predictions of the models differ most.

    Attributes
    ----------
    quantity : name
    place : swept name → value, and ``time``
    values : model → prediction
    gap : largest difference over the scale of the quantity
    """

    quantity: str
    place: Mapping[str, float]
    values: Mapping[str, float]
    gap: float

    def __str__(self) -> str:
        where = ", ".join(f"{k} {v:.4g}" for k, v in self.place.items())
        said = ", ".join(f"{k} {v:.4g}" for k, v in self.values.items())
        return f"`{self.quantity}` at {where}: {said}"


def compare_fits(results: Mapping[str, FitResult]) -> pd.DataFrame:
    """Return one row per model, the best first.

    Raises
    ------
    InputError
        For fewer than two models, or data that are not the same.

    Examples
    --------
    >>> import mir21sim as ms
    >>> import numpy as np
    >>> import pandas as pd
    >>> model = ms.load("mir21_core", "HeLa")
    >>> times, doses = np.linspace(0, 4, 7), "TRAIL=50 ng/ml@0h"
    >>> run = ms.simulate(model, times=times, doses=doses, observe="CASP8_active")
    >>> curve = run["CASP8_active"].values * [1, 1.1, 0.9, 1, 1.1, 0.9, 1]
    >>> data = pd.DataFrame({"time": times, "CASP8_active": curve})
    >>> problem = ms.Problem(model, data, ["CASP8_active"], ["k_DISC"], doses=doses)
    >>> result = ms.fit(problem, starts=1, optimizer="scipy")
    >>> other = ms.Problem(model, data, ["CASP8_active"], ["k_CASP8_BID"], doses=doses)
    >>> table = ms.compare_fits(
    ...     {"DISC": result, "BID": ms.fit(other, starts=1, optimizer="scipy")}
    ... )
    >>> sorted(table["model"])
    ['BID', 'DISC']
    """
    return criteria({name: record_of(result) for name, result in results.items()})


def record_of(result: FitResult) -> dict[str, object]:
    """Return the numbers of a fit that a comparison needs."""
    data = result.problem.data
    prior, _, _ = result.objective.prior_terms(result.x)
    measured = data.time.tobytes() + data.value.tobytes()
    return {
        "parameters": len(result.problem.free),
        "data": len(data),
        "log_likelihood": -(result.best.value + prior),
        "data_sha256": hashlib.sha256(measured).hexdigest(),
    }


def read_record(folder: str | Path) -> dict[str, object]:
    """Return the record of a fit from its folder.

    Raises
    ------
    InputError
        For a folder without a finished fit.
    """
    path = Path(folder) / "result.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["comparison"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"`{folder}` holds no finished fit ({path.name}).") from error
    return dict(found)


def criteria(records: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return one row per model from the records of their fits, the best first.

    Raises
    ------
    InputError
        For fewer than two models, or data that are not the same.
    """
    if len(records) < 2:
        raise InputError("A comparison needs two fits or more.")
    first = next(iter(records.values()))["data_sha256"]
    rows = []
    for name, record in records.items():
        if record["data_sha256"] != first:
            raise InputError(
                f"`{name}` was fitted to other data: criteria compare models on the "
                "same data only."
            )
        k, n = int(record["parameters"]), int(record["data"])
        llh = float(record["log_likelihood"])
        aic = 2.0 * k - 2.0 * llh
        extra = 2.0 * k * (k + 1) / (n - k - 1) if n > k + 1 else math.inf
        rows.append(
            {
                "model": name,
                "parameters": k,
                "data": n,
                "log_likelihood": llh,
                "AIC": aic,
                "AICc": aic + extra,
                "BIC": k * math.log(n) - 2.0 * llh,
            }
        )
    table = pd.DataFrame(rows)
    for criterion, name in (("AICc", "weight"), ("BIC", "weight_BIC")):
        table[name] = _weights(table[criterion].to_numpy(float))
    return table.sort_values("AICc", kind="stable").reset_index(drop=True)


def verdicts(table: pd.DataFrame) -> list[str]:
    """Return sentences on a table of criteria: which models the data leave standing.

    A difference in AICc below 2 tells nothing, one above 10 speaks against the model
    (Burnham KP, Anderson DR 2002, Model selection and multimodel inference, p 70).

    Examples
    --------
    >>> table = pd.DataFrame({"model": ["a", "b"], "AICc": [3.0, 14.0]})
    >>> verdicts(table)[1]
    '`b`: AICc 11 higher, the data speak against it'
    """
    best = table.iloc[0]
    lines = [f"`{best['model']}` has the lowest AICc"]
    for _, row in table.iloc[1:].iterrows():
        gap = float(row["AICc"] - best["AICc"])
        if gap < CLOSE:
            words = "the data do not tell it from the best"
        elif gap <= FAR:
            words = "less likely, not ruled out"
        else:
            words = "the data speak against it"
        lines.append(f"`{row['model']}`: AICc {gap:.3g} higher, {words}")
    return lines


def _weights(criterion: np.ndarray) -> np.ndarray:
    """Return the weights of models from a criterion; equal where none is finite."""
    if not np.isfinite(criterion).any():
        return np.full(len(criterion), 1.0 / len(criterion))
    raw = np.exp(-0.5 * (criterion - np.nanmin(criterion)))
    return np.asarray(raw / raw.sum())


def part_most(
    predictions: Mapping[str, xr.Dataset],
    quantity: str,
    *,
    floor: float = 0.0,
    number: int = 3,
) -> list[Parting]:
    """Return the conditions and times at which the models differ most.

    The difference is the range of the predictions over the largest of them there, or
    over ``floor`` where that is more: values too small to measure do not count.

    Parameters
    ----------
    predictions : model → result of ``simulate`` or ``sweep`` on the same grid
    quantity : the variable to look at
    floor : least value that can be measured
    number : places to return, each with other swept values

    Examples
    --------
    >>> import mir21sim as ms
    >>> import numpy as np
    >>> import xarray as xr
    >>> t = np.linspace(0, 10, 101)
    >>> doses = ("anti_miR21", [0.0, 1.0, 10.0], {"units": "nM"})
    >>> rise = np.array([1.0, 2.0, 4.0])[:, None] * (1 - np.exp(-t))
    >>> result = xr.Dataset(
    ...     {"A": (("anti_miR21", "time"), rise, {"units": "molecule"})},
    ...     {"anti_miR21": doses, "time": ("time", t, {"units": "h"})},
    ... )
    >>> result["status"] = ("anti_miR21", [0, 0, 0])
    >>> found = ms.part_most({"slow": result, "fast": 2 * result}, "A", number=1)
    >>> sorted(found[0].place)
    ['anti_miR21', 'time']
    """
    if len(predictions) < 2:
        raise InputError("A comparison needs the predictions of two models or more.")
    for name, result in predictions.items():
        if quantity not in result:
            raise InputError(f"The predictions of `{name}` have no `{quantity}`.")
    arrays = [result[quantity] for result in predictions.values()]
    if any(a.shape != arrays[0].shape for a in arrays[1:]):
        raise InputError("The predictions must be on the same grid.")
    stacked = np.stack([a.to_numpy() for a in arrays])
    spread = np.nanmax(stacked, axis=0) - np.nanmin(stacked, axis=0)
    size = np.maximum(np.nanmax(np.abs(stacked), axis=0), max(floor, 1e-300))
    gap = np.nan_to_num(spread / size, nan=-1.0)
    found: list[Parting] = []
    seen: set[tuple[int, ...]] = set()
    for flat in np.argsort(-gap, axis=None, kind="stable"):
        index = np.unravel_index(int(flat), gap.shape)
        swept = tuple(int(i) for i in index[:-1])
        if swept in seen:
            continue
        seen.add(swept)
        dims = [str(d) for d in arrays[0].dims]
        place = {
            d: float(arrays[0][d][int(i)]) for d, i in zip(dims, index, strict=True)
        }
        values = {
            name: float(column[index])
            for name, column in zip(predictions, stacked, strict=True)
        }
        found.append(Parting(quantity, place, values, float(gap[index])))
        if len(found) == number:
            break
    return found
