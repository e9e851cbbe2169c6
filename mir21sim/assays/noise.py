"""Every number of measurement noise, with unit, status and source. Layer 15.

Status: ``seen`` was read in the source named, ``assumed`` is a plausible size that no
source was read for. CV is standard deviation over mean, of a lognormal factor.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import pandas as pd

from mir21sim.errors import InputError

ASSUMED = "assumed"


def _number(
    value: float, unit: str, meaning: str, source: str = "", status: str = ASSUMED
) -> Any:
    """Return a field of a noise class: a number with what must be known of it."""
    about = {"unit": unit, "meaning": meaning, "status": status, "source": source}
    return field(default=value, metadata=about)


@dataclass(frozen=True, slots=True)
class Noise:
    """Numbers of one assay's noise; each is finite and 0 or more."""

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(
                    f"Noise `{entry.name}` must be finite and 0 or more, got {value}."
                )


@dataclass(frozen=True, slots=True)
class LuciferaseNoise(Noise):
    """Noise of a dual-luciferase plate."""

    transfection_cv: float = _number(
        0.30, "1", "CV between wells of the plasmids taken up, both reporters alike"
    )
    pipetting_cv: float = _number(
        0.05, "1", "CV between wells of each substrate added, firefly and Renilla apart"
    )
    reader_cv: float = _number(0.02, "1", "CV of one luminescence reading")
    background_rlu: float = _number(
        50.0, "RLU", "mean light of a well without luciferase, subtracted by blanks"
    )
    background_sd_rlu: float = _number(10.0, "RLU", "SD of that light between wells")
    gain_rlu: float = _number(
        100.0, "RLU per molecule and cell", "light of one luciferase a cell"
    )


ALL: dict[str, type[Noise]] = {"luciferase": LuciferaseNoise}


def noise_table(noises: Sequence[Noise] | None = None) -> pd.DataFrame:
    """Return every noise number as a row: assay, name, value, unit, status, source.

    Parameters
    ----------
    noises : those in use; by default the default ones of all assays
    """
    chosen = list(noises) if noises is not None else [kind() for kind in ALL.values()]
    names = {kind: name for name, kind in ALL.items()}
    rows = [
        {
            "assay": names[type(noise)],
            "name": entry.name,
            "value": getattr(noise, entry.name),
            **entry.metadata,
        }
        for noise in chosen
        for entry in fields(noise)
    ]
    columns = ["assay", "name", "value", "unit", "status", "source", "meaning"]
    return pd.DataFrame(rows, columns=columns)
