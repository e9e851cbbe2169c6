"""Experiments → runs of the model, each integrated once, and values at the data.

Experiments that begin with the same periods share their runs: the periods form a tree,
and all periods of one depth are integrated in one call of the solver.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from mir21sim._typing import BoolArray, FloatArray, IntArray
from mir21sim.compiler.llvm_lanes import LANES
from mir21sim.errors import SolverStatus, UnsupportedFeatureError
from mir21sim.estimation.at_data import AtData, Kept, Places, Rows
from mir21sim.estimation.batches import Batch, Seeds, States
from mir21sim.estimation.duals import Dual
from mir21sim.estimation.engine import Engine, triggers
from mir21sim.estimation.period_tree import Node, tree
from mir21sim.estimation.problem import REST, Carry, FitProblem, Period
from mir21sim.estimation.start_plan import StartPlan, StartValues
from mir21sim.estimation.starts import Cells, Formulas, ModelValues, Values, formulas_of
from mir21sim.model import expressions as ex

JUST_BEFORE = 1e-11
"""Relative time before a change at which a run of a model with events ends, so that
events of that moment act after the change."""

TANGENT, ADJOINT = 0.7, 6.0
"""Cost of a column of tangents, and of a run with its adjoint, in runs without
derivatives (Bachmann 2011, CPU time)."""


@dataclass(slots=True, eq=False)
class Level:
    """Results for the nodes of one depth.

    Attributes
    ----------
    end_y, end_p : states and parameters at the end of each node
    end_y_slope, end_p_slope : their derivatives, shape (n_node, n_direction, …)
    truths : triggers at the end of each node
    status : of each node
    """

    end_y: FloatArray
    end_p: FloatArray
    end_y_slope: FloatArray | None
    end_p_slope: FloatArray | None
    truths: list[BoolArray | None]
    status: IntArray

    def batch(self, rows: IntArray, sizes: FloatArray, *, truths: bool) -> Batch:
        """Return some nodes as runs that are to be integrated.

        Parameters
        ----------
        sizes : float array, shape (n_direction,), see ``Seeds``
        truths : whether the runs begin with the triggers of the first of them
        """
        seeds = None
        if self.end_y_slope is not None and self.end_p_slope is not None and len(sizes):
            seeds = Seeds(self.end_y_slope[rows], self.end_p_slope[rows], sizes)
        known = self.truths[rows[0]] if truths else None
        return Batch(self.end_y[rows], self.end_p[rows], seeds, known)


class Runs:
    """The runs of a problem: prepared once, evaluated at many parameter values."""

    def __init__(self, problem: FitProblem, engine: Engine) -> None:
        self.problem, self.engine = problem, engine
        self.model = ModelValues(problem.model)
        self.levels = tree(problem)
        self.at_nominal: FloatArray | None = None
        self.ids = frozenset(p.id for p in problem.parameters)
        self.targets = [list(map(self._targets, level)) for level in self.levels]
        self.formulas = [self._formulas(depth) for depth in range(len(self.levels))]
        names = self._observed_names()
        self.needed = _among(problem.model.state_names, names)
        if not len(self.needed) and problem.model.state_names:
            self.needed = np.zeros(1, np.int64)  # solvers return one state at least
        self.needed_p = _among(problem.model.param_names, names)
        states = [problem.model.state_names[i] for i in self.needed]
        parameters = [problem.model.param_names[i] for i in self.needed_p]
        self.columns = {name: k for k, name in enumerate((*states, *parameters))}
        self.moved_columns = [
            (int(column), j)
            for j, i in enumerate(engine.moved)
            for column in np.flatnonzero(self.needed_p == i)
        ]
        self.dynamic = self._dynamic()
        self.values = Values.of(problem, problem.natural(problem.nominal))
        self.plans: list[StartPlan | None] = [None] * len(self.levels)
        self.places: dict[tuple[object, ...], tuple[FloatArray | None, Places]] = {}
        self.grouped: dict[int, list[IntArray]] = {}

    def _targets(self, node: Node) -> dict[str, ex.Expr]:
        """Return the changes at the start of a node: id → formula."""
        targets: dict[str, ex.Expr] = {}
        if node.period.carry != Carry.ALL:
            for parameter in self.problem.parameters:
                if self.model.has(parameter.id):
                    targets[parameter.id] = ex.Symbol(parameter.id)
        return targets | dict(node.period.changes)

    def _formulas(self, depth: int) -> dict[str, Formulas]:
        """Return the changes at a depth: id → formulas of all nodes."""
        rows = self.targets[depth]
        made: dict[str, Formulas] = {}
        for name in dict.fromkeys(k for targets in rows for k in targets):

            def is_parameter(other: str, name: str = name) -> bool:
                # An id of the model means the model's value, except its own start.
                own = other == name and depth == 0
                return other in self.ids and (own or not self.model.has(other))

            column = [targets.get(name) for targets in rows]
            made[name] = formulas_of(column, self.problem, is_parameter)
        return made

    def _observed_names(self) -> set[str]:
        """Return the stored quantities that the observables depend on."""
        used = np.unique(self.problem.data.observable)
        names = {name for o in used for name in self._names_of(int(o))}
        return names | self._given_names()

    def _names_of(self, o: int) -> set[str]:
        """Return the stored quantities that one observable depends on."""
        names: set[str] = set()
        observable = self.problem.observables[o]
        placed = {*observable.placeholders, *observable.noise_placeholders}
        # Only noise may name an observable; an observable may have a quantity's name.
        values = placed | {other.id for other in self.problem.observables}
        for formula, without in (
            (observable.formula, placed),
            (observable.noise, values),
        ):
            known = _without(formula, without)
            names |= self.model.symbols_of(known, self.problem)
        return names

    def _given_names(self) -> set[str]:
        """Return the stored quantities in place of placeholders of the data rows."""
        data = self.problem.data
        given = {f for row in (*data.overrides, *data.noise_overrides) for f in row}
        found = [self.model.symbols_of(f, self.problem) for f in given]
        return set[str]().union(*found)

    def _dynamic(self) -> IntArray:
        """Return the estimated parameters that runs depend on."""
        used = {
            name
            for level in self.targets
            for targets in level
            for formula in targets.values()
            for name in ex.symbols(formula)
        }
        free = self.problem.names
        return np.array([i for i, n in enumerate(free) if n in used], np.int64)

    @property
    def reverse_is_cheaper(self) -> bool:
        """Whether the adjoint costs less than tangents, where it is possible at all.

        It is where nothing but a resting state comes before the last period of each
        experiment. Costs are counted in groups of lanes: every run once, each of its
        columns ``TANGENT`` times, against ``ADJOINT`` times.
        """
        nodes = [node for level in self.levels for node in level]
        inner = any(n.has_next and n.period.start != REST for n in nodes)
        if inner or not self.engine.reversible or not len(self.dynamic):
            return False
        n_run = sum(n.period.start != REST for n in nodes)
        runs = -(-n_run // LANES)
        columns = -(-n_run * len(self.dynamic) // LANES)
        return runs + TANGENT * columns > ADJOINT * runs

    # ------------------------------------------------------------------- evaluation
    def at_data(
        self, theta: FloatArray, *, slopes: bool, reverse: bool = False
    ) -> AtData:
        """Return the model's quantities at every data row.

        Parameters
        ----------
        theta : float array, shape (n_free,), on the linear scale
        slopes : with derivatives by the estimated parameters
        reverse : keep the steps of the runs for the adjoint in place of tangents
        """
        values = self.values.at(theta, slopes=slopes)
        collect = Rows(self, len(self.problem.data), slopes=slopes, reverse=reverse)
        if slopes:
            collect.sizes = self.problem.step_sizes(theta)[self.dynamic]
        previous: Level | None = None
        steps = 0
        for depth in range(len(self.levels)):
            previous, used = self._level(depth, previous, values, collect)
            steps += used
        return collect.finished(steps)

    def _level(
        self,
        depth: int,
        before: Level | None,
        values: Values,
        collect: "Rows",
    ) -> tuple[Level, int]:
        start, truths, status = self._begin(depth, before, values)
        level = Level(
            start.y, start.p, start.y_slope, start.p_slope, list(truths), status.copy()
        )
        steps = 0
        for members in self._groups(depth, truths):
            steps += self._integrate(depth, members, level, collect)
        return level, steps

    def _begin(
        self, depth: int, before: Level | None, values: Values
    ) -> tuple[StartValues, list[BoolArray | None], IntArray]:
        """Return the start values of all nodes of a depth."""
        nodes = self.levels[depth]
        n = len(nodes)
        if before is None:
            start = self._plan(depth).at(values)
            return start, [None] * n, np.zeros(n, np.int64)
        parents = np.array([node.parent for node in nodes])
        if any(node.period.carry == Carry.STATES for node in nodes):
            start = self._plan(depth).at(values)
            start = start.with_states(self._kept(depth), _ends(before, parents))
        else:
            time = np.array([_start_of(node) for node in nodes])
            carried = self._carried(before, parents, values.n_free)
            cells = self.model.changed(carried, self.formulas[depth], values, time)
            dynamic = self.dynamic if values.slopes else None
            start = StartValues.of(cells, n, dynamic)
        truths = [before.truths[k] for k in parents]
        return start, truths, before.status[parents]

    def _plan(self, depth: int) -> StartPlan:
        """Return the start values of a depth, prepared at the first call."""
        plan = self.plans[depth]
        if plan is None:
            plan = self.plans[depth] = StartPlan(
                self.model,
                self.formulas[depth],
                self.values,
                len(self.levels[depth]),
                self.dynamic,
            )
        return plan

    def _kept(self, depth: int) -> BoolArray:
        """Return which states go on from the period before, those that none sets."""
        names = self.problem.model.state_names
        return np.array(
            [[name not in set_ for name in names] for set_ in self.targets[depth]]
        ).reshape(len(self.levels[depth]), len(names))

    def _carried(self, before: Level, parents: IntArray, n_free: int) -> Cells:
        model = self.problem.model
        y = {
            name: Dual(
                before.end_y[parents, i],
                self._wide(before.end_y_slope, parents, i, n_free),
            )
            for i, name in enumerate(model.state_names)
        }
        p = {
            name: Dual(
                before.end_p[parents, i],
                self._wide(before.end_p_slope, parents, i, n_free),
            )
            for i, name in enumerate(model.param_names)
        }
        return Cells(y, p)

    def _wide(
        self, slope: FloatArray | None, rows: IntArray, i: int, n_free: int
    ) -> FloatArray | None:
        """Return derivatives by all estimated parameters from those that matter."""
        if slope is None or not slope[rows, :, i].any():
            return None
        wide = np.zeros((len(rows), n_free))
        wide[:, self.dynamic] = slope[rows, :, i]
        return wide

    def _groups(self, depth: int, truths: list[BoolArray | None]) -> list[IntArray]:
        """Return the nodes that one call of the solver integrates."""
        nodes = self.levels[depth]
        if any(truth is not None for truth in truths):
            return list(self._found_groups(nodes, truths))
        if depth not in self.grouped:
            self.grouped[depth] = list(self._found_groups(nodes, truths))
        return self.grouped[depth]

    def _found_groups(
        self, nodes: list[Node], truths: list[BoolArray | None]
    ) -> Iterator[IntArray]:
        groups: dict[tuple[object, ...], list[int]] = {}
        for k, node in enumerate(nodes):
            truth = truths[k]
            mark = None if truth is None else truth.tobytes()
            # Runs that nothing follows may go on to the end of the longest.
            end = node.end if node.has_next else None
            rated = tuple(sorted(name for name, _ in node.period.rates))
            held = node.period.held
            key = (node.period.start, end, node.has_next, mark, rated, held)
            groups.setdefault(key, []).append(k)
        for members in groups.values():
            yield np.array(members)

    def _integrate(
        self,
        depth: int,
        members: IntArray,
        level: Level,
        collect: "Rows",
    ) -> int:
        """Integrate some nodes that start and end together."""
        nodes = self.levels[depth]
        alive = members[level.status[members] == SolverStatus.OK]
        for k in np.setdiff1d(members, alive):
            collect.fail(nodes[k], int(level.status[k]))
        if not len(alive):
            return 0
        batch = level.batch(alive, collect.sizes, truths=True)
        batch = self._driven(batch, [nodes[k].period for k in alive])
        first = nodes[alive[0]]
        if first.period.start == REST:
            return self._settled(depth, alive, level, collect)
        keep = np.arange(batch.y0.shape[1]) if first.has_next else self.needed
        times, places = self._places(depth, alive, keep)
        assert times is not None
        if collect.reverse and len(times) > 1:
            states, kept = self.engine.record(batch, times, keep)
            assert batch.seeds is not None
            collect.kept.append(Kept(kept, places, batch.seeds.y, batch.seeds.p))
        else:
            states = self.engine.run(batch, times, keep)
        level.status[alive] = states.status
        collect.take(places, states, level, alive)
        if first.has_next:
            self._finish(alive, level, states, float(times[-1]))
        else:
            self._late_rows(depth, alive, level, collect)
        return states.n_steps

    def _driven(self, batch: Batch, periods: list[Period]) -> Batch:
        """Return runs with the infusions and held states of their periods."""
        states = self.problem.model.state_names
        rates = held = None
        if periods[0].rates:
            rates = np.zeros(batch.y0.shape)
            for run, period in enumerate(periods):
                for name, rate in period.rates:
                    rates[run, states.index(name)] = rate
        if periods[0].held:
            held = np.array([name in periods[0].held for name in states])
        return replace(batch, rates=rates, held=held)

    def _places(
        self,
        depth: int,
        members: IntArray,
        keep: IntArray,
        kind: str = "",
    ) -> tuple[FloatArray | None, Places]:
        """Return the output times of some nodes, and where their data rows are.

        Parameters
        ----------
        kind : "" for runs, ``rest`` for a steady state that serves every row, ``late``
            for one that serves the rows at infinite time
        """
        key = (depth, kind, members.tobytes())
        if key not in self.places:
            chosen = [self.levels[depth][k] for k in members]
            times: FloatArray | None = None
            if kind == "late":
                times = np.array([np.inf])
            elif not kind:
                times = self._times(chosen, chosen[0])
            columns = np.searchsorted(keep, self.needed)
            at = self.problem.data.time
            self.places[key] = times, Places.of(chosen, times, at, columns)
        return self.places[key]

    def _times(self, nodes: list[Node], first: Node) -> FloatArray:
        """Return the output times of a group."""
        inside = {t for node in nodes for t in node.times if np.isfinite(t)}
        end = max(node.end for node in nodes)
        if first.has_next and self.problem.model.kernels.events is not None:
            end -= JUST_BEFORE * max(abs(end), abs(first.period.start))
        return np.array(sorted({first.period.start, end, *inside}))

    def _finish(
        self, members: IntArray, level: Level, states: States, end: float
    ) -> None:
        """Write the states at the end of a period, where the next one starts."""
        n = level.end_y.shape[1]
        moved = self.engine.moved
        level.end_y[members] = states.values[:, -1, :n]
        level.end_p[np.ix_(members, moved)] = states.values[:, -1, n:]
        if states.slopes is not None:
            assert level.end_y_slope is not None
            assert level.end_p_slope is not None
            turned = np.moveaxis(states.slopes[:, -1], 1, 2)  # (run, direction, kept)
            level.end_y_slope[members] = turned[:, :, :n]
            for j, index in enumerate(moved):
                level.end_p_slope[members, :, index] = turned[:, :, n + j]
        for k in members:
            level.truths[k] = triggers(
                self.problem.model, end, level.end_y[k], level.end_p[k]
            )

    def _settled(
        self,
        depth: int,
        members: IntArray,
        level: Level,
        collect: "Rows",
    ) -> int:
        batch = level.batch(members, collect.sizes, truths=True)
        states = self.engine.rest(batch, self._near(members))
        level.status[members] = states.status
        self._finish(members, level, states, 0.0)
        keep = np.arange(batch.y0.shape[1])
        _, places = self._places(depth, members, keep, "rest")
        collect.take(places, states, level, members)
        return states.n_steps

    def _near(self, members: IntArray) -> FloatArray | None:
        """Return the steady states at the nominal values, where the search begins.

        They do not depend on earlier evaluations, so that a resumed fit takes the same
        path to the last bit.
        """
        if self.at_nominal is None:
            nominal = self.problem.natural(self.problem.nominal)
            start = self._plan(0).at(self.values.at(nominal, slopes=False))
            y, p = start.y, start.p
            resting = np.array([n.period.start == REST for n in self.levels[0]])
            self.at_nominal = np.full_like(y, np.nan)
            found = self.engine.rest(Batch(y[resting], p[resting]))
            self.at_nominal[resting] = found.values[:, 0]
        return self.at_nominal[members]

    def _late_rows(
        self,
        depth: int,
        members: IntArray,
        level: Level,
        collect: "Rows",
    ) -> None:
        """Read the rows at infinite time from the steady state of the last period."""
        nodes = self.levels[depth]
        late = np.array([k for k in members if np.inf in nodes[k].times], np.int64)
        if not len(late):
            return
        if nodes[late[0]].period.rates or nodes[late[0]].period.held:
            raise UnsupportedFeatureError(
                "A data row at infinite time follows an infusion without end or a held "
                "species; a steady state is not sought there."
            )
        batch = level.batch(late, collect.sizes, truths=False)
        rest = self.engine.rest(batch)
        level.status[late] = np.maximum(level.status[late], rest.status)
        keep = np.arange(batch.y0.shape[1])
        _, places = self._places(depth, late, keep, "late")
        collect.take(places, rest, level, late)


def _among(names: tuple[str, ...], wanted: set[str]) -> IntArray:
    return np.array([i for i, name in enumerate(names) if name in wanted], np.int64)


def _without(formula: ex.Expr, names: set[str]) -> ex.Expr:
    """Return a formula in which some ids are numbers."""
    return ex.substitute(formula, {name: ex.Number(1.0) for name in names})


def _start_of(node: Node) -> float:
    return 0.0 if node.period.start == REST else node.period.start


def _ends(level: Level, rows: IntArray) -> StartValues:
    """Return the ends of some nodes as the starts of others."""
    y_slope, p_slope = level.end_y_slope, level.end_p_slope
    return StartValues(
        level.end_y[rows],
        level.end_p[rows],
        None if y_slope is None else y_slope[rows],
        None if p_slope is None else p_slope[rows],
    )
