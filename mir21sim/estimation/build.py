"""``ms.Problem``: a model, a table of data and names → a FitProblem."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from mir21sim import units
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.estimation.conditions import periods, with_amounts
from mir21sim.estimation.data import DataRows, data_rows, read_table
from mir21sim.estimation.formulas import parsed
from mir21sim.estimation.priors import Prior
from mir21sim.estimation.problem import (
    Experiment,
    FitProblem,
    Measurements,
    Observable,
    Parameter,
)
from mir21sim.estimation.regression import with_starts
from mir21sim.estimation.terms import Term
from mir21sim.model import expressions as ex
from mir21sim.model import ranges
from mir21sim.simulation.doses import DosesLike
from mir21sim.simulation.names import canonical
from mir21sim.simulation.perturbations import Perturbations
from mir21sim.simulation.plan import doses_or_default
from mir21sim.simulation.treatment import Treatment

Noise: TypeAlias = Literal["additive", "multiplicative", "log-normal"]

NOISES = ("additive", "multiplicative", "log-normal")

WIDE = 100.0
"""Factor between the value and each bound of a parameter without a range of its own."""

Bounds: TypeAlias = tuple[float, float]


def Problem(
    model: CompiledModel,
    data: pd.DataFrame | str | Path,
    observables: Mapping[str, str] | Sequence[str],
    estimate: Sequence[str] | Mapping[str, Bounds],
    *,
    priors: Mapping[str, Prior] | Literal["table"] | None = "table",
    noise: Noise | Mapping[str, Noise] = "additive",
    scale: bool | str = False,
    offset: bool | str = False,
    doses: DosesLike | None = None,
    parameters: Mapping[str, float] | None = None,
    initials: Mapping[str, float] | None = None,
    perturb: Perturbations | None = None,
    equilibrate: bool | None = None,
    terms: Sequence[Term] = (),
) -> FitProblem:
    """Return the problem of fitting a model to measured curves.

    Parameters
    ----------
    model : from ``load``
    data : a table or a CSV file, long (``time``, ``value``, ``observable``, ``error``)
        or wide (one column per observable). A column named like an input of the model,
        with or without a unit (``TRAIL [ng/ml]``), is its dose; one named like a
        parameter is its value; ``treatment`` holds options (``--knockdown XIAP=0.5``)
    observables : name in the data → quantity of the model or formula
    estimate : parameters of the model, or their bounds by name
    priors : ``"table"``: those of the model's parameter table; by name; or None
    noise : ``additive`` (σ), ``multiplicative`` (σ·y) or ``log-normal`` (σ of ln y); σ
        is estimated as ``sd_NAME`` where the data have no column ``error``
    scale, offset : estimate a factor and a constant for each observable; a text names
        the column of the data whose every entry has its own (``"plate"``)
    doses, parameters, initials, perturb : as in ``simulate``, the same for all rows
    equilibrate : start from the resting state; None: as the model says
    terms : likelihood terms beside the curves, such as times of death (``terms``)

    Raises
    ------
    InputError
        For unknown names, bad data, bounds that exclude a start.

    Examples
    --------
    >>> import pandas as pd
    >>> from mir21sim.compiler.load import load
    >>> model = load("earm_1_3", backend="numpy")
    >>> data = pd.DataFrame({"time": [1.0, 2.0], "CASP8_active": [1.0, 2.0]})
    >>> problem = Problem(model, data, ["CASP8_active"], ["kf1"])
    >>> problem.names
    ('kf1', 'sd_CASP8_active')
    """
    if not isinstance(observables, Mapping):
        observables = {name: name for name in observables}
    table = data if isinstance(data, pd.DataFrame) else read_table(data)
    rows = data_rows(table, observables)
    base = Treatment.of(
        doses_or_default(model, doses),
        parameters=parameters,
        initials=initials,
        perturb=perturb,
    )
    names = tuple(estimate)
    rests = model.info.equilibrate if equilibrate is None else equilibrate
    found = [_parameter(model, name, estimate, priors) for name in names]
    builder = Builder(model, rows, dict(observables), noise, (scale, offset))
    experiments, of_row = _experiments(
        model, rows, base, rests, estimated=names, used=builder.used
    )
    problem = FitProblem(
        id=f"{model.id} fit",
        model=model,
        parameters=(*found, *builder.parameters()),
        observables=builder.observables(),
        experiments=experiments,
        data=builder.measurements(of_row),
        time_unit=model.border.time_unit,
        time_scale=model.border.per_time,
        labels=_labels(model, observables),
        terms=tuple(terms),
    )
    return with_starts(problem, builder)


def _labels(model: CompiledModel, observables: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name, text in observables.items():
        known = model.info.observables.get(text.strip("[]"))
        found[name] = known.label if known else name
    return found


# --------------------------------------------------------------------- parameters
def table_of(model: CompiledModel) -> dict[str, ranges.TableRow]:
    """Return ranges and priors from the model's parameter table, where it has one."""
    return ranges.table_of(model.source)


