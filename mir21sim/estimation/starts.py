"""Estimated parameters → start values and parameters of every run, with derivatives.

All formulas of the model that act at the start of a run (initial assignments, initial
concentrations, assignment rules they use) are evaluated for all experiments at once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from mir21sim._typing import FloatArray, IntArray
from mir21sim.compiler.equation_terms import Equations
from mir21sim.compiler.equations import equations
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, UnknownNameError, UnsupportedFeatureError
from mir21sim.estimation.duals import Dual, constant, evaluate
from mir21sim.estimation.problem import FitProblem
from mir21sim.model import expressions as ex


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """Theta: the parameters of the problem by id.

    Attributes
    ----------
    place : id of an estimated parameter → index
    fixed : id of another one → value
    free : float array, shape (n_free,), the estimated ones
    slopes : whether derivatives are wanted
    """

    place: Mapping[str, int]
    fixed: Mapping[str, float]
    free: FloatArray
    slopes: bool

    @property
    def n_free(self) -> int:
        """Number of estimated parameters."""
        return len(self.free)

    @classmethod
    def of(
        cls, problem: FitProblem, theta: FloatArray, *, slopes: bool = True
    ) -> "Values":
        """Return the parameters at linear values of the estimated ones."""
        place = {name: k for k, name in enumerate(problem.names)}
        fixed = {p.id: p.value for p in problem.parameters if not p.estimated}
        return cls(place, fixed, theta, slopes)

    def at(self, theta: FloatArray, *, slopes: bool) -> "Values":
        """Return the same parameters at other values."""
        return replace(self, free=theta, slopes=slopes)

    @property
    def known(self) -> tuple[str, ...]:
        """Ids of all parameters."""
        return (*self.place, *self.fixed)

    def has(self, name: str) -> bool:
        """Return whether an id is a parameter of the problem."""
        return name in self.place or name in self.fixed

    def column(self, name: str, n: int) -> Dual:
        """Return a parameter repeated for n rows."""
        if name in self.fixed:
            return constant(self.fixed[name], n)
        k = self.place[name]
        slope = None
        if self.slopes:
            slope = np.zeros((n, self.n_free))
            slope[:, k] = 1.0
        return Dual(np.full(n, self.free[k]), slope)


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """Formulas of many rows, each a number or a parameter of the problem.

    Attributes
    ----------
    numbers : float array, shape (n,), used where ``index`` is −1
    index : int array, shape (n,), of an estimated parameter, or −1
    """

    numbers: FloatArray
    index: IntArray

    def dual(self, theta: Values) -> Dual:
        """Return the values and their derivatives."""
        free = self.index >= 0
        if not free.any():
            return Dual(self.numbers)
        value = np.where(free, theta.free[self.index], self.numbers)
        if not theta.slopes:
            return Dual(value)
        slope = np.zeros((len(value), theta.n_free))
        slope[np.flatnonzero(free), self.index[free]] = 1.0
        return Dual(value, slope)


Formulas: TypeAlias = "Column | tuple[ex.Expr | None, ...]"
"""One formula per row; None for the value that the model has."""


def formulas_of(
    rows: Sequence[ex.Expr | None],
    problem: FitProblem,
    is_parameter: Callable[[str], bool],
) -> Formulas:
    """Return formulas in the form that is quickest to evaluate.

    Parameters
    ----------
    is_parameter : whether an id means a parameter of the problem here
    """
    place = {name: k for k, name in enumerate(problem.names)}
    fixed = {p.id: p.value for p in problem.parameters if not p.estimated}
    numbers, index = np.zeros(len(rows)), np.full(len(rows), -1, np.int64)
    for row, formula in enumerate(rows):
        if isinstance(formula, ex.Number):
            numbers[row] = formula.value
        elif isinstance(formula, ex.Symbol) and is_parameter(formula.name):
            if formula.name in fixed:
                numbers[row] = fixed[formula.name]
            else:
                index[row] = place[formula.name]
        else:
            return tuple(rows)
    return Column(numbers, index)


@dataclass(slots=True, eq=False)
class Cells:
    """Stored quantities of some runs of one model at one moment.

    Attributes
    ----------
    y : state id → Dual, shape (n_run,), amounts
    p : parameter id → Dual, shape (n_run,)
    """

    y: Mapping[str, Dual]
    p: Mapping[str, Dual]


class ModelValues:
    """Values of ids of a model in formulas: concentrations, rules, parameters."""

    def __init__(self, model: CompiledModel) -> None:
        self.model = model
        self.equations: Equations = equations(model.network)
        self.states = frozenset(self.equations.states)
        self.params = frozenset(self.equations.params)
        self.rates = {r.name: r.math for r in self.equations.rates}

    def lookup(
        self, cells: Cells, theta: Values, time: FloatArray, extra: Mapping[str, Dual]
    ) -> "_Lookup":
        """Return the function that formulas of the problem read their ids from."""
        return _Lookup(self, cells, theta, time, extra)

    def symbols_of(self, expr: ex.Expr, problem: FitProblem) -> set[str]:
        """Return the stored quantities of the model that a formula depends on.

        Raises
        ------
        UnknownNameError
            For an id that neither the model nor the problem has.
        """
        own = {p.id for p in problem.parameters}
        model_ids = [n for n in ex.symbols(expr) if self.has(n)]
        for name in ex.symbols(expr):
            if name not in own and not self.has(name):
                known = (*problem.model.network.ids(), *own)
                raise UnknownNameError("name in a formula", name, known)
        homes = {self.equations.homes[n] for n in model_ids if self.is_density(n)}
        return self.equations.needs({*model_ids, *homes})

    def is_density(self, name: str) -> bool:
        """Return whether an id means the stored amount over a volume."""
        return name in self.equations.homes

    def rule(self, name: str) -> ex.Expr:
        """Return the formula of a quantity that a rule defines, or of a rate."""
        formula = self.equations.defined.get(name)
        return self.rates[name] if formula is None else formula

    def start_formula(self, name: str) -> ex.Expr | None:
        """Return the formula of a stored quantity at the start, None for a number."""
        found = self.equations.starts.get(name, self.equations.defined.get(name))
        return self.rates.get(name) if found is None else found

    def has(self, name: str) -> bool:
        """Return whether the model has an id."""
        return (
            name in self.states
            or name in self.params
            or name in self.equations.defined
            or name in self.rates
        )

    def start(self, targets: Mapping[str, Formulas], theta: Values, n: int) -> Cells:
        """Return the start of n runs, in which some ids have other values.

        Parameters
        ----------
        targets : id → formula of its value in each run; None for the model's own
        """
        return Start(self, targets, theta, n).cells()

    def changed(
        self,
        cells: Cells,
        targets: Mapping[str, Formulas],
        theta: Values,
        time: FloatArray,
    ) -> Cells:
        """Return the cells after changes that all use the values before.

        A change of a compartment leaves the concentrations of species whose id means
        one, except of those that are changed themselves.
        """
        n = len(time)
        before = self.lookup(cells, theta, time, {})
        new = {
            name: by_row(formulas, before, before(name), time)
            for name, formulas in targets.items()
        }
        y, p = dict(cells.y), dict(cells.p)
        for name, value in new.items():
            if name in self.equations.homes:
                continue
            if name in p:
                p[name] = value
            elif name in y:
                y[name] = value
            else:
                raise not_changeable(name, self)
        after = Cells(y, p)
        resized = {name for name in new if name in self.equations.homes.values()}
        for species, home in self.equations.homes.items():
            if species not in new and home not in resized:
                continue
            if species not in y and species not in p:
                continue  # a rule defines it
            density = new.get(species, before(species))
            size = self.lookup(after, theta, time, {})(home)
            amount = evaluate(_PRODUCT, {"a": density, "b": size}.__getitem__, time)
            (y if species in y else p)[species] = amount
        assert all(len(v.value) == n for v in y.values())
        return Cells(y, p)


_PRODUCT = ex.Call("times", (ex.Symbol("a"), ex.Symbol("b")))
_RATIO = ex.Call("divide", (ex.Symbol("a"), ex.Symbol("b")))


def not_changeable(name: str, model: ModelValues) -> Exception:
    """Return the error for a condition that sets an id which it cannot."""
    if name in model.equations.defined:
        return UnsupportedFeatureError(
            f"`{name}` is set by a condition, but a rule of the model defines it at "
            "all times; set the values that the rule uses."
        )
    known = model.model.network.ids()
    return UnknownNameError("quantity that a condition sets", name, known)


def by_row(
    formulas: Formulas,
    lookup: "_Lookup",
    otherwise: Dual | None,
    time: FloatArray,
) -> Dual:
    """Return one value per row, each from a formula of its own."""
    if isinstance(formulas, Column):
        return formulas.dual(lookup.theta)
    groups: dict[ex.Expr | None, list[int]] = {}
    for run, formula in enumerate(formulas):
        groups.setdefault(formula, []).append(run)
    parts: dict[ex.Expr | None, Dual] = {
        f: evaluate(f, lookup, time) for f in groups if f is not None
    }
    if None in groups:
        assert otherwise is not None
        parts[None] = otherwise
    return assembled({f: (rows, parts[f]) for f, rows in groups.items()}, len(formulas))


def assembled(
    parts: Mapping[ex.Expr | None, tuple[Sequence[int], Dual]], n: int
) -> Dual:
    """Return a column put together from rows of whole columns."""
    value = np.empty(n)
    slopes = [dual.slope for _, dual in parts.values() if dual.slope is not None]
    slope = np.zeros((n, slopes[0].shape[1])) if slopes else None
    for rows, dual in parts.values():
        index = np.asarray(rows)
        value[index] = dual.value[index]
        if slope is not None and dual.slope is not None:
            slope[index] = dual.slope[index]
    return Dual(value, slope)


class _Lookup:
    """Reads ids from stored quantities, rules, the problem's parameters, in order."""

    def __init__(
        self,
        model: ModelValues,
        cells: Cells,
        theta: Values,
        time: FloatArray,
        extra: Mapping[str, Dual],
    ) -> None:
        self.model, self.cells, self.theta = model, cells, theta
        self.time, self.extra = time, extra
        self.memory: dict[str, Dual] = {}

    def __call__(self, name: str) -> Dual:
        """Return the value that an id has in a formula of the problem."""
        if name in self.extra:
            return self.extra[name]
        if self.model.is_density(name):
            return _ratio(
                self.stored(name), self.stored(self.model.equations.homes[name])
            )
        if self.model.has(name):
            return self.stored(name)
        if self.theta.has(name):
            return self.theta.column(name, len(self.time))
        raise UnknownNameError(
            "name in a formula",
            name,
            (*self.model.model.network.ids(), *self.theta.known),
        )

    def stored(self, name: str) -> Dual:
        """Return a stored quantity: an amount for every species."""
        if name in self.cells.y:
            return self.cells.y[name]
        if name in self.cells.p:
            return self.cells.p[name]
        if name not in self.memory:
            self.memory[name] = evaluate(self.model.rule(name), self.stored, self.time)
        return self.memory[name]


