"""PEtab version 1 → FitProblem; reading and checks are the library's."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from mir21sim.compiler import cache
from mir21sim.compiler.load import load
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, UnknownNameError, UnsupportedFeatureError
from mir21sim.estimation.formulas import parsed
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

_PREFIX = "condition"
_NO_PREEQUILIBRATION = ""


def read(path: Path, backend: cache.Backend = "numba") -> FitProblem:
    """Read a PEtab v1 problem.

    Raises
    ------
    InputError
        For files that the library cannot read.
    UnsupportedFeatureError
        For models that are not SBML.
    """
    import petab.v1 as petab

    try:
        problem = petab.Problem.from_yaml(path)
        problem.model  # noqa: B018 - a missing model is an error here
    except Exception as error:
        raise InputError(
            f"`{path}` is not a PEtab problem: {one_line(error)}"
        ) from error
    model = load(_model_path(path), backend=backend, unit_policy="ignore")
    return _Reader(problem, model).problem(path)


def _model_path(path: Path) -> Path:
    import petab.v1 as petab

    config = petab.yaml.load_yaml(path)
    entries = config["problems"]
    if len(entries) != 1:
        raise UnsupportedFeatureError(
            f"`{path}` has {len(entries)} problems; one is supported."
        )
    files = entries[0].get("sbml_files")
    if not files and "model_files" in entries[0]:
        files = [m["location"] for m in entries[0]["model_files"].values()]
    if not files or len(files) != 1:
        raise UnsupportedFeatureError(f"`{path}` must name one SBML file.")
    return path.parent / str(files[0])


class _Reader:
    """Maps the tables of the library to the records of a fit."""

    def __init__(self, problem: Any, model: CompiledModel) -> None:
        self.source, self.model = problem, model
        self.parameters = tuple(
            _parameter(str(name), row) for name, row in problem.parameter_df.iterrows()
        )

    def problem(self, path: Path) -> FitProblem:
        observables = tuple(
            self._observable(str(name), row)
            for name, row in self.source.observable_df.iterrows()
        )
        experiments, of_row = self._experiments()
        return FitProblem(
            id=path.stem,
            model=self.model,
            parameters=self.parameters,
            observables=observables,
            experiments=experiments,
            data=self._data(observables, of_row),
            notes=("units of the model are not checked",),
        )

    def _observable(self, name: str, row: Any) -> Observable:
        scale = str(_given(row.get("observableTransformation"), "lin"))
        family = str(_given(row.get("noiseDistribution"), "normal"))
        if family in ("log-normal", "log-laplace", "log10-normal", "log10-laplace"):
            scale, _, family = family.partition("-")
        formula = parsed(row["observableFormula"], f"observable `{name}`")
        noise = parsed(row["noiseFormula"], f"noise of `{name}`")
        return Observable(
            id=name,
            formula=formula,
            noise=noise,
            family=family,
            scale=scale,
            placeholders=_placeholders("observable", name, formula),
            noise_placeholders=_placeholders("noise", name, noise),
        )

    # ------------------------------------------------------------------ experiments
    def _experiments(self) -> tuple[tuple[Experiment, ...], dict[tuple[str, str], int]]:
        """Return one experiment per pair of conditions that the data use."""
        made: list[Experiment] = []
        places: dict[tuple[str, str], int] = {}
        for before, name in self._pairs():
            if (before, name) in places:
                continue
            places[before, name] = len(made)
            if before == _NO_PREEQUILIBRATION:
                periods: tuple[Period, ...] = (
                    Period(0.0, self._start(name), Carry.NOTHING),
                )
                label = name
            else:
                periods = (
                    Period(REST, self._start(before), Carry.NOTHING),
                    Period(0.0, self._continued(name), Carry.STATES),
                )
                label = f"{name} after {before}"
            made.append(Experiment(label, periods))
        return tuple(made), places

    def _pairs(self) -> list[tuple[str, str]]:
        table = self.source.measurement_df
        names = table["simulationConditionId"].astype(str)
        if "preequilibrationConditionId" not in table:
            return [(_NO_PREEQUILIBRATION, name) for name in names]
        before = table["preequilibrationConditionId"]
        return [
            (str(_given(b, _NO_PREEQUILIBRATION)), name)
            for b, name in zip(before, names, strict=True)
        ]

    def _row(self, name: str) -> dict[str, Any]:
        table = self.source.condition_df
        if name not in table.index:
            raise UnknownNameError("condition", name, tuple(map(str, table.index)))
        return {
            str(column): value
            for column, value in table.loc[name].items()
            if column != "conditionName"
        }

    def _start(self, name: str) -> tuple[tuple[str, ex.Expr], ...]:
        """Return the values of a condition from which a run starts."""
        return tuple(
            (column, parsed(value, f"condition `{name}`, `{column}`"))
            for column, value in self._row(name).items()
            if not _is_blank(value)
        )

    def _continued(self, name: str) -> tuple[tuple[str, ex.Expr], ...]:
        """Return the values of a condition after equilibration: NaN keeps a state."""
        return self._start(name)

    # ------------------------------------------------------------------------- data
    def _data(
        self, observables: tuple[Observable, ...], of_row: dict[tuple[str, str], int]
    ) -> Measurements:
        table = self.source.measurement_df
        at = {o.id: k for k, o in enumerate(observables)}
        ids = [str(name) for name in table["observableId"]]
        for name in ids:
            if name not in at:
                raise UnknownNameError("observable", name, tuple(at))
        n = len(table)
        return Measurements(
            observable=np.array([at[name] for name in ids], np.int64),
            experiment=np.array([of_row[pair] for pair in self._pairs()], np.int64),
            time=np.array(table["time"], float),
            value=np.array(table["measurement"], float),
            overrides=_overrides(table.get("observableParameters"), n),
            noise_overrides=_overrides(table.get("noiseParameters"), n),
        )


def _overrides(column: Any, n: int) -> tuple[tuple[ex.Expr, ...], ...]:
    """Return the formulas of a column of lists like ``scale;0.5``."""
    if column is None:
        return ((),) * n
    made: list[tuple[ex.Expr, ...]] = []
    for row, entry in enumerate(column):
        if _is_blank(entry):
            made.append(())
            continue
        parts = str(entry).split(";") if isinstance(entry, str) else [entry]
        made.append(
            tuple(
                parsed(p.strip() if isinstance(p, str) else p, f"row {row + 1}")
                for p in parts
            )
        )
    return tuple(made)


def _placeholders(kind: str, name: str, formula: ex.Expr) -> tuple[str, ...]:
    """Return names like ``observableParameter2_x`` in the order of their numbers."""
    pattern = re.compile(rf"{kind}Parameter(\d+)_{re.escape(name)}$")
    found = {
        int(match[1]): symbol
        for symbol in ex.symbols(formula)
        if (match := pattern.match(symbol))
    }
    return tuple(found[k] for k in sorted(found))


def _is_blank(value: Any) -> bool:
    if value is None or (isinstance(value, str) and not value.strip()):
        return True
    return isinstance(value, (float, np.floating)) and math.isnan(value)


def _given(value: Any, otherwise: Any) -> Any:
    return otherwise if _is_blank(value) else value


def _parameter(name: str, row: Any) -> Parameter:
    estimated = bool(int(row["estimate"]))
    lower = float(_given(row.get("lowerBound"), -np.inf))
    upper = float(_given(row.get("upperBound"), np.inf))
    scale = str(_given(row.get("parameterScale"), "lin"))
    value = _given(row.get("nominalValue"), None)
    if value is None:
        if not estimated:
            raise InputError(f"The fixed parameter `{name}` has no nominal value.")
        value = math.sqrt(lower * upper) if scale != "lin" else 0.5 * (lower + upper)
    return Parameter(
        id=name,
        value=float(value),
        lower=lower,
        upper=upper,
        scale=scale,
        estimated=estimated,
        prior=_prior(row, scale, lower, upper) if estimated else None,
    )


def _prior(row: Any, scale: str, lower: float, upper: float) -> Prior | None:
    """Return the prior of the objective; None for none."""
    name = _given(row.get("objectivePriorType"), None)
    if name is None:
        return None
    given = row.get("objectivePriorParameters")
    base = {"lin": 0.0, "log": math.e, "log10": 10.0}[scale]
    on_scale = str(name).startswith("parameterScale")
    if on_scale:
        family = str(name).removeprefix("parameterScale").lower()
    else:
        family = str(name).removeprefix("log").lower()
        base = math.e if str(name).startswith("log") else 0.0
    if _is_blank(given):
        return None
    numbers = tuple(float(v) for v in str(given).split(";"))
    if family == "uniform":
        return None if on_scale else Prior(family, numbers, base, lower, upper)
    # The density over the scaled parameter is not cut off, as other tools have it.
    limits = (0.0 if base else -math.inf, math.inf) if on_scale else (lower, upper)
    return Prior(family, numbers, base, *limits, on_scale=on_scale and bool(base))