def _parameter(
    model: CompiledModel,
    name: str,
    estimate: Sequence[str] | Mapping[str, Bounds],
    priors: Mapping[str, Prior] | Literal["table"] | None,
) -> Parameter:
    """Return an estimated parameter of the model with bounds, scale and prior."""
    value = _nominal(model, name)
    row = table_of(model).get(name)
    if isinstance(estimate, Mapping):
        lower, upper = map(float, estimate[name])
    elif row is not None:
        lower, upper = min(row.lower, value), max(row.upper, value)
    elif value > 0:
        lower, upper = value / WIDE, value * WIDE
    else:
        raise InputError(
            f"`{name}` is {value:g} in the model and has no range in its parameter "
            f"table: give bounds, estimate={{'{name}': (lower, upper)}}."
        )
    if not lower < upper:
        raise InputError(
            f"The bounds of `{name}` must ascend, got {lower:g} and {upper:g}."
        )
    if not lower <= value <= upper:
        raise InputError(
            f"`{name}` starts at {value:g}, outside its bounds {lower:g} to {upper:g}."
        )
    prior = None
    if priors == "table" and row is not None:
        prior = table_prior(row, value, (lower, upper))
    elif isinstance(priors, Mapping):
        prior = priors.get(name)
    return Parameter(
        name,
        value,
        lower,
        upper,
        scale="log10" if lower > 0 else "lin",
        prior=prior,
        unit=row.unit if row else "",
    )


def table_prior(row: ranges.TableRow, value: float, bounds: Bounds) -> Prior | None:
    """Return the prior that a row of a parameter table states.

    ``log-normal``: the median is the value, and the range is two standard deviations
    to each side on average; the density is one of the decimal logarithm.
    """
    if row.prior == "uniform":
        return None  # the bounds say it
    width = row.log_width / math.log(10.0)
    if math.isfinite(width):
        return Prior("normal", (math.log10(value), width), 10.0, *bounds, on_scale=True)
    return None


def _nominal(model: CompiledModel, name: str) -> float:
    for names, values in (
        (model.param_names, model.p0),
        (model.state_names, model.y0),
    ):
        if name in names:
            return float(values[names.index(name)])
    known = (*model.param_names, *model.state_names)
    raise UnknownNameError("parameter to estimate", name, known)


# -------------------------------------------------------------------- experiments
def _experiments(
    model: CompiledModel,
    rows: DataRows,
    base: Treatment,
    rests: bool,
    *,
    estimated: Sequence[str],
    used: set[str],
) -> tuple[tuple[Experiment, ...], list[int]]:
    """Return one experiment per condition, and that of every row."""
    columns = [c for c in rows.columns if c not in used]
    kinds = {column: _kind(model, column) for column in columns}
    for column, kind in kinds.items():
        if column in estimated:
            raise InputError(
                f"`{column}` is estimated and also a column of the data: drop one."
            )
        if not kind and column not in _LABELS:
            known = (*model.info.inputs, *model.param_names, *_LABELS)
            raise UnknownNameError("column of the data", column, known)
    conditions = [c for c in columns if kinds[c]]
    made: dict[tuple[object, ...], int] = {}
    experiments: list[Experiment] = []
    of_row = []
    for row in range(len(rows)):
        key = tuple(rows.columns[c][row] for c in conditions)
        if key not in made:
            given = dict(zip(conditions, key, strict=True))
            treatment = _treatment(model, base, given, kinds, rows.units)
            label = " ".join(f"{c}={v}" for c, v in given.items()) or "all"
            made[key] = len(experiments)
            experiments.append(
                Experiment(
                    label,
                    periods(model, treatment, rests=rests, estimated=estimated),
                )
            )
        of_row.append(made[key])
    return tuple(experiments), of_row


