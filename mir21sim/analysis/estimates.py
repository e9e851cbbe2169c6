"""Records of a dose–response: a dose or a bound on it, and all numbers of one curve."""

import math
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from mir21sim.units import rounded

Relation: TypeAlias = Literal["equal", "between", "above", "below", "none"]
Shape: TypeAlias = Literal["flat", "sigmoid", "bell", "irregular", "too few doses"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A dose, or a bound on it.

    Attributes
    ----------
    relation : "equal" (``value``), "between" (two tested doses, ``low`` and ``high``),
        "above" (``low``), "below" (``high``) or "none"
    value : NaN where the relation is not "equal"
    low, high : tested doses for a bound; the interval over members where there are
        any; NaN where unknown
    guess : the value, or of "between" the one by linear interpolation, whose error is
        unknown
    """

    relation: Relation = "none"
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    guess: float = math.nan

    def text(self, unit: str = "") -> str:
        """Return it as words, e.g. ``3.2 nM (2.1 to 4)`` or ``above 100 nM``."""
        unit = f" {unit}" if unit and unit != "1" else ""
        if self.relation == "equal":
            return f"{rounded(self.value)}{unit}{self._interval()}"
        if self.relation == "between":
            bracket = f"between {rounded(self.low)} and {rounded(self.high)}{unit}"
            return f"about {rounded(self.guess, 2)}{unit} ({bracket})"
        if self.relation == "above":
            return f"above {rounded(self.low)}{unit}"
        return (
            f"below {rounded(self.high)}{unit}" if self.relation == "below" else "none"
        )

    def _interval(self) -> str:
        if math.isfinite(self.low) and math.isfinite(self.high):
            return f" ({rounded(self.low)} to {rounded(self.high)})"
        if math.isfinite(self.low):
            return f" (above {rounded(self.low)})"
        return f" (below {rounded(self.high)})" if math.isfinite(self.high) else ""


@dataclass(frozen=True, slots=True)
class DoseResponse:
    """The numbers of one dose–response.

    Attributes
    ----------
    shape : "sigmoid" (one direction), "bell" (a top or a bottom between two flanks),
        "flat", "irregular" or "too few doses"
    e0 : response without the drug: at dose 0, or extrapolated; NaN where unknown
    emax : response at the plateau of high doses; of a bell, at its top; NaN where
        unknown
    ec50 : dose of half of the effect, ``(e0 + emax)/2``; of a bell, on the flank of
        low doses
    falling_ec50 : dose at which a bell is back at half of its top
    top : dose of the top of a bell
    absolute : dose at which the response crosses the level that was asked for
    slope : Hill slope at `ec50`: the derivative of the logit of the effect by the
        natural logarithm of dose
    mean_response : response averaged over the logarithm of dose, from the lowest dose
        above 0 to the highest: the area under the curve over its width
    notes : sentences on numbers that are bounds or missing
    """

    shape: Shape
    e0: float = math.nan
    emax: float = math.nan
    ec50: Estimate = field(default_factory=Estimate)
    falling_ec50: Estimate = field(default_factory=Estimate)
    top: Estimate = field(default_factory=Estimate)
    absolute: Estimate = field(default_factory=Estimate)
    slope: float = math.nan
    mean_response: float = math.nan
    notes: tuple[str, ...] = ()

    def summary(self, unit: str = "") -> str:
        """Return the finding in one line."""
        if self.shape == "bell":
            height = f"{rounded(self.emax)} " if math.isfinite(self.emax) else ""
            found = (
                f"bell-shaped, top {height}at {self.top.text(unit)}, half of "
                f"it at {self.ec50.text(unit)} and {self.falling_ec50.text(unit)}"
            )
        elif self.ec50.relation == "none":
            found = "no EC50"
        else:
            found = f"EC50 {self.ec50.text(unit)}"
        return f"{found}: {'; '.join(self.notes)}" if self.notes else found
