"""Algebraic rules → which quantity each determines, and its formula.

Which quantities a set of rules determines is a matching of rules and free quantities
(SBML L3V2 section 4.11.5). A set that can be matched in two ways has no single
meaning and is refused. No SymPy.
"""

import textwrap
from collections.abc import Container, Iterable, Iterator, Mapping

from mir21sim.errors import ModelError, UnsupportedFeatureError
from mir21sim.model import delays
from mir21sim.model import expressions as ex
from mir21sim.model.network import Network


class NoClosedFormError(UnsupportedFeatureError):
    """A constraint is not linear in any quantity that it could determine."""


MAX_SIZE = 1_000
"""Operations in one formula that elimination may make."""

MAX_WAITING = 20 * MAX_SIZE
"""Operations in one constraint that waits for its turn."""

_ZERO, _ONE = ex.Number(0.0), ex.Number(1.0)


# ---------------------------------------------------------- which quantity is which
def determined(network: Network) -> frozenset[str]:
    """Return the ids that the algebraic rules of a network determine.

    Raises
    ------
    ModelError
        Where there are too few quantities for the rules, or more than one choice.
    """
    if not network.algebraic:
        return frozenset()
    found = [list(_plain_symbols(math)) for math in network.algebraic]
    # A boundary species is held by its modeller: it yields to other candidates.
    free = _free(network)
    for pool in (free, free | _boundary(network)):
        edges = [[name for name in names if name in pool] for names in found]
        chosen = _matching(edges)
        if chosen is not None:
            return _unique(network, edges, chosen)
    raise ModelError(
        f"The {len(found)} algebraic rules ({_listed(network)}) determine too much: "
        "they leave no quantity free for each of them. A quantity is free if it is not "
        "constant and neither a rule, a reaction nor an event sets it."
    )


def _plain_symbols(expr: ex.Expr) -> Iterator[str]:
    """Yield the ids whose value counts: not those of which only a rate is asked."""
    stack = [expr]
    while stack:
        node = stack.pop()
        if isinstance(node, ex.Symbol):
            yield node.name
        elif isinstance(node, ex.Call) and node.op != ex.RATE_OF:
            stack.extend(reversed(node.args))


def _free(network: Network) -> frozenset[str]:
    """Return the ids that may vary and that nothing else sets."""
    varying = {c.id for c in network.compartments if not c.constant}
    varying |= {
        p.id
        for p in network.parameters
        if not p.constant and not p.id.startswith(delays.PREFIX)
    }
    changed = {name for r in network.reactions for name, _ in r.changes()}
    varying |= {
        s.id
        for s in network.species
        if not s.constant and not s.boundary and s.id not in changed
    }
    return frozenset(varying - _set_otherwise(network))


def _boundary(network: Network) -> frozenset[str]:
    held = {s.id for s in network.species if s.boundary and not s.constant}
    return frozenset(held - _set_otherwise(network))


def _set_otherwise(network: Network) -> set[str]:
    """Return the ids that a rule or an event sets."""
    ruled = {rule.variable for rule in network.rules}
    return ruled | {a.variable for e in network.events for a in e.assignments}


def _matching(edges: list[list[str]], without: str = "") -> dict[str, int] | None:
    """Return {id: rule} that gives each rule an id of its own, None if impossible."""
    owner: dict[str, int] = {}

    def place(rule: int, tried: set[str]) -> bool:
        for name in edges[rule]:
            if name == without or name in tried:
                continue
            tried.add(name)
            if name not in owner or place(owner[name], tried):
                owner[name] = rule
                return True
        return False

    for rule in range(len(edges)):
        if not place(rule, set()):
            return None
    return owner


def _unique(
    network: Network, edges: list[list[str]], chosen: dict[str, int]
) -> frozenset[str]:
    """Return the matched ids; raise where others could be matched as well."""
    for name, rule in chosen.items():
        if _matching(edges, without=name) is not None:
            others = ", ".join(f"`{n}`" for n in edges[rule])
            raise ModelError(
                f"The algebraic rule `{ex.text(network.algebraic[rule])} = 0` does not "
                f"say which of {others} it determines; declare constant what it does "
                "not, or write an assignment rule."
            )
    return frozenset(chosen)


def _listed(network: Network) -> str:
    return "; ".join(f"`{ex.text(math)} = 0`" for math in network.algebraic[:5])