_LABELS = ("plate", "replicate", "well", "cell_line", "note", "dataset")
"""Columns that describe data and change nothing in a run."""


def _kind(model: CompiledModel, column: str) -> str:
    """Return the kind of quantity that a column sets, "" for none."""
    if column == "treatment":
        return "treatment"
    if column in model.info.inputs:
        return "dose"
    if column in model.param_names:
        return "parameter"
    return "dose" if column in model.state_names else ""


def _treatment(
    model: CompiledModel,
    base: Treatment,
    given: Mapping[str, object],
    kinds: Mapping[str, str],
    units_: Mapping[str, str],
) -> Treatment:
    """Return the treatment of the rows with one set of condition values."""
    treatment = base
    amounts = {}
    for column, value in given.items():
        if kinds[column] == "treatment":
            more = (
                Treatment.parse(str(value)) if str(value) not in ("", "nan") else None
            )
            treatment = treatment.joined(more) if more else treatment
            continue
        try:
            number = float(str(value))
        except ValueError as error:
            raise InputError(
                f"The column `{column}` must hold numbers, got `{value}`."
            ) from error
        if not math.isfinite(number) or (kinds[column] == "dose" and number < 0):
            raise InputError(f"`{column}` must be finite and not negative: {number:g}.")
        if kinds[column] == "dose":
            amounts[column] = (number, units_.get(column, ""))
        else:
            treatment = replace(
                treatment, parameters={**treatment.parameters, column: number}
            )
    return with_amounts(model, treatment, amounts)