def _ratio(a: Dual, b: Dual) -> Dual:
    return evaluate(_RATIO, {"a": a, "b": b}.__getitem__, a.value)


class Start:
    """Initial values of n runs; formulas are evaluated when they are needed.

    Parameters
    ----------
    made : stored quantities that are known already
    """

    def __init__(
        self,
        model: ModelValues,
        targets: Mapping[str, Formulas],
        theta: Values,
        n: int,
        made: Mapping[str, Dual] | None = None,
    ) -> None:
        self.model, self.targets, self.theta, self.n = model, targets, theta, n
        self.time = np.zeros(n)
        self.made: dict[str, Dual] = dict(made or {})
        self.open: list[str] = []
        compiled = model.model
        self.numbers = dict(zip(compiled.state_names, compiled.y0, strict=True))
        self.numbers |= dict(zip(compiled.param_names, compiled.p0, strict=True))
        for name in targets:
            if name in model.equations.defined or not model.has(name):
                raise not_changeable(name, model)

    def cells(self) -> Cells:
        """Return all stored quantities."""
        compiled = self.model.model
        return Cells(
            {name: self.stored(name) for name in compiled.state_names},
            {name: self.stored(name) for name in compiled.param_names},
        )

    def stored(self, name: str) -> Dual:
        """Return a stored quantity at the start."""
        if name not in self.made:
            if name in self.open:
                path = " → ".join([*self.open[self.open.index(name) :], name])
                raise InputError(f"Start values define each other in a circle: {path}.")
            self.open.append(name)
            self.made[name] = self._make(name)
            self.open.pop()
        return self.made[name]

    def value(self, name: str) -> Dual:
        """Return the value of an id in a formula of the problem.

        In the formula of its own value an id is the parameter of the problem of that
        name, or the value that the model starts with.
        """
        if self.open and name == self.open[-1] and self.theta.has(name):
            return self.theta.column(name, self.n)
        if self.open and name == self.open[-1]:
            return self._own_value(name)
        if self.model.is_density(name):
            home = self.model.equations.homes[name]
            return _ratio(self.stored(name), self.stored(home))
        if self.model.has(name):
            return self.stored(name)
        if self.theta.has(name):
            return self.theta.column(name, self.n)
        known = (*self.model.model.network.ids(), *self.theta.known)
        raise UnknownNameError("name in a formula", name, known)

    def _make(self, name: str) -> Dual:
        formulas = self.targets.get(name)
        if formulas is None:
            return self._own(name)
        if isinstance(formulas, Column):
            return self._amount(name, formulas.dual(self.theta))
        groups: dict[ex.Expr | None, list[int]] = {}
        for run, formula in enumerate(formulas):
            groups.setdefault(formula, []).append(run)
        parts = {}
        for formula, rows in groups.items():
            dual = self._own(name) if formula is None else self._given(name, formula)
            parts[formula] = (rows, dual)
        return assembled(parts, self.n)

    def _given(self, name: str, formula: ex.Expr) -> Dual:
        """Return the stored quantity whose value the problem gives."""
        return self._amount(name, evaluate(formula, self.value, self.time))

    def _amount(self, name: str, dual: Dual) -> Dual:
        """Return the stored quantity of a value."""
        if not self.model.is_density(name):
            return dual
        size = self.stored(self.model.equations.homes[name])
        return evaluate(_PRODUCT, {"a": dual, "b": size}.__getitem__, self.time)

    def _own_value(self, name: str) -> Dual:
        own = self._own(name)
        if not self.model.is_density(name):
            return own
        return _ratio(own, self.stored(self.model.equations.homes[name]))

    def _own(self, name: str) -> Dual:
        """Return the stored quantity as the model starts it."""
        formula = self.model.start_formula(name)
        if formula is None:
            return constant(self.numbers[name], self.n)
        return evaluate(formula, self.stored, self.time)
