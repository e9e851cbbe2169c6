"""Network → equations: the meaning of each id, and formulas over stored quantities.

A formula of a model speaks of values: the id of a species may mean its concentration,
that of a reaction its rate. Here every such meaning is written out, so that the
later stages have three kinds of quantity only: states, parameters, and defined ones.
Species are stored as amounts, whatever their id means. No SymPy.
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import nan

from mir21sim.compiler import algebraic
from mir21sim.errors import ModelError, UnsupportedFeatureError
from mir21sim.model import expressions as ex
from mir21sim.model.network import Count, Event, Network, Rule

CHAIN = "chain"
"""Operator for a total derivative by time: (expr, x, dx/dt, z, dz/dt, …)."""


@dataclass(frozen=True, slots=True, eq=False)
class Rate:
    """One term of the right-hand side: a reaction's rate, or a share of a slope."""

    name: str
    math: ex.Expr


@dataclass(frozen=True, slots=True, eq=False)
class Equations:
    """A model as differential and explicit equations.

    Attributes
    ----------
    states : ids with a differential equation; species are amounts
    params : ids that keep their value during a run
    defined : id → formula at all times, in an order of evaluation; besides rule
        variables, reaction ids that formulas use and slopes, called ``d x/dt``
    rates : v; the reactions first
    stoichiometry : {(state, rate): coefficient}: dy/dt = N·v
    starts : id → formula at the start, in an order of evaluation; defined ids that they
        need stand among them
    events : as in the network, with formulas over stored quantities; an assigned value
        has the meaning that its variable has in formulas
    homes : species whose id means a concentration → compartment
    """

    states: tuple[str, ...]
    params: tuple[str, ...]
    defined: Mapping[str, ex.Expr]
    rates: tuple[Rate, ...]
    stoichiometry: Mapping[tuple[int, int], float]
    starts: Mapping[str, ex.Expr]
    events: tuple[Event, ...]
    homes: Mapping[str, str]

    def needs(self, names: Iterable[str]) -> set[str]:
        """Return the stored quantities that some ids or rates depend on, themselves."""
        formulas = {r.name: r.math for r in self.rates} | dict(self.defined)
        return _closure(names, formulas)


def equations(network: Network) -> Equations:
    """Write a network, checked by lint, as equations.

    Raises
    ------
    ModelError
        For a cycle of assignment rules or initial assignments, printed as a path, or
        algebraic rules that do not determine as many quantities as they are.
    UnsupportedFeatureError
        For algebraic rules that are not linear in the unknowns that they determine.
    """
    return _Lowering(network).equations()


