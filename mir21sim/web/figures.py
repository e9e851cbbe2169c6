"""Plotly pictures of curves, dose–responses and deaths, as plain dictionaries.

Colours of text, axes and grids come from the style sheet, so that one picture suits the
light and the dark page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from mir21sim._typing import FloatArray
from mir21sim.analysis.curves import dose_records
from mir21sim.analysis.plot_style import OVERLAY_COLOURS, bracketed, places, wrapped
from mir21sim.units import rounded

Figure: TypeAlias = dict[str, Any]

PANEL = 176
"""Height of one panel of curves, px."""

GHOST = "rgba(128,134,145,0.55)"
"""Colour of an earlier setting."""

NOW = OVERLAY_COLOURS[0]
FILL = "rgba(0,114,178,0.22)"
DEAD = OVERLAY_COLOURS[1]
DEAD_FILL = "rgba(213,94,0,0.2)"


def empty(text: str = "", height: int = 260) -> Figure:
    """Return a picture without axes that says one thing."""
    note = {
        "text": text,
        "showarrow": False,
        "x": 0.5,
        "y": 0.5,
        "xref": "paper",
        "yref": "paper",
    }
    return _figure(
        [],
        height,
        xaxis={"visible": False},
        yaxis={"visible": False},
        annotations=[note] if text else [],
    )


def _figure(data: list[Figure], height: int, **layout: Any) -> Figure:
    """Return a picture in the style of the page."""
    return {
        "data": data,
        "layout": {
            "height": height,
            "margin": {"l": 64, "r": 16, "t": 28, "b": 44},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": "system-ui, sans-serif", "size": 13},
            "hovermode": "x unified",
            "showlegend": False,
            "template": {"layout": {}},
            "autosize": True,
            "uirevision": "kept",
            **layout,
        },
    }


def _axis(title: str, **more: Any) -> Figure:
    return {
        "title": {"text": title, "font": {"size": 13}, "standoff": 8},
        "gridcolor": "rgba(128,134,145,0.22)",
        "zeroline": False,
        "automargin": True,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": "rgba(128,134,145,0.6)",
        "linecolor": "rgba(128,134,145,0.6)",
        "showline": True,
        **more,
    }


_UNITS = {
    "1": "share",
    "dimensionless": "share",
    "molecule": "molecules per cell",
}
"""Unit of a result → as the page writes it, where the two differ."""


def shown_unit(variable: xr.DataArray) -> str:
    """Return the unit of a quantity for its axis."""
    unit = str(variable.attrs.get("units", ""))
    return _UNITS.get(unit, unit)


def words_of(variable: xr.DataArray) -> str:
    """Return the name of a quantity for a reader."""
    return str(variable.attrs.get("long_name", variable.name))


def _heading(text: str, domain: Sequence[float]) -> Figure:
    """Return the heading of a panel, above its left end."""
    return {
        "text": text,
        "showarrow": False,
        "x": 0,
        "xanchor": "left",
        "xref": "paper",
        "y": domain[1],
        "yanchor": "bottom",
        "yref": "paper",
        "font": {"size": 13},
    }


def _rows(count: int, height: int) -> list[tuple[float, float]]:
    """Return the ends of panels below each other, the first at the top."""
    gap = 46 / height if count > 1 else 0.0
    size = (1.0 - gap * (count - 1)) / count
    return [
        (max(0.0, 1.0 - k * (size + gap) - size), 1.0 - k * (size + gap))
        for k in range(count)
    ]


# ------------------------------------------------------------------------------ curves
def curves(
    now: xr.Dataset,
    earlier: Sequence[tuple[str, xr.Dataset | None]],
    names: Sequence[str],
    bands: xr.Dataset | None = None,
) -> Figure:
    """Draw one panel a quantity: the curve of now, those of earlier settings in grey.

    Parameters
    ----------
    earlier : label and result of earlier settings, None where they had no curves
    bands : quantiles of an ensemble under the same settings, see ``bands``
    """
    shown = [name for name in names if name in now]
    if not shown:
        return empty("Choose a quantity to draw.")
    height = max(260, PANEL * len(shown) + 60)
    data: list[Figure] = []
    layout: dict[str, Any] = {"annotations": []}
    unit = str(now["time"].attrs.get("units", "h"))
    for k, (name, domain) in enumerate(
        zip(shown, _rows(len(shown), height), strict=True)
    ):
        own = "" if k == 0 else str(k + 1)
        for label, result in earlier:
            if result is not None and name in result:
                data.append(_line(result, name, own, label=label, earlier=True))
        if bands is not None and name in bands:
            data += _bands(bands, name, own)
        data.append(_line(now, name, own, label="now"))
        variable = now[name]
        layout["annotations"].append(_heading(f"<b>{words_of(variable)}</b>", domain))
        layout[f"yaxis{own}"] = _axis(
            shown_unit(variable),
            domain=list(domain),
            anchor="x",
            rangemode="tozero",
            nticks=5,
            zeroline=True,
            zerolinecolor="rgba(128,134,145,0.6)",
            zerolinewidth=1,
        )
    # One axis of time for all panels: axes of their own that `matches` ties together
    # lose their ranges where a panel is drawn while it is hidden.
    layout["xaxis"] = _axis(f"time{bracketed(unit)}", anchor=f"y{own}")
    layout["shapes"], names_of_doses = _dose_marks(now)
    layout["annotations"] += names_of_doses
    return _figure(data, height, **layout)


def _line(
    result: xr.Dataset, name: str, axis: str, *, label: str, earlier: bool = False
) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": _plain(result["time"].values),
        "y": _plain(result[name].values),
        "yaxis": f"y{axis}",
        "name": label,
        "line": {
            "color": GHOST if earlier else NOW,
            "width": 1.4 if earlier else 2.4,
            "simplify": False,
        },
        "hovertemplate": f"%{{y:.4g}} {label}<extra></extra>",
    }


def _bands(bands: xr.Dataset, name: str, axis: str) -> list[Figure]:
    """Return the 95 and 50 % bands of an ensemble."""
    quantiles = bands[name].transpose("quantile", "time").values
    times = bands["time"].values
    found = []
    for low, high in ((0, -1), (1, -2)):
        x = np.concatenate([times, times[::-1]])
        y = np.concatenate([quantiles[low], quantiles[high][::-1]])
        found.append(
            {
                "type": "scatter",
                "x": _plain(x),
                "y": _plain(y),
                "yaxis": f"y{axis}",
                "fill": "toself",
                "fillcolor": FILL,
                "line": {"width": 0},
                "hoverinfo": "skip",
                "mode": "lines",
            }
        )
    return found


def _dose_marks(result: xr.Dataset) -> tuple[list[Figure], list[Figure]]:
    """Return dotted lines at the times of doses, and what is given as their names."""
    given: dict[float, list[str]] = {}
    for dose in dose_records(result):
        given.setdefault(float(dose["time"]), []).append(str(dose["target"]))
    lines = [
        {
            "type": "line",
            "x0": at,
            "x1": at,
            "y0": 0,
            "y1": 1,
            "xref": "x",
            "yref": "paper",
            "line": {"color": GHOST, "width": 1, "dash": "dot"},
        }
        for at in sorted(given)
    ]
    late = float(result["time"][-1]) * 0.8
    names = [
        {
            "text": ", ".join(dict.fromkeys(given[at])),
            "x": at,
            "xanchor": "right" if at > late else "left",
            "y": 1,
            "yanchor": "top",
            "xref": "x",
            "yref": "paper",
            "showarrow": False,
            "font": {"size": 11},
        }
        for at in sorted(given)[:MOST_NAMED]
    ]
    return lines, names


MOST_NAMED = 3
"""Doses that are named at their lines; the names of more would cover each other."""


# ------------------------------------------------------------------------ dose–response
@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """The parts of a dose–response, in ascending order of its doses.

    Attributes
    ----------
    name, words, unit : of the response
    dose, dose_unit : the axis
    doses, values : float arrays, shape (n_dose,)
    bounds : lower and upper end of the band, None for the average cell
    """

    name: str
    words: str
    unit: str
    dose: str
    dose_unit: str
    doses: FloatArray
    values: FloatArray
    bounds: tuple[FloatArray, ...] | None


def response_parts(data: xr.Dataset, name: str) -> Response:
    """Return the parts of a response: of dishes with bands, or of the average cell."""
    dishes = "dead_end" in data
    if dishes:
        name = name if name in data and f"{name}_low" in data else "dead_end"
    else:
        name = name if name in data else "peak"
        data = data.isel(result=0) if "result" in data.dims else data
    coordinate = data[str(data[name].dims[0])]
    doses = coordinate.values.astype(float)
    order = np.argsort(doses)
    bounds = None
    if dishes:
        bounds = tuple(data[f"{name}_{end}"].values[order] for end in ("low", "high"))
    return Response(
        name=name,
        words=str(data[name].attrs.get("long_name", name.replace("_", " "))),
        unit=str(data[name].attrs.get("units", "")),
        dose=str(coordinate.attrs.get("long_name", coordinate.name)),
        dose_unit=str(coordinate.attrs.get("units", "")),
        doses=doses[order],
        values=data[name].values[order],
        bounds=bounds,
    )


def response(data: xr.Dataset, name: str) -> Figure:
    """Draw a response by dose: of dishes with their bands, or of the average cell."""
    parts = response_parts(data, name)
    doses, at = parts.doses, places(parts.doses)
    traces: list[Figure] = []
    if parts.bounds is not None:
        low, high = parts.bounds
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": _plain(np.concatenate([at, at[::-1]])),
                "y": _plain(np.concatenate([low, high[::-1]])),
                "fill": "toself",
                "fillcolor": FILL,
                "line": {"width": 0},
                "hoverinfo": "skip",
            }
        )
    traces.append(
        {
            "type": "scatter",
            "mode": "lines+markers",
            "x": _plain(at),
            "y": _plain(parts.values),
            "customdata": _plain(doses),
            "line": {"color": NOW, "width": 2.4},
            "marker": {"size": 7},
            "hovertemplate": "%{customdata:.4g}: %{y:.4g}<extra></extra>",
        }
    )
    return _figure(
        traces,
        420,
        hovermode="closest",
        annotations=_break_of(doses),
        xaxis=_dose_axis(f"{parts.dose}{bracketed(parts.dose_unit)}", doses),
        yaxis=_axis(f"{parts.words}{bracketed(parts.unit)}", rangemode="tozero"),
    )


def _break_of(doses: FloatArray) -> list[Figure]:
    """Return the mark of a broken axis between dose 0 and the others, if there is 0."""
    positive = doses[doses > 0]
    if not positive.size or not (doses == 0).any():
        return []
    zero = float(places(doses)[doses == 0][0])
    return [
        {
            "text": "//",
            "x": float(np.log10(zero * positive.min())) / 2,  # of a logarithmic axis
            "xref": "x",
            "y": 0,
            "yref": "paper",
            "yanchor": "middle",
            "showarrow": False,
            "font": {"size": 14},
        }
    ]


def _dose_axis(title: str, doses: FloatArray) -> Figure:
    """Return a logarithmic axis on which dose 0 stands apart at the left."""
    positive = doses[doses > 0]
    if not positive.size:
        return _axis(title)
    powers = np.arange(
        np.floor(np.log10(positive.min())), np.ceil(np.log10(positive.max())) + 1
    )
    ticks = [10.0**p for p in powers]
    texts = [rounded(tick) for tick in ticks]
    if (doses == 0).any():
        zero = float(places(doses)[doses == 0][0])
        ticks = [zero, *(t for t in ticks if t > zero)]
        texts = ["0", *(rounded(t) for t in ticks[1:])]
    return _axis(title, type="log", tickvals=ticks, ticktext=texts)


# -------------------------------------------------------------------------- population
def population(data: xr.Dataset, dishes: xr.Dataset) -> Figure:
    """Draw the share of dead cells over time, and how many die when.

    Parameters
    ----------
    data : of ``simulate_population``, with ``death_time``
    dishes : of ``dish``: the band of the share over time after the last dose
    """
    x, y = dead_share(data)
    length, when = float(data.attrs["length"]), x[1:-1]
    bins = np.linspace(0.0, max(length, 1e-9), 31)
    count, _ = np.histogram(when, bins)
    centre = (bins[1:] + bins[:-1]) / 2
    step = {
        "type": "scatter",
        "mode": "lines",
        "x": _plain(x),
        "y": _plain(y),
        "line": {"shape": "hv", "color": DEAD, "width": 2.4},
        "hovertemplate": "%{y:.3g} % dead by %{x:.3g} h<extra></extra>",
    }
    bars = {
        "type": "bar",
        "x": _plain(centre),
        "y": count.tolist(),
        "xaxis": "x2",
        "yaxis": "y2",
        "marker": {"color": DEAD, "opacity": 0.75},
        "width": float(bins[1] - bins[0]) * 0.9,
        "hovertemplate": "%{y} cells die about %{x:.3g} h<extra></extra>",
    }
    (top, bottom) = _rows(2, 460)
    return _figure(
        [*_band_of_dead(dishes), step, bars],
        460,
        hovermode="closest",
        annotations=[
            _heading("<b>Dead cells</b>", top),
            _heading("<b>When they die</b>", bottom),
        ],
        yaxis=_axis("% of cells", domain=list(top), range=[0, 104], anchor="x"),
        xaxis=_axis("", anchor="y", range=[0, length], showticklabels=False),
        yaxis2=_axis(
            "cells", domain=list(bottom), anchor="x2", rangemode="tozero", nticks=5
        ),
        xaxis2=_axis("time after the last dose (h)", anchor="y2", range=[0, length]),
    )


def dead_share(data: xr.Dataset) -> tuple[FloatArray, FloatArray]:
    """Return times of death with 0 and the end, and the share that is dead then, %.

    Cells that are dead at time 0 and those of failed runs are not counted.
    """
    died = data["death_time"].values.ravel()
    known = died[~np.isnan(died)]
    alive = known[known > 0]
    when = np.sort(alive[np.isfinite(alive)])
    share = 100.0 * np.arange(len(when) + 1) / max(1, len(alive))
    x = np.concatenate([[0.0], when, [float(data.attrs["length"])]])
    return x, np.concatenate([share, share[-1:]])


def _band_of_dead(dishes: xr.Dataset) -> list[Figure]:
    """Return the outer and inner band of the share of dead cells."""
    after = dishes["after"].values
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": _plain(np.concatenate([after, after[::-1]])),
            "y": _plain(
                np.concatenate(
                    [
                        dishes[f"dead_low{end}"].values,
                        dishes[f"dead_high{end}"].values[::-1],
                    ]
                )
            ),
            "fill": "toself",
            "fillcolor": DEAD_FILL,
            "line": {"width": 0},
            "hoverinfo": "skip",
        }
        for end in ("", "50")
    ]


def _plain(values: FloatArray) -> list[float | None]:
    """Return numbers that JSON can hold: six digits, none where there is no number."""
    good = np.isfinite(values)
    return [
        float(f"{v:.6g}") if ok else None for v, ok in zip(values, good, strict=True)
    ]


def wrapped_label(text: str, width: int = 26) -> str:
    """Return a text in lines for a label of a picture."""
    return wrapped(text, width).replace("\n", "<br>")
