"""Virtual populations: cells that differ in their amounts of protein. Layer 9.

Cell-to-cell differences are lognormal factors on synthesis (and on the initial amount
of the same protein) and on the size of conserved pools.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr

from mir21sim import ir, symbolic
from mir21sim._typing import FloatArray
from mir21sim.compiled import CompiledModel, unique
from mir21sim.errors import InputError, SolverError, SolverStatus
from mir21sim.execute import Options, execute, make_plan
from mir21sim.perturb import Perturbations
from mir21sim.protocol import DosesLike
from mir21sim.resting import resting_states

CV = 0.28
"""CV of stable proteins between cells (Spencer 2009 recalled, Bertaux 2014 derived)."""


def lognormal_factors(
    n: int, names: Sequence[str], cv: float = CV, seed: int = 0
) -> dict[str, FloatArray]:
    """Return independent lognormal factors of mean 1, one column a name.

    A name's factors depend on `seed` and on its place in `names`, not on `n`.

    Parameters
    ----------
    n : number of cells
    cv : standard deviation over mean, 0 or more

    Raises
    ------
    InputError
        For less than one cell or a CV that is negative or not finite.

    Examples
    --------
    >>> lognormal_factors(2, ["A"], cv=0.0)
    {'A': array([1., 1.])}
    """
    if n < 1:
        raise InputError(f"A population needs 1 cell or more, got {n}.")
    if not (math.isfinite(cv) and cv >= 0):
        raise InputError(f"`cv` must be finite and 0 or more, got {cv}.")
    spread = math.sqrt(math.log1p(cv**2))
    factors = {}
    for k, name in enumerate(names):
        normal = np.random.default_rng([seed, k]).standard_normal(n)
        factors[name] = np.exp(spread * normal - spread**2 / 2)
    return factors


def varied(model: CompiledModel) -> dict[str, tuple[str, ...]]:
    """Return what differs between cells: product or pool to the names it scales.

    Every gene differs in its synthesis and the initial amount of its free protein. So
    does every other product of a reaction from nothing, by the first parameter with a
    unit in its rate, where no other synthesis has that one; an mRNA does not, so that
    no protein varies twice. Of a conserved pool, the largest resting amount that no
    other pool shares is scaled.
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
    kernels = model.kernels
    places = zip(kernels.n_row, kernels.n_col, kernels.n_value, strict=True)
    matrix = {(int(i), int(r)): float(v) for i, r, v in places}
    pools = symbolic.pools(kernels.n_state, matrix)
    shared = Counter(state for pool in pools for state in pool)
    for pool in pools:
        largest = max(pool, key=lambda k: (shared[k] == 1, model.y0[k]))
        name = model.state_names[largest]
        if model.y0[largest] > 0:
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


def population(
    model: CompiledModel, n: int, *, cv: float = CV, seed: int = 0
) -> dict[str, FloatArray]:
    """Return the parameters and initial amounts of `n` cells, shape (n,) each.

    Amounts are scaled from the resting state where the model starts from it.

    Parameters
    ----------
    cv : coefficient of variation of every protein and pool
    seed : the same seed gives the same cells

    Examples
    --------
    >>> from mir21sim.library import load
    >>> cells = population(load("earm2_m1a", "base", backend="numpy"), 3)
    >>> cells["XIAP"].round()
    array([ 85155., 102779., 152840.])
    """
    groups = varied(model)
    factors = lognormal_factors(n, tuple(groups), cv, seed)
    start = dict(zip(model.state_names, resting_amounts(model), strict=True))
    nominal = dict(zip(model.param_names, model.p0, strict=True)) | start
    return {
        name: float(nominal[name]) * factors[key]
        for key, names in groups.items()
        for name in names
    }


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
    cells: Mapping[str, FloatArray],
    end: float | str | None = None,
    *,
    times: npt.ArrayLike | None = None,
    observe: Sequence[str] | str | None = None,
    doses: DosesLike | None = None,
    parameters: Mapping[str, float] | None = None,
    perturb: Perturbations | None = None,
    options: Options | None = None,
) -> xr.Dataset:
    """Integrate every cell of a population under one protocol.

    A run that fails is NaN from the moment it stopped; ``status`` says so.

    Parameters
    ----------
    cells : from ``population``: parameter or species to float array, shape (n_cell,)
    others : as in ``simulate``

    Returns
    -------
    Dataset with the dimensions ``cell`` and ``time`` (h)
    """
    if not cells:
        raise InputError("`cells` must hold one varied number or more, got none.")
    # A cell looks for its rest from the average one's: on the way from elsewhere it
    # could pass the point of no return.
    start = zip(model.state_names, resting_amounts(model), strict=True)
    initials = {name: float(value) for name, value in start if name not in cells}
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
        over={},
        perturb=perturb,
        cells=cells,
    )
    done = execute(model, plan, options or Options(), "sweep")
    if done.interrupted:
        raise KeyboardInterrupt
    return done.dataset
