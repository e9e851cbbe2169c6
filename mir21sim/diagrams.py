"""Pictures of a whole model: its network by module, and its verdicts. Layer 14."""

import math
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from mir21sim import ir
from mir21sim.compiled import ModelInfo, unique
from mir21sim.validate import Outcome

COLOURS = {"pass": "#0072B2", "fail": "#D55E00", "conflict": "#999999"}
MARKERS = {"pass": "o", "fail": "X", "conflict": "D"}
"""Colour and shape say the same, so that either is enough (Okabe and Ito 2008)."""

NAMES_SHOWN = 6
REST = "other"
"""Module of the species that no module of the `.toml` lists."""


# ------------------------------------------------------------------------- the network
def modules_of(network: ir.Network, info: ModelInfo) -> dict[str, tuple[str, ...]]:
    """Return module to species, every species in one; without a table, all in one."""
    listed = {s for members in info.modules.values() for s in members}
    left = tuple(s.id for s in network.species if s.id not in listed)
    modules = dict(info.modules)
    if left:
        modules[REST if modules else network.id] = left
    return modules


def crossings(
    network: ir.Network, modules: Mapping[str, Sequence[str]]
) -> Counter[tuple[str, str]]:
    """Return how many reactions carry an influence from one module to another.

    A reaction carries it from every species in its rate to every species that it
    changes; two species that only use each other up do not count.
    """
    home = {s: name for name, members in modules.items() for s in members}
    formulas = {rule.variable: rule.math for rule in network.rules}

    def species_in(expr: ir.Expr) -> set[str]:
        found: set[str] = set()
        todo = list(ir.symbols(expr))
        seen: set[str] = set()
        while todo:
            name = todo.pop()
            if name in home:
                found.add(name)
            elif name in formulas and name not in seen:
                seen.add(name)
                todo += ir.symbols(formulas[name])
        return found

    count: Counter[tuple[str, str]] = Counter()
    for reaction in network.reactions:
        net: dict[str, float] = {}
        for sign, side in ((-1.0, reaction.reactants), (1.0, reaction.products)):
            for name, amount in side:
                net[name] = net.get(name, 0.0) + sign * amount
        changed = {name for name, change in net.items() if change and name in home}
        used = {name for name, _ in reaction.reactants}
        pairs = {
            (home[a], home[b])
            for a in species_in(reaction.rate)
            for b in changed
            if home[a] != home[b] and not (a in used and b in used and a in changed)
        }
        count.update(pairs)
    return count


def plot_network(network: ir.Network, info: ModelInfo) -> Figure:
    """Draw the modules of a network as boxes and what passes between them as arrows.

    Boxes stand in layers, causes above effects as far as loops allow; an arrow is as
    wide as the number of reactions on it, which is written beside it.
    """
    modules = modules_of(network, info)
    links = crossings(network, modules)
    layers = _layers(list(modules), links)
    widest = max(map(len, layers))
    figure = Figure(
        figsize=(max(7.0, 3.3 * widest), max(3.0, 1.75 * len(layers) + 0.8)),
        layout="constrained",
    )
    ax = figure.add_subplot()
    places = {
        name: (widest * (k + 0.5) / len(layer), -float(row))
        for row, layer in enumerate(layers)
        for k, name in enumerate(layer)
    }
    for (source, target), n in sorted(links.items(), key=lambda item: item[1]):
        _arrow(ax, places[source], places[target], n)
    for name, (x, y) in places.items():
        _box(ax, name, modules[name], x, y)
    ax.set_xlim(0, widest)
    ax.set_ylim(-len(layers) + 0.45, 0.55)
    ax.axis("off")
    ax.set_title(
        f"{info.title or network.id}\n{len(network.species)} species, "
        f"{len(network.reactions)} reactions; numbers count the reactions on an arrow",
        fontsize=10,
    )
    return figure


