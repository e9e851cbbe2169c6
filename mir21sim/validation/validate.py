"""Claims and measurements against the model: one verdict a row.

No row has a threshold of its own: a claim holds where the direction is right and the
effect is 10 % or more; an observation, where the prediction lies within its error.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from mir21sim.analysis.cell_death import DEAD
from mir21sim.compiler.load import load
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, ModelError, SolverError, hint
from mir21sim.model import files as model_files
from mir21sim.model.files import DEFAULT_MODEL
from mir21sim.model.info import unique
from mir21sim.simulation.options import Options
from mir21sim.simulation.outputs import select_outputs
from mir21sim.simulation.perturbations import Perturbations
from mir21sim.simulation.population import Population, simulate_population
from mir21sim.simulation.simulate import simulate
from mir21sim.simulation.treatment import Treatment
from mir21sim.solvers.methods import MANY
from mir21sim.validation.claims import UNITS, Case, ValidationRow, validation_rows
from mir21sim.validation.rows import vocabulary
from mir21sim.validation.trial import Trial
from mir21sim.validation.verdicts import Outcome, Verdict

Progress: TypeAlias = Callable[[int, int], None]

MIN_EFFECT = 0.10
"""Least relative change that counts as an effect, for every claim."""

ROUNDING = 1e-9
"""Slack for arithmetic, so that 90 against 100 is a fall by 10 %."""

FLOORS = {"molecule": 1.0, "dimensionless": 1e-3, "cells": 0.01}
"""Least absolute change that counts: a molecule (of a population: on the mean), 0.1 %
of a pool, 1 % of the cells."""

SAME = 0.05
"""Largest relative change that counts as none (wild-type against mutant reporter)."""

SEED = 1
"""Seed of every virtual population of a validation."""

DOSES = (1e-3, 1e5)
"""Range in which a threshold dose is searched, in its own unit."""

FACTORS = (0.1, 1000.0)
"""Range in which a threshold over-expression is searched."""

PRECISION = 0.01
"""Relative precision to which a threshold is searched, a tenth of the least effect."""


def validate(
    model: str | Path = DEFAULT_MODEL,
    *,
    only: Sequence[str] | None = None,
    contexts: Sequence[str] | None = None,
    folder: str | Path | None = None,
    perturb: Perturbations | None = None,
    cells: int | None = None,
    options: Options | None = None,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Run every claim and observation and return a verdict on each.

    Parameters
    ----------
    model : name or path, as in ``load``
    only, contexts : ids and cell lines to keep; by default all
    folder : the tables, by default those that are shipped
    perturb : done to every run in addition to the treatment of the row
    cells : size of every population, in place of the rows' own
    options : method and tolerances of every run; by default the batch solver, whose
        single run costs a tenth of one by SciPy

    Raises
    ------
    ModelError
        For a row that cannot be understood, by file and line.
    """
    rows = validation_rows(model, only=only, contexts=contexts, folder=folder)
    known = vocabulary(folder)
    runs = _Runs(
        model,
        perturb or Perturbations(),
        cells,
        options or Options(method=MANY.name),
        rows,
    )
    outcomes = []
    for k, row in enumerate(rows):
        outcomes.append(_outcome(runs, row, known))
        if progress:
            progress(k + 1, len(rows))
    return outcomes


class Lines:
    """The cell lines of a model, each loaded when it is first asked for."""

    def __init__(self, model: str | Path) -> None:
        self.model = model
        self.available = (*model_files.contexts(model), model_files.BASE)
        self.loaded: dict[str, CompiledModel] = {}

    def context(self, name: str) -> CompiledModel:
        """Return the model with the numbers of a cell line."""
        if name not in self.loaded:
            self.loaded[name] = load(self.model, name)
        return self.loaded[name]


