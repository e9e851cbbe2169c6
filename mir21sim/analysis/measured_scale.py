"""Factors that bring measured curves to the unit of a simulated one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from mir21sim._typing import FloatArray
from mir21sim.analysis.curves import quantity
from mir21sim.analysis.measured import Measured
from mir21sim.errors import InputError

AUTO = "auto"


def factor_of(
    points: Sequence[Measured],
    labelled: Mapping[str, xr.Dataset],
    observe: str,
    scale: str,
) -> float:
    """Return the factor of all curves of one file.

    Parameters
    ----------
    labelled : results by label. For ``auto`` a measured curve belongs to the result of
        its label; where there is one result only, to that
    scale : a number above 0, or ``auto``: the factor with the least squares of
        (factor × measured − simulated), each divided by its error where errors are
        given

    Raises
    ------
    InputError
        For another `scale`, or where it is not clear which simulated curve is meant.
    """
    if scale != AUTO:
        try:
            factor = float(scale)
        except ValueError:
            factor = math.nan
        if not (math.isfinite(factor) and factor > 0):
            raise InputError(
                f"`scale` must be a number above 0 or `{AUTO}`, got `{scale:.40}`."
            )
        return factor
    above = below = 0.0
    for curve in points:
        simulated = _at(_result_of(curve, labelled), observe, curve.times_h)
        weights = np.isfinite(simulated).astype(float)
        if curve.errors is not None:
            if not (curve.errors > 0).all():
                raise InputError(
                    f"`{curve.label}`: errors must be above 0 to find the scale."
                )
            weights /= curve.errors**2
        above += float(weights @ (curve.values * np.nan_to_num(simulated)))
        below += float(weights @ curve.values**2)
    if not (below > 0 and above > 0):
        raise InputError(
            "No scale above 0 brings the measured points to the curve: they need "
            "values other than 0 within the times of the run, or a number as `scale`."
        )
    return above / below


def scaled(points: Sequence[Measured], factor: float) -> list[Measured]:
    """Return curves with values and errors times a factor, which their labels show."""
    if factor == 1.0:
        return list(points)
    return [
        replace(
            curve,
            label=f"{curve.label} × {factor:.3g}",
            values=curve.values * factor,
            errors=None if curve.errors is None else curve.errors * factor,
        )
        for curve in points
    ]


def _result_of(curve: Measured, labelled: Mapping[str, xr.Dataset]) -> xr.Dataset:
    if curve.label in labelled:
        return labelled[curve.label]
    if len(labelled) == 1:
        return next(iter(labelled.values()))
    raise InputError(
        f"`{curve.label}` is the label of none of the results ({', '.join(labelled)}), "
        f"so `scale={AUTO}` has no curve to fit: label them alike, or give a number."
    )


def _at(result: xr.Dataset, observe: str, times_h: FloatArray) -> FloatArray:
    """Return a simulated curve at the times of points, NaN outside of the run."""
    curve = quantity(result, observe)
    others = [str(d) for d in curve.dims if d != "time"]
    if others:
        raise InputError(
            f"`scale={AUTO}` needs one curve, the result has one for each of "
            f"{', '.join(others)}; give a number for `scale`."
        )
    values: FloatArray = np.interp(
        times_h, result["time"].values, curve.values, left=np.nan, right=np.nan
    )
    return values
