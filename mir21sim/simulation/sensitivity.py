"""Which number matters: exact derivatives of curves, features and resting states."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import xarray as xr

from mir21sim._typing import FloatArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.model.files import ModelFiles
from mir21sim.model.info import unique
from mir21sim.model.metadata import parameter_table
from mir21sim.simulation.curve_features import (
    Differentiated,
    Feature,
    differentiate,
    parse_feature,
)
from mir21sim.simulation.doses import DosesLike
from mir21sim.simulation.names import canonical, canonical_feature, settable
from mir21sim.simulation.options import Options
from mir21sim.simulation.outputs import Output, start_unit
from mir21sim.simulation.perturbations import Perturbations, parameter_columns
from mir21sim.simulation.plan import (
    Plan,
    doses_or_default,
    output_times,
    reference_time,
)
from mir21sim.simulation.provenance import version_of
from mir21sim.simulation.run import settled
from mir21sim.simulation.run_curves import RunCurves, collected, run_curves
from mir21sim.simulation.start_tangents import Directions, at_rest, with_formulas
from mir21sim.simulation.translate import Translated, translate
from mir21sim.simulation.treatment import Treatment
from mir21sim.solvers.methods import MANY
from mir21sim.solvers.problem import Problem, Schedule
from mir21sim.solvers.settings import Settings, Workers

ALL = "all"


@dataclass(frozen=True, slots=True)
class Number:
    """A number of the model by which outputs are differentiated.

    Attributes
    ----------
    name : as it was asked for
    kind : "parameter", "initial" or "dose"
    rows : rows of parameters, states, or actions of the schedule
    value : its value in this run, in the model's units; of a dose its first amount
    unit : of the value
    """

    name: str
    kind: str
    rows: tuple[int, ...]
    value: float
    unit: str


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
    """One run, ready to be differentiated.

    Attributes
    ----------
    ready : the run as translated, before the search for rest
    problem : the run from its start state
    starts : float array, shape (n_state,), the start values before the search for rest
    """

    model: CompiledModel
    plan: Plan
    ready: Translated
    problem: Problem
    starts: FloatArray
    settings: Settings

    @classmethod
    def of(cls, model: CompiledModel, plan: Plan, options: Options) -> "_Case":
        """Translate a plan and settle its start."""
        method = options.method or MANY.name
        settings = replace(options, method=method).resolved(model, many=True)
        ready = translate(model, plan)
        problem = settled(model, plan, ready, settings, Workers())[0].problem
        return cls(model, plan, ready, problem, ready.problem.y0[0], settings)


def sensitivities(
    model: CompiledModel,
    of: Sequence[str] | str,
    by: Sequence[str] | str = ALL,
    *,
    end: float | str | None = None,
    start: float | str = 0.0,
    points: int = 121,
    times: npt.ArrayLike | None = None,
    since: float | str | None = None,
    doses: DosesLike | None = None,
    parameters: Mapping[str, float] | None = None,
    initials: Mapping[str, float] | None = None,
    perturb: Perturbations | None = None,
    options: Options | None = None,
) -> xr.Dataset:
    """Return derivatives of curves, features and resting states by numbers of a model.

    The derivatives are those of the steps that the batch solver took, not differences.
    The time of an event or of a condition may be one of the numbers: what depends on it
    moves with it, and at its very time a curve has the derivative of just after.
    A model with events that depend on its state has central differences instead;
    ``result.attrs["derivatives"]`` says which, and ``reason`` why one is NaN.

    Parameters
    ----------
    model : from ``load``
    of : quantities, whose derivatives are curves, and features of them: ``peak(A)``,
        ``peak_time(A)``, ``area(A)``, ``final(A)``, ``crossing(A, 500)``, ``lag(A)``,
        ``t_half(A)``, ``switch_time(A)``, and ``rest(A)``, the value before the doses
    by : parameters, species (their initial amounts), doses as ``dose(TRAIL)``;
        ``"all"``: every parameter that is a number other than 0
    end, start, points, times, doses, parameters, initials, perturb : as in ``simulate``
    since : h or text, reference time of the features; by default the start
    options : method (of the batch solver), tolerances (see ``Options``)

    Returns
    -------
    Dataset on ``number`` × ``time`` and ``feature``. Of a quantity ``A``: ``A``, its
    derivative ``d_A`` and its logarithmic derivative ``dlog_A`` (d ln A/d ln p). Of
    features: ``value``, ``derivative``, ``log_derivative`` and ``note``, the reason
    where there is none

    Raises
    ------
    InputError
        For an unknown name, a feature or level that cannot be read, no name at all.

    Examples
    --------
    >>> import mir21sim as ms
    >>> model = ms.load("mir21_core", "HeLa")
    >>> found = ms.sensitivities(
    ...     model, of="peak(CASP8_active)", by=["k_DISC"], doses="TRAIL=50 ng/ml@0h",
    ...     end="4 h",
    ... )
    >>> bool(found["log_derivative"] > 0)
    True
    """
    asked = _asked(model, of)
    treatment = Treatment.of(
        doses_or_default(model, doses),
        parameters=parameters,
        initials=initials,
        perturb=perturb,
    )
    times_h = output_times(model, start, end, points, times)
    since_h = reference_time(model, times_h, since)
    names = unique(tuple(text if f is None else f.name for text, f in asked))
    plan = Plan.of(model, treatment, times_h, observe=names)
    case = _Case.of(model, plan, options or Options())
    numbers = _numbers(case, by)
    made = _directions(case, numbers)
    run = run_curves(model, case.problem, case.settings, made)
    result = _Result(model, case.ready, numbers, run.method)
    _add_curves(result, run, case.problem, [text for text, f in asked if f is None])
    features = [feature for _, feature in asked if feature is not None]
    if features:
        _add_features(result, run, features, since_h)
    return result.dataset(case.settings, since_h)


def _asked(
    model: CompiledModel, of: Sequence[str] | str
) -> list[tuple[str, Feature | None]]:
    texts = [of] if isinstance(of, str) else list(of)
    if not texts:
        raise InputError("`of` must name a quantity or a feature, such as `peak(A)`.")
    named = [canonical_feature(model, text) for text in texts]
    return [(text, parse_feature(text)) for text in named]


def _numbers(case: _Case, by: Sequence[str] | str) -> list[Number]:
    """Return the numbers asked for, each once."""
    model = case.model
    free = [p.id for p in model.network.parameters if p.id in model.param_names]
    formulas = set(model.equations.starts) - {*case.plan.treatment.parameters}
    if by == ALL:
        p = case.problem.p[0]
        names = [n for n in free if p[model.param_names.index(n)] and n not in formulas]
    else:
        names = [by] if isinstance(by, str) else list(by)
    if not names:
        raise InputError("`by` must name a parameter, a species or a dose, or be all.")
    targets = {dose.target for dose in case.ready.protocol.doses}
    known = (*free, *model.state_names, *(f"dose({x})" for x in sorted(targets)))
    names = [_number_name(model, name) for name in names]
    for name in names:
        if name in formulas:
            raise InputError(
                f"`{name}` has a formula for its start value; name what stands in it."
            )
        if name not in known:
            raise UnknownNameError("number", name, known)
    return [_number(case, name) for name in unique(tuple(names))]


def _number_name(model: CompiledModel, name: str) -> str:
    """Return the id of a number as it was typed; of a dose as ``dose(ID)``."""
    dosed = re.fullmatch(r"\s*dose\s*\((.*)\)\s*", name)
    if dosed:
        return f"dose({canonical(model, dosed[1].strip(), model.state_places)})"
    return canonical(model, name, settable(model))


def _number(case: _Case, name: str) -> Number:
    model, problem, ready = case.model, case.problem, case.ready
    if name in model.param_names:
        row = model.param_names.index(name)
        value = float(problem.p[0, row])
        return Number(name, "parameter", (row,), value, start_unit(model, name))
    if name in model.state_names:
        row = model.state_index(name)
        unit = start_unit(model, name)
        return Number(name, "initial", (row,), float(case.starts[row]), unit)
    target = name.removeprefix("dose(").removesuffix(")")
    schedule = problem.schedule
    rows = np.flatnonzero(schedule.state == model.state_index(target))
    doses = [dose for dose in ready.protocol.doses if dose.target == target]
    amount, unit = doses[0].amount, doses[0].unit
    return Number(name, "dose", tuple(map(int, rows)), float(amount), unit)


def _directions(case: _Case, numbers: list[Number]) -> Directions:
    """Return the seed of each number: a relative change, or 1 where its value is 0."""
    model, problem = case.model, case.problem
    n = len(numbers)
    p, y0 = np.zeros((n, problem.p.shape[1])), np.zeros((n, problem.y0.shape[1]))
    dose = np.zeros((n, len(problem.schedule.time)))
    for column, number in enumerate(numbers):
        rows = list(number.rows)
        if number.kind == "dose":
            dose[column, rows] = problem.schedule.value[0, rows]
        else:
            target = p if number.kind == "parameter" else y0
            target[column, rows] = number.value or 1.0
    done = case.plan.treatment
    changed = parameter_columns(model, done.perturbations, {})
    kept = {*done.parameters, *done.initials, *changed}
    kept |= {number.name for number in numbers}
    made = with_formulas(
        model, case.starts, problem.p[0], Directions(p, y0, dose), kept
    )
    return at_rest(
        model,
        problem,
        done.perturbations,
        made,
        starts=case.starts,
        equilibrate=case.settings.equilibrate,
    )


def _add_curves(
    result: "_Result", run: RunCurves, problem: Problem, names: list[str]
) -> None:
    if names:
        values, tangents, result.reason = run.tangents(problem.times)
        for name in names:
            k = result.row(name)
            result.add_curve(name, values[:, k], tangents[:, k])


def _add_features(
    result: "_Result", run: RunCurves, features: list[Feature], since_h: float
) -> None:
    """Differentiate all features: note the times, solve once for them, look up."""
    model = result.model
    since = since_h * model.border.per_time
    n_column = len(result.numbers)
    late = [f for f in features if f.kind != "rest"]
    curves = [curve.after(since) for curve in run.curves()] if late else []
    moments = run.moments() if late else ()

    def each(tangent_of: Callable[[int], Callable[[FloatArray], FloatArray]]) -> None:
        for feature in late:
            k = result.row(feature.name)
            differentiate(feature, curves[k], tangent_of(k), n_column, moments)

    times = collected(lambda noting: each(lambda _: noting), n_column)
    table = np.zeros((0, 0, n_column))
    if times.size:
        _, table, result.reason = run.tangents(times)

    def look_up(k: int) -> Callable[[FloatArray], FloatArray]:
        return lambda asked: table[np.searchsorted(times, asked), k]

    rested = _rested(run)
    for feature in features:
        k = result.row(feature.name)
        if feature.kind == "rest":
            values, tangents, _ = rested.tangents(rested.problem.times[:1])
            found = Differentiated(float(values[0, k]), tangents[0, k])
        else:
            found = differentiate(feature, curves[k], look_up(k), n_column, moments)
            if np.isnan(found.tangents).any() and not found.note:
                found = replace(found, note=result.reason)
        result.add_feature(feature, found)


def _rested(run: RunCurves) -> RunCurves:
    """Return the run without doses over a moment: its start is the resting state."""
    none = np.zeros(0, np.int64)
    problem, made = run.problem, run.made
    first, last = problem.times[[0, -1]]
    moment = np.array([first, first + 1e-9 * (last - first)])
    schedule = Schedule(np.zeros(0), none, none, np.zeros((1, 0)))
    still = replace(problem, times=moment, schedule=schedule)
    seeds = Directions(made.p, made.y0, np.zeros((len(made.p), 0)))
    return replace(run, problem=still, made=seeds)


class _Result:
    """Collects curves and features, then labels them."""

    def __init__(
        self, model: CompiledModel, ready: Translated, numbers: list[Number], way: str
    ) -> None:
        self.model, self.ready, self.numbers, self.way = model, ready, numbers, way
        self.outputs = {output.name: k for k, output in enumerate(ready.outputs)}
        self.data: dict[str, object] = {}
        self.features: list[tuple[Feature, Differentiated]] = []
        self.reason = ""  # why derivatives are NaN
        # Seeds are relative changes; the derivative is by the number itself.
        self.values = np.array([number.value for number in numbers])
        self.per = np.where(self.values == 0.0, 1.0, self.values)

    def row(self, name: str) -> int:
        """Return the place of a quantity among the outputs."""
        return self.outputs[name]

    def output(self, name: str) -> Output:
        """Return the label of a quantity."""
        return self.ready.outputs[self.outputs[name]]

    def add_curve(self, name: str, values: FloatArray, tangents: FloatArray) -> None:
        """Add a curve (n_time,) with tangents (n_time, n_number)."""
        unit = self.output(name).unit
        self.data[name] = ("time", values, {"units": unit})
        change = tangents.T
        self.data[f"d_{name}"] = (
            ("number", "time"),
            change / self.per[:, np.newaxis],
            {"units": f"{unit}/unit of the number"},
        )
        log = _logarithmic(change, values, self.values[:, np.newaxis])
        self.data[f"dlog_{name}"] = (("number", "time"), log, {"units": "1"})

    def add_feature(self, feature: Feature, found: Differentiated) -> None:
        """Add a feature; times and areas are in the unit of the border."""
        per_time = self.model.border.per_time
        if feature.is_time or feature.kind == "area":
            found = Differentiated(
                found.value / per_time, found.tangents / per_time, found.note
            )
        self.features.append((feature, found))

    def unit_of(self, feature: Feature) -> str:
        """Return the unit of a feature."""
        unit, time = self.output(feature.name).unit, self.model.border.time_unit
        if feature.is_time:
            return time
        return f"{unit}·{time}" if feature.kind == "area" else unit

    def dataset(self, settings: Settings, since_h: float) -> xr.Dataset:
        """Return everything as a Dataset."""
        model, data = self.model, dict(self.data)
        names = [number.name for number in self.numbers]
        rows = parameter_table(ModelFiles(model.id, model.source))
        coords: dict[str, object] = {
            "number": ("number", names),
            "kind": ("number", [number.kind for number in self.numbers]),
            "nominal": ("number", self.values),
            "unit": ("number", [number.unit for number in self.numbers]),
            "status": ("number", [rows[n].status if n in rows else "" for n in names]),
            "source": ("number", [rows[n].source if n in rows else "" for n in names]),
        }
        if self.data:
            unit = model.border.time_unit
            coords["time"] = ("time", self.ready.times_h, {"units": unit})
        if self.features:
            data |= self._feature_data(coords)
        data["effect"] = ("number", self._effects())
        result = xr.Dataset(data, coords=coords)
        result.attrs = {
            "title": model.info.title or model.id,
            "model_id": model.id,
            "model_sha256": model.digest,
            "context": model.context,
            "derivatives": self.way,
            "reason": self.reason,
            "method": settings.method,
            "rtol": settings.rtol,
            "since_h": since_h,
            "doses": json.dumps(self.ready.protocol.to_records()),
            "mir21sim_version": version_of("mir21sim"),
        }
        return result

    def _feature_data(self, coords: dict[str, object]) -> dict[str, object]:
        coords["feature"] = ("feature", [feature.text for feature, _ in self.features])
        units = [self.unit_of(feature) for feature, _ in self.features]
        coords["feature_unit"] = ("feature", units)
        values = np.array([found.value for _, found in self.features])
        changes = np.array([found.tangents for _, found in self.features])
        log = _logarithmic(changes, values[:, np.newaxis], self.values)
        both = ("feature", "number")
        return {
            "value": ("feature", values),
            "derivative": (both, changes / self.per),
            "log_derivative": (both, log, {"units": "1"}),
            "note": ("feature", [found.note for _, found in self.features]),
        }

    def _effects(self) -> list[str]:
        """Return, per number, "none" where nothing that was asked for depends on it."""
        seen = np.zeros(len(self.numbers), dtype=bool)
        for name, entry in self.data.items():
            if name.startswith("d_") and isinstance(entry, tuple):
                seen |= np.any(entry[1] != 0, axis=1)  # as NaN, which is not known
        for _, found in self.features:
            seen |= np.nan_to_num(found.tangents) != 0
        return ["yes" if x else "none" for x in seen]


def _logarithmic(
    change: FloatArray, value: FloatArray, number: FloatArray
) -> FloatArray:
    """Return d ln value/d ln number; 0 for a number of 0, NaN for a value of 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        made = np.where(value == 0.0, np.nan, change / value)
    return np.where(number == 0.0, 0.0, made)
