"""Claims and measurements against the model: one verdict a row.

No row has a threshold of its own: a claim holds where the direction is right and the
effect is 10 % or more; an observation, where the prediction lies within its error.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from mir21sim._typing import FloatArray
from mir21sim.analysis.cell_death import DEAD, crossing_times
from mir21sim.analysis.curves import curve_features
from mir21sim.compiler.load import load
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, ModelError, SolverError, hint
from mir21sim.model import files as model_files
from mir21sim.model.files import DEFAULT_MODEL
from mir21sim.model.info import unique
from mir21sim.simulation.doses import Protocol
from mir21sim.simulation.options import Options
from mir21sim.simulation.outputs import select_outputs
from mir21sim.simulation.perturbations import Perturbations
from mir21sim.simulation.population import Population, simulate_population
from mir21sim.simulation.simulate import simulate
from mir21sim.simulation.treatment import Treatment
from mir21sim.solvers.solve import MANY
from mir21sim.validation.claims import UNITS, Case, Check, checks, vocabulary
from mir21sim.validation.readouts import NATIVE, Readout
from mir21sim.validation.verdicts import Outcome, Verdict

Progress: TypeAlias = Callable[[int, int], None]

MIN_EFFECT = 0.10
"""Least relative change that counts as an effect, for every claim."""

ROUNDING = 1e-9
"""Slack for arithmetic, so that 90 against 100 is a fall by 10 %."""

FLOORS = {"molecule": 1.0, "dimensionless": 1e-3, "cells": 0.01}
"""Least absolute change that counts: a molecule, 0.1 % of a pool, 1 % of the cells."""

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
    perturb : done to every run besides what the row says
    cells : size of every population, in place of the rows' own
    options : method and tolerances of every run; by default the batch solver, whose
        single run costs a tenth of one by SciPy

    Raises
    ------
    ModelError
        For a row that cannot be understood, by file and line.
    """
    rows = checks(model, only=only, contexts=contexts, folder=folder)
    known = vocabulary(folder)
    bench = _Bench(
        model, perturb or Perturbations(), cells, options or Options(method=MANY), rows
    )
    outcomes = []
    for k, check in enumerate(rows):
        outcomes.append(_outcome(bench, check, known))
        if progress:
            progress(k + 1, len(rows))
    return outcomes


class _Bench:
    """Loaded cell lines and finished runs of one validation."""

    def __init__(
        self,
        model: str | Path,
        perturb: Perturbations,
        cells: int | None,
        options: Options,
        rows: Sequence[Check],
    ) -> None:
        self.model, self.cells, self.options = model, cells, options
        self.extra = Treatment(perturb=perturb)
        self.available = (*model_files.contexts(model), model_files.BASE)
        self.loaded: dict[str, CompiledModel] = {}
        self.runs: dict[str, xr.Dataset] = {}
        self.values: dict[str, float] = {}
        self.wanted = unique(
            n for row in rows for c in row.cases() for n in c.readout.names
        )

    def context(self, name: str) -> CompiledModel:
        if name not in self.loaded:
            self.loaded[name] = load(self.model, name)
        return self.loaded[name]

    def value(self, case: Case) -> float:
        """Return what a case reads, each case worked out once."""
        key = repr(case)
        if key not in self.values:
            treatment = case.treatment.joined(self.extra)
            if self.cells and treatment.cells:
                treatment = replace(treatment, cells=self.cells)
            ready = replace(case, treatment=treatment)
            self.values[key] = (
                _threshold(self, ready)
                if case.readout.feature == "threshold"
                else _read(self.run(ready.context, treatment), treatment, case.readout)
            )
        return self.values[key]

    def run(self, context: str, treatment: Treatment) -> xr.Dataset:
        """Return the run of a treatment, each done once, with all that rows read."""
        key = f"{context} {treatment!r}"
        if key not in self.runs:
            model = self.context(context)
            self.runs[key] = run_treatment(
                model, treatment, _present(model, self.wanted), self.options
            )
        return self.runs[key]


def run_treatment(
    model: CompiledModel,
    treatment: Treatment,
    observe: Sequence[str],
    options: Options | None = None,
) -> xr.Dataset:
    """Return the run of a treatment, or of a population under it.

    Half of the output times lie after the last dose.
    """
    end = model.info.end_h if treatment.end_h is None else treatment.end_h
    since = min(treatment.stimulus_h, end)
    after = np.linspace(since, end, treatment.points) if since < end else [end]
    before = np.linspace(0.0, since, 49) if since > 0 else [0.0]
    common: dict[str, Any] = {
        "times": np.union1d(before, after),
        "observe": observe,
        "doses": Protocol(treatment.doses),
        "parameters": treatment.parameters,
        "perturb": treatment.perturb,
        "options": options,
    }
    if not treatment.cells:
        return simulate(model, initials=treatment.initials, **common)
    cells = Population(treatment.cells, seed=SEED).cells(model)
    fixed = {*treatment.parameters, *treatment.initials}
    for gene in treatment.uniform:
        fixed |= {*model.info.genes[gene].synthesis, *model.info.genes[gene].protein}
    kept = {name: values for name, values in cells.items() if name not in fixed}
    return simulate_population(model, kept, **common)


