"""Pictures of a whole model: its network by module, and its verdicts."""

import math
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from mir21sim._typing import FloatArray
from mir21sim.analysis.pictures import Picture
from mir21sim.model.expressions import Expr, symbols
from mir21sim.model.info import ModelInfo
from mir21sim.model.network import Network

NAMES_SHOWN = 6
REST = "other"
"""Module of the species that no module of the `.toml` lists."""


# ------------------------------------------------------------------------- the network
def modules_of(network: Network, info: ModelInfo) -> dict[str, tuple[str, ...]]:
    """Return module to species, every species in one; without a table, all in one."""
    listed = {s for members in info.modules.values() for s in members}
    left = tuple(s.id for s in network.species if s.id not in listed)
    modules = dict(info.modules)
    if left:
        modules[REST if modules else network.id] = left
    return modules


def crossings(
    network: Network, modules: Mapping[str, Sequence[str]]
) -> Counter[tuple[str, str]]:
    """Return how many reactions carry an influence from one module to another.

    A reaction carries it from every species in its rate to every species that it
    changes; two species that only use each other up do not count.
    """
    home = {s: name for name, members in modules.items() for s in members}
    formulas = {rule.variable: rule.math for rule in network.rules}

    def species_in(expr: Expr) -> set[str]:
        found: set[str] = set()
        todo = list(symbols(expr))
        seen: set[str] = set()
        while todo:
            name = todo.pop()
            if name in home:
                found.add(name)
            elif name in formulas and name not in seen:
                seen.add(name)
                todo += symbols(formulas[name])
        return found

    count: Counter[tuple[str, str]] = Counter()
    for reaction in network.reactions:
        net = reaction.net()
        changed = {n for n, change in net.items() if change != 0.0 and n in home}
        used = {name for name, _ in reaction.reactants}
        pairs = {
            (home[a], home[b])
            for a in species_in(reaction.rate)
            for b in changed
            if home[a] != home[b] and not (a in used and b in used and a in changed)
        }
        count.update(pairs)
    return count


def plot_network(network: Network, info: ModelInfo) -> Figure:
    """Draw the modules of a network as boxes and the influences between them as arrows.

    Boxes stand around a frame in the order of the `.toml`, clockwise from the top
    left, so that no arrow runs through one. An arrow is as wide as the number of
    reactions on it, which stands near its start; a thin one is a single reaction.
    """
    modules = modules_of(network, info)
    links = crossings(network, modules)
    places, (width, height) = _frame(list(modules))
    figure = Picture(figsize=(width, height + 0.7), layout="constrained")
    ax = figure.add_subplot()
    centre = np.array([width / 2, height / 2])
    for (source, target), n in sorted(links.items(), key=lambda item: item[1]):
        colour = SHADES[list(modules).index(source) % len(SHADES)]
        _arrow(ax, (places[source], places[target]), centre, n, colour)
    for k, (name, place) in enumerate(places.items()):
        _box(ax, name, modules[name], place, SHADES[k % len(SHADES)])
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.axis("off")
    arrows = (
        f"{len(network.species)} species, {len(network.reactions)} reactions. Arrows: "
        "reactions by which one module acts on another (number near the start), in "
        "the colour of the one that acts."
    )
    title = (info.title or network.id, arrows)
    letters = int(width * LETTERS_PER_INCH)
    ax.set_title("\n".join(textwrap.fill(line, letters) for line in title), fontsize=11)
    return figure


BOX = (2.55, 1.15)
"""Width and height of a module's box, in."""

GAP = (0.35, 0.4)

LETTERS_PER_INCH = 12
"""Letters of the title that fit into an inch at its size."""

SHADES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8C6D00", "#4F6D7A")


