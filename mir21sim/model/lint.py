"""Checks over a Network; each returns issues in the author's words."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from mir21sim.errors import hint
from mir21sim.model import expressions as ex
from mir21sim.model.network import Network


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding: how bad, which check, at which element, in one sentence."""

    severity: Literal["error", "warning"]
    check: str
    where: str
    message: str


def structure_issues(network: Network) -> list[Issue]:
    """Return the issues that keep a network from being simulated, apart from units."""
    return [
        *_duplicate_ids(network),
        *_unknown_references(network),
        *_undeclared_symbols(network),
        *_valueless_symbols(network),
        *_contradictions(network),
        *_wrong_targets(network),
    ]


def advice(network: Network) -> list[Issue]:
    """Return warnings: unused names and reactants that a rate does not notice."""
    return [*_unused(network), *_unlimited_consumption(network)]


def formulas(network: Network) -> Iterator[tuple[str, ex.Expr]]:
    """Yield (where, expression) for every formula of a network."""
    for reaction in network.reactions:
        for expr in reaction.formulas():
            yield f"reaction `{reaction.id}`", expr
    for rule in network.rules:
        yield f"rule `{rule.variable}`", rule.math
    for i, expr in enumerate(network.algebraic, start=1):
        yield f"algebraic rule {i}", expr
    for item in network.initial_assignments:
        yield f"initial assignment `{item.variable}`", item.math
    for event in network.events:
        where = f"event `{event.id}`"
        yield f"the trigger of {where}", event.trigger
        if event.delay is not None:
            yield f"the delay of {where}", event.delay
        if event.priority is not None:
            yield f"the priority of {where}", event.priority
        for entry in event.assignments:
            yield f"{where} for `{entry.variable}`", entry.math


def _duplicate_ids(network: Network) -> Iterator[Issue]:
    seen: set[str] = set()
    for name in (*network.ids(), *(r.id for r in network.reactions)):
        if name in seen:
            yield Issue("error", "duplicate", name, f"The id `{name}` is used twice.")
        seen.add(name)


def _unknown_references(network: Network) -> Iterator[Issue]:
    species = [s.id for s in network.species]
    compartments = [c.id for c in network.compartments]
    for item in network.species:
        if item.compartment not in compartments:
            yield Issue(
                "error",
                "reference",
                item.id,
                f"Species `{item.id}` is in compartment `{item.compartment}`, which "
                f"does not exist. {hint(item.compartment, compartments)}",
            )
    for reaction in network.reactions:
        for name, _ in reaction.changes():
            if name not in species:
                yield Issue(
                    "error",
                    "reference",
                    reaction.id,
                    f"Reaction `{reaction.id}` changes `{name}`, which is not a "
                    f"species. {hint(name, species)}",
                )


def _undeclared_symbols(network: Network) -> Iterator[Issue]:
    known = (*network.ids(), *(r.id for r in network.reactions))
    names = set(known)
    for where, expr in formulas(network):
        # Local parameters read `reaction.parameter`; a person knows them without it.
        for name in dict.fromkeys(ex.symbols(expr)):
            if name not in names:
                yield Issue(
                    "error",
                    "undeclared",
                    name,
                    f"The formula of {where} uses `{name}`, which is not declared. "
                    f"{hint(name, known)}",
                )


def _valueless_symbols(network: Network) -> Iterator[Issue]:
    """Yield symbols without a value: Antimony makes these of a misspelt name."""
    defined = {r.variable for r in network.rules}
    defined |= {a.variable for a in network.initial_assignments}
    defined |= {name for expr in network.algebraic for name in ex.symbols(expr)}
    values: dict[str, float | None] = {p.id: p.value for p in network.parameters}
    values |= {c.id: c.size for c in network.compartments}
    values |= {s.id: s.initial for s in network.species}
    idle = {c.id for c in network.compartments} - _needed_volumes(network)
    without = [n for n, v in values.items() if v is None and n not in defined | idle]
    others = [name for name in network.ids() if name not in without]
    users = {
        name: where for where, expr in formulas(network) for name in ex.symbols(expr)
    }
    for name in without:
        if name in users:
            words = f"The formula of {users[name]} uses `{name}`, which has no value."
        else:
            words = f"`{name}` has no value."
        yield Issue("error", "no value", name, f"{words} {hint(name, others)}")


