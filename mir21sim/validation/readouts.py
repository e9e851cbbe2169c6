"""Read-outs: which quantities of a run are read, and by which feature."""

import math
import re
from dataclasses import dataclass

import numpy as np
import xarray as xr

from mir21sim import units
from mir21sim._typing import FloatArray
from mir21sim.errors import InputError, hint
from mir21sim.validation.features import FEATURES, Feature, RunCurves

_READOUT = re.compile(r"\s*(\w+)\s*\((.*)\)\s*")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A ratio of sums of model quantities, ``(A + B)/C``."""

    above: tuple[str, ...]
    below: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Quantity":
        """Read ``A``, ``A + B``, ``A/B`` or ``(A + B)/(C + D)``."""
        sides = [
            tuple(name.strip() for name in side.strip(" ()").split("+"))
            for side in text.split("/")
        ]
        names = [name for side in sides for name in side]
        if len(sides) > 2 or not all(re.fullmatch(r"[A-Za-z_]\w*", n) for n in names):
            raise InputError(f"A quantity reads `A`, `A + B` or `A/B`, got `{text}`.")
        return cls(sides[0], sides[1] if len(sides) == 2 else ())

    @property
    def names(self) -> tuple[str, ...]:
        """Every name in it."""
        return (*self.above, *self.below)

    def of(self, result: xr.Dataset) -> FloatArray:
        """Return its values in a result, float array (…, n_time)."""
        top: FloatArray = np.sum([result[name].values for name in self.above], axis=0)
        if not self.below:
            return top
        bottom = np.sum([result[name].values for name in self.below], axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio: FloatArray = top / bottom
        return ratio


@dataclass(frozen=True, slots=True)
class Readout:
    """One number from a run: ``peak(CASP3_active)``, ``at(PTEN, 48h)``, or a constant.

    ``end``, ``at``, ``rest`` (the start), ``peak``, ``most`` (over the whole run) and
    ``area`` read a quantity after the last dose; ``time_to`` is when it crosses one
    half, ``rise_time`` its rise from 10 to 90 %, both in h; ``lag(A, B)`` is the time
    from half of A to half of B, ``level(A, B)`` the share of its maximum that A has at
    half of B. ``threshold`` is the amount written ``?`` at which it reaches one half.
    ``switch_time`` is the time from 10 to 90 % of an absolute fraction, infinite where
    90 % is never reached; ``after(A, B, 1h)`` is A that long after B crosses one half;
    ``hold`` is how long a quantity stays above half of its peak, in h.
    Of a population, ``dead`` and ``alive`` are shares of the cells that are alive at
    the last dose, ``mean`` is the mean of all cells at the end, ``mean_area`` that
    of the areas after the last dose; ``mean_time`` and ``cv_time`` describe when it
    crosses one half among those in which it does.
    ``mean_switch`` and ``mean_after`` are the means of ``switch_time`` and ``after``
    over those cells; ``mean_without(A, B)`` is the mean at the end of A over the cells
    in which B never crosses one half.
    """

    feature: str
    quantities: tuple[Quantity, ...] = ()
    number: float = math.nan

    @classmethod
    def parse(cls, text: str) -> "Readout":
        """Read a read-out; an unknown feature is named with the near one."""
        match = _READOUT.fullmatch(text)
        if match is None:
            try:
                return cls("constant", (), float(text))
            except ValueError as error:
                raise InputError(
                    f"A read-out reads FEATURE(QUANTITY), got `{text}`."
                ) from error
        feature, inside = match.groups()
        if feature not in FEATURES:
            raise InputError(
                f"Unknown read-out `{feature}`. {hint(feature, tuple(FEATURES))}"
            )
        known = FEATURES[feature]
        parts = [part.strip() for part in inside.split(",")]
        if len(parts) != known.arity:
            raise InputError(
                f"`{feature}` takes {known.arity} argument(s), got `{inside}`."
            )
        number = math.nan
        if known.timed:
            number = units.seconds(parts.pop(), f"the time of `{feature}`") / 3600.0
        return cls(feature, tuple(Quantity.parse(part) for part in parts), number)

    @property
    def definition(self) -> Feature:
        """The feature that is read."""
        return FEATURES[self.feature]

    @property
    def many(self) -> bool:
        """Whether it reads a population."""
        return self.definition.many

    @property
    def names(self) -> tuple[str, ...]:
        """Every model quantity it needs."""
        return tuple(name for q in self.quantities for name in q.names)

    def of(self, result: xr.Dataset, since: float) -> float:
        """Return the number from a run; a time that never comes is infinite.

        Parameters
        ----------
        since : h, time of the last dose; from the start where it is not in the run

        Raises
        ------
        InputError
            For a feature that is searched over many runs.
        """
        read = self.definition.read
        if read is None:
            raise InputError(f"`{self.feature}` is searched, not read from one run.")
        times = result["time"].values
        curves = tuple(quantity.of(result) for quantity in self.quantities)
        start = since if since < times[-1] else float(times[0])
        return read(RunCurves(times, curves, start, self.number))
