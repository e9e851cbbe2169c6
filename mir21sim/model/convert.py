"""Write a model in another format: SBML or Antimony."""

from pathlib import Path

from mir21sim import files
from mir21sim.errors import InputError
from mir21sim.model.files import BASE as BASE
from mir21sim.model.files import SBML_SUFFIXES, check_model_path
from mir21sim.model.files import ModelFiles as ModelFiles
from mir21sim.model.files import contexts as contexts
from mir21sim.model.files import find as find
from mir21sim.model.files import models_folder as models_folder
from mir21sim.model.files import shipped as shipped
from mir21sim.model.formats import antimony
from mir21sim.model.formats import guard as texts
from mir21sim.model.metadata import context_table as context_table
from mir21sim.model.metadata import parameter_table as parameter_table
from mir21sim.model.network import Network
from mir21sim.model.read import understand


def convert(source: str | Path, target: str | Path, context: str | None = None) -> Path:
    """Write a model as SBML L3V2 (``.xml``, ``.sbml``) or Antimony (``.ant``).

    A file in the one format is translated into the other as it stands, notes and
    annotations included. With a context, from a shipped model's name, or from SBML of
    any level to SBML, it is the network that is written, with the context's values.

    Parameters
    ----------
    source : a shipped model's name, or a file
    target : the file to write
    context : cell line whose values are written, as in ``load``

    Raises
    ------
    InputError
        For a missing file, a file of another kind, Antimony to Antimony without a
        context, or a target that cannot be written.
    ModelError
        When the source cannot be read, or the target's format cannot hold it.
    """
    source, target = Path(source), Path(target)
    if not antimony.is_antimony(target) and target.suffix.lower() not in SBML_SUFFIXES:
        raise InputError(f"`{target}` must end in .ant, .xml or .sbml.")
    known = shipped()
    by_name = str(source) in known
    if not by_name:
        check_model_path(source, known)
    as_text = not by_name and context is None
    if as_text and antimony.is_antimony(source) != antimony.is_antimony(target):
        text = texts.read_model_file(source)
        if antimony.is_antimony(source):
            made = antimony.antimony_to_sbml(text, source.name)
        else:
            made = antimony.sbml_to_antimony(text, source.name)
    elif as_text and antimony.is_antimony(target):
        raise InputError(f"`{source.name}` and `{target.name}` are both Antimony.")
    else:
        made = _written(understand(find(source, context))[0], target)
    return files.write_text(target, made)


def _written(network: Network, target: Path) -> str:
    """Return a network in the format of a file name."""
    from mir21sim.model.formats import (
        antimony_writer,
        sbml_writer,  # libSBML takes 0.2 s
    )

    if antimony.is_antimony(target):
        return antimony_writer.write_antimony(network)
    return sbml_writer.write_sbml(network)
