"""Curve features of every run, and the dose–response of each feature."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from mir21sim import units
from mir21sim._typing import FloatArray
from mir21sim.analysis.dose_response import FLOORS, dose_response
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.model.aliases import Names
from mir21sim.simulation.dataset import BOOKKEEPING, provenance
from mir21sim.simulation.stored_features import FEATURE_OF, FEATURES, stored_feature

Results: TypeAlias = xr.Dataset | Sequence[xr.Dataset] | Mapping[str, xr.Dataset]

FLAT = 1e-6
"""A rise below this share of the peak is none: solver noise at default tolerances."""

#: Variables of ``compare`` that describe the dose–response, see ``DoseResponse``.
RESPONSE_NAMES = (
    "EC50", "EC50_low", "EC50_high", "E0", "Emax", "Hill", "mean_response",
    "dose_response_shape", "dose_response_summary",
)  # fmt: skip

UNSWEPT = ("cell", "draw", "time", "result")
"""Dimensions that no dose or number is swept along."""

FEATURE_NOTES = ("the run failed", "no rise")
"""Notes on one curve."""


def compare(
    results: Results,
    observe: str,
    *,
    since: float | str | None = None,
    response: str = "peak",
    over: str | None = None,
) -> xr.Dataset:
    """Return the curve features of every run and their dose–response.

    Parameters
    ----------
    results : one result, several, or label to result; several must sweep the same names
    observe : the quantity to compare, e.g. ``"CASP3_active"``
    since : h or text, reference time of the features; by default the start
    response : feature whose dose–response is read, see ``FEATURES``
    over : swept dimension of the dose; by default the first

    Returns
    -------
    Dataset on ``result`` × the swept dimensions; the dose–response
    (``RESPONSE_NAMES``) on the dimensions other than `over`. Where ``EC50`` is NaN,
    ``EC50_low`` and ``EC50_high`` are bounds

    Raises
    ------
    UnknownNameError
        For a quantity, feature or dimension that the results do not have.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.linspace(0, 10, 101)
    >>> run = xr.Dataset({"C": ("time", t / 10), "status": 0}, coords={"time": t})
    >>> float(compare(run, "C")["t_half_h"].squeeze())
    5.0
    """
    if response not in FEATURES:
        raise UnknownNameError("feature", response, tuple(FEATURES))
    labelled = label_results(results)
    tables = [feature_table(r, observe, since) for r in labelled.values()]
    dims = [tuple(d for d in t["peak"].dims) for t in tables]
    if len(set(dims)) > 1:
        shown = "; ".join(
            f"{k}: {', '.join(map(str, d)) or 'none'}"
            for k, d in zip(labelled, dims, strict=True)
        )
        raise InputError(f"Results to compare must sweep the same names, got {shown}.")
    merged = xr.concat(
        tables,
        dim=xr.Variable("result", list(labelled)),
        join="outer",
        combine_attrs="drop",
    )
    for name in (*dims[0], *tables[0].data_vars):
        merged[name].attrs.update(tables[0][name].attrs)
    swept = swept_of(tables[0]["peak"])
    if over is not None or swept:
        merged = _with_response(merged, response, over or swept[0])
    merged.attrs = {
        "observe": str(quantity(next(iter(labelled.values())), observe).name),
        "response": response,
        "since_h": since_of(next(iter(labelled.values())), since),
        "time_unit": time_unit(next(iter(labelled.values()))),
        "resolution_h": max(t.attrs["resolution_h"] for t in tables),
    }
    return merged


def label_results(results: Results) -> dict[str, xr.Dataset]:
    """Return label to result; unnamed ones are labelled by model and context."""
    labelled: dict[str, xr.Dataset] = {}
    if isinstance(results, xr.Dataset):
        results = [results]
    if isinstance(results, Mapping):
        labelled.update(results)  # type: ignore[arg-type]  # a Dataset is a Mapping too
        return labelled
    for given in results:
        for words, result in _unstacked(given):
            label = words
            while label in labelled:
                label += "'"
            labelled[label] = result
    if not labelled:
        raise InputError("There is no result to compare.")
    return labelled


def named_dims(result: xr.Dataset) -> tuple[str, ...]:
    """Return the dimensions that name results, as of ``xr.concat``: no swept number."""
    return tuple(
        str(name)
        for name in result.dims
        if name not in UNSWEPT
        and (name not in result.coords or result[name].dtype.kind not in "fiu")
    )


def _unstacked(result: xr.Dataset) -> list[tuple[str, xr.Dataset]]:
    """Return the results that were put into one Dataset, each with a label.

    The attributes of such a Dataset are those of its first result, so labels come from
    the coordinates.
    """
    model = str(result.attrs.get("model_id", "result"))
    dims = named_dims(result)
    if not dims:
        context = str(result.attrs.get("context", ""))
        return [(f"{model}, {context}" if context else model, result)]
    found = []
    for place in np.ndindex(*(result.sizes[name] for name in dims)):
        chosen = dict(zip(dims, place, strict=True))
        words = [
            str(result[name].values[k]) if name in result.coords else f"{name} {k + 1}"
            for name, k in chosen.items()
        ]
        found.append((", ".join([model, *words]), result.isel(chosen, drop=True)))
    return found


def quantities(result: xr.Dataset) -> tuple[str, ...]:
    """Return the names of the quantities of a result, in order."""
    # Of variables, as `result[name]` looks through all others: 1 s of CPU for 1,500.
    return tuple(
        str(name)
        for name, variable in result.variables.items()
        if name not in result.coords
        and name not in BOOKKEEPING
        and FEATURE_OF not in variable.attrs
    )


def quantity(result: xr.Dataset, observe: str) -> xr.DataArray:
    """Return one quantity of a result or raise UnknownNameError with near names.

    Names are found as people type them: ``cleaved PARP``.
    """
    known = quantities(result)
    if observe in known:
        return result[observe]
    labels: dict[str, str] = {}
    for name in known:
        label = result.variables[name].attrs.get("long_name", name)
        labels.setdefault(str(label), name)
    meant = Names(known, labels).find(observe)
    if meant not in known:
        raise UnknownNameError("quantity in the result", observe, known)
    return result[meant]


def swept_of(values: xr.DataArray) -> tuple[str, ...]:
    """Return the swept dimensions of a quantity or feature: no cells, draws, time."""
    return tuple(str(d) for d in values.dims if d not in UNSWEPT)


def dose_records(result: xr.Dataset) -> list[Mapping[str, Any]]:
    """Return the doses of a result as records, none where it has no provenance."""
    if "provenance" not in result.attrs:
        return []
    doses: list[Mapping[str, Any]] = provenance(result, doses_only=True)["doses"]
    return doses


def stimulus_time(result: xr.Dataset) -> float | None:
    """Return the time of the last dose that is not swept, h: the origin of features.

    Where all doses are swept it is the last of them; None without a dose in the run.
    """
    end = float(result["time"][-1])
    doses = [dose for dose in dose_records(result) if dose["time"] < end]
    fixed = [dose for dose in doses if dose["target"] not in result.dims]
    return max((dose["time"] for dose in fixed or doses), default=None)


def time_unit(result: xr.Dataset) -> str:
    """Return the unit of the times of a result: h but for files of others."""
    return str(result["time"].attrs.get("units", "h"))


def since_of(result: xr.Dataset, since: float | str | None) -> float:
    """Return the reference time in the unit of the result's times."""
    if since is None:
        return float(result["time"][0])
    return units.time_in(since, time_unit(result), "since")


