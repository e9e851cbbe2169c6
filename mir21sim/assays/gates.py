"""Gates and compensation of flow cytometry: from events to quadrants."""

import math
from dataclasses import dataclass

import numpy as np

from mir21sim._typing import BoolArray, FloatArray
from mir21sim.errors import InputError

CHANNELS = ("FSC-A", "SSC-A", "FITC-A", "PI-A")
LABELS = ("", "", "Annexin V-FITC", "propidium iodide")
QUADRANTS = ("viable", "early apoptotic", "late apoptotic", "necrotic")
"""Annexin V−/PI−, +/−, +/+ and −/+."""


@dataclass(frozen=True, slots=True)
class Gates:
    """Where events are cells, and where cells are positive (compensated, a.u.).

    Attributes
    ----------
    scatter : least FSC of a cell; events below are debris
    annexin, pi : least FITC and PI signal of a positive cell
    """

    scatter: float
    annexin: float
    pi: float

    def __post_init__(self) -> None:
        for label, value in (
            ("scatter", self.scatter),
            ("annexin", self.annexin),
            ("pi", self.pi),
        ):
            if not math.isfinite(value):
                raise InputError(f"The gate `{label}` must be finite, got {value}.")


def compensated(fluorescence: FloatArray, spillover: FloatArray) -> FloatArray:
    """Return fluorescence with the overlap of the dyes taken out, (n_event, 2).

    Parameters
    ----------
    spillover : float array, shape (2, 2): row the dye, column the detector

    Examples
    --------
    >>> compensated(np.array([[100.0, 25.0]]), np.array([[1.0, 0.2], [0.0, 1.0]]))
    array([[100.,   5.]])
    """
    return np.asarray(np.linalg.solve(spillover.T, fluorescence.T).T, dtype=np.float64)


def quadrants(
    events: FloatArray, spillover: FloatArray, gates: Gates, *, what: str = "the tube"
) -> dict[str, float]:
    """Return the percentage of cells in each quadrant.

    Parameters
    ----------
    events : float array, shape (n_event, 4), in the order of ``CHANNELS``

    Raises
    ------
    InputError
        When the gates leave no cells.
    """
    cells = events[events[:, 0] >= gates.scatter]
    if not len(cells):
        raise InputError(
            f"The gates leave no cells of `{what}`: no FSC-A reaches {gates.scatter:g} "
            f"(the largest is {events[:, 0].max(initial=0.0):g}); lower `scatter`."
        )
    light = compensated(cells[:, 2:4], spillover)
    annexin, pi = light[:, 0] >= gates.annexin, light[:, 1] >= gates.pi
    return shares_of(annexin, pi)


def shares_of(annexin: BoolArray, pi: BoolArray) -> dict[str, float]:
    """Return the percentage of events in each quadrant, from their positivity."""
    parts = (~annexin & ~pi, annexin & ~pi, annexin & pi, ~annexin & pi)
    return {q: 100.0 * float(p.mean()) for q, p in zip(QUADRANTS, parts, strict=True)}
