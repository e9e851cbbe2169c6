"""How far a prediction can be trusted: the share of its width from assumed numbers.

Every number of a model has a status and a range. The width of a prediction y is, to
first order, var(ln y) = s' C s, with s its logarithmic derivatives and C the covariance
of the logarithms of the numbers: by default the ranges of the parameter table, each
number independent of the others; with an ensemble that of its draws.

The share of an independent number is s_i² C_ii / (s' C s). Numbers that go together
carry width together: s_i (C s)_i can then be negative or more than the whole. They are
shared by relative weights (Johnson 2000, Multivar Behav Res 35:1,
doi:10.1207/S15327906MBR3501_1): with D the standard deviations and R the correlations,
the independent variables nearest to the numbers have the weights b = R^½ D s, and
number i has the share Σ_k (R^½)_ik² b_k² / (s' C s). These shares are never negative,
add up to 1, and are those above where R = 1. Of few draws R is drawn towards 1 by as
much as chance alone makes of it (Schäfer and Strimmer 2005, Stat Appl Genet Mol Biol
4:32, doi:10.2202/1544-6115.1175).
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mir21sim._typing import FloatArray
from mir21sim.analysis.cell_death import DEAD, crossing_times
from mir21sim.analysis.curves import stimulus_time
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, SolverStatus
from mir21sim.model.files import ModelFiles
from mir21sim.model.metadata import context_table, parameter_table
from mir21sim.model.ranges import table_of
from mir21sim.simulation.axes import SweptValues, axis_values
from mir21sim.simulation.ensemble import Ensemble
from mir21sim.simulation.options import Options
from mir21sim.simulation.perturbations import site_parameters
from mir21sim.simulation.plan import output_times
from mir21sim.simulation.population import simulate_population

STEP = 0.05
"""Change of the logarithm of a number, for its logarithmic derivative."""

POINTS = 241
"""Output times of the runs; a death is placed between two of them."""

LISTED = 3
"""Numbers that a sentence names."""

LEAST_DRAWS = 2
"""Draws of which no correlation can be told."""

NAMED = 0.05
"""Share of the width below which a number is not named."""


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """Numbers of a model that are uncertain, and how much.

    Attributes
    ----------
    names : parameters of the model
    values : float array, shape (n,), in the model's units, above 0
    widths : float array, shape (n,), standard deviations of the natural logarithm
    statuses : ``measured``, ``derived``, ``recalled``, ``fitted`` or ``assumed``
    """

    names: tuple[str, ...]
    values: FloatArray
    widths: FloatArray
    statuses: tuple[str, ...]


def uncertain_numbers(model: CompiledModel, fixed: Collection[str] = ()) -> Numbers:
    """Return the parameters of a model that have a range and a status.

    A number that a cell line sets has the status of the line. Left out are numbers of
    0, those whose range is no log-normal prior, and those in `fixed`.
    """
    files = ModelFiles(model.id, model.source, model.context)
    rows = {**parameter_table(files), **context_table(files)}
    ranges = table_of(model.source)
    volumes = set(model.volumes_pL)
    found = [
        (name, float(value), ranges[name].log_width, rows[name].status)
        for name, value in zip(model.param_names, model.p0, strict=True)
        if name in ranges
        and name in rows
        and name not in fixed
        and name not in volumes
        and value > 0
        and math.isfinite(ranges[name].log_width)
    ]
    names, values, widths, statuses = zip(*found, strict=True) if found else ((),) * 4
    return Numbers(tuple(names), np.array(values), np.array(widths), tuple(statuses))


@dataclass(frozen=True, slots=True)
class Trust:
    """How much of the width of a prediction comes from which numbers.

    Attributes
    ----------
    of : the prediction in words, "the time of death"
    by_status : status to its share of the variance, largest first
    by_number : number to its share, largest first
    statuses : number to status
    unknown : numbers without a derivative, which no share counts: moved by ``STEP``,
        the cell no longer dies, or its run fails
    note : why there are no shares, "" where there are
    """

    of: str
    by_status: Mapping[str, float] = field(default_factory=dict)
    by_number: Mapping[str, float] = field(default_factory=dict)
    statuses: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    note: str = ""

    @property
    def assumed(self) -> float:
        """Share of the width from assumed numbers; NaN where it is unknown."""
        return self.by_status.get("assumed", 0.0) if self.by_status else math.nan

    def text(self) -> str:
        """Return the finding as one sentence."""
        if self.note:
            return f"How far to trust it: {self.note}"
        leading = [
            f"{name} ({self.statuses[name]}, {100 * share:.0f} %)"
            for name, share in list(self.by_number.items())[:LISTED]
            if share >= NAMED
        ]
        most = f"; most by {', '.join(leading)}" if leading else ""
        return (
            f"How far to trust it: {100 * self.assumed:.0f} % of the width of "
            f"{self.of} comes from assumed numbers{most}.{self._left_out()}"
        )

    def _left_out(self) -> str:
        """Return a sentence about the numbers that no share counts, "" for none."""
        if not self.unknown:
            return ""
        shown = ", ".join(self.unknown[:LISTED])
        if len(self.unknown) > LISTED:
            shown += f" and {len(self.unknown) - LISTED} more"
        return (
            f" Not counted: {shown}; {100 * STEP:.0f} % more of it and the cell "
            "no longer has that outcome, or its run fails, so the width may be larger."
        )


def shares(
    slopes: FloatArray,
    numbers: Numbers,
    of: str,
    covariance: FloatArray | None = None,
) -> Trust:
    """Return the shares of the width of a prediction from its log derivatives.

    Parameters
    ----------
    slopes : float array, shape (n,), d ln y/d ln p; a number whose slope
        is not finite is left out and named in ``unknown``
    covariance : float array, shape (n, n), of the logarithms of the numbers; by default
        their widths, independent of each other

    Raises
    ------
    InputError
        For shapes that do not fit the numbers.

    Examples
    --------
    >>> two = Numbers(("a", "b"), np.ones(2), np.ones(2), ("assumed", "measured"))
    >>> shares(np.array([3.0, 1.0]), two, "y").by_status
    {'assumed': 0.9, 'measured': 0.1}
    """
    n = len(numbers.names)
    c = None if covariance is None else np.asarray(covariance)
    shape = (n, n) if c is None else c.shape
    if slopes.shape != (n,) or shape != (n, n):
        raise InputError(
            f"Slopes and covariance must have the shapes ({n},) and ({n}, {n}), got "
            f"{slopes.shape} and {shape}."
        )
    known = np.isfinite(slopes)
    unknown = tuple(np.array(numbers.names)[~known].tolist())
    s = np.where(known, slopes, 0.0)
    parts = (numbers.widths * s) ** 2 if c is None else _relative_weights(s, c)
    total = float(parts.sum())
    if not total > 0:
        few = f"no number of the model moves {of}."
        found = Trust(of, unknown=unknown, note=few)
        return replace(found, note=few + found._left_out())
    by_status: Counter[str] = Counter()
    for status, part in zip(numbers.statuses, parts, strict=True):
        by_status[status] += part / total
    order = np.argsort(-parts, kind="stable")
    return Trust(
        of,
        {k: float(v) for k, v in by_status.most_common()},
        {numbers.names[k]: float(parts[k] / total) for k in order if known[k]},
        dict(zip(numbers.names, numbers.statuses, strict=True)),
        unknown,
    )


def _relative_weights(slopes: FloatArray, covariance: FloatArray) -> FloatArray:
    """Return the part of each number in the variance s' C s, never below 0."""
    widths = np.sqrt(np.diag(covariance))
    scale = np.where(widths > 0, widths, 1.0)
    correlation = covariance / np.outer(scale, scale)
    values, vectors = np.linalg.eigh(correlation)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    found: FloatArray = root**2 @ (root @ (widths * slopes)) ** 2
    return found


