"""Errors and unsupported constructs of an SBML file, by name and id."""

import re
import textwrap
from collections.abc import Iterator
from typing import Any

import libsbml

from mir21sim.errors import ModelError
from mir21sim.model.formats import sbml_arity as arity
from mir21sim.model.formats.sbml_events import refused_events

_SAID_BY_US = {
    libsbml.ApplyCiMustBeUserFunction,
    libsbml.ApplyCiMustBeModelComponent,
    libsbml.InvalidNoArgsPassedToFunctionDef,
    libsbml.UndeclaredSpeciesRef,
    libsbml.RecursiveFunctionDefinition,
    libsbml.CircularRuleDependency,
}
"""Errors of libSBML that this reader, lint or ``equations`` tell in their own words."""

_ADVICE = re.compile(
    r"Units?|Redefinition|Annotation|Notes|XHTML|SBOTerm|MetaId|Metaid|RDF|Dimensional"
    r"|Invalid[123]D|VolumeLitreDef|VolumeMetreDef|SpatialSize"
    r"|^Layout|^Render|^Groups|^Fbc|^UnrequiredPackagePresent|^PackageRequiredShouldBe"
)
"""Names of libSBML's errors that no number of a run depends on: units, annotations,
notes, ontology terms, packages that the reader looks at itself."""


def _advice() -> frozenset[int]:
    """Return the numbers of libSBML's errors whose names match `_ADVICE`."""
    return frozenset(
        getattr(libsbml, name)
        for name in dir(libsbml)
        if _ADVICE.search(name) and isinstance(getattr(libsbml, name), int)
        if getattr(libsbml, name) > _FIRST_ERROR
    )


_FIRST_ERROR = 10_200
"""Smaller numbers are flags of libSBML or errors of the XML itself."""

_HARMLESS = _advice()

ERRORS_SHOWN = 3
"""Errors of libSBML that a message repeats; of the others it gives the number."""


def stop_on_errors(document: Any, name: str) -> None:
    """Raise the first few of libSBML's errors, with the count of the others."""
    errors = _errors(document, name)
    told = [f"line {line}: {_short(words)}" for line, words in errors[:ERRORS_SHOWN]]
    if told:
        more = len(errors) - len(told)
        tail = f" ({more} more errors)" if more else ""
        raise ModelError(f"{name} is not valid SBML: {'; '.join(told)}{tail}")


def _short(words: str) -> str:
    """Return a message of libSBML, both its rule and what breaks it, shortened."""
    lines = [line for line in words.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("Reference:")]
    told = dict.fromkeys([*lines[:1], *lines[-1:]])
    return " ".join(textwrap.shorten(line, 200) for line in told)


def _errors(document: Any, name: str) -> list[tuple[int, str]]:
    """Return (line, text) of each error of libSBML that no own message covers.

    An error object of libSBML lives as long as its document: the texts are copied here,
    while the checked clone exists.
    """
    found = _texts(document.getErrorLog())
    if found:
        return found
    model = document.getModel()
    if model is None:
        return []
    arity.stop_on_wrong_arity(model, name)
    checked = document.clone()
    _unlink(checked.getModel())
    for category in (
        libsbml.LIBSBML_CAT_MATHML_CONSISTENCY,  # lint says these in our words
        libsbml.LIBSBML_CAT_UNITS_CONSISTENCY,
        libsbml.LIBSBML_CAT_MODELING_PRACTICE,
        libsbml.LIBSBML_CAT_SBO_CONSISTENCY,
    ):
        checked.setConsistencyChecks(category, False)
    checked.checkConsistency()
    return _texts(checked.getErrorLog())


def _texts(log: Any) -> list[tuple[int, str]]:
    """Return line and text of the errors in a log that is still alive."""
    errors = (log.getError(i) for i in range(log.getNumErrors()))
    return [
        (error.getLine(), error.getMessage())
        for error in errors
        if error.getSeverity() >= libsbml.LIBSBML_SEV_ERROR
        and error.getErrorId() not in _SAID_BY_US
        and (error.isFatal() or not _is_harmless(error))
    ]


_OF_DRAWINGS = re.compile(
    r"The L3 package '(layout|layout_L2|render|groups)\w*' cannot be used"
    r"|in SBML Level \d Version \d Package (layout|render|groups) "
    r"|listOf(Layouts|GlobalRenderInformation|Groups) cannot be empty"
)
"""Words of libSBML on packages that draw or sort, in files of a wrong level or form."""


def _is_harmless(error: Any) -> bool:
    """Say whether no number of a run depends on what an error is about."""
    if error.getErrorId() in (
        libsbml.UnrecognizedElement,
        libsbml.NotSchemaConformant,
    ):
        return bool(_OF_DRAWINGS.search(error.getMessage()))
    return error.getErrorId() in _HARMLESS


def _definitions(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield (id, formula) of every variable with a formula for its value."""
    for rule in model.getListOfRules():
        if rule.isAssignment():
            yield rule.getVariable(), rule.getMath()
    for item in model.getListOfInitialAssignments():
        yield item.getSymbol(), item.getMath()
    for reaction in model.getListOfReactions():
        if reaction.isSetKineticLaw():
            yield reaction.getIdAttribute(), reaction.getKineticLaw().getMath()


def _unlink(model: Any) -> None:
    """Put numbers in place of the symbols that one definition uses of others.

    libSBML looks for circles in a time that grows with the fourth power of a chain of
    rules, 400 of them 13 s; ``equations`` finds them in no time.
    """
    definitions = list(_definitions(model))
    defined = {variable for variable, _ in definitions}
    for _, math in definitions:
        for node in list(arity.nodes(math)):
            if node.getType() == libsbml.AST_NAME and node.getName() in defined:
                node.setValue(1.0)


def refused_features(document: Any, model: Any) -> Iterator[str]:
    """Yield 'feature `id`' for each construct that a Network cannot hold."""
    for i in range(document.getNumPlugins() if document.getLevel() >= 3 else 0):
        prefix = document.getPlugin(i).getPackageName()
        if document.getPackageRequired(prefix) and _changes_values(prefix, model):
            yield f"package `{prefix}`"
    yield from refused_events(model)
    for reaction in model.getListOfReactions():
        if not reaction.isSetKineticLaw() or not reaction.getKineticLaw().isSetMath():
            yield f"reaction `{reaction.getId()}` without a rate law"


_NO_MATHEMATICS = frozenset({"layout", "render", "groups", "l3v2extendedmath"})
"""Packages that change no value of a run, whatever their `required` says; the last one
is libSBML's name for the functions that L3V2 core itself has."""


def _changes_values(prefix: str, model: Any) -> bool:
    """Say whether a required package can change the values of a model's quantities."""
    if prefix in _NO_MATHEMATICS:
        return False
    if prefix == "qual":
        plugin = model.getPlugin(prefix)
        used = plugin.getNumTransitions() + plugin.getNumQualitativeSpecies()
        return bool(used)
    return True
