"""Virtual populations: cells that differ in their amounts of protein. Layer 9.

Cell-to-cell differences are lognormal factors on synthesis (and on the initial amount
of the same protein) and on the size of conserved pools. Cells do not divide: there is
no cell cycle, and a level is frozen for the length of an experiment.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

from mir21sim import ir, symbolic, units
from mir21sim._typing import FloatArray
from mir21sim.compare import quantity
from mir21sim.compiled import CompiledModel, unique
from mir21sim.errors import InputError, SolverError, SolverStatus, UnknownNameError
from mir21sim.execute import Options, execute, make_plan
from mir21sim.perturb import NONE, Perturbations, clamped_states
from mir21sim.protocol import DosesLike
from mir21sim.resting import resting_states
from mir21sim.units import SECONDS_PER_HOUR

CV = 0.28
"""CV of stable proteins between cells (Spencer 2009 recalled, Bertaux 2014 derived)."""

DEAD = 0.5
"""A cell is dead when the quantity that commits it crosses one half."""


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
    >>> from mir21sim.library import load
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
        if self.n < 1:
            raise InputError(f"A population needs 1 cell or more, got {self.n}.")
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
            For a distribution or correlation of what does not differ between cells.
        """
        groups = varied(model)
        named = (*self.distributions, *(n for pair in self.correlations for n in pair))
        for name in named:
            if name not in groups:
                raise UnknownNameError("protein or pool", name, tuple(groups))
        factors = self.factors(tuple(groups))
        start = dict(zip(model.state_names, resting_amounts(model), strict=True))
        nominal = dict(zip(model.param_names, model.p0, strict=True)) | start
        return {
            name: float(nominal[name]) * factors[key]
            for key, names in groups.items()
            for name in names
        }

    def factors(self, names: Sequence[str]) -> dict[str, FloatArray]:
        """Return the levels of some proteins, times the average, shape (n,) each."""
        normal = {
            name: _stream(self.seed, name).standard_normal(self.n) for name in names
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
            spread = math.sqrt(math.log1p(found.cv**2))
            levels: FloatArray = found.mean * np.exp(spread * normal - spread**2 / 2)
            return levels
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
        free = [_stream(self.seed, name).standard_normal(self.n) for name in names]
        return dict(zip(names, root @ np.array(free), strict=True))


def _stream(seed: int, name: str) -> np.random.Generator:
    """Return random numbers that belong to a name, whatever others are drawn."""
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])


_ALIKE = frozenset({"SBO:0000240", "SBO:0000247", "SBO:0000278"})
"""Material entity, simple chemical, messenger RNA."""


def varied(model: CompiledModel) -> dict[str, tuple[str, ...]]:
    """Return what differs between cells: product or pool to the names it scales.

    Every gene differs in its synthesis and the initial amount of its free protein. So
    does every other product of a reaction from nothing, by the first parameter with a
    unit in its rate, where no other synthesis has that one; an mRNA does not, so that
    no protein varies twice. Of a conserved pool, the largest resting amount that no
    other pool shares is scaled, unless its SBO term says that it is no macromolecule
    of its own: lipids, membranes and pools of all transcripts are alike in all cells.
    """
    genes = model.info.genes.values()
    groups = {
        gene.protein[0]: (*gene.synthesis, gene.protein[0])
        for gene in genes
        if gene.synthesis
    }
    groups |= _other_births(
        model, {name for names in groups.values() for name in names}
    )
    alike = {s.id for s in model.network.species if s.sbo in _ALIKE}
    kernels = model.kernels
    places = zip(kernels.n_row, kernels.n_col, kernels.n_value, strict=True)
    matrix = {(int(i), int(r)): float(v) for i, r, v in places}
    pools = symbolic.pools(kernels.n_state, matrix)
    shared = Counter(state for pool in pools for state in pool)
    for pool in pools:
        largest = max(pool, key=lambda k: (shared[k] == 1, model.y0[k]))
        name = model.state_names[largest]
        if model.y0[largest] > 0 and name not in alike:
            groups.setdefault(name, (name,))
    return groups


