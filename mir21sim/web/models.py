"""Models that the page can choose: shipped ones, one named at the start, uploads.

A stranger's file goes through the same front end as one that is named on the command
line, with its bounds, first in a process of its own (``trial``); nothing else on the
disk can be named from the page.
"""

import hashlib
import re
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mir21sim import units
from mir21sim.analysis.cell_death import DEATHS, death_quantity
from mir21sim.analysis.network_plot import modules_of
from mir21sim.compiler.load import load
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.model import files as model_files
from mir21sim.model.border import Border, concentration_unit
from mir21sim.model.formats.guard import MAX_BYTES
from mir21sim.model.info import Input, ModelInfo
from mir21sim.model.network import Network
from mir21sim.model.read import understand
from mir21sim.simulation.ensemble import shipped_path
from mir21sim.web.trial import read_apart
from mir21sim.web.work import Cache, Shelf

UPLOAD = "upload:"
"""Start of the keys of uploaded models."""

FIRST_QUANTITIES = 4
"""Quantities that a new model shows at first."""

_SAFE = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Facts:
    """The parts of a model that the controls of the page need, without compiling it.

    Attributes
    ----------
    key, name : as the page sends it, and as code calls it
    contexts, context : cell lines, and the one that is chosen at first
    inputs : substances that can be given, with their units
    targets : what can be given: the inputs, or in a stranger's file any species
    genes : gene to the actions that can be done to it; species can be clamped
    numbers : parameters and initial amounts: name to (option, value, unit)
    quantities : name to label, of all that can be drawn
    shown : those drawn at first
    modules : module to its species
    proteins, blot : antibodies of a model, and those of its first blot
    death : quantity of death, "" for none
    end : end of the run at first, as text with its unit
    time_unit : "h", or that of the file
    doses : doses at first: substance to (amount, time)
    has_sets : whether parameter sets of the model are shipped
    """

    key: str
    name: str
    title: str
    contexts: tuple[str, ...]
    context: str
    is_guest: bool
    inputs: Mapping[str, Input]
    targets: tuple[str, ...]
    genes: Mapping[str, tuple[str, ...]]
    numbers: Mapping[str, tuple[str, float | None, str]]
    quantities: Mapping[str, str]
    shown: tuple[str, ...]
    modules: Mapping[str, tuple[str, ...]]
    proteins: tuple[str, ...]
    blot: tuple[str, ...]
    death: str
    end: str
    time_unit: str
    doses: Mapping[str, tuple[str, str]]
    has_sets: bool


@dataclass(eq=False)
class Models:
    """The models of one server: found, read and compiled once each.

    Parameters
    ----------
    first : model and cell line that the page opens with
    cache : where facts are kept
    trial : reads an uploaded file first, where it can do no harm
    """

    first: str = model_files.DEFAULT_MODEL
    first_context: str = ""
    cache: Cache = field(default_factory=lambda: Cache(entries=40))
    trial: Callable[[Path], None] = read_apart
    _compiled: Cache = field(default_factory=lambda: Cache(entries=16))
    _shelf: Shelf = field(default_factory=Shelf)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _compiling: dict[str, threading.Lock] = field(default_factory=dict)
    _reading: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        model_files.find(self.first, self.first_context or None)
        self._own = "" if self.first in model_files.shipped() else self.first
        self._folder = tempfile.TemporaryDirectory(prefix="mir21sim-explore-")

    def close(self) -> None:
        """Remove the uploaded files."""
        self._folder.cleanup()

    def choices(self) -> list[tuple[str, str]]:
        """Return key and label of the models that every tab can choose."""
        listed = [(name, name) for name in model_files.shipped()]
        return [(self._own, Path(self._own).name), *listed] if self._own else listed

    def put(self, name: str, data: bytes) -> str:
        """Keep an uploaded file and return its key; read it, to know whether it can be.

        Raises
        ------
        InputError
            For a file that is too large or of another kind.
        ModelError
            For one that is no model, or one that cannot be simulated.
        """
        name = _SAFE.sub("_", Path(name.replace("\\", "/")).name).lstrip(".")[:80]
        if len(data) > MAX_BYTES:
            raise InputError(too_large(len(data)))
        key = UPLOAD + hashlib.sha256(name.encode() + b"\0" + data).hexdigest()[:16]
        folder = Path(self._folder.name) / key.removeprefix(UPLOAD)
        folder.mkdir(exist_ok=True)
        path = folder / (name or "model.xml")
        path.write_bytes(data)
        try:
            model_files.check_model_path(path, ())
            with self._reading:  # one at a time: each may take its whole bounds
                self.trial(path)
        except Exception:
            _remove(path)
            raise
        for gone in self._shelf.put(key, str(path)):
            _remove(Path(gone))
        return key

    def path(self, key: str) -> str:
        """Return the name or path of a model that the page may name.

        Raises
        ------
        UnknownNameError
            For anything else, such as a path of this computer.
        """
        if key.startswith(UPLOAD):
            return self._shelf.get(key)
        known = [name for name, _ in self.choices()]
        if key not in known:
            raise UnknownNameError("model", key, known)
        return key

    def code_name(self, key: str) -> str:
        """Return how code calls a model: its name, or its file beside the code."""
        path = self.path(key)
        return Path(path).name if key.startswith(UPLOAD) else path

    def load(self, key: str, context: str = "") -> CompiledModel:
        """Return a model ready to run; the first time it is compiled."""
        place = f"{key}\n{context}"
        found = self._compiled.get(place)
        if found is None:
            with self._lock:
                alone = self._compiling.setdefault(place, threading.Lock())
            with alone:  # two would compile the same kernels; other models do not wait
                found = self._compiled.of(
                    place, lambda: load(self.path(key), context or None)
                )
        model: CompiledModel = found
        return model

    def facts(self, key: str, context: str = "") -> Facts:
        """Return the parts of a model that the controls need."""
        path = self.path(key)
        return self.cache.of(
            f"{key}\n{context}", lambda: read_facts(key, Path(path), context)
        )


