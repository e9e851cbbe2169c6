"""PEtab version 2 → FitProblem; reading and checks are the library's."""

from pathlib import Path
from typing import Any

import numpy as np

from mir21sim.compiler import cache
from mir21sim.compiler.load import load
from mir21sim.errors import InputError, UnknownNameError, UnsupportedFeatureError
from mir21sim.estimation.formulas import tree
from mir21sim.estimation.petab_tables import one_line
from mir21sim.estimation.priors import Prior
from mir21sim.estimation.problem import (
    REST,
    Carry,
    Experiment,
    FitProblem,
    Measurements,
    Observable,
    Parameter,
    Period,
)
from mir21sim.model import expressions as ex


def read(path: Path, backend: cache.Backend = "numba") -> FitProblem:
    """Read a PEtab v2 problem.

    Raises
    ------
    InputError
        For files that the library cannot read.
    UnsupportedFeatureError
        For several models, models that are not SBML, mapped ids.
    """
    import petab.v2 as petab

    try:
        problem = petab.Problem.from_yaml(path)
    except Exception as error:
        raise InputError(
            f"`{path}` is not a PEtab problem: {one_line(error)}"
        ) from error
    if len(problem.models) != 1:
        raise UnsupportedFeatureError(
            f"`{path}` has {len(problem.models)} models; one is supported."
        )
    model_path = _model_path(path, problem)
    model = load(model_path, backend=backend, unit_policy="ignore")
    mapped = {
        m.petab_id: m.model_id
        for m in problem.mappings
        if m.model_id and m.petab_id != m.model_id
    }
    reader = _Reader(problem, mapped)
    return reader.problem(path, model)


def _model_path(path: Path, problem: Any) -> Path:
    files = problem.config.model_files
    (entry,) = files.values()
    if entry.language != "sbml":
        raise UnsupportedFeatureError(
            f"`{path}`: the model is `{entry.language}`; only SBML is supported."
        )
    return path.parent / str(entry.location)


class _Reader:
    """Maps the objects of the library to the records of a fit."""

    def __init__(self, problem: Any, mapped: dict[str, str]) -> None:
        self.source = problem
        self.mapped = {k: ex.Symbol(v) for k, v in mapped.items()}

    def problem(self, path: Path, model: Any) -> FitProblem:
        source = self.source
        observables = tuple(self._observable(o) for o in source.observables)
        experiments = tuple(self._experiment(e) for e in source.experiments)
        blank = any(not m.experiment_id for m in source.measurements)
        if blank:
            start = Period(0.0, (), Carry.NOTHING)
            experiments = (*experiments, Experiment("", (start,)))
        return FitProblem(
            id=source.id or path.stem,
            model=model,
            parameters=tuple(map(_parameter, source.parameters)),
            observables=observables,
            experiments=experiments,
            data=self._data(observables, experiments),
            notes=("units of the model are not checked",),
        )

    def _formula(self, node: Any) -> ex.Expr:
        return ex.substitute(tree(node), self.mapped)

    def _observable(self, item: Any) -> Observable:
        family, scale = _noise(str(getattr(item.noise_distribution, "value", "")))
        return Observable(
            id=item.id,
            formula=self._formula(item.formula),
            noise=self._formula(item.noise_formula),
            family=family,
            scale=scale,
            placeholders=tuple(s.name for s in item.observable_placeholders),
            noise_placeholders=tuple(s.name for s in item.noise_placeholders),
        )

    def _experiment(self, item: Any) -> Experiment:
        periods = []
        known = [condition.id for condition in self.source.conditions]
        for k, period in enumerate(item.sorted_periods):
            for name in period.condition_ids:
                if name not in known:
                    raise UnknownNameError("condition", name, known)
            changes = []
            for change in self.source.get_changes_for_period(period):
                target = self.mapped.get(change.target_id, ex.Symbol(change.target_id))
                changes.append((target.name, self._formula(change.target_value)))
            start = REST if period.is_preequilibration else float(period.time)
            carry = Carry.ALL if k else Carry.NOTHING
            periods.append(Period(start, tuple(changes), carry))
        if not periods:
            periods.append(Period(0.0, (), Carry.NOTHING))
        return Experiment(item.id, tuple(periods))

    def _data(
        self,
        observables: tuple[Observable, ...],
        experiments: tuple[Experiment, ...],
    ) -> Measurements:
        rows = self.source.measurements
        at = {o.id: k for k, o in enumerate(observables)}
        within = {e.id: k for k, e in enumerate(experiments)}
        for row in rows:
            if row.observable_id not in at:
                raise UnknownNameError("observable", row.observable_id, tuple(at))
            if (row.experiment_id or "") not in within:
                raise UnknownNameError("experiment", row.experiment_id, tuple(within))
        return Measurements(
            observable=np.array([at[r.observable_id] for r in rows], np.int64),
            experiment=np.array(
                [within[r.experiment_id or ""] for r in rows], np.int64
            ),
            time=np.array([r.time for r in rows], float),
            value=np.array([r.measurement for r in rows], float),
            overrides=tuple(
                tuple(map(self._formula, r.observable_parameters)) for r in rows
            ),
            noise_overrides=tuple(
                tuple(map(self._formula, r.noise_parameters)) for r in rows
            ),
        )


def _noise(name: str) -> tuple[str, str]:
    """Return family and scale of a noise distribution."""
    if name.startswith("log-"):
        return name.removeprefix("log-"), "log"
    return name or "normal", "lin"


def _parameter(item: Any) -> Parameter:
    lower = -np.inf if item.lb is None else float(item.lb)
    upper = np.inf if item.ub is None else float(item.ub)
    value = item.nominal_value
    if value is None:
        value = 0.5 * (lower + upper)
    prior = _prior(item, lower, upper) if item.estimate else None
    positive = item.estimate and lower > 0 and upper / lower > 100
    return Parameter(
        id=item.id,
        value=float(value),
        lower=lower,
        upper=upper,
        scale="log10" if positive else "lin",
        estimated=bool(item.estimate),
        prior=prior,
    )


def _prior(item: Any, lower: float, upper: float) -> Prior | None:
    """Return the prior of a parameter; without one it is uniform within the bounds."""
    name = str(getattr(item.prior_distribution, "value", item.prior_distribution) or "")
    numbers = tuple(map(float, item.prior_parameters))
    if not name:
        if not (np.isfinite(lower) and np.isfinite(upper) and lower < upper):
            return None
        return Prior("uniform", (lower, upper), lower=lower, upper=upper)
    base = np.e if name.startswith("log-") else 0.0
    family = name.removeprefix("log-")
    if family == "uniform" and base:
        numbers = (float(np.log(numbers[0])), float(np.log(numbers[1])))
    return Prior(family, numbers, base, lower, upper)