class _Lowering:
    """Writes formulas over stored quantities; notes the definitions they ask for."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.species = {s.id: s for s in network.species}
        self.reactions = {r.id: r for r in network.reactions}
        self.rules = {r.variable: r for r in network.rules}
        self.defined: dict[str, ex.Expr] = {}
        self.solved = algebraic.determined(network)
        ruled = {v for v, rule in self.rules.items() if rule.kind == "assignment"}
        ruled |= self.solved
        self.states = tuple(
            s.id for s in network.species if s.id not in ruled and not s.constant
        ) + tuple(
            rule.variable
            for rule in network.rules
            if rule.kind == "rate" and rule.variable not in self.species
        )
        held = ruled | {*self.states}
        # The amount without fast reactions is a state, that with them a defined sum.
        self.fast = [r for r in network.reactions if r.fast]
        self.pools = {
            _slow(name): name
            for name in self.states
            if any(name in self._counts[r.id] for r in self.fast)
        }
        self.states = tuple(
            _slow(name) if _slow(name) in self.pools else name for name in self.states
        )
        self.params = tuple(name for name in network.ids() if name not in held)

    def equations(self) -> Equations:
        for rule in self.network.rules:
            if rule.kind == "assignment":
                self._definition(rule.variable)
        self._solve()
        if self.fast:
            self._balance_fast_reactions()
        rates, stoichiometry = self._rates()
        starts = self._starts()
        events = tuple(map(self._event, self.network.events))
        return Equations(
            states=self.states,
            params=self.params,
            defined=self._ordered(),
            rates=tuple(rates),
            stoichiometry={key: n for key, n in stoichiometry.items() if n},
            starts=self._ordered_starts(starts),
            events=events,
            homes={
                s.id: s.compartment for s in self.species.values() if not s.only_amount
            },
        )

    def _ordered(self) -> dict[str, ex.Expr]:
        order = ex.order(
            {name: tuple(ex.symbols(e)) for name, e in self.defined.items()},
            lambda cycle: f"Assignment rules define each other in a circle: {cycle}.",
        )
        return {name: self.defined[name] for name in order}

    def _definition(self, name: str) -> ex.Expr:
        """Return the formula of an id that a rule defines."""
        if name not in self.defined:
            if name in self.solved:
                raise UnsupportedFeatureError(
                    f"The rate of change of `{name}`, which an algebraic rule "
                    "determines, is needed; that is not supported."
                )
            self.defined[name] = self._stored(name, self.rules[name].math)
        return self.defined[name]

    def _solve(self) -> None:
        """Turn algebraic rules into definitions."""
        constraints = [self.lower(math) for math in self.network.algebraic]
        self.defined |= algebraic.solve(constraints, self.solved, self.defined)

    # -------------------------------------------------------------- fast reactions
    def _balance_fast_reactions(self) -> None:
        """Define the quantities of fast reactions, so that their rates are zero.

        An amount is that made by the other reactions plus, for each fast reaction,
        its count times the extent to which that has gone; the extents follow from the
        rates (SBML L3V1 section 4.11.1: instantaneous, so at equilibrium).
        """
        self._check_fast_reactions()
        for slow, name in self.pools.items():
            terms = [
                _product(self._counts[r.id][name], ex.Symbol(_extent(r.id)))
                for r in self.fast
                if name in self._counts[r.id]
            ]
            self.defined[name] = _sum([ex.Symbol(slow), *terms])
        self.defined |= algebraic.solve(
            [self.lower(reaction.rate) for reaction in self.fast],
            [_extent(reaction.id) for reaction in self.fast],
            self.defined,
            what="balance of a fast reaction",
            steady=self._steady(),
        )

    def _steady(self) -> set[str]:
        """Return the constants of a run: parameters, and formulas of them."""
        moving = {
            *self.states,
            *(n for n, e in self.defined.items() if ex.uses_time(e)),
        }
        held = {n for n in self.defined if not _closure([n], self.defined) & moving}
        return {*self.params} | held

    def _check_fast_reactions(self) -> None:
        """Raise where an equilibrium would be more than a balance of this moment."""
        names = ", ".join(f"`{reaction.id}`" for reaction in self.fast[:5])
        counts = [c for r in self.fast for c in self._counts[r.id].values()]
        varying = {name for count in counts for name in ex.symbols(count)}
        begun = {n for e in self._starts().values() for n in ex.symbols(e)}
        for found, words in (
            (bool(self.network.events), "a model with events"),
            (
                not _closure(varying, self.defined) <= {*self.params, *self.defined}
                or any(
                    ex.uses_time(self.defined[n]) for n in varying & {*self.defined}
                ),
                "stoichiometries that change",
            ),
            (
                bool(_closure(begun, self.defined) & {*self.pools.values()}),
                "start values by formulas that use what they change",
            ),
        ):
            if found:
                raise UnsupportedFeatureError(
                    f"The fast reactions {names} stand with {words}; that is not "
                    "supported."
                )

    # ------------------------------------------------------------------- meanings
    def lower(self, expr: ex.Expr) -> ex.Expr:
        """Return a formula over stored quantities."""
        if isinstance(expr, ex.Symbol):
            return self._value(expr.name)
        if not isinstance(expr, ex.Call):
            return expr
        if expr.op == ex.RATE_OF:
            return self._rate_of(expr)
        return ex.Call(expr.op, tuple(self.lower(arg) for arg in expr.args))

    def _value(self, name: str) -> ex.Expr:
        """Return the meaning of an id in a formula."""
        if name in self.reactions:
            return self._reaction_rate(name)
        item = self.species.get(name)
        if item is None or item.only_amount:
            return ex.Symbol(name)
        return ex.Call("divide", (ex.Symbol(name), ex.Symbol(item.compartment)))

    def _stored(self, name: str, math: ex.Expr) -> ex.Expr:
        """Return the formula of a stored quantity from that of its value."""
        lowered = self.lower(math)
        item = self.species.get(name)
        if item is None or item.only_amount:
            return lowered
        return ex.Call("times", (lowered, ex.Symbol(item.compartment)))

    def _reaction_rate(self, name: str) -> ex.Expr:
        """Return a reaction's rate as a defined quantity."""
        if name not in self.defined:
            self.defined[name] = ex.Number(0.0)  # a rate that needs itself meets this
            self.defined[name] = self.lower(self.reactions[name].rate)
        return ex.Symbol(name)

    def _event(self, event: Event) -> Event:
        """Return an event with formulas over stored quantities."""

        def optional(math: ex.Expr | None) -> ex.Expr | None:
            return None if math is None else self.lower(math)

        return replace(
            event,
            trigger=self.lower(event.trigger),
            delay=optional(event.delay),
            priority=optional(event.priority),
            assignments=tuple(
                replace(entry, math=self.lower(entry.math))
                for entry in event.assignments
            ),
        )

    # --------------------------------------------------------------------- slopes
    def _rate_of(self, expr: ex.Call) -> ex.Expr:
        """Return d(value)/dt of the id that ``rateOf`` is asked for."""
        (target,) = expr.args
        if not isinstance(target, ex.Symbol):
            raise ModelError(f"`{ex.text(expr)}`: rateOf takes the id of a quantity.")
        name = target.name
        rule = self.rules.get(name)
        if rule is not None and rule.kind == "rate":
            return self.lower(rule.math)
        item = self.species.get(name)
        slope = self._slope(name)
        if item is None or item.only_amount:
            return slope
        home = ex.Symbol(item.compartment)
        first = ex.Call("divide", (slope, home))
        swelling = self._slope(item.compartment)
        if swelling == _ZERO:
            return first
        dilution = ex.Call(
            "divide", (ex.Call("times", (self._value(name), swelling)), home)
        )
        return ex.Call("minus", (first, dilution))

    def _slope(self, name: str) -> ex.Expr:
        """Return d(stored quantity)/dt, as a defined quantity unless it is zero."""
        label = f"d {name}/dt"
        if name in self.params:
            return _ZERO
        if label not in self.defined:
            self.defined[label] = _ZERO
            made = self._chain(name) if name not in self.states else self._balance(name)
            if made == _ZERO:
                del self.defined[label]
                return _ZERO
            self.defined[label] = made
        return ex.Symbol(label)

    def _chain(self, name: str) -> ex.Expr:
        """Return the total derivative of a defined quantity."""
        formula = self._definition(name)
        pairs = [
            (ex.Symbol(other), self._slope(other))
            for other in dict.fromkeys(ex.symbols(formula))
        ]
        moving = [part for pair in pairs if pair[1] != _ZERO for part in pair]
        if not moving and not ex.uses_time(formula):
            return _ZERO
        return ex.Call(CHAIN, (formula, *moving))

    def _balance(self, name: str) -> ex.Expr:
        """Return the slope of a state: its rate rule, or the sum of its reactions."""
        rule = self.rules.get(name)
        if rule is not None:
            return self._rule_slope(rule)
        terms = []
        species = self.pools.get(name, name)
        for reaction in self.network.reactions:
            count = self._counts[reaction.id].get(species, _ZERO)
            if count != _ZERO and not reaction.fast:
                terms.append(_product(count, self._reaction_rate(reaction.id)))
        return _sum(terms)

    def _rule_slope(self, rule: Rule) -> ex.Expr:
        """Return the slope of the stored quantity that a rate rule is for."""
        slope = self._stored(rule.variable, rule.math)
        item = self.species.get(rule.variable)
        if item is None or item.only_amount:
            return slope
        swelling = self._slope(item.compartment)
        return _sum([slope, _product(self._value(rule.variable), swelling)])

    # ---------------------------------------------------------------------- rates
    def _rates(self) -> tuple[list[Rate], dict[tuple[int, int], float]]:
        """Return v and N: plain counts in N, computed ones as rates of their own."""
        index = {self.pools.get(n, n): i for i, n in enumerate(self.states)}
        rates: list[Rate] = []
        stoichiometry: dict[tuple[int, int], float] = {}
        computed: list[tuple[str, str, ex.Expr]] = []
        for r, reaction in enumerate(self.network.reactions):
            for name, count in self._counts[reaction.id].items():
                if name not in index or reaction.fast:
                    continue
                if isinstance(count, ex.Number):
                    stoichiometry[index[name], r] = count.value
                else:
                    share = _product(count, self._reaction_rate(reaction.id))
                    computed.append((name, f"{name} in {reaction.id}", share))
        for rule in self.network.rules:
            if rule.kind == "rate":
                math = self._rule_slope(rule)
                computed.append((rule.variable, f"d {rule.variable}/dt", math))
        for reaction in self.network.reactions:
            seen = reaction.id in self.defined
            math = ex.Symbol(reaction.id) if seen else self.lower(reaction.rate)
            rates.append(Rate(reaction.id, math))
        for name, label, math in computed:
            stoichiometry[index[name], len(rates)] = 1.0
            rates.append(Rate(label, math))
        return rates, stoichiometry

    @functools.cached_property
    def _counts(self) -> dict[str, dict[str, ex.Expr]]:
        """Return {reaction: {species: amount that one unit of extent makes}}."""
        return {
            reaction.id: {
                name: self._in_amounts(name, change)
                for name, change in reaction.net().items()
                if not (self.species[name].boundary or name in self.rules)
            }
            for reaction in self.network.reactions
        }

    def _in_amounts(self, name: str, change: Count) -> ex.Expr:
        """Return a change of extent as one of amount, by the conversion factor."""
        conversion = self.species[name].conversion
        factor = ex.Symbol(conversion) if conversion else _ONE
        count = ex.Number(change) if isinstance(change, float) else self.lower(change)
        return _product(count, factor)

    # --------------------------------------------------------------------- starts
    def _starts(self) -> dict[str, ex.Expr]:
        """Return initial assignments, and initial concentrations, as amounts."""
        starts = {}
        for item in self.network.species:
            if item.initial_is_concentration and item.initial is not None:
                value = ex.Number(item.initial)
                starts[item.id] = _product(value, ex.Symbol(item.compartment))
        for assignment in self.network.initial_assignments:
            name = assignment.variable
            starts[name] = self._stored(name, assignment.math)
        for slow, name in self.pools.items():
            amount = self.species[name].initial
            given = ex.Number(nan if amount is None else amount)
            starts[slow] = starts.pop(name, given)
        return {k: e for k, e in starts.items() if k not in self.defined}

    def _ordered_starts(self, starts: dict[str, ex.Expr]) -> dict[str, ex.Expr]:
        formulas = self.defined | starts
        order = ex.order(
            {name: tuple(ex.symbols(e)) for name, e in formulas.items()},
            lambda cycle: (
                f"Initial assignments define each other in a circle: {cycle}."
            ),
        )
        wanted = _closure(starts, formulas)
        return {name: formulas[name] for name in order if name in wanted}