class _Runs(Lines):
    """Finished runs of one validation."""

    def __init__(
        self,
        model: str | Path,
        perturb: Perturbations,
        cells: int | None,
        options: Options,
        rows: Sequence[ValidationRow],
    ) -> None:
        super().__init__(model)
        self.cells, self.options = cells, options
        self.extra = Trial(Treatment.of(perturb=perturb))
        self.runs: dict[str, xr.Dataset] = {}
        self.values: dict[str, float] = {}
        self.wanted: dict[str, dict[str, None]] = {}
        self.waiting: Counter[str] = Counter()
        for case in {repr(c): c for row in rows for c in row.cases()}.values():
            key = _key(self.ready(case))
            names = self.wanted.setdefault(key, {})
            names |= dict.fromkeys(case.readout.names)
            self.waiting[key] += 1

    def ready(self, case: Case) -> Case:
        """Return a case as it is run: with what is done to all, and so many cells."""
        trial = case.trial.joined(self.extra)
        if self.cells and trial.cells:
            trial = replace(trial, cells=self.cells)
        return replace(case, trial=trial)

    def value(self, case: Case) -> float:
        """Return the number of a case; each case is computed once."""
        key = repr(case)
        if key not in self.values:
            ready = self.ready(case)
            self.values[key] = (
                _threshold(self, ready)
                if case.readout.definition.read is None
                else case.readout.of(self.run(ready), ready.trial.last_dose_h)
            )
            self._forget(_key(ready))
        return self.values[key]

    def run(self, case: Case) -> xr.Dataset:
        """Return the run of a case's trial, each done once, with all that rows read."""
        key = _key(case)
        if key not in self.runs:
            model = self.context(case.context)
            names = _present(model, self.wanted[key])
            self.runs[key] = run_trial(model, case.trial, names, self.options)
        return self.runs[key]

    def _forget(self, key: str) -> None:
        """Drop the run of a trial that no later read-out needs: cells are large."""
        self.waiting[key] -= 1
        if self.waiting[key] <= 0:
            self.runs.pop(key, None)


def _key(case: Case) -> str:
    return f"{case.context} {case.trial!r}"


def run_trial(
    model: CompiledModel,
    trial: Trial,
    observe: Sequence[str],
    options: Options | None = None,
) -> xr.Dataset:
    """Return the run of a trial, or of a population under it.

    Half of the output times lie after the last dose.
    """
    end = model.info.end_h if trial.end_h is None else trial.end_h
    since = min(trial.last_dose_h, end)
    after = np.linspace(since, end, trial.points) if since < end else [end]
    before = np.linspace(0.0, since, 49) if since > 0 else [0.0]
    done = trial.treatment
    common: dict[str, Any] = {
        "times": np.union1d(before, after),
        "observe": observe,
        "doses": done.doses,
        "parameters": done.parameters,
        "initials": done.initials,
        "perturb": done.perturbations,
        "options": options,
    }
    if not trial.cells:
        return simulate(model, **common)
    cells = Population(trial.cells, seed=SEED).cells(model)
    fixed = {*done.parameters, *done.initials}
    for gene in trial.uniform:
        fixed |= {*model.info.genes[gene].synthesis, *model.info.genes[gene].protein}
    kept = {name: values for name, values in cells.items() if name not in fixed}
    return simulate_population(model, kept, **common)


def _present(model: CompiledModel, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(
        n for n in names if n in model.state_names or n in model.assigned_names
    )


def _threshold(runs: _Runs, case: Case) -> float:
    """Return the amount at which the quantity starts, or stops, reaching one half.

    Infinite where the whole range does not reach it, 0 where the lowest amount does.
    """
    model = runs.context(case.context)
    (quantity,) = case.readout.quantities

    def reached(log_amount: float) -> bool:
        trial = replace(case.trial.with_amount(math.exp(log_amount)), points=49)
        result = run_trial(model, trial, quantity.names, runs.options)
        return bool(quantity.of(result).max() >= DEAD)

    searched = case.trial.searched
    assert searched is not None  # the table reader sees to it
    low, high = map(math.log, DOSES if searched[0] == "dose" else FACTORS)
    at_low, at_high = reached(low), reached(high)
    if at_low == at_high:
        return 0.0 if at_low else math.inf
    while high - low > PRECISION:
        middle = (low + high) / 2
        if reached(middle) == at_low:
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2)


def _outcome(runs: _Runs, row: ValidationRow, known: Mapping[str, str]) -> Outcome:
    """Return the verdict on a row; a row that cannot be shown fails with the reason."""
    name = lacking(runs, row, known)
    if name:
        return _made(row, math.nan, math.nan, "fail", name)
    try:
        predicted, reference = _numbers_of(runs, row)
    except SolverError as error:
        return _made(row, math.nan, math.nan, "fail", str(error))
    except InputError as error:
        raise ModelError(f"{row.place}: {error}") from error
    if row.kind == "claim":
        floor = floor_of(runs.context(row.case.context), row)
        holds, reason = claim_holds(row.comparison, predicted, reference, floor)
    else:
        if row.against is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                predicted = float(np.divide(predicted, reference))
        if row.unit in ("min", "%"):
            predicted *= UNITS[row.unit]
        holds = row.low <= predicted <= row.high
        reason = "" if holds else _miss(predicted, row)
    if row.conflict:
        return _made(row, predicted, reference, "conflict", row.conflict)
    return _made(row, predicted, reference, "pass" if holds else "fail", reason)