# -------------------------------------------------------------------- observables
class Builder:
    """Observables with their noise, scale and offset parameters."""

    def __init__(
        self,
        model: CompiledModel,
        rows: DataRows,
        formulas: Mapping[str, str],
        noise: Noise | Mapping[str, Noise],
        factors: tuple[bool | str, bool | str],
    ) -> None:
        self.model, self.rows, self.formulas = model, rows, formulas
        self.scale, self.offset = factors
        self.names = tuple(formulas)
        self.noise = {
            name: noise.get(name, "additive") if isinstance(noise, Mapping) else noise
            for name in self.names
        }
        for kind in self.noise.values():
            if kind not in NOISES:
                raise UnknownNameError("noise", str(kind), NOISES)
        self.used = {c for c in factors if isinstance(c, str)}
        for column in self.used:
            if column not in rows.columns:
                raise UnknownNameError("column of the data", column, rows.columns)

    def groups(self, factor: bool | str) -> np.ndarray:
        """Return the data set of every row, "" where all share one."""
        if isinstance(factor, str):
            return np.array([_word(v) for v in self.rows.columns[factor]])
        return np.full(len(self.rows), "")

    def factor_names(self, word: str, factor: bool | str) -> list[str]:
        """Return the names of scales or offsets, one for every row."""
        return [
            "_".join(part for part in (word, name, group) if part)
            for name, group in zip(
                self.rows.observable, self.groups(factor), strict=True
            )
        ]

    def parameters(self) -> list[Parameter]:
        """Return the parameters of scales, offsets and noise, with rough starts."""
        made: dict[str, Parameter] = {}
        for name in self.names:
            mine = self.rows.observable == name
            largest = float(np.abs(self.rows.value[mine]).max(initial=0.0)) or 1.0
            if self.scale:
                for scale in _picked(self.factor_names("scale", self.scale), mine):
                    made[scale] = Parameter(scale, 1.0, 1e-12, 1e12, "log10")
            if self.offset:
                for offset in _picked(self.factor_names("offset", self.offset), mine):
                    made[offset] = Parameter(offset, 0.0, -largest, largest)
            if self.rows.error is None or np.isnan(self.rows.error[mine]).any():
                unit = largest if self.noise[name] == "additive" else 1.0
                made[f"sd_{name}"] = Parameter(
                    f"sd_{name}", 0.1 * unit, 1e-4 * unit, 10.0 * unit, "log10"
                )
        return list(made.values())

    def observables(self) -> tuple[Observable, ...]:
        """Return the observables; scale, offset and noise are placeholders."""
        made = []
        for name, text in self.formulas.items():
            formula = self._quantity(name, text)
            places = []
            if self.scale:
                formula = ex.Call("times", (ex.Symbol(f"scale of {name}"), formula))
                places.append(f"scale of {name}")
            if self.offset:
                formula = ex.Call("plus", (formula, ex.Symbol(f"offset of {name}")))
                places.append(f"offset of {name}")
            noise: ex.Expr = ex.Symbol(f"noise of {name}")
            if self.noise[name] == "multiplicative":
                noise = ex.Call("times", (noise, ex.Call("abs", (ex.Symbol(name),))))
            made.append(
                Observable(
                    id=name,
                    formula=formula,
                    noise=noise,
                    scale="log" if self.noise[name] == "log-normal" else "lin",
                    placeholders=tuple(places),
                    noise_placeholders=(f"noise of {name}",),
                )
            )
        return tuple(made)

    def _quantity(self, name: str, text: str) -> ex.Expr:
        """Return the formula of an observed quantity; ``[A]`` is in nM."""
        bare = text.strip()
        if bare.startswith("[") and bare.endswith("]"):
            return self._concentration(canonical(self.model, bare)[1:-1])
        known = {*self.model.network.ids(), *self.model.rate_names}
        meant = canonical(self.model, bare)
        if meant in known:
            return ex.Symbol(meant)
        formula = parsed(bare, f"observable `{name}`")
        for symbol in ex.symbols(formula):
            if symbol not in known:
                raise UnknownNameError("quantity to observe", symbol, sorted(known))
        return formula

    def _concentration(self, species: str) -> ex.Expr:
        pool = next((s for s in self.model.network.species if s.id == species), None)
        if pool is None:
            names = [s.id for s in self.model.network.species]
            raise UnknownNameError("species", species, names)
        if pool.compartment not in self.model.volumes_pL:
            raise InputError(
                f"`[{species}]`: its compartment has no constant volume in a declared "
                "unit; observe the species itself."
            )
        volume = self.model.volumes_pL[pool.compartment]
        amount: ex.Expr = ex.Symbol(species)
        if not pool.only_amount:
            amount = ex.Call("times", (amount, ex.Symbol(pool.compartment)))
        per = (self.model.molecules_per_amount or 1.0) / (
            volume * units.AVOGADRO * 1e-21
        )
        return ex.Call("times", (amount, ex.Number(per)))

    def measurements(self, of_row: list[int]) -> Measurements:
        """Return the rows of data with the values of the placeholders."""
        rows, border = self.rows, self.model.border
        time = np.array(
            [
                border.time(f"{float(t)!r} {rows.time_unit}".strip(), "time")
                for t in rows.time
            ]
        )
        overrides: list[list[ex.Expr]] = [[] for _ in range(len(rows))]
        for word, factor in (("scale", self.scale), ("offset", self.offset)):
            if factor:
                for row, name in enumerate(self.factor_names(word, factor)):
                    overrides[row].append(ex.Symbol(name))
        noise: list[tuple[ex.Expr, ...]] = []
        for row, name in enumerate(rows.observable):
            error = math.nan if rows.error is None else float(rows.error[row])
            known = math.isfinite(error)
            noise.append((ex.Number(error) if known else ex.Symbol(f"sd_{name}"),))
        return Measurements(
            observable=np.array(
                [self.names.index(name) for name in rows.observable], np.int64
            ),
            experiment=np.array(of_row, np.int64),
            time=time * border.per_time,
            value=rows.value,
            overrides=tuple(map(tuple, overrides)),
            noise_overrides=tuple(noise),
        )


def _picked(names: list[str], mask: np.ndarray) -> list[str]:
    return list(dict.fromkeys(n for n, kept in zip(names, mask, strict=True) if kept))


def _word(value: object) -> str:
    """Return a value of a column as part of an id."""
    number = isinstance(value, float) and value == int(value)
    text = str(int(value)) if number else str(value)  # type: ignore[call-overload]
    return "".join(c if c.isalnum() else "_" for c in text)