def _present(model: CompiledModel, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(
        n for n in names if n in model.state_names or n in model.assigned_names
    )


def _threshold(bench: _Bench, case: Case) -> float:
    """Return the amount at which the quantity starts, or stops, reaching one half.

    Infinite where the whole range does not reach it, 0 where the lowest amount does.
    """
    model = bench.context(case.context)
    (quantity,) = case.readout.quantities

    def reached(log_amount: float) -> bool:
        treatment = replace(case.treatment.with_amount(math.exp(log_amount)), points=49)
        result = run_treatment(model, treatment, quantity.names, bench.options)
        return bool(quantity.of(result).max() >= DEAD)

    searched = case.treatment.searched
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


def _read(result: xr.Dataset, treatment: Treatment, readout: Readout) -> float:
    """Return one number from a run; a time that never comes is infinite."""
    if readout.feature == "constant":
        return readout.number
    times = result["time"].values
    curves = [quantity.of(result) for quantity in readout.quantities]
    since = treatment.stimulus_h if treatment.stimulus_h < times[-1] else times[0]
    if readout.feature == "mean":
        return float(curves[0][:, -1].mean())
    if readout.feature in _OF_CELLS:
        return _OF_CELLS[readout.feature](times, curves, since, readout.number)
    if readout.many:
        crossing = crossing_times(times, curves[0], DEAD, since)
        return _of_population(readout.feature, crossing)
    return _SCALARS[readout.feature](times, curves, since, readout.number)


def _of_population(feature: str, crossing: FloatArray) -> float:
    """Return what a population reads, of the cells alive when the last dose comes."""
    crossing = crossing[crossing > 0]
    if not crossing.size:
        return math.nan
    died = np.isfinite(crossing)
    if feature in ("dead", "alive"):
        share = float(died.mean())
        return share if feature == "dead" else 1.0 - share
    if died.sum() < 3:
        return math.nan
    mean = float(crossing[died].mean())
    return mean if feature == "mean_time" else float(crossing[died].std(ddof=1)) / mean


def _feature(name: str, times: FloatArray, curve: FloatArray, since: float) -> float:
    value = curve_features(times, curve, since)[name]
    return math.inf if math.isnan(value) and np.isfinite(curve).all() else value


def _level(
    times: FloatArray, curves: list[FloatArray], since: float, _number: float
) -> float:
    """Return the share of its maximum that a curve has at half of another one."""
    when = since + _feature("t_half_h", times, curves[1], since)
    if not math.isfinite(when):
        return math.nan
    return float(np.interp(when, times, curves[0]) / curves[0].max())


def _switch_times(times: FloatArray, curves: FloatArray, since: float) -> FloatArray:
    """Return the time from 10 to 90 % of absolute fractions, infinite without 90 %."""
    low, high = (crossing_times(times, curves, x, since) for x in (0.1, 0.9))
    return np.where(np.isfinite(high), high - np.where(np.isfinite(low), low, 0), high)


def _after(
    times: FloatArray, curves: list[FloatArray], since: float, wait: float
) -> FloatArray:
    """Return each curve of A a while after B crosses one half, NaN where none is."""
    when = np.atleast_1d(crossing_times(times, curves[1], DEAD, since)) + since + wait
    values = np.atleast_2d(curves[0])
    known = np.isfinite(when) & (when <= times[-1])
    pairs = zip(when, values, known, strict=True)
    return np.array([np.interp(t, times, v) if ok else np.nan for t, v, ok in pairs])


def _hold(
    times: FloatArray, curves: list[FloatArray], since: float, _number: float
) -> float:
    """Return for how long a curve stays above half of its peak after `since`, in h."""
    fine = np.linspace(since, times[-1], 4001)
    curve = np.interp(fine, times, curves[0])
    above = np.flatnonzero(curve >= curve.max() / 2)
    return float(fine[above[-1]] - fine[above[0]])


def _mean(values: FloatArray) -> float:
    """Return the mean of the finite numbers; NaN where fewer than three are finite."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size >= 3 else math.nan


def _mean_without(
    times: FloatArray, curves: list[FloatArray], since: float, _number: float
) -> float:
    never = np.isinf(crossing_times(times, curves[1], DEAD, since))
    return _mean(curves[0][never, -1])


_Scalar: TypeAlias = Callable[[FloatArray, list[FloatArray], float, float], float]
_SCALARS: dict[str, _Scalar] = {
    "end": lambda t, c, s, x: float(c[0][-1]),
    "at": lambda t, c, s, x: float(np.interp(x, t, c[0])),
    "rest": lambda t, c, s, x: float(c[0][0]),
    "most": lambda t, c, s, x: float(c[0].max()),
    "peak": lambda t, c, s, x: _feature("peak", t, c[0], s),
    "area": lambda t, c, s, x: _feature("area_h", t, c[0], s),
    "rise_time": lambda t, c, s, x: _feature("switch_time_h", t, c[0], s),
    "time_to": lambda t, c, s, x: float(crossing_times(t, c[0], DEAD, s)),
    "lag": lambda t, c, s, x: (
        _feature("t_half_h", t, c[1], s) - _feature("t_half_h", t, c[0], s)
    ),
    "level": _level,
    "switch_time": lambda t, c, s, x: float(_switch_times(t, c[0], s)),
    "after": lambda t, c, s, x: float(_after(t, c, s, x)[0]),
    "hold": _hold,
}
_OF_CELLS: dict[str, _Scalar] = {
    "mean_switch": lambda t, c, s, x: _mean(_switch_times(t, c[0], s)),
    "mean_after": lambda t, c, s, x: _mean(_after(t, c, s, x)),
    "mean_without": _mean_without,
}


def _outcome(bench: _Bench, check: Check, known: Mapping[str, str]) -> Outcome:
    """Return the verdict on a check; what cannot be shown fails with the reason."""
    lacking = _lacking(bench, check, known)
    if lacking:
        return _made(check, math.nan, math.nan, "fail", lacking)
    try:
        predicted, reference = _numbers_of(bench, check)
    except SolverError as error:
        return _made(check, math.nan, math.nan, "fail", str(error))
    except InputError as error:
        raise ModelError(f"{check.place}: {error}") from error
    if check.kind == "claim":
        floor = _floor(bench.context(check.case.context), check)
        holds, reason = claim_holds(check.comparison, predicted, reference, floor)
    else:
        if check.against is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                predicted = float(np.divide(predicted, reference))
        native = NATIVE.get(check.case.readout.feature, "")
        if check.unit in ("min", "%"):
            predicted *= UNITS[check.unit]
        holds = check.low <= predicted <= check.high
        reason = "" if holds else _miss(predicted, check, native)
    if check.conflict:
        return _made(check, predicted, reference, "conflict", check.conflict)
    return _made(check, predicted, reference, "pass" if holds else "fail", reason)


def _miss(predicted: float, check: Check, native: str) -> str:
    """Return by how much a prediction misses the accepted range."""
    if math.isnan(predicted):
        return "too few cells cross one half" if native else "it is not a number"
    edge = check.low if predicted < check.low else check.high
    side = "below" if predicted < check.low else "above"
    return f"{side} {edge:.4g} {check.unit}".rstrip()


def _numbers_of(bench: _Bench, check: Check) -> tuple[float, float]:
    """Return the number of a check and the one that it is held against."""
    values = [bench.value(case) for case in check.cases()]
    n_plain = 1 if check.against is None else 2
    plain, treated = values[:n_plain], values[n_plain:]
    if treated:
        plain = [b / a if a else math.nan for a, b in zip(plain, treated, strict=True)]
    return plain[0], plain[1] if check.against is not None else math.nan


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


def _floor(model: CompiledModel, check: Check) -> float:
    """Return the least absolute change that counts for what a claim reads."""
    readout = check.case.readout
    if readout.many:
        return FLOORS["cells"]
    ratio = any(quantity.below for quantity in readout.quantities)
    timed = NATIVE.get(readout.feature) in ("h", "")
    if check.effect_of is not None or timed or ratio:
        return 0.0
    outputs, _ = select_outputs(model, readout.names[:1])
    return FLOORS.get(outputs[0].unit, FLOORS["dimensionless"])


def _lacking(bench: _Bench, check: Check, known: Mapping[str, str]) -> str:
    """Return what a model lacks for a check, "" where it lacks nothing."""
    for case in check.cases():
        if case.context not in bench.available:
            return f"the model has no context `{case.context}`"
        model = bench.context(case.context)
        outputs = (*model.state_names, *model.assigned_names)
        genes = tuple(model.info.genes)
        pools = {
            "quantity": outputs,
            "species": model.state_names,
            "parameter": model.param_names,
            "species or gene": (*model.state_names, *genes),
            "gene": genes,
        }
        used = {"quantity": case.readout.names, **case.treatment.names()}
        for kind, names in used.items():
            for name in names:
                if name in pools[kind]:
                    continue
                if name not in known and name not in outputs:
                    raise ModelError(
                        f"{check.place}: unknown {kind} `{name}`. "
                        f"{hint(name, unique((*pools[kind], *known)))}"
                    )
                what = "gene " if kind == "gene" else ""
                return f"the model has no {what}`{name}`"
    return ""


def _made(
    check: Check, predicted: float, reference: float, verdict: Verdict, reason: str
) -> Outcome:
    return Outcome(
        id=check.id,
        kind=check.kind,
        what=check.what,
        context=check.case.context,
        predicted=predicted,
        reference=reference,
        comparison=check.comparison,
        observed=check.observed,
        low=check.low,
        high=check.high,
        unit=check.unit,
        verdict=verdict,
        reason=reason,
        source=check.source,
        use=check.use,
    )


# ------------------------------------------------------------------------- as a table
