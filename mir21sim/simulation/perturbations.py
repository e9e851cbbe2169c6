"""Perturbations: clamp, knock down, over-express, take the miR-21 site away.

Knock-down, over-expression and a missing site change parameters, so they act before
the resting state is sought: a stable line. A clamp holds an amount during the run.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

import numpy as np

from mir21sim._typing import BoolArray, FloatArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.model.info import Gene, unique
from mir21sim.simulation.meaning import sizes_of_home
from mir21sim.units import parse_quantity

_RELATIVE = re.compile(r"(.*\S)\s*[x×]")


@dataclass(frozen=True, slots=True)
class Clamp:
    """A level at which an amount is held.

    Parameters
    ----------
    value : float: molecules (in a guest's file the species' own unit; below 0 only for
        variables that are no species), or times the resting amount of the same run
    relative : whether `value` counts resting amounts
    """

    value: float
    relative: bool = False

    def __post_init__(self) -> None:
        if not math.isfinite(self.value) or (self.relative and self.value < 0):
            raise InputError(
                "A clamp must be a finite level, or a factor of 0 or more on the "
                f"resting level, got {self.value:g}."
            )

    @classmethod
    def of(cls, level: "ClampLike", name: str) -> "Clamp":
        """Return a clamp from a number (molecules) or text, ``500`` or ``0.1x``."""
        if isinstance(level, Clamp):
            return level
        if not isinstance(level, str):
            return cls(float(level))
        relative = _RELATIVE.fullmatch(level.strip())
        number, unit = parse_quantity(relative[1] if relative else level, f"`{name}`")
        if unit not in ("", "molecule", "molecules"):
            raise InputError(
                f"`{name}` is clamped to molecules or to times its resting level "
                f"(`0.1x`), got `{level}`."
            )
        return cls(number, relative is not None)

    def __str__(self) -> str:
        return f"{self.value:g}x" if self.relative else f"{self.value:g}"


ClampLike: TypeAlias = Clamp | str | float


@dataclass(frozen=True, slots=True)
class Perturbations:
    """Changes to genes and proteins, besides doses.

    Parameters
    ----------
    clamp : species (or gene: its free protein) to level, molecules or ``"0.1x"``
    knockdown : gene to the share of its synthesis taken away, 0 to 1
    overexpress : gene to the factor on its synthesis, above 0
    no_site : genes whose 3'UTR miR-21 cannot bind

    Raises
    ------
    InputError
        For a level, share or factor out of its range.

    Examples
    --------
    >>> p = Perturbations(clamp={"PTEN": "0.1x"}, knockdown={"PDCD4": 0.8})
    >>> p.clamp["PTEN"]
    Clamp(value=0.1, relative=True)
    """

    clamp: Mapping[str, ClampLike] = field(default_factory=dict)
    knockdown: Mapping[str, float] = field(default_factory=dict)
    overexpress: Mapping[str, float] = field(default_factory=dict)
    no_site: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        clamps = {name: Clamp.of(level, name) for name, level in self.clamp.items()}
        object.__setattr__(self, "clamp", clamps)
        object.__setattr__(self, "no_site", unique(self.no_site))
        for name, share in self.knockdown.items():
            if not 0 <= share <= 1:
                raise InputError(
                    f"The knock-down of `{name}` must be the share of its synthesis "
                    f"taken away, 0 to 1, got {share:g}."
                )
        for name, factor in self.overexpress.items():
            if not (math.isfinite(factor) and factor > 0):
                raise InputError(
                    f"The over-expression of `{name}` must be a finite factor above 0, "
                    f"got {factor:g}."
                )

    def __bool__(self) -> bool:
        return bool(self.clamp or self.knockdown or self.overexpress or self.no_site)

    def clamps(self) -> dict[str, Clamp]:
        """Return the clamps by name."""
        return {name: Clamp.of(level, name) for name, level in self.clamp.items()}

    def joined(self, other: "Perturbations") -> "Perturbations":
        """Return both at once; `other` wins where both name one gene."""
        return Perturbations(
            {**self.clamp, **other.clamp},
            {**self.knockdown, **other.knockdown},
            {**self.overexpress, **other.overexpress},
            (*self.no_site, *other.no_site),
        )

    def to_record(self) -> dict[str, Any]:
        """Return plain values, for a file."""
        return {
            "clamp": {name: asdict(level) for name, level in self.clamps().items()},
            "knockdown": dict(self.knockdown),
            "overexpress": dict(self.overexpress),
            "no_site": list(self.no_site),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Perturbations":
        """Return the perturbations of a record; an empty one is none."""
        clamp = {
            name: Clamp(**level) for name, level in record.get("clamp", {}).items()
        }
        return cls(
            clamp,
            record.get("knockdown", {}),
            record.get("overexpress", {}),
            tuple(record.get("no_site", ())),
        )


NONE = Perturbations()


def parameter_columns(
    model: CompiledModel, perturb: Perturbations, given: Mapping[str, FloatArray]
) -> dict[str, FloatArray]:
    """Return the parameters of each run that genes' perturbations change.

    Parameters
    ----------
    given : parameter to float array, shape (n_run,): their values otherwise

    Returns
    -------
    parameter to float array, shape (n_run,) or (1,) where all runs have one value
    """
    factors: dict[str, float] = {}
    for share_or_factor, kind in (
        (perturb.knockdown, "knock down"),
        (perturb.overexpress, "over-express"),
    ):
        for name, value in share_or_factor.items():
            factor = 1.0 - value if kind == "knock down" else value
            for parameter in _known_gene(model, name, kind, "synthesis").synthesis:
                factors[parameter] = factors.get(parameter, 1.0) * factor
    columns = {
        name: given.get(name, _nominal(model, name)) * factor
        for name, factor in factors.items()
    }
    for gene in perturb.no_site:
        for name, value in _known_gene(
            model, gene, "free of miR-21", "site"
        ).site.items():
            if name in given:
                raise InputError(
                    f"`{name}` is set, and fixed by the missing site of `{gene}`: drop "
                    "one of the two."
                )
            columns[name] = np.array([value])
    return columns


def site_parameters(model: CompiledModel, genes: Iterable[str]) -> frozenset[str]:
    """Return the parameters that the missing miR-21 sites of genes fix."""
    return frozenset(
        name
        for gene in genes
        for name in _known_gene(model, gene, "free of miR-21", "site").site
    )


def _nominal(model: CompiledModel, name: str) -> FloatArray:
    return np.array([model.p0[model.param_names.index(name)]])


def _known_gene(model: CompiledModel, name: str, action: str, needed: str) -> Gene:
    """Return a gene after checking that it has the parameters of an action."""
    genes = model.info.genes
    if name not in genes:
        raise UnknownNameError(f"gene to {action}", name, tuple(genes))
    if not getattr(genes[name], needed):
        able = ", ".join(g for g in genes if getattr(genes[g], needed)) or "none"
        raise InputError(
            f"The model {model.id} states no `{needed}` for the gene `{name}`; genes "
            f"that have it: {able}."
        )
    return genes[name]


def clamped_states(model: CompiledModel, perturb: Perturbations) -> dict[int, Clamp]:
    """Return the state row and level of every clamp.

    A gene stands for the free form of its protein; bound forms follow it.
    """
    rows: dict[int, Clamp] = {}
    for name, clamp in perturb.clamps().items():
        gene = model.info.genes.get(name)
        species = name if name in model.state_names or gene is None else gene.protein[0]
        if species not in model.state_names:
            known = unique((*model.info.genes, *model.state_names))
            raise UnknownNameError("species to clamp", name, known)
        row = model.state_names.index(species)
        if clamp.value < 0 and any(s.id == species for s in model.network.species):
            raise InputError(
                f"`{species}` is an amount and cannot be clamped below 0: "
                f"{clamp.value:g}."
            )
        if row in rows:
            raise InputError(f"`{species}` is clamped twice.")
        rows[row] = clamp
    return rows


def frozen(model: CompiledModel, perturb: Perturbations) -> BoolArray | None:
    """Return which states are held, bool array (n_state,); None where none is."""
    rows = clamped_states(model, perturb)
    if not rows:
        return None
    mask = np.zeros(len(model.state_names), dtype=bool)
    mask[list(rows)] = True
    return mask


def clamped(
    model: CompiledModel, perturb: Perturbations, y0: FloatArray, p: FloatArray
) -> FloatArray:
    """Return start states with the clamped ones at their level, (n_run, n_state)."""
    moved = np.array(y0)
    for row, clamp in clamped_states(model, perturb).items():
        if clamp.relative:
            moved[:, row] = y0[:, row] * clamp.value
        else:
            size = sizes_of_home(model, model.state_names[row], y0, p)
            moved[:, row] = clamp.value * size
    return moved
