"""Model texts → Network with a context's values, and the model's metadata."""

from typing import NamedTuple

from mir21sim.model import toml_lines as toml_text
from mir21sim.model.files import BASE as BASE
from mir21sim.model.files import ModelFiles as ModelFiles
from mir21sim.model.files import contexts as contexts
from mir21sim.model.files import find as find
from mir21sim.model.files import models_folder as models_folder
from mir21sim.model.files import shipped as shipped
from mir21sim.model.formats.open_counts import (
    warn_of_open_counts as warn_of_open_counts,
)
from mir21sim.model.info import ModelInfo
from mir21sim.model.metadata import apply_context, model_info
from mir21sim.model.metadata import context_table as context_table
from mir21sim.model.metadata import parameter_table as parameter_table
from mir21sim.model.network import Network


class Reading(NamedTuple):
    """A network (context applied), its labels, and stoichiometries left open."""

    network: Network
    info: ModelInfo
    open_counts: tuple[str, ...]


def reading(files: ModelFiles) -> Reading:
    """Return the content of the texts of a model, unchecked."""
    from mir21sim.model.formats import sbml_reader as sbml  # libSBML takes 0.2 s

    network, open_counts = sbml.read_open(files.texts["sbml"], files.name)
    info = model_info(files, network)
    if files.context:
        table = toml_text.parse(files.texts["context"], f"{files.context}.toml")
        network = apply_context(network, table, files)
    return Reading(network, info, open_counts)


def understand(files: ModelFiles) -> tuple[Network, ModelInfo]:
    """Return the network (context applied) and the words of a model, unchecked."""
    found = reading(files)
    warn_of_open_counts(files.name, found.open_counts)
    return found.network, found.info