def _layers(
    names: Sequence[str], links: Mapping[tuple[str, str], int]
) -> list[list[str]]:
    """Return the modules in layers: those of a `.toml` stand in their causal order.

    A link to a module that stands earlier closes a loop and does not count.
    """
    rank = {name: k for k, name in enumerate(names)}
    depth: dict[str, int] = {}
    for name in names:
        before = [depth[a] for a, b in links if b == name and rank[a] < rank[name]]
        depth[name] = max(before, default=-1) + 1
    rows = max(1, math.ceil(math.sqrt(len(names))))
    # A chain of single boxes would be a ribbon: squeeze it into about square.
    order = sorted(names, key=lambda n: (depth[n], rank[n]))
    if max(depth.values(), default=0) < rows:
        return [
            [n for n in order if depth[n] == d] for d in range(max(depth.values()) + 1)
        ]
    per_row = math.ceil(len(order) / rows)
    return [order[k : k + per_row] for k in range(0, len(order), per_row)]


def _box(ax: Axes, name: str, members: Sequence[str], x: float, y: float) -> None:
    """Draw one module: name, number of species, the first of them."""
    width, height = 0.80, 0.52
    ax.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0.0,rounding_size=0.05",
            fc="#F4F7FA",
            ec="0.25",
            lw=1.1,
            zorder=3,
        )
    )
    shown = ", ".join(members[:NAMES_SHOWN])
    more = ", …" if len(members) > NAMES_SHOWN else ""
    title = textwrap.shorten(name, 34, placeholder="…")
    ax.text(
        x,
        y + 0.17,
        title,
        ha="center",
        va="center",
        weight="bold",
        fontsize=9,
        zorder=4,
    )
    body = "\n".join(textwrap.wrap(shown + more, 36)[:4])
    ax.text(
        x,
        y + 0.09,
        f"{len(members)} species\n{body}",
        ha="center",
        va="top",
        fontsize=7,
        color="0.2",
        linespacing=1.25,
        zorder=4,
    )


def _arrow(
    ax: Axes, start: tuple[float, float], end: tuple[float, float], n: int
) -> None:
    """Draw an arrow between two boxes, bent so that both directions can be seen."""
    (x0, y0), (x1, y1) = start, end
    a, b = _edge(x0, y0, x1, y1), _edge(x1, y1, x0, y0)
    bend = 0.16
    shade = "#3B6EA5" if (y1, -x1) < (y0, -x0) else "#B5651D"
    ax.add_patch(
        FancyArrowPatch(
            a,
            b,
            connectionstyle=f"arc3,rad={bend}",
            arrowstyle="-|>",
            mutation_scale=9,
            lw=0.6 + 0.45 * math.log1p(n),
            color=shade,
            alpha=0.65,
            zorder=2,
        )
    )
    middle = np.add(a, b) / 2
    along = np.subtract(b, a)
    # A quadratic curve with this bend passes half its control's offset from the chord.
    label = middle + 0.5 * bend * np.array([along[1], -along[0]])
    ax.text(
        float(label[0]),
        float(label[1]),
        str(n),
        fontsize=6.5,
        color=shade,
        ha="center",
        va="center",
        bbox={"boxstyle": "round,pad=0.12", "fc": "white", "ec": "none", "alpha": 0.85},
        zorder=5,
    )


def _edge(x: float, y: float, to_x: float, to_y: float) -> tuple[float, float]:
    """Return where the line to another box leaves this one."""
    dx, dy = to_x - x, to_y - y
    half_x, half_y = 0.42, 0.28
    scale = min(
        half_x / abs(dx) if dx else math.inf, half_y / abs(dy) if dy else math.inf
    )
    return x + scale * dx, y + scale * dy


