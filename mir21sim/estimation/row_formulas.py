"""Observables and noise of all data rows, with derivatives, in few passes.

Rows whose formulas differ only in their ids and numbers (`s_1*A`, `s_2*B`) are
evaluated together: the ids become slots, and each row reads a column or a parameter of
its own into each slot. Derivatives are taken by the slots, of which a formula has few,
and only then by the estimated parameters.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from mir21sim._typing import FloatArray, IntArray
from mir21sim.errors import UnknownNameError
from mir21sim.estimation.at_data import Stored
from mir21sim.estimation.duals import Dual, evaluate, scaled_slopes
from mir21sim.estimation.problem import FitProblem, Observable
from mir21sim.estimation.starts import ModelValues
from mir21sim.model import expressions as ex

Weights: TypeAlias = tuple[FloatArray, FloatArray]
"""Derivatives of a sum over rows by the value and by the noise of each."""


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """Simulated values and noise of all data rows.

    Attributes
    ----------
    value, noise : float arrays, shape (n_row,)
    value_slope, noise_slope : derivatives by the estimated parameters, float arrays,
        shape (n_row, n_free), or None
    """

    value: FloatArray
    noise: FloatArray
    value_slope: FloatArray | None
    noise_slope: FloatArray | None


@dataclass(frozen=True, slots=True)
class _Leaf:
    """The value that one row reads into one slot.

    Attributes
    ----------
    column : of a stored quantity, or −1
    free : index of an estimated parameter, or −1
    number : value where both are −1
    """

    column: int = -1
    free: int = -1
    number: float = 0.0

    @property
    def stored(self) -> bool:
        """Whether it is a quantity of the model."""
        return self.column >= 0


@dataclass(frozen=True, slots=True)
class _Form:
    """Formulas of a row over slots, and the values that are read into the slots.

    Attributes
    ----------
    value, noise : over slots and rules
    rules : quantities that rules define, over slots and rules
    leaves : one per slot
    """

    value: ex.Expr
    noise: ex.Expr
    rules: tuple[tuple[str, ex.Expr], ...]
    leaves: tuple[_Leaf, ...]

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for rows that are evaluated together."""
        stored = tuple(leaf.stored for leaf in self.leaves)
        return self.value, self.noise, self.rules, stored


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Rows that are evaluated together.

    Attributes
    ----------
    rows : int array, shape (n,)
    form : formulas over slots
    columns, free : int arrays, shape (n_slot, n)
    numbers : float array, shape (n_slot, n)
    names : of the slots in the formulas
    seeds : float array, shape (n_slot, n, n_slot), derivatives of each slot by the
        slots, which are 1 and 0
    moved : whether a slot can move with an estimated parameter
    time : float array, shape (n,), model time
    """

    rows: IntArray
    form: _Form
    columns: IntArray
    free: IntArray
    numbers: FloatArray

    names: tuple[str, ...]
    seeds: FloatArray
    moved: tuple[bool, ...]
    time: FloatArray

    @classmethod
    def of(cls, rows: IntArray, forms: Sequence[_Form], time: FloatArray) -> "_Group":
        """Return rows whose formulas are alike as one group."""
        n, n_slot = len(rows), len(forms[0].leaves)
        leaves = [leaf for form in forms for leaf in form.leaves]
        columns, free, numbers = (
            np.array([getattr(leaf, part) for leaf in leaves]).reshape(n, n_slot).T
            for part in ("column", "free", "number")
        )
        ones = np.eye(n_slot)[:, np.newaxis, :]
        return cls(
            rows,
            forms[0],
            np.ascontiguousarray(columns, np.int64),
            np.ascontiguousarray(free, np.int64),
            np.ascontiguousarray(numbers, np.float64),
            names=tuple(map(_slot, range(n_slot))),
            seeds=np.broadcast_to(ones, (n_slot, n, n_slot)),
            moved=tuple(
                bool(any_) for any_ in np.any((columns >= 0) | (free >= 0), axis=1)
            ),
            time=time[rows],
        )


class RowFormulas:
    """The formulas of all data rows: prepared once, evaluated at many values.

    Parameters
    ----------
    columns : id of a stored quantity → its column at the data rows

    Raises
    ------
    UnknownNameError
        For an id that neither the model nor the problem has.
    """

    def __init__(
        self, problem: FitProblem, model: ModelValues, columns: Mapping[str, int]
    ) -> None:
        self.problem, self.model, self.columns = problem, model, columns
        self.free = {name: k for k, name in enumerate(problem.names)}
        self.fixed = {p.id: p.value for p in problem.parameters if not p.estimated}
        self.n_row = len(problem.data)
        self.groups = list(self._groups())

    # ---------------------------------------------------------------- preparation
    def _groups(self) -> Iterator[_Group]:
        data = self.problem.data
        forms: dict[tuple[object, ...], _Form] = {}
        members: dict[tuple[object, ...], list[tuple[int, _Form]]] = {}
        for row, o in enumerate(data.observable):
            given = (int(o), data.overrides[row], data.noise_overrides[row])
            if given not in forms:
                forms[given] = self._form(self.problem.observables[o], *given[1:])
            form = forms[given]
            members.setdefault(form.key, []).append((row, form))
        for group in members.values():
            rows = np.array([row for row, _ in group], np.int64)
            yield _Group.of(rows, [form for _, form in group], data.time)

    def _form(
        self,
        observable: Observable,
        given: Sequence[ex.Expr],
        noise_given: Sequence[ex.Expr],
    ) -> _Form:
        """Return the formulas of a row with slots in place of ids."""
        placed = dict(zip(observable.placeholders, given, strict=True))
        noise_placed = dict(
            zip(observable.noise_placeholders, noise_given, strict=True)
        )
        slots = _Slots(self)
        value = slots.over(observable.formula, placed, {})
        more = {**placed, **noise_placed}
        noise = slots.over(observable.noise, more, {observable.id: value})
        return _Form(value, noise, tuple(slots.rules.items()), tuple(slots.leaves))

    # ----------------------------------------------------------------- evaluation
    def evaluate(self, at: Stored, theta: FloatArray, *, slopes: bool) -> Observed:
        """Return simulated values and noise at linear values of the parameters."""
        n, m = self.n_row, len(theta)
        seen = self.duals(at, theta, slopes=slopes)
        value, noise = np.full(n, np.nan), np.full(n, np.nan)
        for group, y, sigma in seen:
            value[group.rows], noise[group.rows] = y.value, sigma.value
        if not slopes:
            return Observed(value, noise, None, None)
        by_value, by_noise = _Slopes(n, m, at), _Slopes(n, m, at)
        for group, y, sigma in seen:
            by_value.add(y, group)
            by_noise.add(sigma, group)
        return Observed(value, noise, by_value.whole(), by_noise.whole())

    def pull(
        self, at: Stored, theta: FloatArray, weights: Callable[[Observed], Weights]
    ) -> tuple[Observed, FloatArray, FloatArray]:
        """Return the gradient of a sum over rows, without the slopes of each row.

        Parameters
        ----------
        weights : values and noise → derivatives of the sum by each of them, float
            arrays, shape (n_row,)

        Returns
        -------
        observed : values and noise
        direct : float array, shape (n_free,), gradient by the parameters that stand in
            the formulas
        stored : float array, shape (n_row, n_column), by the quantities of the model
        """
        seen = self.duals(at, theta, slopes=True)
        value, noise = np.full(self.n_row, np.nan), np.full(self.n_row, np.nan)
        for group, y, sigma in seen:
            value[group.rows], noise[group.rows] = y.value, sigma.value
        observed = Observed(value, noise, None, None)
        direct, stored = np.zeros(len(theta)), np.zeros(at.values.shape)
        by_value, by_noise = weights(observed)
        for group, y, sigma in seen:
            _pull(y, group, by_value, (direct, stored))
            _pull(sigma, group, by_noise, (direct, stored))
        return observed, direct, stored

    def duals(
        self, at: Stored, theta: FloatArray, *, slopes: bool
    ) -> list[tuple[_Group, Dual, Dual]]:
        """Return value and noise of every group, with derivatives by its slots."""
        return [
            (group, *self._duals(group, at, theta, slopes=slopes))
            for group in self.groups
        ]

    def _duals(
        self, group: _Group, at: Stored, theta: FloatArray, *, slopes: bool
    ) -> tuple[Dual, Dual]:
        """Return value and noise of some rows, with derivatives by the slots."""
        known: dict[str, Dual] = {}
        for s, leaf in enumerate(group.form.leaves):
            name, free = group.names[s], group.free[s]
            if not group.moved[s]:
                known[name] = Dual(group.numbers[s])
                continue
            if leaf.stored:
                value = at.values[group.rows, group.columns[s]]
            else:
                value = np.where(free >= 0, theta[free], group.numbers[s])
            known[name] = Dual(value, group.seeds[s] if slopes else None)
        rules = dict(group.form.rules)

        def lookup(name: str) -> Dual:
            if name not in known:
                known[name] = evaluate(rules[name], lookup, group.time)
            return known[name]

        return (
            evaluate(group.form.value, lookup, group.time),
            evaluate(group.form.noise, lookup, group.time),
        )


class _Slots:
    """Replaces the ids in the formulas of one row by slots."""

    def __init__(self, formulas: RowFormulas) -> None:
        self.all, self.model = formulas, formulas.model
        self.leaves: list[_Leaf] = []
        self.rules: dict[str, ex.Expr] = {}
        self.places: dict[str, int] = {}

    def over(
        self, expr: ex.Expr, placed: Mapping[str, ex.Expr], made: Mapping[str, ex.Expr]
    ) -> ex.Expr:
        """Return a formula of the problem over slots.

        Parameters
        ----------
        placed : placeholder → formula of the row
        made : id → formula over slots, used as it is
        """
        if isinstance(expr, ex.Call):
            return ex.Call(
                expr.op, tuple(self.over(a, placed, made) for a in expr.args)
            )
        if not isinstance(expr, ex.Symbol):
            return expr
        name = expr.name
        if name in made:
            return made[name]
        if name in placed:
            given = placed[name]
            if isinstance(given, ex.Number):
                return self._slot(f"placed {name}", _Leaf(number=given.value))
            return self.over(given, {}, {})
        if self.model.is_density(name):
            home = self.model.equations.homes[name]
            return ex.Call("divide", (self._stored(name), self._stored(home)))
        if self.model.has(name):
            return self._stored(name)
        if name in self.all.free:
            return self._slot(f"free {name}", _Leaf(free=self.all.free[name]))
        if name in self.all.fixed:
            return self._slot(f"fixed {name}", _Leaf(number=self.all.fixed[name]))
        known = (*self.model.model.network.ids(), *self.all.free, *self.all.fixed)
        raise UnknownNameError("name in a formula", name, known)

    def _stored(self, name: str) -> ex.Expr:
        """Return a stored quantity, or the rule that defines it."""
        if name in self.model.states or name in self.model.params:
            return self._slot(f"stored {name}", _Leaf(column=self.all.columns[name]))
        rule = f"rule {name}"
        if rule not in self.rules:
            self.rules[rule] = self._over_stored(self.model.rule(name))
        return ex.Symbol(rule)

    def _over_stored(self, expr: ex.Expr) -> ex.Expr:
        if isinstance(expr, ex.Call):
            return ex.Call(expr.op, tuple(map(self._over_stored, expr.args)))
        return self._stored(expr.name) if isinstance(expr, ex.Symbol) else expr

    def _slot(self, key: str, leaf: _Leaf) -> ex.Symbol:
        if key not in self.places:
            self.places[key] = len(self.leaves)
            self.leaves.append(leaf)
        return ex.Symbol(_slot(self.places[key]))


def _slot(s: int) -> str:
    return f"slot {s}"


class _Slopes:
    """Derivatives of all rows by the estimated parameters, put together by groups.

    Attributes
    ----------
    direct : float array, shape (n_row, n_free), by parameters in the formulas
    inner : float array, shape (n_row, n_direction), through the quantities of the model
    """

    def __init__(self, n_row: int, n_free: int, at: Stored) -> None:
        self.at = at
        self.direct = np.zeros((n_row, n_free))
        self.inner = np.zeros((n_row, len(at.dynamic)))

    def add(self, dual: Dual, group: _Group) -> None:
        """Add the derivatives of some rows by their slots."""
        if dual.slope is None:
            return
        rows, slopes = group.rows, self.at.slopes
        for s, leaf in enumerate(group.form.leaves):
            by_slot = dual.slope[:, s]
            if not group.moved[s] or not by_slot.any():
                continue
            if not leaf.stored:
                chosen = group.free[s] >= 0
                self.direct[rows[chosen], group.free[s][chosen]] += by_slot[chosen]
            elif slopes is not None:
                slope = slopes[rows, group.columns[s]]
                if slope.any():
                    self.inner[rows] += scaled_slopes(slope, by_slot)

    def whole(self) -> FloatArray:
        """Return the sum; float array, shape (n_row, n_free)."""
        self.direct[:, self.at.dynamic] += self.inner
        return self.direct


def _pull(
    dual: Dual, group: _Group, weight: FloatArray, total: tuple[FloatArray, FloatArray]
) -> None:
    """Add the gradient of Σ weight · dual by parameters and by stored quantities."""
    if dual.slope is None:
        return
    direct, stored = total
    by_slot = scaled_slopes(dual.slope, weight[group.rows])
    for s, leaf in enumerate(group.form.leaves):
        if leaf.stored:
            np.add.at(stored, (group.rows, group.columns[s]), by_slot[:, s])
        elif group.moved[s]:
            chosen = group.free[s] >= 0
            np.add.at(direct, group.free[s][chosen], by_slot[chosen, s])
