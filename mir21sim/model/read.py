"""Model texts → Network with a context's values, and the model's metadata."""

from mir21sim.model import toml_lines as toml_text
from mir21sim.model.files import BASE as BASE
from mir21sim.model.files import ModelFiles as ModelFiles
from mir21sim.model.files import contexts as contexts
from mir21sim.model.files import find as find
from mir21sim.model.files import models_folder as models_folder
from mir21sim.model.files import shipped as shipped
from mir21sim.model.info import ModelInfo
from mir21sim.model.metadata import apply_context, model_info
from mir21sim.model.metadata import context_table as context_table
from mir21sim.model.metadata import parameter_table as parameter_table
from mir21sim.model.network import Network


def understand(files: ModelFiles) -> tuple[Network, ModelInfo]:
    """Return the network (context applied) and the words of a model, unchecked."""
    from mir21sim.model.formats import sbml_reader as sbml  # libSBML takes 0.2 s

    network = sbml.read_sbml(files.texts["sbml"], files.name)
    info = model_info(files, network)
    if files.context:
        table = toml_text.parse(files.texts["context"], f"{files.context}.toml")
        network = apply_context(network, table, files)
    return network, info