def _slow(name: str) -> str:
    """Return the name of the amount without the fast reactions."""
    return f"{name} without fast reactions"


def _extent(reaction: str) -> str:
    return f"extent of {reaction}"


_ZERO, _ONE = ex.Number(0.0), ex.Number(1.0)


def _sum(terms: list[ex.Expr]) -> ex.Expr:
    """Return a sum without zeros; of numbers, a number."""
    constant = sum(t.value for t in terms if isinstance(t, ex.Number))
    others = [t for t in terms if not isinstance(t, ex.Number)]
    if not others:
        return ex.Number(constant)
    if constant:
        return ex.Call("plus", (*others, ex.Number(constant)))
    return others[0] if len(others) == 1 else ex.Call("plus", tuple(others))


def _product(a: ex.Expr, b: ex.Expr) -> ex.Expr:
    """Return a product without ones; with a zero, zero."""
    if _ZERO in (a, b):
        return _ZERO
    if _ONE in (a, b):
        return b if a == _ONE else a
    return ex.Call("times", (a, b))


def _closure(names: Iterable[str], formulas: Mapping[str, ex.Expr]) -> set[str]:
    """Return names and all that their formulas use, directly or not."""
    waiting, seen = list(names), set[str]()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            if name in formulas:
                waiting.extend(ex.symbols(formulas[name]))
    return seen
