"""Network → equations: the meaning of each id, and formulas over stored quantities.

A formula of a model speaks of values: the id of a species may mean its concentration,
that of a reaction its rate. Here every such meaning is written out, so that the
later stages have three kinds of quantity only: states, parameters, and defined ones.
Species are stored as amounts, whatever their id means. No SymPy.
"""

import functools
from dataclasses import replace
from math import nan

import numpy as np

from mir21sim.compiler import algebraic
from mir21sim.compiler.equation_terms import (
    CHAIN,
    ONE,
    ROOT,
    ZERO,
    Equations,
    Rate,
    added,
    closure,
    extent_of,
    multiplied,
    slow_part,
)
from mir21sim.errors import ModelError, UnsupportedFeatureError
from mir21sim.model import delays
from mir21sim.model import expressions as ex
from mir21sim.model.network import Count, Event, Network, Rule


def equations(network: Network) -> Equations:
    """Write a network, checked by lint, as equations.

    Raises
    ------
    ModelError
        For a cycle of assignment rules or initial assignments, printed as a path, or
        algebraic rules that do not determine as many quantities as they are.
    UnsupportedFeatureError
        For the rate of change of a quantity that only a solver can find, and for one
        without a start value, which says what solution is meant.
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
            slow_part(name): name
            for name in self.states
            if any(name in self._counts[r.id] for r in self.fast)
        }
        self.states = tuple(
            slow_part(name) if slow_part(name) in self.pools else name
            for name in self.states
        )
        self.params = tuple(name for name in network.ids() if name not in held)
        self.roots: dict[str, str] = {}
        self.extents: dict[str, str] = {}

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
            homes=self._homes(),
            roots=self.roots,
            extents=self.extents,
            pools=self.pools if self.extents else {},
        )

    def _homes(self) -> dict[str, str]:
        """Return {species, or its pool: compartment} of concentrations."""
        names = {s.id: s.id for s in self.species.values() if not s.only_amount}
        names |= {slow: name for slow, name in self.pools.items() if name in names}
        return {key: self.species[name].compartment for key, name in names.items()}

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
        """Turn algebraic rules into definitions, or leave them to the solver."""
        constraints = list(map(self.lower, self.network.algebraic))
        try:
            self.defined |= algebraic.solve(constraints, self.solved, self.defined)
        except algebraic.NoClosedFormError:
            self._leave_to_solver(constraints)

    def _leave_to_solver(self, constraints: list[ex.Expr]) -> None:
        """Make each unknown a parameter that the solver fills.

        Its start value says which of several solutions is meant.
        """
        begun = {
            name for item in self.network.initial_assignments
            for name in closure(ex.symbols(item.math), self.defined)
        }  # fmt: skip
        for number, (name, math) in enumerate(
            zip(sorted(self.solved), constraints, strict=True), 1
        ):
            if self._given(name) is None:
                raise UnsupportedFeatureError(
                    f"The algebraic rules determine `{name}` by an equation without "
                    "closed form, which may have several solutions; give "
                    f"`{name}` a start value near the one that is meant."
                )
            if name in begun:
                raise UnsupportedFeatureError(
                    f"An initial assignment uses `{name}`, which an algebraic rule "
                    "without closed form determines; that is not supported."
                )
            root, rest = f"{ROOT}{name}", f"rest of algebraic rule {number}"
            self.params += (root,)
            self.defined |= {name: ex.Symbol(root), rest: math}
            self.roots[root] = rest

    def _given(self, name: str) -> ex.Expr | None:
        """Return the stored quantity that a file gives an unknown at the start."""
        for item in self.network.initial_assignments:
            if item.variable == name:
                return self._stored(name, item.math)
        species = self.species.get(name)
        if species is not None:
            value, home = species.initial, ex.Symbol(species.compartment)
            factor = home if species.initial_is_concentration else ONE
        else:
            sizes = {c.id: c.size for c in self.network.compartments}
            sizes |= {q.id: q.value for q in self.network.parameters}
            value, factor = sizes[name], ONE
        if value is None or value != value:
            return None
        return multiplied(ex.Number(value), factor)

    # -------------------------------------------------------------- fast reactions
    def _balance_fast_reactions(self) -> None:
        """Define the quantities of fast reactions, so that their rates are zero.

        An amount is that made by the other reactions plus, for each fast reaction,
        its count times the extent to which that has gone; the extents follow from the
        rates (SBML L3V1 section 4.11.1: instantaneous, so at equilibrium).
        """
        self._check_fast_reactions()
        extents = [extent_of(reaction.id) for reaction in self.fast]
        for slow, name in self.pools.items():
            terms = [
                multiplied(self._counts[r.id][name], ex.Symbol(extent_of(r.id)))
                for r in self.fast
                if name in self._counts[r.id]
            ]
            self.defined[name] = added([ex.Symbol(slow), *terms])
        found = self._balances(extents)
        if found is not None:
            self.defined |= found
            return
        self._stop_on_dependent_reactions()
        self.params += tuple(extents)
        self.extents = {extent_of(r.id): r.id for r in self.fast}

    def _balances(self, extents: list[str]) -> dict[str, ex.Expr] | None:
        """Return the extents as formulas, None where only the solver finds them.

        Events may turn a balance on or off, or take part of a pool; the past that a
        delayed value may be from was before the fast reactions.
        """
        delayed = any(name.startswith(delays.PREFIX) for name in self.params)
        if self.network.events or delayed:
            return None
        rates = [self.lower(reaction.rate) for reaction in self.fast]
        try:
            return algebraic.solve(
                rates,
                extents,
                self.defined,
                what="balance of a fast reaction",
                steady=self._steady(),
            )
        except algebraic.NoClosedFormError:
            return None

    def _stop_on_dependent_reactions(self) -> None:
        """Stop at fast reactions that together can leave all amounts as they are.

        Around such a cycle they may run for ever, and no extent is determined.
        """
        columns = [self._counts[r.id] for r in self.fast]
        names = sorted({name for column in columns for name in column})
        matrix = np.array(
            [
                [n.value if isinstance(n, ex.Number) else 1.0 for n in row]
                for row in ([c.get(name, ZERO) for c in columns] for name in names)
            ]
        ).reshape(len(names), len(columns))
        if np.linalg.matrix_rank(matrix) < len(columns):
            raise UnsupportedFeatureError(
                f"The {len(columns)} fast reactions, `{self.fast[0].id}` the first, "
                "depend on each other: together they can leave all amounts as they "
                "are, so that no extent is determined; that is not supported."
            )

    def _steady(self) -> set[str]:
        """Return the constants of a run: parameters, and formulas of them."""
        moving = {
            *self.states,
            *(n for n, e in self.defined.items() if ex.uses_time(e)),
        }
        held = {n for n in self.defined if not closure([n], self.defined) & moving}
        return {*self.params} | held

    def _check_fast_reactions(self) -> None:
        """Raise where an equilibrium would be more than a balance of this moment."""
        names = ", ".join(f"`{reaction.id}`" for reaction in self.fast[:5])
        counts = [c for r in self.fast for c in self._counts[r.id].values()]
        varying = {name for count in counts for name in ex.symbols(count)}
        begun = {n for e in self._starts().values() for n in ex.symbols(e)}
        for found, words in (
            (
                not closure(varying, self.defined) <= {*self.params, *self.defined}
                or any(
                    ex.uses_time(self.defined[n]) for n in varying & {*self.defined}
                ),
                "stoichiometries that change",
            ),
            (
                bool(closure(begun, self.defined) & {*self.pools.values()}),
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

        slow = {name: pool for pool, name in self.pools.items()}
        return replace(
            event,
            trigger=self.lower(event.trigger),
            delay=optional(event.delay),
            priority=optional(event.priority),
            assignments=tuple(
                replace(
                    entry,
                    variable=slow.get(entry.variable, entry.variable),
                    math=self.lower(entry.math),
                )
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
        if swelling == ZERO:
            return first
        dilution = ex.Call(
            "divide", (ex.Call("times", (self._value(name), swelling)), home)
        )
        return ex.Call("minus", (first, dilution))

    def _slope(self, name: str) -> ex.Expr:
        """Return d(stored quantity)/dt, as a defined quantity unless it is zero."""
        label = f"d {name}/dt"
        if name in self.roots or name in self.extents:
            raise UnsupportedFeatureError(
                "The rate of change of a quantity is needed that an algebraic rule or "
                f"a fast reaction without closed form determines ({name}); that is "
                "not supported."
            )
        if name in self.params:
            return ZERO
        if label not in self.defined:
            self.defined[label] = ZERO
            made = self._chain(name) if name not in self.states else self._balance(name)
            if made == ZERO:
                del self.defined[label]
                return ZERO
            self.defined[label] = made
        return ex.Symbol(label)

    def _chain(self, name: str) -> ex.Expr:
        """Return the total derivative of a defined quantity."""
        formula = self._definition(name)
        pairs = [
            (ex.Symbol(other), self._slope(other))
            for other in dict.fromkeys(ex.symbols(formula))
        ]
        moving = [part for pair in pairs if pair[1] != ZERO for part in pair]
        if not moving and not ex.uses_time(formula):
            return ZERO
        return ex.Call(CHAIN, (formula, *moving))

    def _balance(self, name: str) -> ex.Expr:
        """Return the slope of a state: its rate rule, or the sum of its reactions."""
        rule = self.rules.get(name)
        if rule is not None:
            return self._rule_slope(rule)
        terms = []
        species = self.pools.get(name, name)
        for reaction in self.network.reactions:
            count = self._counts[reaction.id].get(species, ZERO)
            if count != ZERO and not reaction.fast:
                terms.append(multiplied(count, self._reaction_rate(reaction.id)))
        return added(terms)

    def _rule_slope(self, rule: Rule) -> ex.Expr:
        """Return the slope of the stored quantity that a rate rule is for."""
        slope = self._stored(rule.variable, rule.math)
        item = self.species.get(rule.variable)
        if item is None or item.only_amount:
            return slope
        swelling = self._slope(item.compartment)
        return added([slope, multiplied(self._value(rule.variable), swelling)])

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
                    share = multiplied(count, self._reaction_rate(reaction.id))
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
        factor = ex.Symbol(conversion) if conversion else ONE
        count = ex.Number(change) if isinstance(change, float) else self.lower(change)
        return multiplied(count, factor)

    # --------------------------------------------------------------------- starts
    def _starts(self) -> dict[str, ex.Expr]:
        """Return initial assignments, and initial concentrations, as amounts."""
        starts: dict[str, ex.Expr] = {}
        for item in self.network.species:
            if item.initial_is_concentration and item.initial is not None:
                value = ex.Number(item.initial)
                starts[item.id] = multiplied(value, ex.Symbol(item.compartment))
        for assignment in self.network.initial_assignments:
            name = assignment.variable
            starts[name] = self._stored(name, assignment.math)
        for slow, name in self.pools.items():
            amount = self.species[name].initial
            given = ex.Number(nan if amount is None else amount)
            starts[slow] = starts.pop(name, given)
        starts |= dict.fromkeys(self.extents, ZERO)
        for root in self.roots:
            first = self._given(root.removeprefix(ROOT))
            assert first is not None  # seen before
            starts[root] = first
        return {k: e for k, e in starts.items() if k not in self.defined}

    def _ordered_starts(self, starts: dict[str, ex.Expr]) -> dict[str, ex.Expr]:
        formulas = self.defined | starts
        order = ex.order(
            {name: tuple(ex.symbols(e)) for name, e in formulas.items()},
            lambda cycle: (
                f"Initial assignments define each other in a circle: {cycle}."
            ),
        )
        wanted = closure(starts, formulas)
        return {name: formulas[name] for name in order if name in wanted}
