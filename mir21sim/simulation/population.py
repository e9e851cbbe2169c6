"""Virtual populations: cells that differ in their amounts of protein.

Cell-to-cell differences are lognormal factors on synthesis (and on the initial amount
of the same protein) and on the size of conserved pools. Cells do not divide: there is
no cell cycle, and a level is frozen for the length of an experiment.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

from mir21sim._typing import FloatArray
from mir21sim.compiler.load import loaded
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, SolverError, SolverStatus, UnknownNameError
from mir21sim.simulation.axes import SweptValues, axis_values
from mir21sim.simulation.doses import DosesLike
from mir21sim.simulation.ensemble import EnsembleLike
from mir21sim.simulation.names import canonical, renamed
from mir21sim.simulation.options import Options
from mir21sim.simulation.perturbations import Perturbations, clamped_states
from mir21sim.simulation.plan import Plan, doses_or_default, output_times
from mir21sim.simulation.randomness import lognormal_factors, stream
from mir21sim.simulation.run import execute
from mir21sim.simulation.spread import members, with_sets
from mir21sim.simulation.steady_state import resting_states
from mir21sim.simulation.treatment import Treatment
from mir21sim.simulation.varied import varied

RTOL = 1e-3
"""Relative tolerance of cells where none is asked for. Each of 500 cells of HeLa and of
MCF-7 under TRAIL dies within a second of its time at rtol 1e-8, no peak of active
caspase-3 is off by more than 1e-4: far less than the differences between cells."""

MAX_CELLS = 1_000_000
"""More cells than this are a mistake in the number."""
CV = 0.28
"""CV of stable proteins between cells (Spencer 2009 recalled, Bertaux 2014 derived)."""


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Levels that differ between cells.

    Parameters
    ----------
    cv : standard deviation over mean, 0 or more
    mean : mean level, times that of the model
    """

    cv: float = CV
    mean: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.cv) and self.cv >= 0):
            raise InputError(f"`cv` must be finite and 0 or more, got {self.cv}.")
        _check_level(self.mean)


@dataclass(frozen=True, slots=True)
class Fixed:
    """One level in all cells, times that of the model."""

    factor: float = 1.0

    def __post_init__(self) -> None:
        _check_level(self.factor)


Distribution: TypeAlias = LogNormal | Fixed | float | npt.ArrayLike
"""A distribution, a CV, or the factors themselves, float array (n_cell,)."""


