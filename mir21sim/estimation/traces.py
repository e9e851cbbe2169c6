"""One quantity over time under some conditions: values and crossings, with derivatives.

A crossing time is the root of the cubic through the four grid points around it, so that
its derivative is exact: dT/dθ = −(Σ w_k ∂g_k/∂θ)/(Σ w_k' g_k), with the weights w of
the cubic at T.
"""

import math
from dataclasses import dataclass

import numpy as np

from mir21sim._typing import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Traces:
    """One quantity under some conditions.

    Attributes
    ----------
    time : float array, shape (n_time,), in the unit of the data
    value : float array, shape (n_trace, n_time)
    slope : float array, shape (n_trace, n_time, n_free), by linear parameters
    """

    time: FloatArray
    value: FloatArray
    slope: FloatArray


def weights(nodes: FloatArray, at: float) -> tuple[FloatArray, FloatArray]:
    """Return the weights of a polynomial through some nodes, and their derivatives."""
    n = len(nodes)
    value, slope = np.ones(n), np.zeros(n)
    for k in range(n):
        for j in range(n):
            if j == k:
                continue
            gap = nodes[k] - nodes[j]
            slope[k] = slope[k] * (at - nodes[j]) / gap + value[k] / gap
            value[k] *= (at - nodes[j]) / gap
    return value, slope


def crossing(traces: Traces, row: int, level: float) -> tuple[float, FloatArray]:
    """Return where a trace first rises to a level, NaN where it does not.

    Returns
    -------
    place : in the unit of ``traces.time``
    slope : float array, shape (n_free,), its derivatives
    """
    found = crossing_or_none(traces, row, level)
    if found is None:
        return math.nan, np.full(traces.slope.shape[2], np.nan)
    return found


def crossing_or_none(
    traces: Traces, row: int, level: float
) -> tuple[float, FloatArray] | None:
    """Return where a trace first rises to a level, as ``crossing``; None for never."""
    values, time = traces.value[row], traces.time
    above = values >= level
    rises = np.flatnonzero(~above[:-1] & above[1:])
    if not len(rises):
        return None
    first = int(np.clip(rises[0] - 1, 0, len(time) - 4))
    chosen = slice(first, first + 4)
    nodes, g = time[chosen], values[chosen]
    low, high = float(time[rises[0]]), float(time[rises[0] + 1])
    for _ in range(80):
        middle = 0.5 * (low + high)
        if weights(nodes, middle)[0] @ g < level:
            low = middle
        else:
            high = middle
    place = 0.5 * (low + high)
    w, dw = weights(nodes, place)
    return place, -(w @ traces.slope[row, chosen]) / (dw @ g)


def at_times(
    traces: Traces, row: int, times: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return a trace and its derivatives at some times, by the same cubics."""
    g, dg = [], []
    for at in times:
        first = int(np.searchsorted(traces.time, at) - 2)
        chosen = slice(*(np.clip(first, 0, len(traces.time) - 4) + np.array([0, 4])))
        w, _ = weights(traces.time[chosen], float(at))
        g.append(w @ traces.value[row, chosen])
        dg.append(w @ traces.slope[row, chosen])
    return np.array(g), np.array(dg)