# ------------------------------------------------------------------------- solving
def solve(
    constraints: Iterable[ex.Expr],
    unknowns: Iterable[str],
    defined: Mapping[str, ex.Expr],
    *,
    what: str = "algebraic rule",
    steady: Container[str] | None = None,
) -> dict[str, ex.Expr]:
    """Return each unknown as a formula of known quantities or of other unknowns.

    Gaussian elimination over formulas: a rule that is linear in an unknown becomes
    its definition and takes it out of the others.

    Parameters
    ----------
    constraints : formulas over stored quantities that are zero at all times
    unknowns : as many ids as constraints
    defined : formulas of other quantities, in which unknowns may hide
    what : a name of the constraints, for messages
    steady : ids that a factor of an unknown may use, so that it does not vanish while
        time goes on; None: any

    Raises
    ------
    NoClosedFormError
        For a constraint that is not linear in any quantity that it could determine,
        and for formulas that grow without bounds on the way.
    """
    left = set(unknowns)
    waiting = [_inlined(math, left, defined) for math in constraints]
    found: dict[str, ex.Expr] = {}
    while waiting:
        place, name, formula = _pivot(waiting, left, what, steady)
        if ex.size(formula, MAX_SIZE) >= MAX_SIZE:
            raise NoClosedFormError(
                f"The formula that the {what} gives `{name}` grows beyond {MAX_SIZE} "
                "operations; that is not supported."
            )
        waiting.pop(place)
        left.discard(name)
        found[name] = formula
        waiting = [ex.substitute(math, {name: formula}) for math in waiting]
        _stop_on_growth(waiting, what)
    return found


def _stop_on_growth(waiting: list[ex.Expr], what: str) -> None:
    """Stop where constraints grow without bounds while unknowns leave them."""
    if any(ex.size(math, MAX_WAITING) >= MAX_WAITING for math in waiting):
        raise NoClosedFormError(
            f"The formula of a {what} grows beyond {MAX_WAITING} operations; that is "
            "not supported."
        )


def _inlined(
    math: ex.Expr, unknowns: set[str], defined: Mapping[str, ex.Expr]
) -> ex.Expr:
    """Return a constraint with the definitions written out that hide an unknown."""
    hiding = {name for name in defined if unknowns & _behind(name, defined)}
    for _ in range(len(hiding)):
        used = {name: defined[name] for name in ex.symbols(math) if name in hiding}
        if not used:
            break
        math = ex.substitute(math, used)
    return math


def _behind(name: str, defined: Mapping[str, ex.Expr]) -> set[str]:
    waiting, seen = [name], set[str]()
    while waiting:
        entry = waiting.pop()
        if entry in defined:
            new = set(ex.symbols(defined[entry])) - seen
            seen |= new
            waiting.extend(new)
    return seen


def _pivot(
    waiting: list[ex.Expr],
    unknowns: set[str],
    what: str,
    steady: Container[str] | None,
) -> tuple[int, str, ex.Expr]:
    """Return a constraint, an unknown in it, and the formula that it gives it.

    A factor that is a number cannot vanish, so it goes before one that is a formula.
    """
    best: tuple[bool, int, str, ex.Expr] | None = None
    refusal: type[UnsupportedFeatureError] = UnsupportedFeatureError
    for place, math in enumerate(waiting):
        for name in sorted(unknowns & set(ex.symbols(math))):
            line = _linear(math, name)
            if line is None:
                refusal = NoClosedFormError
                continue
            factor, rest = line
            if factor == _ZERO:
                continue
            if steady is not None and not _is_steady(factor, steady):
                refusal = NoClosedFormError
                continue
            sure = isinstance(factor, ex.Number)
            if best is None or (sure and not best[0]):
                formula = _divided(_negative(rest), factor)
                best = (sure, place, name, formula)
    if best is None:
        raise refusal(
            f"The {what} `{_short(waiting[0])} = 0` is not linear in "
            f"{', '.join(f'`{n}`' for n in sorted(unknowns)[:5])}, which it should "
            "determine; that is not supported. Write an assignment rule with the "
            "solution that is meant."
        )
    return best[1:]


def _is_steady(expr: ex.Expr, steady: Container[str]) -> bool:
    return not ex.uses_time(expr) and all(name in steady for name in ex.symbols(expr))


