"""Shipped models and their cell lines, by name."""

from mir21sim.model import files
from mir21sim.model.read import understand


def models() -> dict[str, str]:
    """Return the titles of the shipped models by name.

    Examples
    --------
    >>> models()["earm_1_3"]
    'EARM 1.3: TRAIL to PARP in HeLa with cycloheximide (Gaudet 2012)'
    """
    return {
        name: understand(files.find(name, files.BASE))[1].title
        for name in files.shipped()
    }


def contexts(model: str = files.DEFAULT_MODEL) -> tuple[str, ...]:
    """Return the cell lines of a shipped model.

    Examples
    --------
    >>> "HeLa" in contexts("mir21_core")
    True
    """
    files.find(model, files.BASE)  # stops at an unknown name
    return tuple(files.contexts(model))
