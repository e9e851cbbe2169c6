"""The cytometer: events of a tube, beads and stained controls, with noise."""

import math
from dataclasses import dataclass

import numpy as np

from mir21sim._typing import BoolArray, FloatArray
from mir21sim.assays.gates import LABELS, QUADRANTS, Gates, compensated, shares_of
from mir21sim.assays.noise import FlowNoise
from mir21sim.errors import InputError
from mir21sim.simulation.randomness import lognormal_factors

NAME = "flow"
"""Of the assay, and of its random numbers."""

CONTROL_EVENTS = 5000
"""Events of each bead and staining control."""


@dataclass(frozen=True, slots=True, eq=False)
class Tube:
    """The events of one tube as recorded, not compensated.

    Attributes
    ----------
    events : float array, shape (n_event, 4), in the order of ``CHANNELS``
    true_annexin, true_pi : bool arrays, shape (n_event,): the true state of each event
    is_cell : bool array, shape (n_event,), False for debris
    """

    sample: str
    replicate: int
    events: FloatArray
    true_annexin: BoolArray
    true_pi: BoolArray
    is_cell: BoolArray


@dataclass(frozen=True, slots=True)
class Cytometer:
    """An instrument with its stains and its noise.

    Attributes
    ----------
    events : events recorded in each tube, debris included
    positive_ps : share of PS exposed from which a cell counts as Annexin V positive
    """

    noise: FlowNoise
    events: int
    positive_ps: float

    def tube(
        self,
        sample: str,
        replicate: int,
        fate: tuple[FloatArray, FloatArray],
        rng: np.random.Generator,
        *,
        noise: bool,
    ) -> Tube:
        """Return the events of one tube, drawn from the cells of a dish."""
        ps, ruptured = fate
        about = self.noise
        if not noise:
            # Each cell once; which of them are ruptured is spread evenly over the draw.
            even = (rng.permutation(len(ps)) + 0.5) / len(ps)
            torn = even < ruptured
            stain = np.stack([ps * about.annexin_full, torn * about.pi_full], axis=1)
            scatter = np.full((len(ps), 2), about.scatter)
            events = np.hstack([scatter, stain])
            cell = np.ones(len(ps), dtype=bool)
            return Tube(sample, replicate, events, ps >= self.positive_ps, torn, cell)
        n = self.events
        is_cell = rng.random(n) >= about.debris
        odds = np.where(
            ps >= self.positive_ps, np.exp(about.dish_sd * rng.standard_normal()), 1.0
        )
        drawn = rng.choice(len(ps), size=n, p=odds / odds.sum())
        annexin, torn = ps[drawn], rng.random(n) < ruptured[drawn]
        annexin, torn = np.where(is_cell, annexin, 0.0), torn & is_cell
        stain = np.stack(
            [
                annexin * about.annexin_full * _factors(rng, n, about.staining_cv),
                torn * about.pi_full * _factors(rng, n, about.staining_cv),
            ],
            axis=1,
        )
        dying = annexin >= self.positive_ps
        events = np.hstack(
            [
                self._scatter(rng, dying, is_cell),
                self._detected(rng, stain, np.where(is_cell, 1.0, 0.1)),
            ]
        )
        return Tube(
            sample, replicate, events.astype(np.float32).astype(float), dying, torn,
            is_cell,
        )  # fmt: skip

    def beads(self, rng: np.random.Generator) -> FloatArray:
        """Return the spillover that single-stained beads show, row the dye.

        Each dye's beads against unstained ones: the rise of the median in the other
        detector over that in its own.
        """
        about = self.noise
        blank = np.median(self._detected(rng, np.zeros((CONTROL_EVENTS, 2))), axis=0)
        found = np.eye(2)
        for dye, full in enumerate((about.annexin_full, about.pi_full)):
            stain = np.zeros((CONTROL_EVENTS, 2))
            stain[:, dye] = full * _factors(rng, CONTROL_EVENTS, about.bead_cv)
            rise = np.median(self._detected(rng, stain), axis=0) - blank
            if not rise[dye] > 0:
                raise InputError(
                    f"The {LABELS[2 + dye]} beads are not brighter than unstained "
                    "ones: nothing can be compensated; raise the stain's full signal."
                )
            found[dye] = rise / rise[dye]
        return found

    def gates(
        self, rng: np.random.Generator, spill: FloatArray, *, noise: bool
    ) -> Gates:
        """Return gates from controls stained with the other dye and with both.

        Each lies half way, on a log axis, between the 99th percentile of cells without
        the dye (which bear the other) and the 1st of cells that are full of it.
        """
        about = self.noise
        debris = math.sqrt(about.debris_scatter * about.shrinkage) * about.scatter
        if not noise:
            share = self.positive_ps
            return Gates(debris, share * about.annexin_full, 0.5 * about.pi_full)
        full = np.array([about.annexin_full, about.pi_full])
        n = CONTROL_EVENTS
        limits = []
        for dye in (0, 1):
            positive = full * np.stack(
                [_factors(rng, n, about.staining_cv) for _ in (0, 1)], axis=1
            )
            without = positive.copy()
            without[:, dye] = 0.0
            low, high = (
                compensated(self._detected(rng, stain), spill)[:, dye]
                for stain in (without, positive)
            )
            below = max(float(np.percentile(low, 99)), about.electronic_sd)
            above = max(float(np.percentile(high, 1)), below)
            limits.append(math.sqrt(below * above))
        return Gates(debris, *limits)

    def _scatter(
        self, rng: np.random.Generator, dying: BoolArray, is_cell: BoolArray
    ) -> FloatArray:
        """Return forward and side scatter: dying cells shrink and grow granular."""
        about = self.noise
        n = len(dying)
        spread = np.where(is_cell, about.scatter_cv, about.debris_cv)
        size = np.where(dying, about.shrinkage, 1.0)
        size = np.where(is_cell, size, about.debris_scatter)
        grain = np.where(dying, 0.6, 0.4) * np.where(is_cell, 1.0, about.debris_scatter)
        return np.stack(
            [
                about.scatter * size * _factors(rng, n, spread),
                about.scatter * grain * _factors(rng, n, 1.5 * spread),
            ],
            axis=1,
        )

    def _detected(
        self,
        rng: np.random.Generator,
        stain: FloatArray,
        auto: FloatArray | float = 1.0,
    ) -> FloatArray:
        """Return the signals of the two detectors for some stains, (n_event, 2)."""
        about = self.noise
        n = len(stain)
        overlap = np.array([[1.0, about.fitc_into_pi], [about.pi_into_fitc, 1.0]])
        own = np.stack(
            [
                about.auto_fitc * auto * _factors(rng, n, about.auto_cv),
                about.auto_pi * auto * _factors(rng, n, about.auto_cv),
            ],
            axis=1,
        )
        light = stain @ overlap + own
        shot = np.sqrt(about.photoelectron * light) * rng.standard_normal((n, 2))
        seen: FloatArray = (
            light + shot + about.electronic_sd * rng.standard_normal((n, 2))
        )
        return seen


def _factors(rng: np.random.Generator, n: int, cv: float | FloatArray) -> FloatArray:
    """Return lognormal factors of mean 1, float array (n,)."""
    return lognormal_factors(cv, rng.standard_normal(n))


def true_shares(tube: Tube) -> dict[str, float]:
    """Return the percentages among the events that are cells, before the instrument."""
    if not tube.is_cell.any():
        return dict.fromkeys(QUADRANTS, math.nan)
    return shares_of(tube.true_annexin[tube.is_cell], tube.true_pi[tube.is_cell])
