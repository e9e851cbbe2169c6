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
from mir21sim.errors import InputError
from mir21sim.execute import Options, execute, make_plan
from mir21sim.perturb import Perturbations
from mir21sim.protocol import DosesLike

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

    A synthesis is a reaction from nothing; the first parameter in its rate that no
    other synthesis has is scaled together with the initial amount of its product. An
    mRNA keeps its nominal synthesis, so that a protein does not vary twice. Of a
    conserved pool, the largest initial amount that no other pool shares is scaled.
    """
    messengers = {gene.mrna for gene in model.info.genes.values()}
    births = [
        (r.products[0][0], tuple(unique(ir.symbols(r.rate))))
        for r in model.network.reactions
        if not r.reactants and len(r.products) == 1
    ]
    uses = Counter(name for _, names in births for name in names)
    groups: dict[str, tuple[str, ...]] = {}
    for product, names in births:
        own = [n for n in names if n in model.param_names and uses[n] == 1]
        if not own or product in messengers or product.endswith("_mRNA"):
            continue
        scaled = (own[0], product) if product in model.state_names else (own[0],)
        groups[product] = scaled
    kernels = model.kernels
    places = zip(kernels.n_row, kernels.n_col, kernels.n_value, strict=True)
    matrix = {(int(i), int(r)): float(v) for i, r, v in places}
    pools = symbolic.pools(kernels.n_state, matrix)
    shared = Counter(state for pool in pools for state in pool)
    for pool in pools:
        largest = max(pool, key=lambda k: (shared[k] == 1, model.y0[k]))
        name = model.state_names[largest]
        groups.setdefault(name, (name,))
    return groups


def population(
    model: CompiledModel, n: int, *, cv: float = CV, seed: int = 0
) -> dict[str, FloatArray]:
    """Return the parameters and initial amounts of `n` cells, shape (n,) each.

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
    cells = {}
    for key, names in groups.items():
        for name in names:
            at_parameter = name in model.param_names
            known = model.param_names if at_parameter else model.state_names
            nominal = (model.p0 if at_parameter else model.y0)[known.index(name)]
            cells[name] = nominal * factors[key]
    return cells


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
    plan = make_plan(
        model,
        start=0.0,
        end=end,
        points=201,
        times=times,
        observe=observe,
        doses=doses,
        parameters=parameters,
        initials=None,
        over={},
        perturb=perturb,
        cells=cells,
    )
    done = execute(model, plan, options or Options(), "sweep")
    if done.interrupted:
        raise KeyboardInterrupt
    return done.dataset
