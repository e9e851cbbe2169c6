"""The network with amounts and flows at one time, as a Plotly picture.

Species stand in groups, one a module; an arrow runs from what a reaction uses up to
what it makes, as wide as the reaction is fast at that time.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from mir21sim.analysis.network_plot import SHADES
from mir21sim.compiler.model import CompiledModel
from mir21sim.units import rounded
from mir21sim.web.figures import Figure, _figure, wrapped_label

MOST_SHOWN = 60
"""Species that one picture shows at most; larger networks are shown by module."""

MOST_ARROWS = 140
"""Arrows that one picture shows: the fastest reactions."""

ROW = 74
"""Height of one row of species with their labels, px."""

Place = tuple[float, float]


def network(
    model: CompiledModel,
    result: xr.Dataset,
    modules: Mapping[str, Sequence[str]],
    module: str,
    share: float,
) -> tuple[Figure, str]:
    """Draw the network at a share of the run; return the picture and its time as text.

    Parameters
    ----------
    result : amounts of all species and rates of all reactions over time
    module : the module that is drawn with its neighbours, "" for all
    share : 0 for the start of the run, 1 for its end
    """
    times = result["time"].values
    k = int(np.argmin(np.abs(times - (times[0] + share * (times[-1] - times[0])))))
    unit = str(result["time"].attrs.get("units", "h"))
    when = f"{times[k]:.3g} {unit}"
    groups = _groups(model, modules, module)
    places = _places(groups)
    arrows, left_out = _arrows(model, result, places, k)
    home = {name: m for m, names in groups.items() for name in names}
    traces = [_nodes(result, places, home, list(modules), k)]
    deep = max(-y for _, y in places.values()) + 0.6
    height = int(max(420, ROW * deep))
    figure = _figure(
        traces,
        height,
        hovermode="closest",
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        xaxis={"visible": False, "fixedrange": True},
        yaxis={"visible": False, "fixedrange": True},
        annotations=[*arrows, *_titles(groups, places)],
    )
    more = f"; {left_out} slower reactions are not drawn" if left_out else ""
    kinds = {str(result[name].attrs.get("units", "")) for name in places}
    unit = f" ({kinds.pop()})" if len(kinds) == 1 else ""
    below = f" Below each species: its amount{unit}."
    return (
        figure,
        f"At {when}: {len(places)} species, {len(arrows)} arrows{more}.{below}",
    )


def _groups(
    model: CompiledModel, modules: Mapping[str, Sequence[str]], module: str
) -> dict[str, list[str]]:
    """Return module to the species that are drawn."""
    states = set(model.state_names)
    whole = {m: [s for s in names if s in states] for m, names in modules.items()}
    whole = {m: names for m, names in whole.items() if names}
    if module not in whole:
        count = sum(map(len, whole.values()))
        if count <= MOST_SHOWN:
            return whole
        module = next(iter(whole))
    inside = set(whole[module])
    near: set[str] = set()
    for reaction in model.network.reactions:
        touched = {name for name, _ in (*reaction.reactants, *reaction.products)}
        if touched & inside:
            near |= touched - inside
    others = {
        m: [s for s in names if s in near] for m, names in whole.items() if m != module
    }
    return {module: whole[module], **{m: names for m, names in others.items() if names}}


def _places(groups: Mapping[str, Sequence[str]]) -> dict[str, Place]:
    """Return where each species stands: modules in three columns, species in rings."""
    columns = min(3, max(1, len(groups)))
    found: dict[str, Place] = {}
    rows = [0.0] * columns
    for m, names in enumerate(groups.values()):
        column = m % columns
        wide = 3 if len(names) > 4 else 2
        deep = math.ceil(len(names) / wide)
        for i, name in enumerate(names):
            row, place = divmod(i, wide)
            shift = 0.16 * (row % 2)
            x = column * 3.9 + (place + 0.5) * 3.3 / wide + shift
            found[name] = (x, -(rows[column] + 0.9 + row * 0.95 + 0.25 * (place % 2)))
        rows[column] += 1.0 + deep * 0.95 + 0.6
    return found


def _titles(
    groups: Mapping[str, Sequence[str]], places: Mapping[str, Place]
) -> list[Figure]:
    """Return the names of the modules above their species."""
    found = []
    for k, (name, members) in enumerate(groups.items()):
        found.append(
            {
                "text": f"<b>{name}</b>",
                "x": min(places[s][0] for s in members) - 0.4,
                "y": max(places[s][1] for s in members) + 0.55,
                "xanchor": "left",
                "showarrow": False,
                "font": {"size": 12, "color": SHADES[k % len(SHADES)]},
            }
        )
    return found


def _nodes(
    result: xr.Dataset,
    places: Mapping[str, Place],
    home: Mapping[str, str],
    modules: Sequence[str],
    k: int,
) -> Figure:
    """Return the species as discs, as large as their amount against its own largest."""
    names = list(places)
    amounts = np.array([float(result[n].values[k]) for n in names])
    most = np.array([float(np.nanmax(np.abs(result[n].values))) for n in names])
    full = np.divide(amounts, most, out=np.zeros_like(amounts), where=most > 0)
    unit = [str(result[n].attrs.get("units", "")) for n in names]
    colours = [SHADES[modules.index(home[n]) % len(SHADES)] for n in names]
    return {
        "type": "scatter",
        "mode": "markers+text",
        "x": [places[n][0] for n in names],
        "y": [places[n][1] for n in names],
        "text": [
            f"{wrapped_label(n, 16)}<br>{rounded(a)}"
            for n, a in zip(names, amounts, strict=True)
        ],
        "textposition": "bottom center",
        "textfont": {"size": 10},
        "cliponaxis": False,
        "marker": {
            "size": (8 + 18 * np.sqrt(np.clip(full, 0, 1))).tolist(),
            "color": colours,
            "opacity": (0.35 + 0.6 * np.clip(full, 0, 1)).tolist(),
            "line": {"width": 1, "color": colours},
        },
        "hovertext": [
            f"{n}: {rounded(a, 4)} {u} ({100 * f:.0f} % of its largest)"
            for n, a, u, f in zip(names, amounts, unit, full, strict=True)
        ],
        "hoverinfo": "text",
    }


def _arrows(
    model: CompiledModel, result: xr.Dataset, places: Mapping[str, Place], k: int
) -> tuple[list[Figure], int]:
    """Return the arrows of the fastest reactions, and how many are left out."""
    flows: dict[tuple[str, str], float] = defaultdict(float)
    unit = ""
    for reaction in model.network.reactions:
        if reaction.id not in result:
            continue
        rate = float(result[reaction.id].values[k])
        unit = str(result[reaction.id].attrs.get("units", ""))
        if not math.isfinite(rate) or rate == 0.0:
            continue
        used = [n for n, _ in reaction.reactants if n in places]
        made = [n for n, _ in reaction.products if n in places]
        for a, b in ((a, b) for a in used for b in made if a != b):
            flows[a, b] += rate
    merged = [((a, b) if f > 0 else (b, a), abs(f)) for (a, b), f in flows.items()]
    merged.sort(key=lambda item: -item[1])
    top = merged[0][1] if merged else 1.0
    shown = merged[:MOST_ARROWS]
    found = [
        _arrow((places[a], places[b]), f / top, f"{a} → {b}: {rounded(f)} {unit}")
        for (a, b), f in shown
    ]
    return found, len(merged) - len(shown)


def _arrow(ends: tuple[Place, Place], share: float, words: str) -> dict[str, Any]:
    """Return one arrow; four decades of its share of the largest go thin to wide."""
    a, b = ends
    level = min(1.0, max(0.0, 1.0 + math.log10(share) / 4.0))
    return {
        "x": b[0],
        "y": b[1],
        "ax": a[0],
        "ay": a[1],
        "xref": "x",
        "yref": "y",
        "axref": "x",
        "ayref": "y",
        "showarrow": True,
        "arrowhead": 2,
        "arrowsize": 0.9,
        "arrowwidth": 0.7 + 3.3 * level,
        "arrowcolor": f"rgba(110,120,135,{0.25 + 0.6 * level:.2f})",
        "standoff": 9,
        "startstandoff": 9,
        "text": "",
        "hovertext": words,
        "captureevents": True,
    }