def read_facts(key: str, path: Path, context: str) -> Facts:
    """Return the parts of a model that the controls need, read from its file."""
    shipped = str(path) in model_files.shipped()
    named: str | Path = str(path) if shipped else path
    found = model_files.find(named, context or None)
    network, info = understand(found)
    border = Border.of(network)
    quantities = _quantities(network, info)
    proteins = _proteins(network, info)
    death = next((name for name in DEATHS if name in quantities), "")
    return Facts(
        key=key,
        name=path.name,
        title=info.title or path.stem,
        contexts=(*model_files.contexts(named), model_files.BASE),
        context=found.context or model_files.BASE,
        is_guest=border.is_guest,
        inputs=info.inputs,
        targets=tuple(info.inputs) or tuple(s.id for s in network.species),
        genes=_genes(network, info),
        numbers=_numbers(network, border, info.equilibrate),
        quantities=quantities,
        shown=_shown(info, quantities, death),
        modules=modules_of(network, info),
        proteins=proteins,
        blot=_blot(proteins),
        death=death,
        end=f"{info.end_h:g} h" if not border.is_guest else f"{info.end_h:g}",
        time_unit=border.time_unit,
        doses=_first_doses(info),
        has_sets=shipped and shipped_path(str(path)).is_file(),
    )


def too_large(size: int) -> str:
    """Return the sentence about a file that is too large."""
    return (
        f"The file has {size / 1e6:.0f} MB; a model of at most {MAX_BYTES / 1e6:.0f} "
        "MB is read. Leave out layout and annotations."
    )


def death_of(model: CompiledModel) -> str:
    """Return the quantity that tells that a cell of a model dies, "" for none."""
    try:
        return death_quantity(model)
    except InputError:
        return ""


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.parent.rmdir()


def _genes(network: Network, info: ModelInfo) -> dict[str, tuple[str, ...]]:
    """Return genes, then species, with the changes that each allows."""
    found: dict[str, tuple[str, ...]] = {}
    for name, gene in info.genes.items():
        made = ("knockdown", "overexpress") if gene.synthesis else ()
        held = ("clamp",) if gene.protein else ()
        found[name] = (*made, *held, *(("no_site",) if gene.site else ()))
    for species in network.species:
        found.setdefault(species.id, ("clamp",))
    return {name: actions for name, actions in found.items() if actions}


def _numbers(
    network: Network, border: Border, rests: bool
) -> dict[str, tuple[str, float | None, str]]:
    """Return parameters and initial amounts with option, value and unit."""
    found: dict[str, tuple[str, float | None, str]] = {}
    ruled = {rule.variable for rule in network.rules}
    for p in network.parameters:
        if p.id not in ruled and p.constant and p.value is not None:
            found[p.id] = ("--set", p.value, units.parts_text(p.unit) if p.unit else "")
    if rests:
        return found  # the search for rest overrules what the amounts start from
    homes = {c.id: c.unit for c in network.compartments}
    for species in network.species:
        concentration = border.means_concentration(species)
        if species.id in ruled or species.initial_is_concentration != concentration:
            continue
        unit = border.amount_unit(species)
        if concentration:
            unit = concentration_unit(species, homes.get(species.compartment))
        found[species.id] = ("--init", species.initial, unit)
    return found


def _quantities(network: Network, info: ModelInfo) -> dict[str, str]:
    """Return name and label of all that can be drawn, observables first."""
    found = {name: seen.label or name for name, seen in info.observables.items()}
    for species in network.species:
        found.setdefault(species.id, species.name or species.id)
    for rule in network.rules:
        if rule.variable:
            found.setdefault(rule.variable, rule.variable)
    return found


def _shown(
    info: ModelInfo, quantities: Mapping[str, str], death: str
) -> tuple[str, ...]:
    """Return the quantities that are drawn at first."""
    wanted = [*info.observables] or [*quantities]
    first = [n for n in ("CASP3_active", "CASP8_active", "miR21_active") if n in wanted]
    chosen = dict.fromkeys([*first, *([death] if death else []), *wanted])
    return tuple(chosen)[:FIRST_QUANTITIES]


def _proteins(network: Network, info: ModelInfo) -> tuple[str, ...]:
    """Return the antibodies of a model."""
    from mir21sim.assays.antibodies import antibodies_against

    known = {s.id for s in network.species} | {r.variable for r in network.rules}
    genes = {name: gene.protein for name, gene in info.genes.items()}
    return tuple(antibodies_against(known, genes))


def _blot(known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the proteins of the first blot: targets of miR-21, Akt, death."""
    wanted = [name for name in FIRST_BLOT if name in known]
    return tuple(wanted or known[:FIRST_QUANTITIES])


FIRST_BLOT = ("PTEN", "PDCD4", "BCL2", "p-AKT", "cleaved PARP")


def _first_doses(info: ModelInfo) -> dict[str, tuple[str, str]]:
    """Return amount and time of the doses at first: the protocol and the drugs."""
    from mir21sim.simulation.doses import Dose

    found: dict[str, tuple[str, str]] = {}
    for name in ("anti_miR21", "miR21_mimic"):
        if name in info.inputs:
            found[name] = (f"0 {info.inputs[name].unit}", "0 h")
    for text in info.doses:
        dose = Dose.parse(text)
        found[dose.target] = (
            f"{dose.amount:g} {dose.unit}".strip(),
            f"{dose.time:g} h",
        )
    return found