# ------------------------------------------------------------------------ the verdicts
def plot_validation(outcomes: Sequence[Outcome]) -> Figure:
    """Draw the verdicts: observations against their range, claims by cell line.

    Observations are drawn relative to the measured value, so that all fit one axis;
    what lies outside the axis stands at its edge.
    """
    measured = [o for o in outcomes if o.kind == "observation"]
    claims = [o for o in outcomes if o.kind == "claim"]
    rows = max(len(measured), len(unique(o.id + o.what for o in claims)), 4)
    figure = Figure(figsize=(15.5, 2.2 + 0.235 * rows), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _draw_measured(left, measured)
    _draw_claims(right, claims)
    counts = Counter(str(o.verdict) for o in outcomes)
    figure.legend(
        handles=[
            Line2D(
                [], [], ls="", marker=MARKERS[v], color=COLOURS[v], ms=7,
                label=f"{v} ({counts[v]})",
            )
            for v in COLOURS
        ],
        loc="outside upper center",
        ncols=3,
        frameon=False,
    )  # fmt: skip
    return figure


def _draw_measured(ax: Axes, outcomes: Sequence[Outcome]) -> None:
    """Draw predicted over observed, with the accepted range as a bar."""
    ax.set_title("Observations: prediction relative to the measured value", fontsize=11)
    limit = 4.0
    for k, o in enumerate(outcomes):
        scale = _scale(o)
        low, high, value = (
            _relative(x, o.observed, scale) for x in (o.low, o.high, o.predicted)
        )
        ax.plot(
            np.clip([low, high], -limit, limit),
            [k, k],
            color="0.65",
            lw=5,
            solid_capstyle="butt",
            zorder=1,
        )
        ax.plot(0.0, k, marker="|", color="0.2", ms=9, zorder=2)
        if math.isnan(value):
            note = textwrap.shorten(o.reason, 44, placeholder="…")
            ax.text(0.1, k, f"  {note}", va="center", fontsize=7, color=COLOURS["fail"])
            continue
        ax.plot(
            np.clip(value, -limit, limit),
            k,
            ls="",
            marker=MARKERS[o.verdict],
            color=COLOURS[o.verdict],
            ms=6.5,
            zorder=3,
        )
        ax.text(
            limit * 1.04,
            k,
            f"{o.predicted:.3g} / {o.observed:.3g} {o.unit}",
            va="center",
            fontsize=7,
            color="0.25",
        )
    ax.set_yticks(
        range(len(outcomes)),
        [f"{textwrap.shorten(o.what, 52, placeholder='…')}  {o.id}" for o in outcomes],
        fontsize=7.5,
    )
    ticks = (-4, -2, -1, 0, 1, 2, 4)
    ax.set_xticks(ticks, [f"{2.0**t:g}×" for t in ticks])
    ax.set_xlim(-limit * 1.03, limit * 1.03)
    ax.set_ylim(len(outcomes) - 0.4, -0.6)
    ax.set_xlabel(
        "prediction over measurement (shares: their difference, 0.25 a doubling);\n"
        "grey bar: accepted range; right: predicted / observed",
        fontsize=8.5,
    )
    ax.grid(axis="x", color="0.92", lw=0.6)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)


def _scale(o: Outcome) -> float:
    """Return what a share's difference is divided by; 0 for ratios."""
    return 0.25 if o.unit == "fraction" or o.low <= 0 or o.observed <= 0 else 0.0


def _relative(value: float, observed: float, scale: float) -> float:
    """Return where a value stands: doublings from the observed, or difference."""
    if math.isnan(value):
        return math.nan
    if scale:
        return (value - observed) / scale
    return math.log2(value / observed) if value > 0 else -math.inf


def _draw_claims(ax: Axes, outcomes: Sequence[Outcome]) -> None:
    """Draw one dot a claim and cell line."""
    ax.set_title("Claims, by cell line", fontsize=11)
    lines = unique(o.context for o in outcomes)
    keys = list(dict.fromkeys((o.id, o.what) for o in outcomes))
    for o in outcomes:
        ax.plot(
            lines.index(o.context),
            keys.index((o.id, o.what)),
            ls="",
            marker=MARKERS[o.verdict],
            color=COLOURS[o.verdict],
            ms=6.5,
        )
    ax.set_xticks(range(len(lines)), lines, rotation=45, ha="left", fontsize=8)
    ax.xaxis.tick_top()
    ax.set_yticks(
        range(len(keys)),
        [f"{textwrap.shorten(what, 58, placeholder='…')}  {id_}" for id_, what in keys],
        fontsize=7.5,
    )
    ax.set_xlim(-0.6, max(len(lines), 1) - 0.4)
    ax.set_ylim(len(keys) - 0.4, -0.6)
    ax.grid(color="0.93", lw=0.6)
    ax.set_axisbelow(True)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