def _miss(predicted: float, row: ValidationRow) -> str:
    """Return by how much a prediction misses the accepted range."""
    if math.isnan(predicted):
        many = row.case.readout.many
        return "too few cells cross one half" if many else "it is not a number"
    edge = row.low if predicted < row.low else row.high
    side = "below" if predicted < row.low else "above"
    return f"{side} {edge:.4g} {row.unit}".rstrip()


def _numbers_of(runs: _Runs, row: ValidationRow) -> tuple[float, float]:
    """Return the number of a check and the one that it is held against."""
    values = [runs.value(case) for case in row.cases()]
    n_plain = 1 if row.against is None else 2
    plain, treated = values[:n_plain], values[n_plain:]
    if treated:
        plain = [b / a if a else math.nan for a, b in zip(plain, treated, strict=True)]
    return plain[0], plain[1] if row.against is not None else math.nan


def claim_holds(
    comparison: str, value: float, reference: float, floor: float
) -> tuple[bool, str]:
    """Say whether a claim holds: direction, 10 % or more, and above the floor."""
    if math.isnan(value) or math.isnan(reference):
        return False, "a number is missing"
    if value == reference or math.isinf(reference):
        if comparison in ("same", "near"):
            return value == reference, "" if value == reference else "they differ"
        fell = comparison == "down" and value < reference
        return fell, "" if fell else "no change"
    gap = value - reference  # a noisy reference may lie below zero
    change = gap / abs(reference) if reference else math.copysign(math.inf, gap)
    if comparison in ("same", "near"):
        limit = SAME if comparison == "same" else MIN_EFFECT
        holds = abs(change) <= limit
        return holds, "" if holds else f"changes by {change:+.1%}"
    signed = change if comparison == "up" else -change
    if signed >= MIN_EFFECT - ROUNDING and abs(value - reference) >= floor:
        return True, ""
    if abs(value - reference) < floor:
        return False, f"changes by less than {floor:g}"
    return False, f"changes by {change:+.1%}"


def floor_of(model: CompiledModel, row: ValidationRow) -> float:
    """Return the least absolute change that counts for the read-out of a claim."""
    readout = row.case.readout
    if readout.many and readout.definition.unit != "quantity":
        return FLOORS["cells"]
    ratio = any(quantity.below for quantity in readout.quantities)
    timed = readout.definition.unit in ("h", "dose")
    if row.effect_of is not None or timed or ratio:
        return 0.0
    outputs, _ = select_outputs(model, readout.names[:1])
    other = FLOORS["cells" if readout.many else "dimensionless"]
    return FLOORS["molecule"] if outputs[0].unit == "molecule" else other


def lacking(runs: Lines, row: ValidationRow, known: Mapping[str, str]) -> str:
    """Return the name that a model lacks for a row, or ""."""
    for case in row.cases():
        if case.context not in runs.available:
            return f"the model has no context `{case.context}`"
        model = runs.context(case.context)
        outputs = (*model.state_names, *model.assigned_names)
        genes = tuple(model.info.genes)
        pools = {
            "quantity": outputs,
            "species": model.state_names,
            "parameter": model.param_names,
            "species or gene": (*model.state_names, *genes),
            "gene": genes,
        }
        used = {"quantity": case.readout.names, **case.trial.names()}
        for kind, names in used.items():
            for name in names:
                if name in pools[kind]:
                    continue
                if name not in known and name not in outputs:
                    raise ModelError(
                        f"{row.place}: unknown {kind} `{name}`. "
                        f"{hint(name, unique((*pools[kind], *known)))}"
                    )
                what = "gene " if kind == "gene" else ""
                return f"the model has no {what}`{name}`"
    return ""


def _made(
    row: ValidationRow,
    predicted: float,
    reference: float,
    verdict: Verdict,
    reason: str,
) -> Outcome:
    return Outcome(
        id=row.id,
        kind=row.kind,
        what=row.what,
        context=row.case.context,
        predicted=predicted,
        reference=reference,
        comparison=row.comparison,
        observed=row.observed,
        low=row.low,
        high=row.high,
        unit=row.unit,
        verdict=verdict,
        reason=reason,
        source=row.source,
        use=row.use,
    )


# ------------------------------------------------------------------------- as a table
