"""Numbers that a file leaves open, and those that are taken for them.

They are the numbers that libRoadRunner and COPASI take.
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

from mir21sim.errors import ModelWarning
from mir21sim.model import expressions as ex
from mir21sim.model.network import Network

LeftOpen: TypeAlias = tuple[str, float, str]
"""What is left open, the number taken, and where."""

STOICHIOMETRY = ("stoichiometry", 1.0)
SIZE = ("size", 1.0)
START = ("start value", 0.0)


def with_usual_values(network: Network) -> tuple[Network, tuple[LeftOpen, ...]]:
    """Return a network with numbers where the file gives no size or start value.

    Returns
    -------
    network : Network
    left_open : what was left open, and neither a rule nor an assignment gives
    """
    given = {rule.variable for rule in network.rules}
    given |= {assignment.variable for assignment in network.initial_assignments}
    given |= {name for expr in network.algebraic for name in ex.symbols(expr)}
    open_sizes = (c for c in network.compartments if c.size is None)
    sizes = {c.id for c in open_sizes if c.dimensions > 0} - given  # a point has none
    starts = {s.id for s in network.species if s.initial is None} - given
    if not sizes and not starts:
        return network, ()
    filled = replace(
        network,
        compartments=tuple(
            replace(c, size=SIZE[1]) if c.id in sizes else c
            for c in network.compartments
        ),
        species=tuple(
            replace(s, initial=START[1]) if s.id in starts else s
            for s in network.species
        ),
    )
    left = [(*SIZE, f"`{c.id}`") for c in network.compartments if c.id in sizes]
    left += [(*START, f"`{s.id}`") for s in network.species if s.id in starts]
    return filled, tuple(left)


def warn_of_left_open(name: str, left_open: Sequence[LeftOpen]) -> None:
    """Warn of numbers that a file leaves open, once for each kind."""
    for what, number in (STOICHIOMETRY, SIZE, START):
        places = [place for kind, _, place in left_open if kind == what]
        if places:
            warnings.warn(
                f"{name} gives no {what} for {', '.join(places[:3])}"
                f"{' and others' if len(places) > 3 else ''}; {number:g} is taken.",
                ModelWarning,
                stacklevel=2,
            )
