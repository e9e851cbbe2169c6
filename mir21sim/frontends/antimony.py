"""Antimony text ↔ SBML text, through the optional `antimony` package. Layer 3."""

from pathlib import Path
from typing import Any

from mir21sim.errors import InputError, ModelError


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
        With Antimony's own word and line, when the text cannot be parsed.
    """
    antimony = _antimony()
    antimony.clearPreviousLoads()
    antimony.freeAll()
    if antimony.loadAntimonyString(text) < 0:
        raise ModelError(f"{name}: {' '.join(antimony.getLastError().split())}")
    sbml = antimony.getSBMLString(antimony.getMainModuleName())
    if not sbml:
        raise ModelError(f"{name}: {' '.join(antimony.getLastError().split())}")
    return str(sbml)


def sbml_to_antimony(text: str, name: str) -> str:
    """Return the Antimony text of an SBML text.

    Raises
    ------
    ModelError
        With the converter's own words, when it cannot be converted.
    """
    antimony = _antimony()
    antimony.clearPreviousLoads()
    antimony.freeAll()
    if antimony.loadSBMLString(text) < 0:
        raise ModelError(f"{name}: {' '.join(antimony.getLastError().split())}")
    return str(antimony.getAntimonyString(antimony.getMainModuleName()))


def is_antimony(path: Path) -> bool:
    """Say whether a file name is one of an Antimony file."""
    return path.suffix.lower() in {".ant", ".antimony", ".sb"}
