"""Hierarchical SBML (package comp) → one flat model as text, by libSBML.

libSBML reads the files of external model definitions itself, so every one is looked
at first: it must be a file beside the model, and as harmless as the model.
"""

from pathlib import Path
from typing import Any
from urllib.parse import unquote

import libsbml

from mir21sim.errors import ModelError
from mir21sim.model.formats import guard as texts


def flattened(text: str, path: Path) -> str:
    """Return the model with its submodels, replacements and deletions carried out.

    Parameters
    ----------
    text : the XML
    path : where it was read; external model definitions lie in the same folder

    Raises
    ------
    ModelError
        For a submodel that cannot be found or that does not fit, and for external
        model definitions outside the folder of the model.
    """
    _check_externals(text, path, {path.name})
    document = libsbml.readSBMLFromString(text)
    document.setLocationURI(path.resolve().as_uri())
    properties = libsbml.ConversionProperties()
    properties.addOption("flatten comp", True)
    properties.addOption("basePath", str(path.resolve().parent))
    properties.addOption("performValidation", False)  # the reader looks at the result
    properties.addOption("abortIfUnflattenable", "requiredOnly")
    done = document.convert(properties)
    errors = _errors(document)
    if done != libsbml.LIBSBML_OPERATION_SUCCESS or errors:
        words = errors[0] if errors else "libSBML gives no reason."
        raise ModelError(f"{path.name}: the submodels do not fit together: {words}")
    return str(libsbml.writeSBMLToString(document))


def _errors(document: Any) -> list[str]:
    log = document.getErrorLog()
    entries = (log.getError(i) for i in range(log.getNumErrors()))
    return [
        f"line {entry.getLine()}: {' '.join(entry.getMessage().split())[:300]}"
        for entry in entries
        if entry.getSeverity() >= libsbml.LIBSBML_SEV_ERROR
    ]


def _check_externals(text: str, path: Path, seen: set[str]) -> None:
    """Look at every file that a model refers to, and at those that they refer to."""
    texts.stop_on_hostile_xml(text, path.name)
    document = libsbml.readSBMLFromString(text)
    plugin = document.getPlugin("comp")
    if plugin is None:
        return
    for i in range(plugin.getNumExternalModelDefinitions()):
        definition = plugin.getExternalModelDefinition(i)
        source = unquote(definition.getSource())
        beside = path.parent / source
        if source != beside.name:
            raise ModelError(
                f"{path.name}: the external model `{definition.getId()}` must be a "
                f"file beside it, got `{source}`."
            )
        if not beside.is_file():
            raise ModelError(
                f"{path.name}: the file `{source}` of the external model "
                f"`{definition.getId()}` does not exist."
            )
        if source not in seen:
            seen.add(source)
            _check_externals(texts.read_model_file(beside), beside, seen)
