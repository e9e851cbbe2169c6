"""Every number of measurement noise, with unit, status and source.

Status: ``seen`` was read in the source named, ``recalled`` is common knowledge that was
not looked up, ``assumed`` is a plausible size for which no source was read. CV is
standard deviation over mean, of a lognormal factor.
"""

import math
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from mir21sim.errors import InputError

ASSUMED = "assumed"


def _number(
    value: float, unit: str, meaning: str, source: str = "", status: str = ASSUMED
) -> Any:
    """Return the field of one noise number, with unit, meaning, status and source."""
    about = {"unit": unit, "meaning": meaning, "status": status, "source": source}
    return field(default=value, metadata=about)


@dataclass(frozen=True, slots=True)
class Noise:
    """Numbers of one assay's noise; each is finite and 0 or more.

    Attributes
    ----------
    assay : the instrument that they belong to, in tables
    """

    assay: ClassVar[str]

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

    assay: ClassVar[str] = "luciferase"

    transfection_cv: float = _number(
        0.30,
        "1",
        "CV between wells, each a dish of its own, of the plasmids taken up, both "
        "reporters alike",
    )
    pipetting_cv: float = _number(
        0.05, "1", "CV between wells of each substrate added, firefly and Renilla apart"
    )
    reader_cv: float = _number(0.02, "1", "CV of one luminescence reading")
    background_rlu: float = _number(
        50.0, "RLU", "mean light of a well without luciferase, subtracted by blanks"
    )
    background_sd_rlu: float = _number(10.0, "RLU", "SD of that light between wells")
    detection_sd: float = _number(
        3.0,
        "SD of background",
        "a signal weaker than this is none",
        "usual limit of detection, 3 SD of the blank",
        "recalled",
    )
    gain_rlu: float = _number(
        100.0, "RLU per molecule and cell", "light of one luciferase a cell"
    )


@dataclass(frozen=True, slots=True)
class WesternNoise(Noise):
    """Noise of a western blot."""

    assay: ClassVar[str] = "western"

    loading_cv: float = _number(
        0.10,
        "1",
        "CV between lanes of the lysate loaded; shared by all bands of a lane",
    )
    transfer_cv: float = _number(
        0.08,
        "1",
        "CV between bands: the level in the dish (each blot has lysates of its own "
        "dishes), what reaches the membrane, what binds antibody",
    )
    affinity_cv: float = _number(
        0.30, "1", "CV between antibodies of light per protein; the same on every blot"
    )
    exposure_cv: float = _number(
        0.15, "1", "CV between blots of the exposure, all lanes of an antibody alike"
    )
    background_sd: float = _number(
        0.01, "of full scale", "SD of a band's volume after its background is taken off"
    )
    exposure: float = _number(
        0.5, "of full scale", "signal that the strongest lane is exposed to (ECL)"
    )
    least_amount: float = _number(
        100.0,
        "molecules per cell",
        "a blot whose strongest lane has less is exposed as if it had this much, the "
        "longest exposure; 3 SD of background are then 6 molecules per cell, 0.1 pg of "
        "50 kDa from 200,000 cells",
    )
    film_half: float = _number(
        0.35, "of the strongest lane", "amount that blackens film to one half"
    )
    detection_sd: float = _number(
        3.0,
        "SD of background",
        "a band weaker than this is none",
        "usual limit of detection, 3 SD of the blank",
        "recalled",
    )


@dataclass(frozen=True, slots=True)
class FlowNoise(Noise):
    """Noise of Annexin V-FITC/PI flow cytometry; fluorescence in arbitrary units."""

    assay: ClassVar[str] = "flow"

    annexin_full: float = _number(
        20_000.0, "a.u.", "FITC signal of a cell that exposes all its PS"
    )
    pi_full: float = _number(30_000.0, "a.u.", "PI signal of a ruptured cell")
    staining_cv: float = _number(0.30, "1", "CV between cells of either stain")
    auto_fitc: float = _number(200.0, "a.u.", "autofluorescence, FITC channel")
    auto_pi: float = _number(120.0, "a.u.", "autofluorescence, PI channel")
    auto_cv: float = _number(0.40, "1", "CV between cells of autofluorescence")
    fitc_into_pi: float = _number(
        0.13,
        "1",
        "share of FITC light that the PI channel sees",
        "worked example of FITC into PE, Unity Health Toronto core facility, "
        "oldresearch.unityhealth.to/?p=7837",
        "seen",
    )
    pi_into_fitc: float = _number(
        0.02, "1", "share of PI light that the FITC channel sees"
    )
    photoelectron: float = _number(
        2.0, "a.u.", "signal of one photoelectron: its square root is shot noise"
    )
    electronic_sd: float = _number(30.0, "a.u.", "SD of electronic noise")
    bead_cv: float = _number(0.10, "1", "CV of compensation beads")
    debris: float = _number(0.08, "1", "share of events that are debris")
    scatter: float = _number(100_000.0, "a.u.", "forward scatter of a living cell")
    scatter_cv: float = _number(0.15, "1", "CV of forward and side scatter")
    shrinkage: float = _number(
        0.65, "1", "forward scatter of a dying cell, of a living one's"
    )
    debris_scatter: float = _number(0.10, "1", "forward scatter of debris, likewise")
    debris_cv: float = _number(0.40, "1", "CV of the scatter of debris")
    dish_sd: float = _number(
        0.10, "1", "SD between dishes of the log odds to collect a dead cell"
    )


@dataclass(frozen=True, slots=True)
class PlateNoise(Noise):
    """Noise of a luminescent plate: caspase-3/7 activity, ATP, or MTT."""

    assay: ClassVar[str] = "plate"

    seeding_cv: float = _number(
        0.05, "1", "CV between wells, each a dish of its own, of the cells in them"
    )
    pipetting_cv: float = _number(0.04, "1", "CV between wells of the reagent added")
    reader_cv: float = _number(0.02, "1", "CV of one reading")
    background: float = _number(100.0, "RLU", "mean signal of a well without cells")
    background_sd: float = _number(15.0, "RLU", "SD of that signal between wells")
    detection_sd: float = _number(
        3.0,
        "SD of background",
        "a signal weaker than this is none",
        "usual limit of detection, 3 SD of the blank",
        "recalled",
    )
    caspase_gain: float = _number(
        0.001, "RLU per molecule", "signal of one active caspase-3 or -7 in the well"
    )
    viability_gain: float = _number(2.0, "RLU per cell", "signal of one living cell")