def _other_births(model: CompiledModel, taken: set[str]) -> dict[str, tuple[str, ...]]:
    """Return what is made from nothing besides the proteins of genes."""
    measured = {p.id for p in model.network.parameters if p.unit and not _plain(p)}
    messengers = {gene.mrna for gene in model.info.genes.values()}
    births = [
        (r.products[0][0], [n for n in unique(ir.symbols(r.rate)) if n in measured])
        for r in model.network.reactions
        if not r.reactants and len(r.products) == 1
    ]
    uses = Counter(name for _, names in births for name in names)
    groups = {}
    for product, names in births:
        first = next((n for n in names if n in model.param_names), "")
        if not first or uses[first] > 1 or {first, product} & taken:
            continue
        if product in messengers or product.endswith("_mRNA"):
            continue
        if model.info.genes and not _rate_of_amount(model, first):
            continue  # what is shed or cut is no synthesis of its own
        state = (product,) if product in model.state_names else ()
        groups[product] = (first, *state)
    return groups


def _plain(parameter: ir.Parameter) -> bool:
    return all(kind == "dimensionless" for kind, *_ in parameter.unit or ())


def _rate_of_amount(model: CompiledModel, name: str) -> bool:
    """Say whether a parameter counts molecules per time."""
    unit = next(p.unit for p in model.network.parameters if p.id == name)
    powers = {kind: exponent for kind, exponent, *_ in unit or ()}
    return powers in ({"item": 1, "second": -1}, {"mole": 1, "second": -1})


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
    model: CompiledModel,
    cells: Population | Mapping[str, FloatArray],
    end: float | str | None = None,
    *,
    times: npt.ArrayLike | None = None,
    observe: Sequence[str] | str | None = None,
    doses: DosesLike | None = None,
    parameters: Mapping[str, float] | None = None,
    perturb: Perturbations | None = None,
    over: Mapping[str, npt.ArrayLike] | None = None,
    options: Options | None = None,
) -> xr.Dataset:
    """Integrate every cell of a population under one protocol.

    A run that fails is NaN from the moment it stopped; ``status`` says so.

    Parameters
    ----------
    cells : a population, or what its ``cells`` returned: parameter or species to float
        array, shape (n_cell,)
    over : names to values, as in ``sweep``; each becomes a dimension
    others : as in ``simulate``

    Returns
    -------
    Dataset with the dimensions ``cell``, the names of `over`, and ``time`` (h)
    """
    if isinstance(cells, Population):
        cells = cells.cells(model)
    if not cells:
        raise InputError("`cells` must hold one varied number or more, got none.")
    # A cell looks for its rest from the average one's: on the way from elsewhere it
    # could pass the point of no return.
    start = dict(zip(model.state_names, resting_amounts(model).tolist(), strict=True))
    n = len(next(iter(cells.values())))
    for row in clamped_states(model, perturb or NONE):
        held = model.state_names[row]  # a fixed start of its own would contradict
        cells = {held: np.full(n, start[held]), **cells}
    initials = {name: value for name, value in start.items() if name not in cells}
    plan = make_plan(
        model,
        start=0.0,
        end=end,
        points=201,
        times=times,
        observe=observe,
        doses=doses,
        parameters=parameters,
        initials=initials,
        over={
            name: (np.atleast_1d(np.asarray(values, dtype=float)), "")
            for name, values in (over or {}).items()
        },
        perturb=perturb,
        cells=cells,
    )
    done = execute(model, plan, options or Options(), "sweep")
    if done.interrupted:
        raise KeyboardInterrupt
    return done.dataset