def _check_level(value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"A mean level must be finite and above 0, got {value}.")


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """Cells that differ in their amounts of protein.

    A cell's factor of one protein depends on the seed, the cell's number and the
    protein's name: not on how many cells follow, nor on the other proteins, but for
    those it is correlated with.

    Parameters
    ----------
    n : number of cells, 1 or more
    cv : CV of every protein and pool that `distributions` does not name
    distributions : protein or pool (a name of ``varied``) to its distribution, its CV,
        or the factors of all cells, float array, shape (n,)
    correlations : pairs of names to the correlation of their logarithms (Gaussian
        copula). None by default: which proteins of one cell go together, and how
        closely, is not known for these genes
    seed : the same seed gives the same cells

    Raises
    ------
    InputError
        For a size, CV or correlation out of its range, or correlations that
        contradict each other.

    Examples
    --------
    >>> from mir21sim.compiler.load import load
    >>> model = load("earm2_m1a", "base", backend="numpy")
    >>> cells = Population(3, distributions={"XIAP": Fixed(2)}).cells(model)
    >>> cells["XIAP"]
    array([200000., 200000., 200000.])
    """

    n: int
    cv: float = CV
    distributions: Mapping[str, Distribution] = field(default_factory=dict)
    correlations: Mapping[tuple[str, str], float] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.n <= MAX_CELLS:
            raise InputError(
                f"A population needs 1 cell or more, and at most {MAX_CELLS}, got "
                f"{self.n}."
            )
        if self.seed < 0:
            raise InputError(f"`seed` must be 0 or more, got {self.seed}.")
        LogNormal(self.cv)
        for name in self.distributions:
            self._factors(name, np.zeros(self.n))
        for (a, b), r in self.correlations.items():
            if a == b or not -1 < r < 1:
                raise InputError(
                    "A correlation is a number between -1 and 1 of two names, got "
                    f"{r} of `{a}` and `{b}`."
                )
            for name in (a, b):
                if not isinstance(self._distribution(name), LogNormal):
                    raise InputError(
                        f"`{name}` is given cell by cell or fixed, so it cannot be "
                        "correlated."
                    )

    def cells(self, model: CompiledModel) -> dict[str, FloatArray]:
        """Return the parameters and initial amounts of each cell, shape (n,) each.

        Amounts are scaled from the resting state where the model starts from it.

        Raises
        ------
        UnknownNameError
            For a distribution or correlation of a name that does not vary.
        """
        groups = varied(model)
        own = self._named(model, groups)
        own.check(groups)
        factors = own.factors(tuple(groups))
        start = dict(zip(model.state_names, resting_amounts(model), strict=True))
        nominal = dict(zip(model.param_names, model.p0, strict=True)) | start
        return {
            name: float(nominal[name]) * factors[key]
            for key, names in groups.items()
            for name in names
        }

    def _named(self, model: CompiledModel, groups: Collection[str]) -> "Population":
        """Return the population with the ids of a model in place of the names typed."""
        pairs = {
            (canonical(model, a, groups), canonical(model, b, groups)): share
            for (a, b), share in self.correlations.items()
        }
        return replace(
            self,
            distributions=renamed(model, self.distributions, groups),
            correlations=pairs,
        )

    def check(self, groups: Collection[str]) -> None:
        """Stop at a distribution or correlation of a name that does not vary."""
        named = (*self.distributions, *(n for pair in self.correlations for n in pair))
        for name in named:
            if name not in groups:
                raise UnknownNameError("protein or pool", name, tuple(groups))

    def factors(self, names: Sequence[str]) -> dict[str, FloatArray]:
        """Return the levels of some proteins, times the average, shape (n,) each."""
        normal = {
            name: stream(self.seed, name).standard_normal(self.n) for name in names
        }
        normal |= self._correlated()
        return {name: self._factors(name, normal[name]) for name in names}

    def to_record(self) -> dict[str, object]:
        """Return plain values, for a file."""
        shown: dict[str, object] = {}
        for name in self.distributions:
            d = self._distribution(name)
            if isinstance(d, LogNormal):
                shown[name] = {"cv": d.cv, "mean": d.mean}
            elif isinstance(d, Fixed):
                shown[name] = {"factor": d.factor}
            else:
                shown[name] = {"factors": d.tolist()}
        pairs = [[a, b, r] for (a, b), r in self.correlations.items()]
        return {
            "n": self.n,
            "cv": self.cv,
            "seed": self.seed,
            "distributions": shown,
            "correlations": pairs,
        }

    def _distribution(self, name: str) -> LogNormal | Fixed | FloatArray:
        given = self.distributions.get(name, self.cv)
        if isinstance(given, (LogNormal, Fixed)):
            return given
        if isinstance(given, (int, float)):
            return LogNormal(float(given))
        try:
            return np.asarray(given, dtype=float)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"The distribution of `{name}` must be LogNormal, Fixed, a CV or the "
                f"levels of all cells, got {given!r}."
            ) from error

    def _factors(self, name: str, normal: FloatArray) -> FloatArray:
        """Return the levels of one protein from standard normal numbers."""
        found = self._distribution(name)
        if isinstance(found, Fixed):
            return np.full(self.n, found.factor)
        if isinstance(found, LogNormal):
            return found.mean * lognormal_factors(found.cv, normal)
        if found.shape != (self.n,) or not (np.isfinite(found) & (found >= 0)).all():
            raise InputError(
                f"The levels of `{name}` must be {self.n} finite numbers of 0 or more, "
                f"got shape {found.shape}: {found.ravel()[:4]}."
            )
        return found

    def _correlated(self) -> dict[str, FloatArray]:
        """Return the normal numbers of the names that are correlated."""
        names = sorted({name for pair in self.correlations for name in pair})
        if not names:
            return {}
        matrix = np.eye(len(names))
        for (a, b), r in self.correlations.items():
            i, j = names.index(a), names.index(b)
            matrix[i, j] = matrix[j, i] = r
        try:
            root = np.linalg.cholesky(matrix)
        except np.linalg.LinAlgError as error:
            raise InputError(
                f"The correlations of {', '.join(names)} contradict each other: no "
                "cells can have them all at once."
            ) from error
        free = [stream(self.seed, name).standard_normal(self.n) for name in names]
        return dict(zip(names, root @ np.array(free), strict=True))