def drawn_numbers(
    model: CompiledModel, ensemble: Ensemble, fixed: Collection[str] = ()
) -> tuple[Numbers, FloatArray]:
    """Return the numbers that an ensemble draws, and the covariance of their logs.

    Correlations are drawn towards 0 as far as chance alone explains them.

    Returns
    -------
    numbers with the standard deviations of the draws, and float array, shape (n, n)
    """
    table = uncertain_numbers(model, fixed)
    cells = ensemble.cells(model)
    logs = {n: np.log(v) for n, v in cells.items() if (v > 0).all()}
    kept = [k for k, n in enumerate(table.names) if n in logs and np.ptp(logs[n]) > 0]
    names = tuple(table.names[k] for k in kept)
    x = np.array([logs[n] for n in names]).reshape(len(names), len(ensemble))
    widths = x.std(axis=1, ddof=1) if names else np.empty(0)
    numbers = Numbers(
        names, table.values[kept], widths, tuple(table.statuses[k] for k in kept)
    )
    if len(names) < 2:
        return numbers, np.diag(widths**2)
    r = np.corrcoef(x)
    apart = ~np.eye(len(names), dtype=bool)
    chance = float(((1.0 - r[apart] ** 2) ** 2).sum()) / (len(ensemble) - 1)
    seen = float((r[apart] ** 2).sum())
    kept_share = max(0.0, 1.0 - chance / seen) if seen > 0 else 0.0
    r = np.where(apart, kept_share * r, 1.0)
    return numbers, r * np.outer(widths, widths)


