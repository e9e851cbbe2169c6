"""Sensitivity over ranges of numbers: Morris and Sobol, by the library SALib.

Derivatives hold next to one point; these methods vary all numbers at once. SALib draws
the samples and analyses them; the runs are those of the batch solver. A run that failed
is not replaced by a number: its whole trajectory or block of the design is left out,
and counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from mir21sim._typing import BoolArray, FloatArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, SolverStatus, UnknownNameError
from mir21sim.simulation.curve_features import Feature, differentiate, parse_feature
from mir21sim.simulation.doses import DosesLike
from mir21sim.simulation.names import (
    canonical_feature,
    canonical_names,
    renamed,
    settable,
)
from mir21sim.simulation.options import Options
from mir21sim.simulation.outputs import select_outputs
from mir21sim.simulation.perturbations import Perturbations
from mir21sim.simulation.plan import (
    Plan,
    doses_or_default,
    output_times,
    reference_time,
)
from mir21sim.simulation.run import settled
from mir21sim.simulation.translate import translate
from mir21sim.simulation.treatment import Treatment
from mir21sim.solvers.problem import FEATURES, FeatureRequest
from mir21sim.solvers.solve import solve
from mir21sim.solvers.step_curve import StepCurve, node_times

GRID_STEPS = 240
"""Equal steps of a run over which features are read, five outputs a step."""

LEVELS = 4
"""Levels of the grid of Morris, as its authors advise."""

MEASURES = {
    "sobol": ("S1", "S1_conf", "ST", "ST_conf"),
    "morris": ("mu_star", "mu_star_conf", "sigma"),
}
"""Results of each method; ``_conf`` is half of a 95 % interval."""


@dataclass(frozen=True, slots=True, eq=False)
class _Design:
    """Samples in blocks that are only of use as a whole."""

    method: str
    problem: dict[str, Any]
    samples: FloatArray
    block: int

    def cells(self, by: Mapping[str, tuple[float, float]]) -> dict[str, FloatArray]:
        """Return the values of each number, shape (n_sample,), in natural units."""
        return {
            name: np.exp(column) if by[name][0] > 0 else column
            for name, column in zip(by, self.samples.T, strict=True)
        }

    def whole(self, good: BoolArray) -> BoolArray:
        """Return the samples whose whole block is good."""
        blocks = good.reshape(-1, self.block).all(axis=1)
        return np.repeat(blocks, self.block)


def global_sensitivities(
    model: CompiledModel,
    of: Sequence[str] | str,
    by: Mapping[str, tuple[float, float]],
    *,
    method: str = "morris",
    n: int = 64,
    seed: int = 0,
    start: float | str = 0.0,
    end: float | str | None = None,
    since: float | str | None = None,
    doses: DosesLike | None = None,
    parameters: Mapping[str, float] | None = None,
    initials: Mapping[str, float] | None = None,
    perturb: Perturbations | None = None,
    options: Options | None = None,
) -> xr.Dataset:
    """Return how features depend on numbers over ranges, by Morris or Sobol.

    Parameters
    ----------
    of : features, as in ``sensitivities``: ``peak(A)``, ``area(A)``, …
    by : parameter or species (initial amount) to its range (low, high), in the model's
        units; ranges above 0 are sampled by their logarithm
    method : "morris" (``mu_star``, ``sigma``: which numbers matter at all, n·(d + 1)
        runs) or "sobol" (``S1``, ``ST``: shares of the variance, n·(d + 2) runs)
    n : trajectories of Morris, or samples of Sobol, for which a power of 2 is best
    seed : the same seed gives the same samples
    since : h or text, reference time of the features; by default the start
    start, end, doses, parameters, initials, perturb, options : as in ``simulate``

    Returns
    -------
    Dataset on ``feature`` × ``number``; ``n_failed`` and ``n_used`` (feature): runs
    that failed or have no such feature, and runs that were analysed

    Raises
    ------
    InputError
        Without SALib, for a range that is none, an unknown name or method, or where so
        many runs failed that nothing is left.

    References
    ----------
    Morris MD 1991, Technometrics 33:161; Saltelli A et al. 2010, Comput Phys Commun
    181:259 (as SALib has them)

    Examples
    --------
    >>> import mir21sim as ms
    >>> model = ms.load("mir21_core", "HeLa")
    >>> values = model.parameters["value"][["k_DISC", "k_CASP8_BID"]]
    >>> found = ms.global_sensitivities(
    ...     model, "peak(CASP8_active)", {k: (v / 2, v * 2) for k, v in values.items()},
    ...     n=4, doses="TRAIL=50 ng/ml@0h", end="4 h",
    ... )
    >>> sorted(map(str, found["number"].values))
    ['k_CASP8_BID', 'k_DISC']
    """
    texts = [of] if isinstance(of, str) else of
    features = [parse_feature(canonical_feature(model, text)) for text in texts]
    by = renamed(model, by, settable(model))
    if not features or any(f is None or f.kind == "rest" for f in features):
        raise InputError("`of` must name features of curves, such as `peak(A)`.")
    kept = [feature for feature in features if feature is not None]
    design = _design(by, method, n, seed)
    treatment = Treatment.of(
        doses_or_default(model, doses),
        parameters={k: v for k, v in (parameters or {}).items() if k not in by},
        initials={k: v for k, v in (initials or {}).items() if k not in by},
        perturb=perturb,
    )
    ends = output_times(model, start, end, 2)
    since_h = reference_time(model, ends, since)
    plan = Plan.of(
        model,
        treatment,
        ends,
        observe=list(dict.fromkeys(feature.name for feature in kept)),
        cells=design.cells(by),
    )
    values = _features(model, kept, plan, since_h, options or Options())
    return _analysed(design, kept, values, seed)


def _design(
    by: Mapping[str, tuple[float, float]], method: str, n: int, seed: int
) -> _Design:
    """Return the samples of a method, in natural units or logarithms."""
    try:
        from SALib.sample import morris, sobol
    except ImportError as error:
        raise InputError(
            "Morris and Sobol need the optional package SALib: "
            'pip install "mir21sim[sens]".'
        ) from error
    if method not in MEASURES:
        raise InputError(f"`method` must be morris or sobol, got `{method}`.")
    if len(by) < 2:
        raise InputError("`by` must give the ranges of 2 numbers or more.")
    if n < 2:
        raise InputError(f"`n` must be 2 or more, got {n}.")
    for name, (low, high) in by.items():
        if not (np.isfinite([low, high]).all() and low < high):
            raise InputError(
                f"The range of `{name}` must go up, got {low:g} to {high:g}."
            )
    bounds = [np.log(b).tolist() if b[0] > 0 else list(b) for b in by.values()]
    problem = {"num_vars": len(by), "names": list(by), "bounds": bounds}
    if method == "sobol":
        samples = sobol.sample(problem, n, calc_second_order=False, seed=seed)
        return _Design(method, problem, samples, len(by) + 2)
    samples = morris.sample(problem, n, num_levels=LEVELS, seed=seed)
    return _Design(method, problem, samples, len(by) + 1)


def _steps(plan: Plan) -> tuple[FloatArray, FloatArray]:
    """Return equal steps over a run, cut where a dose begins or ends."""
    first, last = plan.times_h[[0, -1]]
    stops = [
        moment
        for dose in plan.treatment.doses
        for time in dose.times()
        for moment in (time, time + dose.duration)
        if first < moment < last
    ]
    grid = np.linspace(float(first), float(last), GRID_STEPS + 1)
    edges = np.unique(np.append(grid, stops))
    return edges[:-1], np.diff(edges)


def ranges_of(
    model: CompiledModel, names: Sequence[str] | None = None, fold: float = 2.0
) -> dict[str, tuple[float, float]]:
    """Return a range for each of some numbers: its value over and times a factor.

    Parameters
    ----------
    names : parameters or species; None for every parameter that is not 0
    fold : the factor, above 1

    Raises
    ------
    InputError
        For an unknown name, a number that is 0, or a factor of 1 or less.
    """
    if not (np.isfinite(fold) and fold > 1.0):
        raise InputError(f"The fold of a range must be above 1, got {fold:g}.")
    own = dict(zip(model.state_names, model.y0.tolist(), strict=True))
    own |= dict(zip(model.param_names, model.p0.tolist(), strict=True))
    if names is None:
        free = {parameter.id for parameter in model.network.parameters}
        formulas = set(model.equations.starts)
        names = [n for n in model.param_names if n in free - formulas and own[n]]
    made = {}
    for name in canonical_names(model, names, own):
        if name not in own:
            raise UnknownNameError("parameter or species", name, tuple(own))
        if not own[name]:
            raise InputError(f"`{name}` is 0: give its range, {name}=LOW:HIGH.")
        made[name] = tuple(sorted((own[name] / fold, own[name] * fold)))
    return made


_FROM_SOLVER = ("peak", "peak_time", "area", "lag", "t_half", "switch_time")
"""Features that the solver finds by its steps; the others are read at many times."""


def _features(
    model: CompiledModel,
    features: list[Feature],
    plan: Plan,
    since_h: float,
    options: Options,
) -> FloatArray:
    """Return the features of each sample, shape (n_feature, n_sample); NaN for none."""
    start, length = _steps(plan)
    nodes = node_times(start, length).ravel()
    times = np.unique(np.append(nodes, plan.times_h[-1]))
    plan = replace(plan, times_h=times)
    settings = options.resolved(model, many=True)
    ready = translate(model, plan)
    workers = options.workers(settings, len(ready.problem))
    moved, unrested = settled(model, plan, ready, settings, workers)
    per_time = model.border.per_time
    asked = FeatureRequest(
        np.array([since_h * per_time]), np.zeros(len(plan.observe), np.bool_)
    )
    problem = replace(moved.problem, features=asked)
    found, interrupted = solve(model, problem, settings, workers)
    if interrupted:
        raise KeyboardInterrupt
    good = found.status == SolverStatus.OK
    good[unrested] = False
    rows = np.searchsorted(times, nodes)
    outputs, _ = select_outputs(model, plan.observe)
    place = {output.name: k for k, output in enumerate(outputs)}
    made = np.full((len(features), len(good)), np.nan)
    for run in np.flatnonzero(good):
        values = found.values[run, rows].reshape(len(start), 5, -1)
        for k, feature in enumerate(features):
            column = place[feature.name]
            if feature.kind in _FROM_SOLVER:
                row = FEATURES.index(feature.kind)
                power = -1.0 if feature.is_time or feature.kind == "area" else 0.0
                made[k, run] = found.features[run, row, column] * per_time**power
                continue
            curve = StepCurve(start, length, values[:, :, column]).after(since_h)
            made[k, run] = differentiate(feature, curve, _no_tangent, 0).value
    return made


def _no_tangent(times: FloatArray) -> FloatArray:
    return np.zeros((len(times), 0))


def _analysed(
    design: _Design, features: list[Feature], values: FloatArray, seed: int
) -> xr.Dataset:
    """Return the measures of every feature over the blocks that are whole."""
    measures = MEASURES[design.method]
    shape = (len(features), design.problem["num_vars"])
    data = {name: np.full(shape, np.nan) for name in measures}
    used = np.zeros(len(features), np.int64)
    for k, row in enumerate(values):
        whole = design.whole(np.isfinite(row))
        used[k] = whole.sum()
        if used[k] < 2 * design.block:
            raise InputError(
                f"{int((~np.isfinite(row)).sum())} of {len(row)} runs have no "
                f"`{features[k].text}`, so that too few are left to analyse; take "
                "narrower ranges."
            )
        if np.ptp(row[whole]) == 0.0:
            raise InputError(
                f"`{features[k].text}` is {row[whole][0]:g} in all runs: nothing to "
                "rank. Does the run reach the dose, and do the ranges matter to it?"
            )
        found = _measures(design, row[whole], design.samples[whole], seed)
        for name in measures:
            data[name][k] = np.asarray(found[name], float)
    both = ("feature", "number")
    return xr.Dataset(
        {
            **{name: (both, array) for name, array in data.items()},
            "n_failed": ("feature", (~np.isfinite(values)).sum(axis=1)),
            "n_used": ("feature", used),
        },
        coords={
            "feature": [feature.text for feature in features],
            "number": design.problem["names"],
        },
        attrs={"method": design.method, "seed": seed, "n_runs": values.shape[1]},
    )


def _measures(
    design: _Design, values: FloatArray, samples: FloatArray, seed: int
) -> Mapping[str, Any]:
    from SALib.analyze import morris, sobol

    if design.method == "sobol":
        found: Mapping[str, Any] = sobol.analyze(
            design.problem, values, calc_second_order=False, seed=seed
        )
        return found
    made: Mapping[str, Any] = morris.analyze(
        design.problem, samples, values, num_levels=LEVELS, seed=seed
    )
    return made
