"""Antimony text ↔ SBML text, through the optional `antimony` package."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mir21sim.errors import InputError, ModelError
from mir21sim.model.formats import guard as texts

SUFFIXES = (".ant", ".antimony", ".sb")


def _antimony() -> Any:
    """Return the antimony package or say how to install it."""
    try:
        import antimony  # optional
    except ImportError as error:
        raise InputError(
            "Antimony files need the optional `antimony` package: "
            'pip install "mir21sim[antimony]". SBML files (.xml) need nothing.'
        ) from error
    return antimony


def antimony_to_sbml(text: str, name: str) -> str:
    """Return the SBML (L3V2) of the last module in an Antimony text.

    Raises
    ------
    ModelError
        With Antimony's own word and line, when the text cannot be parsed; for a text
        that imports another file.
    """
    texts.stop_on_hostile_antimony(text, name)
    antimony = _antimony()
    return _converted(
        antimony, antimony.loadAntimonyString, antimony.getSBMLString, text, name
    )


def sbml_to_antimony(text: str, name: str) -> str:
    """Return the Antimony text of an SBML text.

    Raises
    ------
    ModelError
        With the converter's own words, when it cannot be converted.
    """
    texts.stop_on_hostile_xml(text, name)
    antimony = _antimony()
    return _converted(
        antimony, antimony.loadSBMLString, antimony.getAntimonyString, text, name
    )


def _converted(
    antimony: Any,
    load: Callable[[str], int],
    get: Callable[[str], str],
    text: str,
    name: str,
) -> str:
    """Return the output of the converter; its state is global, so cleared."""
    antimony.clearPreviousLoads()
    antimony.freeAll()
    made = get(antimony.getMainModuleName()) if load(text) >= 0 else ""
    if not made:
        raise ModelError(f"{name}: {' '.join(antimony.getLastError().split())}")
    return str(made)


def is_antimony(path: Path) -> bool:
    """Say whether a file name is one of an Antimony file."""
    return path.suffix.lower() in SUFFIXES