def trust(
    model: CompiledModel,
    activity: str,
    death: str,
    end: float | str | None = None,
    *,
    start: float | str = 0.0,
    over: Mapping[str, SweptValues] | None = None,
    options: Options | None = None,
    ensemble: Ensemble | None = None,
    **treatment: Any,
) -> Trust:
    """Return how far the fate of the average cell can be trusted.

    One run a number, with the number moved by ``STEP``: the time of death where the
    average cell dies, else the largest activity.

    Parameters
    ----------
    activity, death : quantities of the model, such as ``CASP3_active``, ``PS_exposed``
    over : swept names; the largest value of each is run
    ensemble : of three draws or more, whose width is shared; by default the width is
        that of the ranges of the numbers
    treatment : `doses`, `parameters`, `initials`, `perturb` as in ``simulate``

    Examples
    --------
    >>> import mir21sim as ms
    >>> model = ms.load("mir21_core", "HeLa")
    >>> found = ms.trust(
    ...     model, "CASP3_active", "MOMP_fraction", "12 h", doses="TRAIL=50 ng/ml@0h"
    ... )
    >>> round(sum(found.by_status.values()), 6)
    1.0
    """
    perturb = treatment.get("perturb")
    sites = site_parameters(model, perturb.no_site if perturb else ())
    fixed = {*(treatment.get("parameters") or {}), *(over or {}), *sites}
    numbers, covariance = uncertain_numbers(model, fixed), None
    if ensemble is not None and len(ensemble) > LEAST_DRAWS:
        numbers, covariance = drawn_numbers(model, ensemble, fixed)
    if not numbers.names:
        return Trust("it", note="no number of this model has a status and a range.")
    moved = numbers.values * np.exp(STEP)
    n = len(numbers.names)
    cells = {
        name: np.where(np.arange(n + 1) == k + 1, moved[k], numbers.values[k])
        for k, name in enumerate(numbers.names)
    }
    highest = {}
    for name, values in (over or {}).items():
        given, unit = axis_values(name, values)
        top = float(np.max(given))
        highest[name] = f"{top!r} {unit}" if unit else top
    result = simulate_population(
        model,
        cells,
        times=output_times(model, start, end, POINTS),
        observe=list(dict.fromkeys((activity, death))),
        over=highest,
        options=replace(options or Options(), features=False),  # curves are read here
        **treatment,
    )
    slopes, of = _slopes(result, activity, death)
    if slopes is None:
        return Trust(of, note=f"{of} is 0, so it has no relative width.")
    if covariance is not None:
        of = f"{of} over the parameter sets"
    return shares(slopes, numbers, of, covariance)


def _slopes(result: Any, activity: str, death: str) -> tuple[FloatArray | None, str]:
    """Return the log derivatives of the fate of a cell, and the fate in words.

    None for derivatives of nothing: the first run has no activity.
    """
    since = stimulus_time(result)
    times = result["time"].values
    since = float(times[0]) if since is None else since
    shape = (result.sizes["cell"], len(times))
    good = result["status"].values.ravel() == SolverStatus.OK
    died = crossing_times(times, result[death].values.reshape(shape), DEAD, since)
    late = np.clip(times - since, 0.0, None)
    keep = times >= since - 1e-9
    if np.isfinite(died[0]) and died[0] > 0:
        return _log_change(died, good), "the time of death of the average cell"
    curve = result[activity].values.reshape(shape)
    area = np.trapezoid(curve[:, keep], late[keep], axis=-1)
    of = "the caspase activity of the average cell"
    return (_log_change(area, good) if area[0] > 0 else None), of


def _log_change(values: FloatArray, good: npt.NDArray[np.bool_]) -> FloatArray:
    """Return changes of the logarithm from the first value over ``STEP``.

    NaN where a run failed or has no such value.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(values)
        change: FloatArray = (logs[1:] - logs[0]) / STEP
    return np.where(good[1:] & np.isfinite(change), change, np.nan)
