"""Words and tables for pictures that are drawn by Plotly: a caption and its numbers.

A picture says nothing to a reader of the screen, and little to one who wants a number.
The caption says what each line and shade is; the table has the plotted values at a few
places, rounded as texts are.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import xarray as xr
from dash import html

from mir21sim._typing import FloatArray
from mir21sim.analysis.plot_style import bracketed
from mir21sim.units import rounded
from mir21sim.web.figures import dead_share, response_parts, shown_unit, words_of

ROWS = 13
"""Times of a table: every twelfth of the run."""

Table: TypeAlias = tuple[list[str], list[list[str]]]
"""Heads of the columns, and the rows as text."""


def curves(
    now: xr.Dataset,
    earlier: Sequence[tuple[str, xr.Dataset | None]],
    names: Sequence[str],
    bands: xr.Dataset | None = None,
) -> tuple[str, Table]:
    """Return caption and table of the curves, of the arguments of the picture."""
    shown = [name for name in names if name in now]
    unit = str(now["time"].attrs.get("units", "h"))
    times = now["time"].values
    ghosts = [label for label, result in earlier if result is not None]
    parts = ["Blue: the cell under these settings."]
    if ghosts:
        parts.append(f"Grey: earlier settings ({'; '.join(dict.fromkeys(ghosts))}).")
    if bands is not None:
        parts.append("Shaded: 50 and 95 % of the parameter sets.")
    parts += [_course(now[name], times, unit) for name in shown]
    rows_at = np.unique(np.linspace(0, len(times) - 1, ROWS).round().astype(int))
    head = [f"time{bracketed(unit)}"]
    columns = [times]
    for name in shown:
        head.append(_named(now[name]))
        columns.append(now[name].values)
        if bands is not None and name in bands:
            at = bands[name].transpose("quantile", "time")
            for row, word in ((0, "lower"), (-1, "upper")):
                head.append(f"{word} end, 95 %")
                columns.append(np.interp(times, bands["time"].values, at.values[row]))
    return " ".join(parts), (head, _rows([column[rows_at] for column in columns]))


def _named(variable: xr.DataArray) -> str:
    """Return the name of a quantity with its unit, a share only once."""
    words = words_of(variable)
    unit = "" if "(fraction)" in words else shown_unit(variable)
    return f"{words}{bracketed(unit)}"


def _course(variable: xr.DataArray, times: FloatArray, unit: str) -> str:
    """Return where a curve begins, is largest and ends."""
    values, name = variable.values, _named(variable)
    if not np.isfinite(values).any():
        return f"{name}: no value."
    top = int(np.nanargmax(values))
    sizes = {rounded(float(v)) for v in (np.nanmin(values), values[top], values[-1])}
    if len(sizes) == 1:
        return f"{name}: {sizes.pop()} throughout."
    return (
        f"{name}: from {rounded(float(values[0]))} to {rounded(float(values[-1]))}, "
        f"largest {rounded(float(values[top]))} at {rounded(float(times[top]))} {unit}."
    )


def response(data: xr.Dataset, name: str) -> tuple[str, Table]:
    """Return caption and table of a dose–response."""
    parts = response_parts(data, name)
    head = [f"{parts.dose}{bracketed(parts.dose_unit)}"]
    head.append(f"{parts.words}{bracketed(parts.unit)}")
    columns = [parts.doses, parts.values]
    caption = ["Points: the doses that were run."]
    if parts.bounds is not None:
        head += ["lower end", "upper end"]
        columns += list(parts.bounds)
        band = str(data.attrs.get("band") or data[parts.name].attrs.get("band", ""))
        caption.append(f"Shaded: {band}." if band else "Shaded: its band.")
    if (parts.doses == 0).any() and (parts.doses > 0).any():
        caption.append("Dose 0 stands apart: a logarithmic axis has no place for it.")
    return " ".join(caption), (head, _rows(columns))


def population(data: xr.Dataset, dishes: xr.Dataset) -> tuple[str, Table]:
    """Return caption and table of the dead cells over time."""
    x, y = dead_share(data)
    at = np.linspace(0.0, float(data.attrs["length"]), ROWS)
    share = y[np.searchsorted(x, at, side="right") - 1]
    after = dishes["after"].values
    low, high = (
        np.interp(at, after, dishes[f"dead_{end}"].values) for end in ("low", "high")
    )
    head = ["time after the last dose (h)", "dead cells (%)", "lower end", "upper end"]
    caption = (
        "Above: the share of cells that are dead. Shaded: "
        f"{dishes['dead'].attrs['band']}; darker: 50 %. Below: how many cells die in "
        "each thirtieth of the time."
    )
    return caption, (head, _rows([at, share, low, high]))


def network(figure: dict[str, Any]) -> tuple[str, Table]:
    """Return caption and table of the network: each species, then each arrow."""
    nodes = figure["data"][0]["hovertext"]
    arrows = [note["hovertext"] for note in figure["layout"]["annotations"]
              if "hovertext" in note]  # fmt: skip
    widest = f" The widest: {arrows[0]}." if arrows else ""
    caption = (
        "Discs: amount against the largest of the same species in this run. Arrows: "
        f"net rate; thin to wide is four powers of ten.{widest}"
    )
    rows = [[*text.split(": ", 1)] for text in (*nodes, *arrows)]
    return caption, (["species or reaction", "amount or rate"], rows)


def _rows(columns: Sequence[FloatArray]) -> list[list[str]]:
    """Return the rows of some columns of numbers; a dash where there is none."""
    return [
        [rounded(float(v)) if np.isfinite(v) else "–" for v in row]
        for row in zip(*columns, strict=True)
    ]


def table(found: Table) -> html.Table:
    """Return a table as an element; its first column names the rows."""
    head, rows = found
    return html.Table(
        [
            html.Thead(html.Tr([html.Th(word, scope="col") for word in head])),
            html.Tbody(
                [
                    html.Tr(
                        [
                            html.Th(row[0], scope="row"),
                            *[html.Td(text, className="figure") for text in row[1:]],
                        ]
                    )
                    for row in rows
                ]
            ),
        ],
        className="plain",
    )
