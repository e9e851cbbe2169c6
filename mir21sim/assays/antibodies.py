"""Antibodies: model quantities that each binds, and the mass of its band."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

from mir21sim.compiler.model import CompiledModel


@dataclass(frozen=True, slots=True)
class Antibody:
    """An antibody: the quantities that it binds, and the mass of its band.

    Attributes
    ----------
    name : as the blot is labelled
    binds : model quantities whose sum is the band
    kda : kDa, apparent mass
    rest : quantities that make up all of the protein together with `binds`; a blot is
        exposed for all of it where one antibody binds both forms, so that a trace of
        the cleaved one stays a trace
    """

    name: str
    binds: tuple[str, ...]
    kda: float
    rest: tuple[str, ...] = ()


FORMS = (
    Antibody("p-AKT", ("pAKT",), 60),
    Antibody("AKT", ("AKT", "AKT_T308", "pAKT"), 60),
    Antibody("p-ERK", ("pERK",), 43),
    Antibody("ERK", ("ERK", "pERK"), 43),
    Antibody("p-FOXO", ("pFOXO",), 80),
    Antibody("FOXO", ("FOXO", "pFOXO"), 80),
    Antibody("p-BAD", ("pBAD_total",), 23),
    Antibody("CASP3", ("CASP3",), 35),
    Antibody("cleaved CASP3", ("CASP3_a", "XIAP_CASP3", "CASP3_c"), 17, ("CASP3",)),
    Antibody("CASP7", ("CASP7",), 35),
    Antibody("cleaved CASP7", ("CASP7_a", "XIAP_CASP7"), 20, ("CASP7",)),
    Antibody("CASP8", ("CASP8",), 55),
    Antibody("cleaved CASP8", ("CASP8_a", "BFAR_CASP8"), 18),
    Antibody("PARP", ("PARP1",), 116),
    Antibody("cleaved PARP", ("PARP1_c",), 89, ("PARP1",)),
    Antibody("BID", ("BID",), 22),
    Antibody("tBID", ("tBID_total",), 15, ("BID",)),
)
"""Antibodies specific for one form of a protein; masses are recalled."""

KDA = {
    "PTEN": 54, "PDCD4": 54, "BCL2": 26, "TIMP3": 24, "SPRY1": 35, "SPRY2": 35,
    "NFIB": 47, "XIAP": 57, "CFLAR": 55, "CASP6": 34, "CASP9": 47, "BFAR": 52,
    "BAX": 21, "BAK1": 25, "BCL2L1": 30, "MCL1": 40, "BAD": 23, "BBC3": 23,
    "PMAIP1": 11, "BCL2L11": 23, "TP53": 53, "MDM2": 90, "AP1": 39, "APAF1": 140,
    "DIABLO": 25, "CYCS": 14, "TNFRSF10B": 48, "FAS": 45, "TNFRSF1A": 55,
    "TNFRSF1B": 75,
}  # fmt: skip
"""kDa, apparent mass of a gene's protein, all forms in one band; recalled."""

LOADING = Antibody("β-actin", (), 42)


def antibodies(model: CompiledModel) -> dict[str, Antibody]:
    """Return every antibody that binds a quantity of a model, by name."""
    genes = {name: gene.protein for name, gene in model.info.genes.items()}
    return antibodies_against({*model.state_names, *model.assigned_names}, genes)


def antibodies_against(
    known: Set[str], genes: Mapping[str, Sequence[str]]
) -> dict[str, Antibody]:
    """Return the antibodies against some quantities; of a gene, all forms count."""
    found = {
        a.name: replace(a, rest=tuple(n for n in a.rest if n in known))
        for a in FORMS
        if known >= {*a.binds}
    }
    for name, kda in KDA.items():
        for binds in ((f"{name}_total",), tuple(genes.get(name, ())), (name,)):
            if binds and known >= {*binds}:
                found[name] = Antibody(name, binds, kda)
                break
    return found
