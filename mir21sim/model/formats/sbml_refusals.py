"""What is wrong with an SBML file, or not supported, by name and id."""

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

ERRORS_SHOWN = 3
"""Errors of libSBML that a message repeats; of the others it gives the number."""


def stop_on_errors(document: Any, name: str) -> None:
    """Raise the first few of libSBML's errors, with the count of the others."""
    errors = list(_errors(document, name))
    told = []
    for error in errors[:ERRORS_SHOWN]:
        words = " ".join(error.getMessage().split())
        told.append(f"line {error.getLine()}: {textwrap.shorten(words, 200)}")
    if told:
        more = len(errors) - len(told)
        tail = f" ({more} more errors)" if more else ""
        raise ModelError(f"{name} is not valid SBML: {'; '.join(told)}{tail}")


def _errors(document: Any, name: str) -> Iterator[Any]:
    """Yield what libSBML says is wrong, apart from what we say in our own words."""
    log = document.getErrorLog()
    if log.getNumFailsWithSeverity(libsbml.LIBSBML_SEV_ERROR) == 0:
        model = document.getModel()
        if model is None:
            return
        arity.stop_on_wrong_arity(model, name)
        document = document.clone()
        _unlink(document.getModel())
        for category in (
            libsbml.LIBSBML_CAT_MATHML_CONSISTENCY,  # lint says these in our words
            libsbml.LIBSBML_CAT_UNITS_CONSISTENCY,
            libsbml.LIBSBML_CAT_MODELING_PRACTICE,
            libsbml.LIBSBML_CAT_SBO_CONSISTENCY,
        ):
            document.setConsistencyChecks(category, False)
        document.checkConsistency()
        log = document.getErrorLog()
    for i in range(log.getNumErrors()):
        error = log.getError(i)
        if (
            error.getSeverity() >= libsbml.LIBSBML_SEV_ERROR
            and error.getErrorId() not in _SAID_BY_US
        ):
            yield error


def _definitions(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield (id, formula) of what has its value from a formula, at times or at all."""
    for rule in model.getListOfRules():
        if rule.isAssignment():
            yield rule.getVariable(), rule.getMath()
    for item in model.getListOfInitialAssignments():
        yield item.getSymbol(), item.getMath()
    for reaction in model.getListOfReactions():
        if reaction.isSetKineticLaw():
            yield reaction.getIdAttribute(), reaction.getKineticLaw().getMath()


def _unlink(model: Any) -> None:
    """Put numbers in place of what one definition uses of others.

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
        # libSBML shows the functions that L3V2 core itself has as a package.
        if prefix != "l3v2extendedmath" and document.getPackageRequired(prefix):
            yield f"package `{prefix}`"
    yield from refused_events(model)
    for reaction in model.getListOfReactions():
        if not reaction.isSetKineticLaw() or not reaction.getKineticLaw().isSetMath():
            yield f"reaction `{reaction.getId()}` without a rate law"
