"""Predictions of validation rows for many parameter sets at once.

All sets of a trial run in one batch, and nothing is written to the disk: the resting
state of a cell is used by all trials that it lives through. Read-outs are those of
``validation.readouts``, so that factors of 1 give the number of the verdict.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mir21sim._typing import BoolArray, FloatArray, IntArray
from mir21sim.analysis.cell_death import DEAD
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import SolverStatus
from mir21sim.simulation import perturbations as perturbing
from mir21sim.simulation.ensemble import LINE_MARK
from mir21sim.simulation.options import Options
from mir21sim.simulation.plan import Plan
from mir21sim.simulation.population import Population
from mir21sim.simulation.translate import CELL, translate
from mir21sim.simulation.varied import varied
from mir21sim.solvers.methods import MANY
from mir21sim.solvers.problem import Problem, Schedule, Selection, Solution
from mir21sim.solvers.solve import solve
from mir21sim.validation.claims import UNITS, Case, ValidationRow
from mir21sim.validation.features import RunCurves
from mir21sim.validation.readouts import Quantity
from mir21sim.validation.trial import Trial
from mir21sim.validation.validate import DOSES, FACTORS, PRECISION, SEED, Lines

LIFE_S = 3e7
"""s (a year) of undisturbed life before a trial."""

RUNS = 4000
"""Runs of one batch: more would need more memory, not less time."""

RESTS = 32
"""Groups of resting cells that are kept in memory; the oldest is dropped first."""


@dataclass(frozen=True, slots=True, eq=False)
class Sets:
    """Parameter sets as factors on the numbers of a model.

    Attributes
    ----------
    names : parameters, or ``NAME@LINE`` for a factor of one cell line alone
    factors : float array, shape (n_set, n_name)
    """

    names: tuple[str, ...]
    factors: FloatArray

    def of(self, model: CompiledModel) -> dict[str, FloatArray]:
        """Return the values of each set for a model with its cell line."""
        found: dict[str, FloatArray] = {}
        place = {name: k for k, name in enumerate(model.param_names)}
        for k, full in enumerate(self.names):
            name, _, line = full.partition(LINE_MARK)
            if name in place and (not line or line == model.context):
                own = found.get(name, model.p0[place[name]])
                found[name] = own * self.factors[:, k]
        return found

    def part(self, chosen: slice) -> "Sets":
        """Return some of the sets."""
        return Sets(self.names, self.factors[chosen])

    def __len__(self) -> int:
        return len(self.factors)


class RowRuns(Lines):
    """Runs the trials of rows for parameter sets.

    Parameters
    ----------
    model : name or path, as in ``load``
    rows : from ``validation_rows``
    cells : unlike cells of a trial at most; by default as many as the row says
    points : output times of a trial at most; None: as many as the row says
    rtol : of every run
    method : of every run
    """

    def __init__(
        self,
        model: str | Path,
        rows: Sequence[ValidationRow],
        *,
        cells: int | None = None,
        points: int | None = 1000,
        rtol: float = 1e-3,
        n_jobs: int | None = None,
        cells_of: Mapping[str, int] | None = None,
        method: str = MANY.name,
    ) -> None:
        super().__init__(model)
        self.rows = tuple(rows)
        self.cells, self.points = cells, points
        self.cells_of = cells_of or {}
        self.options = Options(method=method, rtol=rtol, n_jobs=n_jobs)
        self.wanted: dict[str, dict[str, None]] = {}
        self.cases = [[self._like(case) for case in row.cases()] for row in self.rows]
        for cases in self.cases:
            for case in cases:
                names = self.wanted.setdefault(_key(case.context, case.trial), {})
                names |= dict.fromkeys(case.readout.names)

    def _like(self, case: Case) -> Case:
        """Return a case with as many cells and times as all others, to share runs."""
        if self.cells is None:
            return case
        trial = case.trial
        cells = min(trial.cells, self.cells_of.get(case.readout.feature, self.cells))
        points = trial.points if self.points is None else self.points
        return replace(case, trial=replace(trial, cells=cells, points=points))

    def predict(self, sets: Sets) -> FloatArray:
        """Return the number of each row for each set, in the row's unit.

        Returns
        -------
        float array, shape (n_set, n_row): the prediction of an observation (a ratio
        where it has a reference), the relative change of a claim; NaN where it has none
        """
        found = np.full((len(sets), len(self.rows)), np.nan)
        for block in self.blocks(len(sets)):
            batch = self.batch(sets.part(block))
            for k, row in enumerate(self.rows):
                found[block, k] = prediction(row, *batch.numbers(k))
        return found

    def blocks(self, n_set: int) -> list[slice]:
        """Return the blocks of sets that run at once."""
        step = max(1, RUNS // max(1, self.cells or 64))
        return [slice(start, start + step) for start in range(0, n_set, step)]

    def batch(self, sets: Sets) -> "Batch":
        """Return the runner of the rows, in their order, for one block of sets."""
        return Batch(self, sets)


class Batch:
    """The trials of one block of sets; every trial and every rest is made once.

    Attributes
    ----------
    failed : by ``repr`` of a case, int array, shape (n_set,): cells whose run failed;
        a read-out of many cells is that of the others
    """

    def __init__(self, runs: RowRuns, sets: Sets) -> None:
        self.runs, self.sets = runs, sets
        self.curves: dict[str, tuple[FloatArray, dict[str, FloatArray]]] = {}
        self.rests: dict[str, FloatArray] = {}
        self.values: dict[str, FloatArray] = {}
        self.failed: dict[str, IntArray] = {}
        self.waiting = Counter(
            _key(case.context, case.trial)
            for case in {repr(c): c for cases in runs.cases for c in cases}.values()
        )

    def numbers(self, place: int) -> tuple[FloatArray, FloatArray]:
        """Return the number of a row in each set, and the one it is held against.

        Returns
        -------
        two float arrays, shape (n_set,); in the units of the model (ratios where the
        row asks for the effect of a treatment), the second NaN where there is none
        """
        row = self.runs.rows[place]
        values = [self._value(case) for case in self.runs.cases[place]]
        n_plain = 1 if row.against is None else 2
        plain, treated = values[:n_plain], values[n_plain:]
        with np.errstate(divide="ignore", invalid="ignore"):
            if treated:
                plain = [b / a for a, b in zip(plain, treated, strict=True)]
        none = np.full(len(self.sets), np.nan)
        return plain[0], none if row.against is None else plain[1]

    def _value(self, case: Case) -> FloatArray:
        key = repr(case)
        if key not in self.values:
            if case.trial.searched is not None:
                self.values[key] = self._threshold(case)
            else:
                self.values[key] = self._read(case)
            self._forget(_key(case.context, case.trial))
        return self.values[key]

    def _forget(self, key: str) -> None:
        """Drop the curves of a trial that no later read-out needs."""
        self.waiting[key] -= 1
        if self.waiting[key] <= 0:
            self.curves.pop(key, None)

    def _read(self, case: Case) -> FloatArray:
        read = case.readout.definition.read
        assert read is not None  # thresholds go another way
        times, curves = self.run(case.context, case.trial)
        since = case.trial.last_dose_h
        since = since if since < times[-1] else float(times[0])
        many = case.readout.many
        found = np.full(len(self.sets), np.nan)
        quantities = [_quantity(q, curves) for q in case.readout.quantities]
        # A failed run is NaN; a ratio may be 0/0 at the start of a good one.
        shape = (len(self.sets), case.trial.cells or 1)
        whole = np.ones(shape, dtype=bool)
        for name in case.readout.names:
            whole &= np.isfinite(curves[name]).all(axis=-1)
        self.failed[repr(case)] = (~whole).sum(axis=1)
        for k in range(len(self.sets)):
            own = tuple(q[k] if many else q[k, 0] for q in quantities)
            if not many and not whole[k, 0]:
                continue
            good = whole[k]
            if many:
                own = tuple(curve[good] for curve in own)
                if not good.any():
                    continue
            found[k] = read(RunCurves(times, own, since, case.readout.number))
        return found

    def run(
        self, context: str, trial: Trial
    ) -> tuple[FloatArray, dict[str, FloatArray]]:
        """Return the times and the curves (n_set, n_cell, n_time) of a trial."""
        key = _key(context, trial)
        if key not in self.curves:
            model = self.runs.context(context)
            names = tuple(
                n
                for n in self.runs.wanted[key]
                if n in model.state_names or n in model.assigned_names
            )
            times = _times(model, trial, self.runs.points)
            values = self._solved(model, trial, times, names)
            self.curves[key] = times, dict(zip(names, values, strict=True))
        return self.curves[key]

    def _solved(
        self,
        model: CompiledModel,
        trial: Trial,
        times: FloatArray,
        names: Sequence[str],
        amounts: FloatArray | None = None,
    ) -> FloatArray:
        """Return curves, shape (n_name, n_set, n_cell, n_time); NaN for failed runs."""
        searched = trial.searched
        gene = searched[1] if searched is not None and _over(trial) else None
        cells, n_cell = self._cells(model, trial, gene, amounts)
        plan = Plan.of(model, trial.treatment, times, observe=names, cells=cells)
        translated = translate(model, plan)
        problem = translated.problem
        settings = self.runs.options.resolved(model, many=True)
        workers = self.runs.options.workers(settings, len(problem))
        rest_key = _rest_key(model, trial, n_cell, gene, amounts)
        y0, good = self._rested(model, plan, problem, rest_key)
        if amounts is not None and gene is None:
            problem = _dosed(model, trial, problem, np.repeat(amounts, n_cell))
        done = _done(*solve(model, replace(problem, y0=y0), settings, workers))
        values = done.values
        values[~good | (done.status != SolverStatus.OK)] = np.nan
        shape = (len(self.sets), n_cell, len(times), len(names))
        return np.moveaxis(values.reshape(shape), -1, 0)

    def _rested(
        self, model: CompiledModel, plan: Plan, problem: Problem, key: str
    ) -> tuple[FloatArray, BoolArray]:
        """Return start states, and which runs have one."""
        if not self.runs.options.resolved(model, many=True).equilibrate:
            return problem.y0, np.ones(len(problem), dtype=bool)
        if key not in self.rests:
            self.rests[key] = self._undisturbed(model, problem.y0, problem, None)
            if len(self.rests) > RESTS:
                del self.rests[next(iter(self.rests))]
        y0 = self.rests[key]
        if problem.frozen is not None:
            held = perturbing.clamped(
                model, plan.treatment.perturbations, np.array(y0), problem.p
            )
            y0 = self._undisturbed(model, held, problem, problem.frozen)
        good: BoolArray = np.asarray(np.isfinite(y0).all(axis=1), dtype=bool)
        return np.where(good[:, np.newaxis], y0, problem.y0), good

    def _undisturbed(
        self,
        model: CompiledModel,
        y0: FloatArray,
        problem: Problem,
        frozen: BoolArray | None,
    ) -> FloatArray:
        """Return the states after a long life without doses, NaN for a failed run.

        No Newton steps make them exact, which would cost ten times the integration: a
        drift of the solver's tolerance does not matter here.
        """
        empty = np.empty(0, dtype=np.int64)
        life = Problem(
            y0=y0,
            p=problem.p,
            times=np.array([0.0, LIFE_S / model.seconds_per_time]),
            schedule=Schedule(np.empty(0), empty, empty, np.empty((len(y0), 0))),
            selection=Selection(empty, empty, empty, empty, np.empty(0)),
            amounts=problem.amounts,
            frozen=frozen,
        )
        settings = self.runs.options.resolved(model, many=True)
        workers = self.runs.options.workers(settings, len(life))
        done = _done(*solve(model, life, settings, workers))
        y = np.array(done.y_end)
        y[done.status != SolverStatus.OK] = np.nan
        return np.where(y0 >= 0, np.maximum(y, 0.0), y)

    def _cells(
        self,
        model: CompiledModel,
        trial: Trial,
        gene: int | str | None,
        amounts: FloatArray | None,
    ) -> tuple[dict[str, FloatArray], int]:
        """Return the numbers of all cells of all sets, sets first."""
        done = trial.treatment
        fixed = {*done.parameters, *done.initials}
        for site in done.perturbations.no_site:  # its numbers are those without it
            fixed |= {*model.info.genes[site].site}
        n_cell = trial.cells or 1
        n_set = len(self.sets)
        found = {
            name: np.repeat(values, n_cell)
            for name, values in self.sets.of(model).items()
            if name not in fixed
        }
        if trial.cells:
            groups = varied(model)
            factors = Population(n_cell, seed=SEED).factors(tuple(groups))
            alike = set(fixed)
            for uniform in trial.uniform:
                own = model.info.genes[uniform]
                alike |= {*own.synthesis, *own.protein}
            start = dict(zip(model.state_names, model.y0, strict=True))
            start |= dict(zip(model.param_names, model.p0, strict=True))
            for key, names in groups.items():
                for name in names:
                    if name not in alike:
                        own_value = found.get(
                            name, np.full(n_set * n_cell, start[name])
                        )
                        found[name] = own_value * np.tile(factors[key], n_set)
        if gene is not None and amounts is not None:
            for name in model.info.genes[str(gene)].synthesis:
                value = model.p0[model.param_names.index(name)]
                own_value = found.get(name, np.full(n_set * n_cell, value))
                found[name] = own_value * np.repeat(amounts, n_cell)
        if not found:
            pairs = zip(model.param_names, model.p0, strict=True)
            name, value = next(p for p in pairs if p[0] not in {*fixed, CELL})
            found = {name: np.full(n_set * n_cell, value)}
        return found, n_cell

    def _threshold(self, case: Case) -> FloatArray:
        """Return the amount at which a quantity starts or stops reaching one half."""
        model = self.runs.context(case.context)
        (quantity,) = case.readout.quantities
        times = _times(model, case.trial, 49)
        n = len(self.sets)

        def reached(logs: FloatArray) -> FloatArray:
            curves = self._solved(
                model, case.trial, times, quantity.names, np.exp(logs)
            )
            named = dict(zip(quantity.names, curves, strict=True))
            with np.errstate(invalid="ignore"):
                return np.asarray(_quantity(quantity, named)[:, 0].max(-1) >= DEAD)

        ends = FACTORS if _over(case.trial) else DOSES
        low, high = (np.full(n, math.log(end)) for end in ends)
        at_low, at_high = reached(low), reached(high)
        while (high - low).max() > PRECISION:
            middle = (low + high) / 2
            same = reached(middle) == at_low
            low, high = np.where(same, middle, low), np.where(same, high, middle)
        found = np.exp((low + high) / 2)
        return np.where(at_low == at_high, np.where(at_low, 0.0, np.inf), found)


def prediction(
    row: ValidationRow, value: FloatArray, reference: FloatArray
) -> FloatArray:
    """Return the prediction of an observation, or the relative change of a claim.

    Parameters
    ----------
    value, reference : float arrays, shape (n_set,), from ``Batch.numbers``

    Returns
    -------
    float array, shape (n_set,), an observation's in the unit of the row
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        if row.kind == "claim":
            return np.asarray((value - reference) / np.abs(reference))
        found = value if row.against is None else value / reference
    return found * UNITS[row.unit] if row.unit in ("min", "%") else found


