"""Model texts → Network with a context's values, and the model's metadata."""

from typing import NamedTuple

from mir21sim.model import toml_lines as toml_text
from mir21sim.model.files import BASE as BASE
from mir21sim.model.files import ModelFiles as ModelFiles
from mir21sim.model.files import contexts as contexts
from mir21sim.model.files import find as find
from mir21sim.model.files import models_folder as models_folder
from mir21sim.model.files import shipped as shipped
from mir21sim.model.formats.left_open import LeftOpen, with_usual_values
from mir21sim.model.formats.left_open import warn_of_left_open as warn_of_left_open
from mir21sim.model.info import ModelInfo
from mir21sim.model.metadata import apply_context, model_info
from mir21sim.model.metadata import context_table as context_table
from mir21sim.model.metadata import parameter_table as parameter_table
from mir21sim.model.network import Network


class Reading(NamedTuple):
    """A network (context applied), its labels, and numbers left open."""

    network: Network
    info: ModelInfo
    left_open: tuple[LeftOpen, ...]


def reading(files: ModelFiles) -> Reading:
    """Return the content of the texts of a model, unchecked."""
    from mir21sim.model.formats import sbml_reader as sbml  # libSBML takes 0.2 s

    network, left_open = sbml.read_open(files.texts["sbml"], files.name)
    network, more = with_usual_values(network)
    info = model_info(files, network)
    if files.context:
        table = toml_text.parse(files.texts["context"], f"{files.context}.toml")
        network = apply_context(network, table, files)
    return Reading(network, info, (*left_open, *more))


def understand(files: ModelFiles) -> tuple[Network, ModelInfo]:
    """Return the network (context applied) and the words of a model, unchecked."""
    found = reading(files)
    warn_of_left_open(files.name, found.left_open)
    return found.network, found.info
