"""Delayed values in formulas: each becomes a number that the solver fills.

``delay(x, tau)`` is x at the time t − tau (SBML L3V2, section 3.4.6). Every different
call is replaced by a parameter; the formulas of x and tau become assignment rules, of
which the solver reads x in the past and tau now.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from mir21sim.errors import UnsupportedFeatureError
from mir21sim.model import expressions as ex
from mir21sim.model.lint import formulas
from mir21sim.model.network import Count, Event, Network, Parameter, Rule

PREFIX = "_delayed_"
"""Begin of the ids of the parameters that hold delayed values."""


@dataclass(frozen=True, slots=True)
class Delay:
    """One delayed value: ids of the parameter, and of the rules of x and tau.

    Before the start nothing changes: there x has a rule of its own, ``before``, in
    which all rates of change are zero.
    """

    value: str
    past: str
    before: str
    lag: str


def expanded(network: Network) -> tuple[Network, tuple[Delay, ...]]:
    """Return a network without delayed values, and the numbers that hold them.

    Inner ones come before those that contain them. In initial assignments a delayed
    value is that at the start: nothing was before it.

    Raises
    ------
    UnsupportedFeatureError
        For the rate of change of a quantity that depends on a delayed value.
    """
    if not any(node.op == ex.DELAY for node in _calls(network)):
        return network, ()
    found: dict[ex.Expr, Delay] = {}

    def named(call: ex.Call) -> ex.Expr:
        if call not in found:
            stem = f"{PREFIX}{len(found) + 1}"
            names = (f"{stem}_{part}" for part in ("past", "before", "lag"))
            found[call] = Delay(stem, *names)
        return ex.Symbol(found[call].value)

    begun = tuple(
        replace(item, math=_replaced(item.math, lambda call: call.args[0]))
        for item in network.initial_assignments
    )
    made = _mapped(network, lambda formula: _replaced(formula, named))
    parameters, rules = list(made.parameters), list(made.rules)
    for call, delay in found.items():
        assert isinstance(call, ex.Call)
        parameters += [
            Parameter(delay.value, 0.0, constant=False),
            Parameter(delay.past, None, constant=False),
            Parameter(delay.before, None, constant=False),
            Parameter(delay.lag, None, constant=False),
        ]
        rules += [
            Rule("assignment", delay.past, call.args[0]),
            Rule("assignment", delay.before, _at_rest(call.args[0], network)),
            Rule("assignment", delay.lag, call.args[1]),
        ]
    made = replace(
        made,
        initial_assignments=begun,
        parameters=tuple(parameters),
        rules=tuple(rules),
    )
    _stop_on_slopes(made)
    return made, tuple(found.values())


Change: TypeAlias = Callable[[ex.Expr], ex.Expr]


def _mapped(network: Network, change: Change) -> Network:
    """Return a network with every formula changed, initial assignments apart."""

    def counts(pairs: tuple[tuple[str, Count], ...]) -> tuple[tuple[str, Count], ...]:
        return tuple(
            (name, n if isinstance(n, float | int) else change(n)) for name, n in pairs
        )

    return replace(
        network,
        reactions=tuple(
            replace(
                r,
                reactants=counts(r.reactants),
                products=counts(r.products),
                rate=change(r.rate),
            )
            for r in network.reactions
        ),
        rules=tuple(replace(r, math=change(r.math)) for r in network.rules),
        algebraic=tuple(map(change, network.algebraic)),
        events=tuple(_event(event, change) for event in network.events),
    )


def _event(event: Event, change: Change) -> Event:
    """Return an event with every formula changed."""
    delay, priority = event.delay, event.priority
    return replace(
        event,
        trigger=change(event.trigger),
        delay=None if delay is None else change(delay),
        priority=None if priority is None else change(priority),
        assignments=tuple(replace(a, math=change(a.math)) for a in event.assignments),
    )


def _calls(network: Network) -> Iterator[ex.Call]:
    """Yield every operation in every formula."""
    stack = [formula for _, formula in formulas(network)]
    while stack:
        node = stack.pop()
        if isinstance(node, ex.Call):
            yield node
            stack.extend(node.args)


def _replaced(formula: ex.Expr, named: Callable[[ex.Call], ex.Expr]) -> ex.Expr:
    """Return a formula in which inner delays, then outer ones, are replaced."""
    if not isinstance(formula, ex.Call):
        return formula
    made = ex.Call(formula.op, tuple(_replaced(arg, named) for arg in formula.args))
    return named(made) if made.op == ex.DELAY else made


def _at_rest(formula: ex.Expr, network: Network) -> ex.Expr:
    """Return a formula in which no quantity changes: each rate of change is zero."""
    rules = {r.variable: r.math for r in network.rules if r.kind == "assignment"}

    def still(node: ex.Expr) -> ex.Expr:
        if isinstance(node, ex.Symbol) and _has_slope(node.name, rules):
            return still(rules[node.name])
        if not isinstance(node, ex.Call):
            return node
        if node.op == ex.RATE_OF:
            return ex.Number(0.0)
        return ex.Call(node.op, tuple(map(still, node.args)))

    return still(formula)


def _has_slope(name: str, rules: dict[str, ex.Expr]) -> bool:
    """Return whether a rule, or one that it reads, has a rate of change."""
    seen: set[str] = set()
    stack = [name]
    while stack:
        current = stack.pop()
        if current not in rules or current in seen:
            continue
        seen.add(current)
        nodes = [rules[current]]
        while nodes:
            node = nodes.pop()
            if isinstance(node, ex.Call):
                if node.op == ex.RATE_OF:
                    return True
                nodes.extend(node.args)
        stack.extend(ex.symbols(rules[current]))
    return False


def _stop_on_slopes(network: Network) -> None:
    """Stop at a rate of change that would need that of a delayed value."""
    rules = {r.variable: r.math for r in network.rules if r.kind == "assignment"}
    slopes = [node for node in _calls(network) if node.op == ex.RATE_OF]
    for name in (name for node in slopes for name in ex.symbols(node)):
        seen: set[str] = set()
        stack = [name] if name in rules else []
        while stack:
            current = stack.pop()
            if current.startswith(PREFIX):
                raise UnsupportedFeatureError(
                    f"{network.id} uses what mir21sim does not support: the rate of "
                    f"change of `{name}`, which depends on a delay()."
                )
            if current in rules and current not in seen:
                seen.add(current)
                stack.extend(ex.symbols(rules[current]))
