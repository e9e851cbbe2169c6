"""Records of model metadata: inputs, observables, genes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Input:
    """A species that doses go into, and how a dose turns into molecules.

    Attributes
    ----------
    unit : of amounts without a unit
    molecules_per_unit : molecules that one `unit` puts into the compartment; None where
        the volume of the compartment decides
    molecular_weight : g/mol, relates mass and molar concentrations
    aliases : other names that users write
    """

    species: str
    label: str
    unit: str
    molecules_per_unit: float | None = None
    source: str = ""
    molecular_weight: float | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Observable:
    """A quantity worth looking at, with the label a figure prints."""

    id: str
    label: str
    commits: bool = False


@dataclass(frozen=True, slots=True)
class Gene:
    """A gene: the quantities that a perturbation of it acts on.

    Attributes
    ----------
    protein : species of its protein, the free form first
    mrna : species of its mRNA, "" where the model has none
    synthesis : parameters in proportion to which its protein is made
    site : parameter values that make its 3'UTR blind to miR-21
    """

    id: str
    protein: tuple[str, ...]
    mrna: str = ""
    synthesis: tuple[str, ...] = ()
    site: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The content of a model's `.toml`: words and defaults, no mathematics."""

    id: str
    title: str = ""
    description: str = ""
    cell_compartment: str = ""
    equilibrate: bool = False
    default_context: str = ""
    references: tuple[tuple[str, str], ...] = ()
    inputs: Mapping[str, Input] = field(default_factory=dict)
    observables: Mapping[str, Observable] = field(default_factory=dict)
    genes: Mapping[str, Gene] = field(default_factory=dict)
    modules: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    end_h: float = 24.0
    doses: tuple[str, ...] = ()


def unique(names: Iterable[str]) -> tuple[str, ...]:
    """Return names without repetition, in order."""
    return tuple(dict.fromkeys(names))