# ------------------------------------------------------------------- who dies, and when
def crossing_times(
    times: FloatArray, curves: FloatArray, level: float = DEAD, since: float = 0.0
) -> FloatArray:
    """Return the time after `since` at which each curve first reaches a level.

    Between two output times the curve is taken as straight.

    Parameters
    ----------
    times : float array, shape (n_time,), ascending
    curves : float array, shape (…, n_time)

    Returns
    -------
    float array, shape (…): 0 where it is there from the start, infinite where it never
    comes, NaN where the curve stops before it

    Examples
    --------
    >>> crossing_times(np.array([0.0, 1.0, 2.0]), np.array([[0.0, 0.2, 0.8]]))
    array([1.5])
    """
    first = min(int(np.searchsorted(times, since)), len(times) - 1)
    t, v = times[first:], curves[..., first:]
    above = v >= level
    k = above.argmax(axis=-1)
    before = np.maximum(k - 1, 0)
    high = np.take_along_axis(v, k[..., np.newaxis], -1)[..., 0]
    low = np.take_along_axis(v, before[..., np.newaxis], -1)[..., 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (level - low) / (high - low)
        found = t[before] + share * (t[k] - t[before]) - since
    found = np.where(k == 0, 0.0, found)
    never = np.where(np.isnan(v[..., -1]), np.nan, np.inf)
    return np.where(above.any(axis=-1), found, never)


DEATHS = ("PS_exposed", "MOMP_fraction", "PARP_cleaved_fraction")
"""Quantities that say that a cell dies, the one that a laboratory sees most first."""


def death_quantity(model: CompiledModel) -> str:
    """Return which of ``DEATHS`` a model has, the first one.

    Raises
    ------
    InputError
        For a model with none.
    """
    known = (*model.state_names, *model.assigned_names)
    found = next((name for name in DEATHS if name in known), None)
    if found is None:
        raise InputError(
            f"{model.id} has none of {', '.join(DEATHS)}: say which quantity kills a "
            "cell when it crosses one half (`--death`)."
        )
    return found


def death_times(
    result: xr.Dataset, observe: str = "PS_exposed", *, since: float | str = 0.0
) -> xr.DataArray:
    """Return when each cell dies: the quantity first crosses one half, h after `since`.

    Parameters
    ----------
    result : with the dimensions ``cell`` and ``time``, and any others
    observe : ``PS_exposed`` (as Annexin V sees it), ``MOMP_fraction``, …
    since : h, or text; usually when the stimulus is given

    Returns
    -------
    DataArray without ``time``: 0 for a cell that was dead by then, infinite for one
    that lives, NaN where the run stopped before
    """
    start = units.seconds(since, "since") / SECONDS_PER_HOUR
    curves = quantity(result, observe).transpose(..., "time")
    found = crossing_times(result["time"].values, curves.values, DEAD, start)
    times = curves.isel(time=0, drop=True).copy(data=found).rename("death_time")
    return times.assign_attrs(units="h", long_name="time of death")


def fraction_dead(
    result: xr.Dataset,
    at: npt.ArrayLike,
    observe: str = "PS_exposed",
    *,
    since: float | str = 0.0,
) -> xr.DataArray:
    """Return the share of cells that have died by some times.

    Cells that were dead at `since` are left out, above and below; so are those whose
    run stopped before their fate was known.

    Parameters
    ----------
    at : float array, shape (n_at,), h after `since`

    Returns
    -------
    DataArray with the dimension ``at`` in place of ``cell``; NaN where no cell is left
    """
    died = death_times(result, observe, since=since)
    known = (died > 0).sum("cell")
    by = xr.DataArray(np.atleast_1d(np.asarray(at, dtype=float)), dims="at")
    by = by.assign_coords(at=("at", by.values, {"units": "h"}))
    share = ((died > 0) & (died <= by)).sum("cell") / known.where(known > 0)
    return share.rename("fraction_dead").assign_attrs(units="1", long_name="dead cells")


def kill_curve(
    result: xr.Dataset,
    at: float,
    observe: str = "PS_exposed",
    *,
    since: float | str = 0.0,
) -> xr.DataArray:
    """Return fractional killing by dose: the share of cells dead by one time.

    Parameters
    ----------
    result : of ``simulate_population`` with `over`, or of an experiment: one dimension
        or more besides ``cell`` and ``time``
    at : h after `since`

    Raises
    ------
    InputError
        For a result in which nothing differs but the cells.
    """
    share = fraction_dead(result, [at], observe, since=since).isel(at=0)
    if not share.dims:
        raise InputError(
            "A kill curve needs a swept dose (`over`) besides `cell` and `time`."
        )
    return share


def death_text(
    result: xr.Dataset, observe: str = "PS_exposed", *, since: float | str = 0.0
) -> str:
    """Return who dies, and when, as lines to read."""
    start = units.seconds(since, "since") / SECONDS_PER_HOUR
    died = death_times(result, observe, since=start).values.ravel()
    alive = died[died > 0]
    when = alive[np.isfinite(alive)]
    length = float(result["time"][-1]) - start
    lines = [f"{len(alive)} of {died.size} cells live at {start:g} h"]
    if len(alive):
        share = len(when) / len(alive)
        lines.append(f"{len(when)} of them ({share:.1%}) die within {length:g} h")
    if len(when) > 1:
        low, middle, high = np.percentile(when, (10, 50, 90))
        cv = when.std(ddof=1) / when.mean()
        lines.append(
            f"time of death: mean {when.mean():.3g} h, CV {cv:.2f}; 10 % by "
            f"{low:.3g} h, half by {middle:.3g} h, 90 % by {high:.3g} h"
        )
    if np.isnan(died).any():
        lines.append(f"{np.isnan(died).sum()} cells could not be followed to the end")
    return "\n".join(lines)