def _frame(
    names: Sequence[str],
) -> tuple[dict[str, FloatArray], tuple[float, float]]:
    """Return the centre of each box around a frame, and the frame's size, in."""
    n = len(names)
    step_x, step_y = BOX[0] + GAP[0], BOX[1] + GAP[1]
    if n <= 3:
        row = {
            name: np.array([step_x * (k + 0.5), step_y / 2])
            for k, name in enumerate(names)
        }
        return row, (max(step_x * n, 7.0), step_y)
    top = math.ceil(n / 5)
    bottom = min(top, n - top)
    right = math.ceil((n - top - bottom) / 2)
    left = n - top - bottom - right
    sides = max(right, left)
    width, height = step_x * (max(top, bottom) + 2), step_y * (sides + 2)

    def along(count: int, full: float, step: float) -> FloatArray:
        middle = full / 2 + step * (np.arange(count) - (count - 1) / 2)
        return np.asarray(middle, dtype=float)

    spots = [
        *((x, height - step_y / 2) for x in along(top, width, step_x)),
        *((width - step_x / 2, y) for y in along(right, height, step_y)[::-1]),
        *((x, step_y / 2) for x in along(bottom, width, step_x)[::-1]),
        *((step_x / 2, y) for y in along(left, height, step_y)),
    ]
    places = {name: np.array(spot) for name, spot in zip(names, spots, strict=True)}
    return places, (width, height)


def _box(
    ax: Axes, name: str, members: Sequence[str], place: FloatArray, colour: str
) -> None:
    """Draw one module: name, number of species, the first of them."""
    width, height = BOX
    x, y = float(place[0]), float(place[1])
    ax.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0.0,rounding_size=0.1",
            fc="white",
            ec=colour,
            lw=1.6,
            zorder=3,
        )
    )
    title = textwrap.wrap(name, 30)[:2]
    more = ", …" if len(members) > NAMES_SHOWN else ""
    body = textwrap.wrap(", ".join(members[:NAMES_SHOWN]) + more, 38)[:3]
    ax.text(
        x,
        y + height / 2 - 0.07,
        "\n".join(title),
        ha="center",
        va="top",
        weight="bold",
        fontsize=8.5,
        zorder=4,
    )
    ax.text(
        x,
        y + height / 2 - 0.10 - 0.16 * len(title),
        "\n".join([f"{len(members)} species", *body]),
        ha="center",
        va="top",
        fontsize=7,
        color="0.2",
        linespacing=1.2,
        zorder=4,
    )


def _arrow(
    ax: Axes,
    ends: tuple[FloatArray, FloatArray],
    centre: FloatArray,
    n: int,
    colour: str,
) -> None:
    """Draw an arrow bent towards the centre, its two directions side by side."""
    start, end = ends
    along = end - start
    aside = np.array([along[1], -along[0]]) / max(float(np.hypot(*along)), 1e-9)
    bend = (start + end) / 2 * 0.52 + centre * 0.48 + 0.22 * aside
    first, last = _edge(start, bend), _edge(end, bend)
    ax.add_patch(
        FancyArrowPatch(
            path=Path([first, bend, last], [Path.MOVETO, Path.CURVE3, Path.CURVE3]),
            arrowstyle="-|>",
            mutation_scale=9,
            lw=0.5 + 0.55 * math.log(n),
            color=colour,
            alpha=0.5 if n == 1 else 0.8,
            fill=True,
            fc="none",
            zorder=1 if n == 1 else 2,
        )
    )
    if n > 1:
        t = 0.2
        at = (1 - t) ** 2 * first + 2 * t * (1 - t) * bend + t**2 * last
        ax.text(
            float(at[0]),
            float(at[1]),
            str(n),
            fontsize=7,
            color=colour,
            ha="center",
            va="center",
            bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none"},
            zorder=2.5,
        )


def _edge(box: FloatArray, towards: FloatArray) -> FloatArray:
    """Return where the line from a box's centre leaves the box."""
    way = towards - box
    half = np.array(BOX) / 2 + 0.03
    with np.errstate(divide="ignore"):
        scale = float(np.min(half / np.abs(way)))
    edge: FloatArray = box + min(scale, 1.0) * way
    return edge


# ------------------------------------------------------------------------ the verdicts
