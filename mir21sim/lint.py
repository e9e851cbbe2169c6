"""Checks over a Network; each returns issues in the author's words. Layer 3."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from mir21sim import ir, units
from mir21sim.errors import hint

if TYPE_CHECKING:
    import pint

STATUSES = ("measured", "derived", "recalled", "assumed", "fitted")
"""How a number of a model came to be; anything else is refused."""


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding: how bad, which check, at which element, in one sentence."""

    severity: Literal["error", "warning"]
    check: str
    where: str
    message: str


@dataclass(frozen=True, slots=True)
class SourcedNumber:
    """One row of a `.parameters.tsv`: a number and where it comes from."""

    id: str
    value: float
    unit: str
    status: str
    source: str
    note: str
    line: int


def structure_issues(network: ir.Network) -> list[Issue]:
    """Return what keeps a network from being simulated, apart from units."""
    return [
        *_duplicate_ids(network),
        *_unknown_references(network),
        *_undeclared_symbols(network),
        *_valueless_symbols(network),
        *_contradictions(network),
        *_wrong_targets(network),
    ]


def advice(network: ir.Network) -> list[Issue]:
    """Return warnings: unused names and reactants that a rate does not notice."""
    return [*_unused(network), *_unlimited_consumption(network)]


def formulas(network: ir.Network) -> Iterator[tuple[str, ir.Expr]]:
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


def _duplicate_ids(network: ir.Network) -> Iterator[Issue]:
    seen: set[str] = set()
    for name in (*network.ids(), *(r.id for r in network.reactions)):
        if name in seen:
            yield Issue("error", "duplicate", name, f"The id `{name}` is used twice.")
        seen.add(name)


def _unknown_references(network: ir.Network) -> Iterator[Issue]:
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


def _undeclared_symbols(network: ir.Network) -> Iterator[Issue]:
    known = (*network.ids(), *(r.id for r in network.reactions))
    names = set(known)
    for where, expr in formulas(network):
        # Local parameters read `reaction.parameter`; a person knows them without it.
        for name in dict.fromkeys(ir.symbols(expr)):
            if name not in names:
                yield Issue(
                    "error",
                    "undeclared",
                    name,
                    f"The formula of {where} uses `{name}`, which is not declared. "
                    f"{hint(name, known)}",
                )


def _valueless_symbols(network: ir.Network) -> Iterator[Issue]:
    """Yield symbols without a value: Antimony makes these of a misspelt name."""
    defined = {r.variable for r in network.rules}
    defined |= {a.variable for a in network.initial_assignments}
    defined |= {name for expr in network.algebraic for name in ir.symbols(expr)}
    values: dict[str, float | None] = {p.id: p.value for p in network.parameters}
    values |= {c.id: c.size for c in network.compartments}
    values |= {s.id: s.initial for s in network.species}
    idle = {c.id for c in network.compartments} - _needed_volumes(network)
    without = [n for n, v in values.items() if v is None and n not in defined | idle]
    others = [name for name in network.ids() if name not in without]
    users = {
        name: where for where, expr in formulas(network) for name in ir.symbols(expr)
    }
    for name in without:
        if name in users:
            words = f"The formula of {users[name]} uses `{name}`, which has no value."
        else:
            words = f"`{name}` has no value."
        yield Issue("error", "no value", name, f"{words} {hint(name, others)}")


def _needed_volumes(network: ir.Network) -> set[str]:
    """Return the compartments whose size decides something."""
    used = {name for _, expr in formulas(network) for name in ir.symbols(expr)}
    used |= {rule.variable for rule in network.rules}
    return used | {
        s.compartment
        for s in network.species
        if s.initial_is_concentration or (s.id in used and not s.only_amount)
    }


def _constants(network: ir.Network) -> set[str]:
    """Return the ids that the file declares constant."""
    groups = (network.species, network.parameters, network.compartments)
    return {item.id for group in groups for item in group if item.constant}


