"""In which units numbers enter and leave a model: ours, or those of a guest's file.

Models in molecules and seconds or hours take hours, molecules and nM. Every other file
is a guest: its numbers keep the units of the file, and no unit is given to a file that
declares none.
"""

import math
import warnings
from dataclasses import dataclass

from mir21sim import units
from mir21sim.errors import InputError, ModelWarning
from mir21sim.model.network import Network, Species
from mir21sim.units import SECONDS_PER_HOUR, UnitParts

UNDECLARED = "model units"
"""Unit of a quantity for which the file declares none."""


@dataclass(frozen=True, slots=True)
class Border:
    """The units in which times, amounts and concentrations are given and shown.

    Attributes
    ----------
    is_guest : whether the file keeps its own units
    time_unit : "h" for our models, else that of the file, or ``UNDECLARED``
    per_time : float, model time units in one of ``time_unit``
    seconds : float or None, s in one of ``time_unit``; None where none is declared
    """

    is_guest: bool
    time_unit: str
    per_time: float
    seconds: float | None

    @classmethod
    def of(cls, network: Network) -> "Border":
        """Return the border of a network, from the units that it declares."""
        declared = network.units
        seconds = units.seconds_per(declared.time)
        molecules = units.molecules_per(declared.substance)
        if seconds in (1.0, SECONDS_PER_HOUR) and molecules == 1.0:
            return cls(False, "h", SECONDS_PER_HOUR / seconds, SECONDS_PER_HOUR)
        return cls(True, unit_name(declared.time), 1.0, seconds)

    def time(self, value: float | str, what: str = "time") -> float:
        """Return a time in ``time_unit``; a bare number is in it.

        In a file without a unit of time, a time with a unit is taken by its number if
        it is in seconds, with a warning; other units are refused.
        """
        if type(value) is float and math.isfinite(value):
            return value
        number, unit = units.parse_quantity(str(value), what)
        if not unit or number == 0.0:
            return number
        seconds = units.seconds(value, what)
        if self.seconds is not None:
            return seconds / self.seconds
        if units.time_unit(unit, what) != "s":
            raise InputError(
                f"The model declares no unit of time, so {what} `{value}` cannot be "
                "converted; write a bare number, in the model's own unit."
            )
        warnings.warn(
            f"The model declares no unit of time: {what} `{value}` is taken as "
            f"{number:g} of its own units; write a bare number.",
            ModelWarning,
            stacklevel=2,
        )
        return number

    def amount_unit(self, species: Species) -> str:
        """Return the unit of the amount of a species."""
        return unit_name(species.unit) if self.is_guest else "molecule"

    def means_concentration(self, species: Species) -> bool:
        """Say whether the id of a species stands for its concentration outside."""
        return self.is_guest and not species.only_amount


def unit_name(unit: UnitParts | None) -> str:
    """Return the text of a declared unit, ``UNDECLARED`` for none."""
    return UNDECLARED if unit is None else units.parts_text(unit)


def concentration_unit(species: Species, volume: UnitParts | None) -> str:
    """Return the unit of the concentration that a file declares for a species."""
    if species.unit is None or volume is None:
        return UNDECLARED
    below = tuple((kind, -power, *rest) for kind, power, *rest in volume)
    return units.parts_text((*species.unit, *below))  # type: ignore[arg-type]
