"""Names that vary between the cells of a population."""

from collections import Counter

from mir21sim.compiler import conservation as moieties
from mir21sim.compiler.model import CompiledModel
from mir21sim.model import expressions as ex
from mir21sim.model.info import unique
from mir21sim.model.network import Parameter


def varied(model: CompiledModel) -> dict[str, tuple[str, ...]]:
    """Return the names that vary between cells: product or pool to scaled names.

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
    pools = moieties.pools(kernels.n_state, matrix)
    shared = Counter(state for pool in pools for state in pool)
    for pool in pools:
        largest = max(pool, key=lambda k: (shared[k] == 1, model.y0[k]))
        name = model.state_names[largest]
        if model.y0[largest] > 0 and name not in alike:
            groups.setdefault(name, (name,))
    return groups


_ALIKE = frozenset({"SBO:0000240", "SBO:0000247", "SBO:0000278"})
"""Material entity, simple chemical, messenger RNA."""


def _other_births(model: CompiledModel, taken: set[str]) -> dict[str, tuple[str, ...]]:
    """Return the products of synthesis besides the proteins of genes."""
    measured = {p.id for p in model.network.parameters if p.unit and not _plain(p)}
    messengers = {gene.mrna for gene in model.info.genes.values()}
    births = [
        (
            r.products[0][0],
            [n for n in unique(ex.symbols(r.rate)) if n in measured],
        )
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
            continue  # a shed or cut product is no synthesis
        state = (product,) if product in model.state_names else ()
        groups[product] = (first, *state)
    return groups


def _plain(parameter: Parameter) -> bool:
    return all(kind == "dimensionless" for kind, *_ in parameter.unit or ())


def _rate_of_amount(model: CompiledModel, name: str) -> bool:
    """Say whether a parameter counts molecules per time."""
    unit = next(p.unit for p in model.network.parameters if p.id == name)
    powers = {kind: exponent for kind, exponent, *_ in unit or ()}
    return powers in ({"item": 1, "second": -1}, {"mole": 1, "second": -1})
