"""The time in which the curves of single cells switch, for a picture that can be read.

A cell that dies switches within minutes of a run of days: on the whole axis of time its
curve is a vertical line, and those of several doses cover each other.
"""

import numpy as np
import xarray as xr

from mir21sim.analysis.curves import curve_features, quantity

SHARP = 0.05
"""Share of a run: a rise from 10 to 90 % in less time cannot be read on its axis."""

WIDEST = 0.4
"""Share of a run: a window as wide as this shows no more than the whole axis."""

STEPS = 5
"""Output steps that a window has at least on each side of the rises."""


def switch_window(result: xr.Dataset, observe: str) -> tuple[float, float] | None:
    """Return the first and last time in which all sharp rises of a quantity lie.

    Parameters
    ----------
    result : from ``simulate`` or ``sweep``
    observe : the quantity

    Returns
    -------
    start and end, in the unit of the result's times; None where no curve rises sharply,
    or where the rises are spread over much of the run

    Examples
    --------
    >>> t = np.linspace(0, 48, 481)
    >>> curve = 0.5 + 0.5 * np.tanh(20 * (t - 26))
    >>> run = xr.Dataset({"C": ("time", curve)}, {"time": t})
    >>> [round(float(time), 1) for time in switch_window(run, "C")]
    [25.4, 26.7]
    >>> slow = xr.Dataset({"C": ("time", t)}, {"time": t})
    >>> switch_window(slow, "C") is None
    True
    """
    times = result["time"].values.astype(float)
    if len(times) < 2:
        return None
    curves = quantity(result, observe).transpose(..., "time").values
    span = times[-1] - times[0]
    found = [curve_features(times, c, times[0]) for c in curves.reshape(-1, len(times))]
    rises = [f for f in found if f["switch_time_h"] < SHARP * span]  # NaN: no rise
    if not rises:
        return None
    first = times[0] + min(f["lag_h"] for f in rises)
    # The half-width of the slowest rise past its middle: a peak may come much later.
    last = times[0] + max(f["t_half_h"] + f["switch_time_h"] for f in rises)
    pad = max(STEPS * float(np.diff(times).max()), 0.3 * (last - first))
    start, end = max(first - pad, times[0]), min(last + pad, times[-1])
    return (start, end) if end - start < WIDEST * span else None
