"""A sound network to break in tests of checks, one thing at a time."""

from dataclasses import replace

import support
from support import ITEM, PICOLITRE, expr, reaction

from mir21sim.model.network import ModelUnits, Rule

SECOND = (("second", 1.0, 0, 1.0),)
PER_S = (("second", -1.0, 0, 1.0),)
PER_MOLECULE_S = (("item", -1.0, 0, 1.0), ("second", -1.0, 0, 1.0))
DIMENSIONLESS = (("dimensionless", 1.0, 0, 1.0),)
LITRE = (("litre", 1.0, 0, 1.0),)

SOUND = support.network(
    {"A": 3.0, "B": 1.0},
    {"k1": 0.5, "k2": 0.1},
    [reaction("r1", "A -> B", "k1*A"), reaction("r2", "B ->", "k2*B")],
    rules={"total": "A + B"},
    units=ModelUnits(SECOND, ITEM, PICOLITRE, ITEM),
)


def with_units(**units):
    """Return the sound network with units of its parameters; others stay open."""
    parameters = tuple(replace(p, unit=units.get(p.id)) for p in SOUND.parameters)
    return replace(SOUND, parameters=parameters)


def with_rate(rate, arrow="A -> B", net=SOUND):
    """Return the network with another first reaction."""
    return replace(net, reactions=(reaction("r1", arrow, rate), *net.reactions[1:]))


def with_rule(variable, formula, kind="assignment", net=SOUND):
    return replace(net, rules=(*net.rules, Rule(kind, variable, expr(formula))))


def messages(issues, check):
    assert all(issue.severity in ("error", "warning") for issue in issues)
    return [issue.message for issue in issues if issue.check == check]


def only(issues, check):
    found = messages(issues, check)
    assert len(found) == 1, found
    return found[0]