def _needed_volumes(network: Network) -> set[str]:
    """Return the compartments whose size decides something."""
    used = {name for _, expr in formulas(network) for name in ex.symbols(expr)}
    used |= {rule.variable for rule in network.rules}
    return used | {
        s.compartment
        for s in network.species
        if s.initial_is_concentration or (s.id in used and not s.only_amount)
    }


def _constants(network: Network) -> set[str]:
    """Return the ids that the file declares constant."""
    groups = (network.species, network.parameters, network.compartments)
    return {item.id for group in groups for item in group if item.constant}


def _wrong_targets(network: Network) -> Iterator[Issue]:
    """Yield the variables that events set although they must not."""
    known, constant = network.ids(), _constants(network)
    defined = {rule.variable for rule in network.rules if rule.kind == "assignment"}
    for event in network.events:
        targets = [entry.variable for entry in event.assignments]
        for name in dict.fromkeys(targets):
            if name not in known:
                words = f"which does not exist. {hint(name, known)}"
            elif name in constant:
                words = "which is declared constant."
            elif name in defined:
                words = "which an assignment rule defines at all times."
            elif targets.count(name) > 1:
                words = "and does so twice."
            else:
                continue
            message = f"Event `{event.id}` sets `{name}`, {words}"
            yield Issue("error", "event", event.id, message)


def _contradictions(network: Network) -> Iterator[Issue]:
    """Yield variables that two things determine, and constants that a rule changes."""
    constant = _constants(network)
    ruled: set[str] = set()
    for rule in network.rules:
        if rule.variable in ruled:
            yield Issue(
                "error", "rule", rule.variable, f"`{rule.variable}` has two rules."
            )
        if rule.variable in constant:
            yield Issue(
                "error",
                "rule",
                rule.variable,
                f"`{rule.variable}` is declared constant but has a rule.",
            )
        ruled.add(rule.variable)
    fixed = {s.id for s in network.species if s.boundary}
    for reaction in network.reactions:
        for name, _ in reaction.changes():
            if name in ruled and name not in fixed:
                yield Issue(
                    "error",
                    "rule",
                    name,
                    f"Reaction `{reaction.id}` changes `{name}`, which has a rule.",
                )


def _unused(network: Network) -> Iterator[Issue]:
    used = {name for _, expr in formulas(network) for name in ex.symbols(expr)}
    changed = {name for reaction in network.reactions for name, _ in reaction.changes()}
    changed |= {rule.variable for rule in network.rules}
    changed |= {a.variable for event in network.events for a in event.assignments}
    for parameter in network.parameters:
        if parameter.id not in used | changed:
            yield Issue(
                "warning",
                "unused",
                parameter.id,
                f"Parameter `{parameter.id}` is used nowhere.",
            )
    for pool in network.species:
        if pool.id not in used | changed:
            yield Issue(
                "warning",
                "unused",
                pool.id,
                f"Species `{pool.id}` takes part in nothing.",
            )


def _unlimited_consumption(network: Network) -> Iterator[Issue]:
    """Yield reactions that go on when a reactant is used up: it would turn negative."""
    free = {s.id for s in network.species if s.boundary or s.constant}
    hidden = {r.variable: set(ex.symbols(r.math)) for r in network.rules}
    for reaction in network.reactions:
        seen = set(ex.symbols(reaction.rate))
        for name in tuple(seen):
            seen |= hidden.get(name, set())
        for name, change in reaction.net().items():
            # The sign of a formula is not known.
            consumed = isinstance(change, float) and change < 0
            if consumed and name not in seen | free:
                yield Issue(
                    "warning",
                    "consumption",
                    reaction.id,
                    f"Reaction `{reaction.id}` consumes `{name}`, but its rate "
                    f"`{ex.text(reaction.rate)}` does not depend on it: `{name}` can "
                    "become negative.",
                )
