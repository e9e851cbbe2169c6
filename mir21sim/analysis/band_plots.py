"""Bands of an ensemble: curves with a median and 50 and 95 % bands, and words."""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from mir21sim.errors import InputError
from mir21sim.simulation.ensemble import DRAW, QUANTILES, Ensemble, carriers

MOST_CURVES = 6
"""Curves with bands in one panel; more would hide each other."""


def plot_bands(found: xr.Dataset, quantity: str | None = None) -> Figure:
    """Draw the bands of one quantity over time, a colour for each swept value.

    Parameters
    ----------
    found : from ``bands``
    quantity : its first one by default
    """
    names = [str(n) for n, v in found.data_vars.items() if "quantile" in v.dims]
    name = quantity or names[0]
    if name not in names:
        raise InputError(f"There are no bands of `{name}`; known: {', '.join(names)}.")
    values = found[name]
    swept = [str(d) for d in values.dims if d not in ("quantile", "time")]
    curves = values.stack(curve=swept) if swept else values.expand_dims("curve")
    curves = curves.transpose("curve", "quantile", "time")
    count = curves.sizes["curve"]
    shown = np.unique(np.linspace(0, count - 1, min(count, MOST_CURVES)).astype(int))
    figure, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    colours = plt.get_cmap("viridis")(np.linspace(0.1, 0.8, len(shown)))
    time = found["time"].to_numpy()
    for colour, place in zip(colours, shown, strict=True):
        low, quarter, middle, upper, high = curves[place].to_numpy()
        ax.fill_between(time, low, high, color=colour, alpha=0.15, lw=0)
        ax.fill_between(time, quarter, upper, color=colour, alpha=0.3, lw=0)
        ax.plot(time, middle, color=colour, lw=1.8, label=_label(curves[place], swept))
    unit = values.attrs.get("units", "")
    label = values.attrs.get("long_name", name)
    ax.set_ylabel(f"{label} ({unit})" if unit else label)
    ax.set_xlabel(f"time ({found['time'].attrs.get('units', '')})".replace(" ()", ""))
    ax.set_title("median with 50 and 95 % bands", fontsize="medium")
    if swept:
        ax.legend(frameon=False, fontsize="small")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return figure  # type: ignore[no-any-return]


def _label(curve: xr.DataArray, swept: list[str]) -> str:
    parts = [f"{name} {float(curve[name]):g}" for name in swept]
    return ", ".join(parts)


def band_text(found: xr.Dataset) -> list[str]:
    """Return the last values in words: median and the 95 % band."""
    lines = []
    end = float(found["time"][-1])
    lines.append(f"at {end:g} {found['time'].attrs.get('units', '')}:".rstrip())
    for name, values in found.data_vars.items():
        if "quantile" not in values.dims or set(values.dims) != {"quantile", "time"}:
            continue
        low, _, middle, _, high = values[:, -1].to_numpy()
        unit = values.attrs.get("units", "")
        lines.append(f"  {name!s:28s} {middle:12.5g} ({low:.4g} to {high:.4g}) {unit}")
    return lines if len(lines) > 1 else []


def carrier_text(result: xr.Dataset, ensemble: Ensemble) -> list[str]:
    """Return which parameters carry the width of the first quantity's last value."""
    name = next(
        (str(n) for n, v in result.data_vars.items() if {DRAW, "time"} == set(v.dims)),
        None,
    )
    if name is None:
        return []
    last = result[name].transpose(DRAW, "time").to_numpy()[:, -1]
    if np.isfinite(last).sum() < 3:
        return []
    shares = list(carriers(ensemble, last).items())[:3]
    words = ", ".join(f"{parameter} {100 * share:.0f} %" for parameter, share in shares)
    return [f"width of `{name}` at the end goes along with: {words}"]


def feature_text(features: xr.Dataset) -> list[str]:
    """Return EC50, E0 and Emax over the draws: median and the 95 % band."""
    lines = []
    for name in ("EC50", "E0", "Emax"):
        if name not in features or DRAW not in features[name].dims:
            continue
        values = features[name].to_numpy().ravel()
        good = values[np.isfinite(values)]
        if not len(good):
            lines.append(f"{name}: no draw has one")
            continue
        low, middle, high = np.quantile(good, [QUANTILES[0], 0.5, QUANTILES[-1]])
        share = (
            f"; {len(good)} of {len(values)} draws" if len(good) < len(values) else ""
        )
        lines.append(f"{name}: {middle:.4g} ({low:.4g} to {high:.4g}, 95 %{share})")
    return lines