def cell_options(options: Options | None) -> Options:
    """Return options with the tolerance of cells, where it is left open."""
    options = options or Options()
    return replace(options, rtol=RTOL) if options.rtol is None else options


def resting_amounts(model: CompiledModel) -> FloatArray:
    """Return where the average cell starts: at rest, where the model says so."""
    if not model.info.equilibrate:
        return np.array(model.y0)
    y, status = resting_states(model, model.y0[np.newaxis], model.p0[np.newaxis])
    if status[0] != SolverStatus.OK:
        code = SolverStatus(status[0])
        raise SolverError(f"{model.id}: {code.message}", code)
    return np.array(y[0], dtype=float)


def simulate_population(
    model: CompiledModel | str,
    cells: Population | Mapping[str, FloatArray],
    end: float | str | None = None,
    *,
    times: npt.ArrayLike | None = None,
    observe: Sequence[str] | str | None = None,
    doses: DosesLike | None = None,
    parameters: Mapping[str, float] | None = None,
    initials: Mapping[str, float] | None = None,
    perturb: Perturbations | None = None,
    over: Mapping[str, SweptValues] | None = None,
    options: Options | None = None,
    ensemble: EnsembleLike | None = None,
) -> xr.Dataset:
    """Integrate every cell of a population under one protocol.

    A run that fails is NaN from the moment it stopped; ``status`` says so.

    Parameters
    ----------
    cells : a population, or the result of its ``cells``: parameter or species to float
        array, shape (n_cell,)
    over : names to values, as in ``sweep``; each becomes a dimension
    options : `rtol` is 1e-3 where it is left open
    ensemble : draws of parameters, or their file: the cells of a population are spread
        over them, and the coordinate ``parameter_set`` says which draw a cell has
    others : as in ``simulate``

    Returns
    -------
    Dataset with the dimensions ``cell``, the names of `over`, and ``time`` (h)

    Examples
    --------
    >>> import mir21sim as ms
    >>> model = ms.load("earm_1_3", backend="numpy")
    >>> cells = ms.Population(2, seed=1)
    >>> result = ms.simulate_population(
    ...     model, cells, times=[0, 1], observe="CASP8_active"
    ... )
    >>> dict(result.sizes)
    {'cell': 2, 'time': 2}
    """
    model = loaded(model)
    axes = {name: axis_values(name, values) for name, values in (over or {}).items()}
    treatment = Treatment.of(
        doses_or_default(model, doses, axes),
        parameters=parameters,
        initials=initials,
        perturb=perturb,
    )
    times = output_times(model, 0.0, end, 201, times)
    plan = Plan.of(model, treatment, times, observe=observe, over=axes)
    cells, of_cell = members(model, cells, ensemble, plan)
    plan = cell_plan(model, cells, plan)
    done = execute(model, plan, cell_options(options), "sweep")
    if done.interrupted:
        raise KeyboardInterrupt
    return with_sets(done.dataset, of_cell)


def cell_plan(
    model: CompiledModel, cells: Population | Mapping[str, FloatArray], plan: Plan
) -> Plan:
    """Return a plan of one cell as a plan of unlike cells.

    A fixed parameter or initial amount of the plan holds for all cells. The search for
    a cell's resting state starts from the state of the average cell: on the way from
    elsewhere a cell could pass the point of no return.

    Raises
    ------
    InputError
        For cells in which no number varies.
    """
    given = plan.treatment
    if isinstance(cells, Population):
        fixed = {*given.parameters, *given.initials}
        cells = {k: v for k, v in cells.cells(model).items() if k not in fixed}
    if not cells:
        raise InputError("`cells` must hold one varied number or more, got none.")
    start = dict(zip(model.state_names, resting_amounts(model).tolist(), strict=True))
    n = len(next(iter(cells.values())))
    for row in clamped_states(model, given.perturbations):
        held = model.state_names[row]  # a fixed start of its own would contradict
        cells = {held: np.full(n, start[held]), **cells}
    fixed = {*cells, *given.initials, *plan.over}
    others = {name: amount for name, amount in start.items() if name not in fixed}
    return replace(plan, cells=cells, rest_from=others)