def feature_table(
    result: xr.Dataset, observe: str, since: float | str | None
) -> xr.Dataset:
    """Return the features of every run of one result.

    Those that the solver found are taken where the result holds them for this reference
    time; others are read from the output times.
    """
    values = quantity(result, observe)
    times = result["time"].values
    reference, clock = since_of(result, since), time_unit(result)
    if not times[0] <= reference < times[-1]:
        raise InputError(
            f"`since` must lie in the run, {times[0]:g} {clock} to below "
            f"{times[-1]:g} {clock}, got {reference:g} {clock}."
        )
    unit = str(values.attrs.get("units", ""))
    dims = tuple(d for d in values.dims if d != "time")
    curves = values.transpose(*dims, "time").values
    flat = curves.reshape(-1, times.size)
    rows = [curve_features(times, row, reference) for row in flat]
    shape = curves.shape[:-1]
    exact = _put_stored(rows, result, str(values.name), reference)
    data = {
        name: (
            dims,
            np.array([row[name] for row in rows]).reshape(shape),
            {
                "units": template.format(unit=unit or "1", time=clock),
                "long_name": meaning,
            },
        )
        for name, (template, meaning) in FEATURES.items()
    }
    notes = np.array([_note(row, curve) for row, curve in zip(rows, flat, strict=True)])
    data["note"] = (dims, notes.astype(object).reshape(shape), {})
    table = xr.Dataset(data, coords={d: result[d] for d in dims})
    table.attrs = {
        "start_h": float(times[0]),
        "resolution_h": 0.0 if exact else float(np.diff(times).max()),
    }
    return table


def _put_stored(
    rows: Sequence[dict[str, float]], result: xr.Dataset, observe: str, since: float
) -> bool:
    """Put the features that the solver found in place of those of the output times.

    Returns
    -------
    bool : whether the result holds them for every run that ended well
    """
    found = {name: stored_feature(result, observe, name, since) for name in FEATURES}
    dims = [d for d in result[observe].dims if d != "time"]
    columns = {
        name: values.transpose(*dims).values.ravel()
        for name, values in found.items()
        if values is not None
    }
    if len(columns) < len(FEATURES):
        return False
    all_found = True
    for k, row in enumerate(rows):
        if math.isnan(row["peak"]):
            continue
        if math.isnan(columns["peak"][k]):
            all_found = False
            continue
        row.update({name: float(values[k]) for name, values in columns.items()})
    return all_found