def _wrong_targets(network: ir.Network) -> Iterator[Issue]:
    """Yield what events set although they must not."""
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


def _contradictions(network: ir.Network) -> Iterator[Issue]:
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


def _unused(network: ir.Network) -> Iterator[Issue]:
    used = {name for _, expr in formulas(network) for name in ir.symbols(expr)}
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


def _unlimited_consumption(network: ir.Network) -> Iterator[Issue]:
    """Yield reactions that go on when a reactant is used up: it would turn negative."""
    free = {s.id for s in network.species if s.boundary or s.constant}
    hidden = {r.variable: set(ir.symbols(r.math)) for r in network.rules}
    for reaction in network.reactions:
        seen = set(ir.symbols(reaction.rate))
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
                    f"`{ir.text(reaction.rate)}` does not depend on it: `{name}` can "
                    "become negative.",
                )


def source_issues(
    network: ir.Network, table: Mapping[str, SourcedNumber], name: str
) -> list[Issue]:
    """Return numbers without a row, rows without a number, and values that differ."""
    values = {c.id: c.size for c in network.compartments if c.constant}
    ruled = {r.variable for r in network.rules if r.kind == "assignment"}
    values |= {p.id: p.value for p in network.parameters if p.id not in ruled}
    started = [s for s in network.species if s.initial and s.id not in ruled]
    values |= {s.id: s.initial for s in started}
    found = [
        (key, _row_fault(key, value, table.get(key), name))
        for key, value in values.items()
    ]
    known = network.ids()
    for key, row in table.items():
        if key not in known:
            where = f"{name}, line {row.line}"
            found.append(
                (key, f"{where}: the model has no `{key}`. {hint(key, known)}")
            )
    return [Issue("error", "source", key, fault) for key, fault in found if fault]


def _row_fault(
    key: str, value: float | None, row: SourcedNumber | None, name: str
) -> str:
    """Return what is wrong with the row of one number, "" for nothing."""
    if row is None:
        return f"`{key}` has no row in {name}, so no source."
    where = f"{name}, line {row.line}: "
    if value is not None and row.value != value:
        return f"{where}`{key}` is {row.value!r} here, {value!r} in the model."
    if not row.source:
        return f"{where}`{key}` has no source."
    if row.status not in STATUSES:
        known = ", ".join(STATUSES)
        return f"{where}status of `{key}` must be one of {known}, got `{row.status}`."
    return ""


# --------------------------------------------------------------------------- units
# The unit of an expression is a pint unit, or None where the file leaves a unit open:
# what is not declared is not guessed and not complained about.
Unit: TypeAlias = "pint.Unit | None"


class _UnitMismatchError(Exception):
    """Carries one sentence from deep in an expression to the formula's check."""


def unit_issues(network: ir.Network) -> list[Issue]:
    """Return formulas whose units contradict themselves or what they define.

    Only what the model declares is checked: an expression with an undeclared unit in
    it is skipped. Scale counts: litres and picolitres do not add up.
    """
    checker = _UnitChecker(network)
    issues = []
    for reaction in network.reactions:
        where = f"{reaction.id} `{ir.text(reaction.rate)}`"
        issues += checker.check(
            reaction.id, where, reaction.rate, checker.rate, reaction.id
        )
    for rule in network.rules:
        expected = checker.units.get(rule.variable)
        if rule.kind == "rate" and expected is not None:
            time = checker.time
            expected = expected / time if time is not None else None
        where = f"{rule.variable} `{ir.text(rule.math)}`"
        issues += checker.check(rule.variable, where, rule.math, expected, "")
    for item in network.initial_assignments:
        where = f"{item.variable} `{ir.text(item.math)}`"
        expected = checker.units.get(item.variable)
        issues += checker.check(item.variable, where, item.math, expected, "")
    for i, math_ in enumerate(network.algebraic, start=1):
        where = f"algebraic rule {i} `{ir.text(math_)}`"
        issues += checker.check(f"algebraic rule {i}", where, math_, None, "")
    for event in network.events:
        issues += _event_unit_issues(checker, event)
    return issues


