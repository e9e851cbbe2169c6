"""The list of all assays: a new one is a line here."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, get_type_hints

import pandas as pd

from mir21sim.assays.assay import Assay
from mir21sim.assays.flow import FlowCytometry
from mir21sim.assays.luciferase import LuciferaseAssay
from mir21sim.assays.noise import Noise
from mir21sim.assays.plate import PlateAssay
from mir21sim.assays.western import WesternBlot

CLASSES: tuple[type[Assay[Any]], ...] = (
    LuciferaseAssay,
    WesternBlot,
    FlowCytometry,
    PlateAssay,
)

#: Kind of assay, as study files and claims name it → the class of its settings.
KINDS: dict[str, type[Assay[Any]]] = {
    kind: assay for assay in CLASSES for kind in assay.kinds
}


def noise_classes() -> tuple[type[Noise], ...]:
    """Return the class of noise numbers of each assay, once each."""
    return tuple(dict.fromkeys(get_type_hints(assay)["noise"] for assay in CLASSES))


def noise_table(noises: Sequence[Noise] | None = None) -> pd.DataFrame:
    """Return every noise number as a row: assay, name, value, unit, status, source.

    Parameters
    ----------
    noises : those in use; by default the default ones of all assays
    """
    chosen = noises if noises is not None else [made() for made in noise_classes()]
    rows = [
        {
            "assay": noise.assay,
            "name": entry.name,
            "value": getattr(noise, entry.name),
            **entry.metadata,
        }
        for noise in chosen
        for entry in fields(noise)
    ]
    columns = ["assay", "name", "value", "unit", "status", "source", "meaning"]
    return pd.DataFrame(rows, columns=columns)