def _note(row: Mapping[str, float], curve: FloatArray) -> str:
    """Return a note on one curve, mostly ""."""
    failed, no_rise = FEATURE_NOTES
    if np.isnan(curve).any():
        return failed
    return no_rise if math.isnan(row["t_half_h"]) else ""


def curve_features(
    times: FloatArray, values: FloatArray, since: float
) -> dict[str, float]:
    """Return the features of one curve, see ``FEATURES``.

    Crossing times are interpolated linearly between output times, so they are as fine
    as those. A run that failed has NaN in all; a curve without a rise, in its times.

    Parameters
    ----------
    times, values : float arrays, shape (n_time,); times in h
    since : h, reference time
    """
    features = dict.fromkeys(FEATURES, math.nan)
    if np.isnan(values).any():
        return features
    # Between two outputs the last one counts: a dose at `since` must not leak into it.
    first = int(np.searchsorted(times, since, side="right"))
    t = np.concatenate([[since], times[first:]]) - since
    v = np.concatenate([[values[first - 1]], values[first:]])
    top = int(np.argmax(v))
    baseline, peak = float(v[0]), float(v[top])
    features |= {
        "baseline": baseline,
        "peak": peak,
        "max_rate_per_h": float(np.max(np.diff(v) / np.diff(t))),
        "area_h": float(np.trapezoid(v, t)),
        "final_fraction": float(v[-1] / peak) if peak else math.nan,
    }
    rise = peak - baseline
    if rise <= FLAT * max(abs(peak), abs(baseline)):
        return features
    crossings = {
        share: _crossing(t[: top + 1], v[: top + 1], baseline + share * rise)
        for share in (0.1, 0.5, 0.9)
    }
    return features | {
        "peak_time_h": float(t[top]),
        "lag_h": crossings[0.1],
        "t_half_h": crossings[0.5],
        "switch_time_h": crossings[0.9] - crossings[0.1],
    }


def _crossing(t: FloatArray, v: FloatArray, level: float) -> float:
    """Return the time at which a curve first reaches a level, interpolated."""
    k = int(np.argmax(v >= level))
    if k == 0:
        return float(t[0])
    share = (level - v[k - 1]) / (v[k] - v[k - 1])
    return float(t[k - 1] + share * (t[k] - t[k - 1]))


def _with_response(table: xr.Dataset, response: str, over: str) -> xr.Dataset:
    """Return the table with the dose–response of one feature along one dimension."""
    known = swept_of(table[response])
    if over not in known:
        raise UnknownNameError("swept dimension", over, known)
    return table.assign(response_columns(table, response, over))


def response_columns(
    table: xr.Dataset,
    response: str,
    over: str,
    members: xr.DataArray | None = None,
) -> dict[str, xr.DataArray]:
    """Return the dose–response of a feature along one dimension (``RESPONSE_NAMES``).

    Parameters
    ----------
    members : the feature of each draw (dimension ``draw``), for intervals
    """
    found = responses_of(table, response, over, members)
    rest = [d for d in table[response].dims if d != over]
    dose = str(table[over].attrs.get("units", ""))
    own = str(table[response].attrs.get("units", ""))
    columns: dict[str, tuple[list[Any], str]] = {
        "EC50": ([r.ec50.value for r in found.flat], dose),
        "EC50_low": ([r.ec50.low for r in found.flat], dose),
        "EC50_high": ([r.ec50.high for r in found.flat], dose),
        "E0": ([r.e0 for r in found.flat], own),
        "Emax": ([r.emax for r in found.flat], own),
        "Hill": ([r.slope for r in found.flat], "1"),
        "mean_response": ([r.mean_response for r in found.flat], own),
    }
    made = {
        name: xr.DataArray(
            np.array(values).reshape(found.shape), dims=rest, attrs={"units": unit}
        )
        for name, (values, unit) in columns.items()
    }
    for name in ("shape", "summary"):
        texts = [r.shape if name == "shape" else r.summary(dose) for r in found.flat]
        block = np.array(texts, dtype=object).reshape(found.shape)
        made[f"dose_response_{name}"] = xr.DataArray(block, dims=rest)
    return made


def responses_of(
    table: xr.Dataset,
    response: str,
    over: str,
    members: xr.DataArray | None = None,
) -> np.ndarray[Any, Any]:
    """Return the ``DoseResponse`` of a feature along one dimension, one a series.

    Parameters
    ----------
    members : the feature of each draw (dimension ``draw``), for intervals

    Returns
    -------
    object array, on the other dimensions of the feature, in their order
    """
    rest = [d for d in table[response].dims if d != over]
    block = table[response].transpose(*rest, over).values
    draws = None if members is None else members.transpose(*rest, over, "draw").values
    floor = FLOORS.get(str(table[response].attrs.get("units", "")), 0.0)
    found = np.empty(block.shape[:-1], dtype=object)
    for place in np.ndindex(found.shape):
        found[place] = dose_response(
            table[over].values,
            block[place],
            floor=floor,
            members=None if draws is None else draws[place].T,
        )
    return found