def _event_unit_issues(checker: "_UnitChecker", event: ir.Event) -> list[Issue]:
    """Return what contradicts itself in the formulas of one event."""
    parts: list[tuple[str, ir.Expr | None, Unit]] = [
        ("trigger", event.trigger, None),
        ("delay", event.delay, checker.time),
        ("priority", event.priority, checker.one),
    ]
    parts += [
        (a.variable, a.math, checker.units.get(a.variable)) for a in event.assignments
    ]
    return [
        issue
        for what, math_, expected in parts
        if math_ is not None
        for issue in checker.check(
            event.id, f"{event.id}, {what} `{ir.text(math_)}`", math_, expected, ""
        )
    ]


class _UnitChecker:
    """Units of all ids of one network, and the rules of unit arithmetic."""

    def __init__(self, network: ir.Network) -> None:
        volumes = {c.id: _pint(c.unit) for c in network.compartments}
        self.units: dict[str, Unit] = dict(volumes)
        for item in network.species:
            amount, volume = _pint(item.unit), volumes.get(item.compartment)
            if item.only_amount:
                self.units[item.id] = amount
            elif amount is None or volume is None:
                self.units[item.id] = None
            else:
                self.units[item.id] = amount / volume
        self.units |= {p.id: _pint(p.unit) for p in network.parameters}
        self.parameters = {p.id for p in network.parameters}
        self.time = _pint(network.units.time)
        extent = _pint(network.units.extent)
        self.rate = None if extent is None or self.time is None else extent / self.time
        self.units |= {r.id: self.rate for r in network.reactions}
        self.one = units.registry().Unit("")

    def check(
        self, key: str, where: str, expr: ir.Expr, expected: Unit, reaction: str
    ) -> list[Issue]:
        """Return the unit error of one formula, if it has one."""
        try:
            got = self.of(expr)
        except _UnitMismatchError as mismatch:
            return [Issue("error", "units", key, f"{where}: {mismatch}.")]
        if got is None or expected is None or _same(got, expected):
            return []
        words = f"{where}: {units.unit_text(got)}, expected {units.unit_text(expected)}"
        repair = self._repair(expr, got, expected) if reaction else ""
        return [Issue("error", "units", key, f"{words}{repair}.")]

    def _repair(self, expr: ir.Expr, got: "pint.Unit", expected: "pint.Unit") -> str:
        """Suggest the unit of the first parameter factor that would mend a product."""
        for name in _factors(expr):
            unit = self.units.get(name)
            if unit is not None and name in self.parameters:
                return (
                    f"; `{name}` [{units.unit_text(unit)}] should be "
                    f"[{units.unit_text(unit * expected / got)}]"
                )
        return ""

    def of(self, expr: ir.Expr) -> Unit:
        """Return the unit of an expression, None where it cannot be known."""
        if isinstance(expr, ir.Number):
            return self.one if expr.unit is None else _pint(expr.unit)
        if isinstance(expr, ir.Symbol):
            return self.units.get(expr.name)
        return _UNITS_OF.get(expr.op, _UnitChecker.dimensionless)(self, expr)

    def now(self, _: ir.Call) -> Unit:
        """Return the unit of the simulation time."""
        return self.time

    def equal(self, expr: ir.Call) -> Unit:
        """Return the unit that all arguments must have."""
        return self._alike(expr, expr.args)

    def compared(self, expr: ir.Call) -> Unit:
        """Return the unit of a truth, whose arguments must have one unit."""
        self._alike(expr, expr.args)
        return self.one

    def chosen(self, expr: ir.Call) -> Unit:
        """Return the unit that all values of a piecewise must have."""
        for condition in expr.args[1::2]:
            self.of(condition)
        return self._alike(expr, expr.args[0::2])

    def slope(self, expr: ir.Call) -> Unit:
        """Return the unit of a rate of change."""
        unit = self.of(expr.args[0])
        return None if unit is None or self.time is None else unit / self.time

    def product(self, expr: ir.Call) -> Unit:
        """Return the unit of a product or quotient."""
        result: Unit = self.one
        for i, arg in enumerate(expr.args):
            unit = self.of(arg)
            if unit is None or result is None:
                result = None
            else:
                result = result / unit if i and expr.op != "times" else result * unit
        return result

    def power(self, expr: ir.Call) -> Unit:
        """Return the unit of a power or root."""
        base, exponent = expr.args if expr.op == "power" else expr.args[::-1]
        unit = self.of(base)
        power = self.of(exponent)
        if power is not None and not power.dimensionless:
            raise _UnitMismatchError(
                f"the exponent `{ir.text(exponent)}` is {units.unit_text(power)}, "
                "expected dimensionless"
            )
        if unit is None or _same(unit, self.one):
            return unit
        if not isinstance(exponent, ir.Number):
            return None  # a Hill coefficient that is a parameter: K^n cancels S^n
        value = exponent.value if expr.op == "power" else 1.0 / exponent.value
        return unit**value

    def _alike(self, expr: ir.Call, args: tuple[ir.Expr, ...]) -> Unit:
        first: tuple[ir.Expr, pint.Unit] | None = None
        for arg in args:
            unit = self.of(arg)
            if unit is None or (isinstance(arg, ir.Number) and arg.value == 0.0):
                continue
            if first is None:
                first = (arg, unit)
            elif not _same(first[1], unit):
                raise _UnitMismatchError(
                    f"`{ir.text(first[0])}` is {units.unit_text(first[1])} but "
                    f"`{ir.text(arg)}` is {units.unit_text(unit)}, so "
                    f"`{ir.text(expr)}` has no unit"
                )
        return first[1] if first else None

    def dimensionless(self, expr: ir.Call) -> Unit:
        """Return no unit; the arguments must have none either."""
        for arg in expr.args:
            unit = self.of(arg)
            if unit is not None and not unit.dimensionless:
                raise _UnitMismatchError(
                    f"`{ir.text(arg)}` in `{ir.text(expr)}` is "
                    f"{units.unit_text(unit)}, expected dimensionless"
                )
        return self.one


