"""Units of formulas: contradictions inside them, or with the variables they define."""

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from mir21sim import units
from mir21sim.model import expressions as ex
from mir21sim.model.lint import Issue
from mir21sim.model.network import Event, Network

if TYPE_CHECKING:
    import pint


# The unit of an expression is a pint unit, or None where the file leaves a unit open:
# units that are not declared are not guessed and not complained about.
Unit: TypeAlias = "pint.Unit | None"


class _UnitMismatchError(Exception):
    """Carries one sentence from deep in an expression to the formula's check."""


def unit_issues(network: Network) -> list[Issue]:
    """Return formulas whose units contradict themselves or the variable they define.

    Only declared units are checked: an expression with an undeclared unit in
    it is skipped. Scale counts: litres and picolitres do not add up.
    """
    checker = _UnitChecker(network)
    issues = []
    for reaction in network.reactions:
        where = f"{reaction.id} `{ex.text(reaction.rate)}`"
        issues += checker.check(
            reaction.id, where, reaction.rate, checker.rate, reaction.id
        )
    for rule in network.rules:
        expected = checker.units.get(rule.variable)
        if rule.kind == "rate" and expected is not None:
            time = checker.time
            expected = expected / time if time is not None else None
        where = f"{rule.variable} `{ex.text(rule.math)}`"
        issues += checker.check(rule.variable, where, rule.math, expected, "")
    for item in network.initial_assignments:
        where = f"{item.variable} `{ex.text(item.math)}`"
        expected = checker.units.get(item.variable)
        issues += checker.check(item.variable, where, item.math, expected, "")
    for i, math_ in enumerate(network.algebraic, start=1):
        where = f"algebraic rule {i} `{ex.text(math_)}`"
        issues += checker.check(f"algebraic rule {i}", where, math_, None, "")
    for event in network.events:
        issues += _event_unit_issues(checker, event)
    return issues


def _event_unit_issues(checker: "_UnitChecker", event: Event) -> list[Issue]:
    """Return the contradictions in the formulas of one event."""
    parts: list[tuple[str, ex.Expr | None, Unit]] = [
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
            event.id,
            f"{event.id}, {what} `{ex.text(math_)}`",
            math_,
            expected,
            "",
        )
    ]


class _UnitChecker:
    """Units of all ids of one network, and the rules of unit arithmetic."""

    def __init__(self, network: Network) -> None:
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
        self,
        key: str,
        where: str,
        expr: ex.Expr,
        expected: Unit,
        reaction: str,
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

    def _repair(self, expr: ex.Expr, got: "pint.Unit", expected: "pint.Unit") -> str:
        """Suggest the unit of the first parameter factor that would mend a product."""
        for name in _factors(expr):
            unit = self.units.get(name)
            if unit is not None and name in self.parameters:
                return (
                    f"; `{name}` [{units.unit_text(unit)}] should be "
                    f"[{units.unit_text(unit * expected / got)}]"
                )
        return ""

    def of(self, expr: ex.Expr) -> Unit:
        """Return the unit of an expression, None where it cannot be known."""
        if isinstance(expr, ex.Number):
            return self.one if expr.unit is None else _pint(expr.unit)
        if isinstance(expr, ex.Symbol):
            return self.units.get(expr.name)
        return _UNITS_OF.get(expr.op, _UnitChecker.dimensionless)(self, expr)

    def now(self, _: ex.Call) -> Unit:
        """Return the unit of the simulation time."""
        return self.time

    def equal(self, expr: ex.Call) -> Unit:
        """Return the unit that all arguments must have."""
        return self._alike(expr, expr.args)

    def compared(self, expr: ex.Call) -> Unit:
        """Return the unit of a truth, whose arguments must have one unit."""
        self._alike(expr, expr.args)
        return self.one

    def chosen(self, expr: ex.Call) -> Unit:
        """Return the unit that all values of a piecewise must have."""
        for condition in expr.args[1::2]:
            self.of(condition)
        return self._alike(expr, expr.args[0::2])

    def slope(self, expr: ex.Call) -> Unit:
        """Return the unit of a rate of change."""
        unit = self.of(expr.args[0])
        return None if unit is None or self.time is None else unit / self.time

    def earlier(self, expr: ex.Call) -> Unit:
        """Return the unit of a delayed value."""
        return self.of(expr.args[0])

    def product(self, expr: ex.Call) -> Unit:
        """Return the unit of a product or quotient."""
        result: Unit = self.one
        for i, arg in enumerate(expr.args):
            unit = self.of(arg)
            if unit is None or result is None:
                result = None
            else:
                result = result / unit if i and expr.op != "times" else result * unit
        return result

    def power(self, expr: ex.Call) -> Unit:
        """Return the unit of a power or root."""
        base, exponent = expr.args if expr.op == "power" else expr.args[::-1]
        unit = self.of(base)
        power = self.of(exponent)
        if power is not None and not power.dimensionless:
            raise _UnitMismatchError(
                f"the exponent `{ex.text(exponent)}` is {units.unit_text(power)}, "
                "expected dimensionless"
            )
        if unit is None or _same(unit, self.one):
            return unit
        if not isinstance(exponent, ex.Number):
            return None  # a Hill coefficient that is a parameter: K^n cancels S^n
        value = exponent.value if expr.op == "power" else 1.0 / exponent.value
        return unit**value

    def _alike(self, expr: ex.Call, args: tuple[ex.Expr, ...]) -> Unit:
        first: tuple[ex.Expr, pint.Unit] | None = None
        for arg in args:
            unit = self.of(arg)
            if unit is None or (isinstance(arg, ex.Number) and arg.value == 0.0):
                continue
            if first is None:
                first = (arg, unit)
            elif not _same(first[1], unit):
                raise _UnitMismatchError(
                    f"`{ex.text(first[0])}` is {units.unit_text(first[1])} but "
                    f"`{ex.text(arg)}` is {units.unit_text(unit)}, so "
                    f"`{ex.text(expr)}` has no unit"
                )
        return first[1] if first else None

    def dimensionless(self, expr: ex.Call) -> Unit:
        """Return no unit; the arguments must have none either."""
        for arg in expr.args:
            unit = self.of(arg)
            if unit is not None and not unit.dimensionless:
                raise _UnitMismatchError(
                    f"`{ex.text(arg)}` in `{ex.text(expr)}` is "
                    f"{units.unit_text(unit)}, expected dimensionless"
                )
        return self.one


_UNITS_OF: dict[str, Callable[[_UnitChecker, ex.Call], Unit]] = {
    ex.TIME: _UnitChecker.now,
    ex.RATE_OF: _UnitChecker.slope,
    ex.DELAY: _UnitChecker.earlier,
    "piecewise": _UnitChecker.chosen,
    **dict.fromkeys(("power", "root"), _UnitChecker.power),
    **dict.fromkeys(("times", "divide", "quotient"), _UnitChecker.product),
    **dict.fromkeys(("plus", "minus", "min", "max"), _UnitChecker.equal),
    **dict.fromkeys(("abs", "floor", "ceiling", "rem"), _UnitChecker.equal),
    **dict.fromkeys(ex.RELATIONS, _UnitChecker.compared),
}
"""Operator → its unit; all others take and give plain numbers."""


def _factors(expr: ex.Expr) -> Iterator[str]:
    """Yield the ids that multiply in a product or stand above in a quotient."""
    if isinstance(expr, ex.Symbol):
        yield expr.name
    elif isinstance(expr, ex.Call) and expr.op == "times":
        for arg in expr.args:
            yield from _factors(arg)
    elif isinstance(expr, ex.Call) and expr.op in {"divide", "minus"}:
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