def _done(solution: Solution, interrupted: bool) -> Solution:
    """Return a solution; one that was interrupted must not be read as failed runs."""
    if interrupted:
        raise KeyboardInterrupt
    return solution


def _key(context: str, trial: Trial) -> str:
    return f"{context} {trial!r}"


def _over(trial: Trial) -> bool:
    return trial.searched is not None and trial.searched[0] == "overexpress"


def _rest_key(
    model: CompiledModel,
    trial: Trial,
    n_cell: int,
    gene: int | str | None,
    amounts: FloatArray | None,
) -> str:
    """Return the key of the resting state of a trial without clamps."""
    done = trial.treatment
    changed = done.perturbations
    parts: list[object] = [model.context, n_cell, bool(trial.cells), trial.uniform]
    parts += [done.parameters, done.initials, changed.knockdown, changed.overexpress]
    parts.append(changed.no_site)
    if gene is not None and amounts is not None:
        parts += [gene, amounts.tobytes()]
    return repr(parts)


def _dosed(
    model: CompiledModel, trial: Trial, problem: Problem, amounts: FloatArray
) -> Problem:
    """Return runs whose searched dose has an amount of its own in each run."""
    assert trial.searched is not None
    dose = trial.treatment.doses[int(trial.searched[1])]
    mine = problem.schedule.state == model.state_index(dose.target)
    value = np.where(
        mine, problem.schedule.value * amounts[:, np.newaxis], problem.schedule.value
    )
    return replace(problem, schedule=replace(problem.schedule, value=value))


def _times(model: CompiledModel, trial: Trial, points: int | None) -> FloatArray:
    end = model.info.end_h if trial.end_h is None else trial.end_h
    since = min(trial.last_dose_h, end)
    n = trial.points if points is None else min(trial.points, points)
    after = np.linspace(since, end, n) if since < end else np.array([end])
    before = np.linspace(0.0, since, 25) if since > 0 else np.array([0.0])
    return np.union1d(before, after)


def _quantity(quantity: Quantity, curves: Mapping[str, FloatArray]) -> FloatArray:
    top = np.sum([curves[name] for name in quantity.above], axis=0)
    if not quantity.below:
        return np.asarray(top)
    bottom = np.sum([curves[name] for name in quantity.below], axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(top / bottom)