_UNITS_OF: dict[str, Callable[[_UnitChecker, ir.Call], Unit]] = {
    ir.TIME: _UnitChecker.now,
    ir.RATE_OF: _UnitChecker.slope,
    "piecewise": _UnitChecker.chosen,
    **dict.fromkeys(("power", "root"), _UnitChecker.power),
    **dict.fromkeys(("times", "divide", "quotient"), _UnitChecker.product),
    **dict.fromkeys(("plus", "minus", "min", "max"), _UnitChecker.equal),
    **dict.fromkeys(("abs", "floor", "ceiling", "rem"), _UnitChecker.equal),
    **dict.fromkeys(ir.RELATIONS, _UnitChecker.compared),
}
"""Operator → its unit; all others take and give plain numbers."""


def _factors(expr: ir.Expr) -> Iterator[str]:
    """Yield the ids that multiply in a product or stand above in a quotient."""
    if isinstance(expr, ir.Symbol):
        yield expr.name
    elif isinstance(expr, ir.Call) and expr.op == "times":
        for arg in expr.args:
            yield from _factors(arg)
    elif isinstance(expr, ir.Call) and expr.op in {"divide", "minus"}:
        yield from _factors(expr.args[0])


def _pint(unit: units.UnitParts | None) -> Unit:
    return None if unit is None else units.pint_unit(unit)


def _same(a: "pint.Unit", b: "pint.Unit") -> bool:
    """Say whether two units are equal in dimension and in scale."""
    if a == b:
        return True
    if a.dimensionality != b.dimensionality:
        return False
    ratio = units.registry().Quantity(1.0, a).to(b).magnitude
    return math.isclose(ratio, 1.0, rel_tol=1e-9)