def _short(expr: ex.Expr) -> str:
    return textwrap.shorten(ex.text(expr), 200)


_Line = tuple[ex.Expr, ex.Expr]
"""(a, b) of a·x + b."""


def _linear(
    expr: ex.Expr, name: str, seen: dict[int, _Line | None] | None = None
) -> _Line | None:
    """Return (a, b) with expr = a·name + b, None where it is not linear.

    Parameters
    ----------
    seen : what was found of the parts of the same formula, by ``id``; elimination makes
        formulas that share parts, of which trees would grow without bounds
    """
    if isinstance(expr, ex.Symbol) and expr.name == name:
        return _ONE, _ZERO
    if not isinstance(expr, ex.Call):
        return _ZERO, expr
    seen = {} if seen is None else seen
    if id(expr) not in seen:
        seen[id(expr)] = _linear_call(expr, name, seen)
    return seen[id(expr)]


def _linear_call(
    expr: ex.Call, name: str, seen: dict[int, _Line | None]
) -> _Line | None:
    """Return (a, b) as ``_linear`` does, of an operation."""
    parts: list[_Line] = []
    for arg in expr.args:
        part = _linear(arg, name, seen)
        if part is None:
            return None
        parts.append(part)
    if all(a is _ZERO for a, _ in parts):
        return _ZERO, expr
    return _LINEAR[expr.op](parts) if expr.op in _LINEAR else None


def _linear_sum(parts: list[_Line]) -> _Line:
    a, b = parts[0]
    for more, rest in parts[1:]:
        a, b = _added(a, more), _added(b, rest)
    return a, b


def _linear_difference(parts: list[_Line]) -> _Line:
    turned = [(_negative(a), _negative(b)) for a, b in parts]
    return turned[0] if len(parts) == 1 else _linear_sum([parts[0], turned[1]])


def _linear_product(parts: list[_Line]) -> _Line | None:
    a: ex.Expr = _ZERO
    b: ex.Expr = _ONE
    for more, rest in parts:
        if a != _ZERO and more != _ZERO:
            return None
        a, b = _added(_times(a, rest), _times(b, more)), _times(b, rest)
    return a, b


def _linear_quotient(parts: list[_Line]) -> _Line | None:
    (a, b), (below, divisor) = parts
    if below != _ZERO:
        return None
    return _divided(a, divisor), _divided(b, divisor)


def _linear_choice(parts: list[_Line]) -> _Line | None:
    """Return a piecewise whose values are linear and whose conditions are known."""
    conditions = parts[1::2]
    if any(a != _ZERO for a, _ in conditions) or len(parts) % 2 == 0:
        return None
    made = []
    for k in (0, 1):
        args = [
            part[1] if i in range(1, len(parts), 2) else part[k]
            for i, part in enumerate(parts)
        ]
        made.append(ex.Call("piecewise", tuple(args)))
    return made[0], made[1]


_LINEAR = {
    "plus": _linear_sum,
    "minus": _linear_difference,
    "times": _linear_product,
    "divide": _linear_quotient,
    "piecewise": _linear_choice,
}


def _added(a: ex.Expr, b: ex.Expr) -> ex.Expr:
    if isinstance(a, ex.Number) and isinstance(b, ex.Number):
        return ex.Number(a.value + b.value)
    if _ZERO in (a, b):
        return b if a == _ZERO else a
    return ex.Call("plus", (a, b))


def _times(a: ex.Expr, b: ex.Expr) -> ex.Expr:
    if isinstance(a, ex.Number) and isinstance(b, ex.Number):
        return ex.Number(a.value * b.value)
    if _ZERO in (a, b):
        return _ZERO
    if _ONE in (a, b):
        return b if a == _ONE else a
    return ex.Call("times", (a, b))


def _negative(a: ex.Expr) -> ex.Expr:
    return ex.Number(-a.value) if isinstance(a, ex.Number) else ex.Call("minus", (a,))


def _divided(a: ex.Expr, b: ex.Expr) -> ex.Expr:
    if a == _ZERO or b == _ONE:
        return a
    if isinstance(a, ex.Number) and isinstance(b, ex.Number) and b.value:
        return ex.Number(a.value / b.value)
    return ex.Call("divide", (a, b))
