"""Which measurement narrows a prediction most: linear algebra on log derivatives.

With s the logarithmic derivatives of a prediction, g those of a measured quantity, C
the covariance of the logarithms of the numbers and σ the standard deviation of the
logarithm of the measurement, the variance s' C s falls by (s' C g)²/(g' C g + σ²)
(Gaussian conditioning; Rasmussen and Williams 2006, appendix A.2). The check takes no
derivative: each draw of an ensemble is the truth once, the others are weighted by their
likelihood, and the variance that is left is averaged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mir21sim._typing import FloatArray
from mir21sim.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A measurement that could be made.

    Attributes
    ----------
    name : in words, ``PTEN at 24 h, anti-miR-21 10 nM (western)``
    slopes : float array, shape (n,), d ln z/d ln p of the measured quantity
    noise : standard deviation of ln z, above 0
    """

    name: str
    slopes: FloatArray
    noise: float


def variance_removed(
    slopes: FloatArray, candidates: Sequence[Candidate], covariance: FloatArray
) -> FloatArray:
    """Return the share of a prediction's variance that each measurement removes.

    Parameters
    ----------
    slopes : float array, shape (n,), d ln y/d ln p of the prediction
    covariance : float array, shape (n, n), of the logarithms of the numbers

    Returns
    -------
    float array, shape (n_candidate,), 0 to 1

    Raises
    ------
    InputError
        For shapes that do not fit, noise that is not above 0, or a prediction without
        width.

    Examples
    --------
    >>> twice = Candidate("2 a", np.array([2.0, 0.0]), noise=2.0)
    >>> variance_removed(np.array([1.0, 1.0]), [twice], np.eye(2))
    array([0.25])
    """
    s, g, sd = _arrays(slopes, candidates, covariance)
    width = float(s @ covariance @ s)
    if not width > 0:
        raise InputError("No number moves the prediction, so that it has no width.")
    spread = g @ covariance
    own = np.einsum("kn,kn->k", spread, g) + sd**2
    return np.asarray((spread @ s) ** 2 / own / width)


def _arrays(
    slopes: FloatArray, candidates: Sequence[Candidate], covariance: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return slopes of the prediction and of the candidates, and noise, checked."""
    n = len(slopes)
    if covariance.shape != (n, n) or any(c.slopes.shape != (n,) for c in candidates):
        raise InputError(
            f"All slopes must have shape ({n},) and the covariance ({n}, {n})."
        )
    bad = [c.name for c in candidates if not c.noise > 0]
    if bad:
        raise InputError(f"The noise of `{bad[0]}` must be above 0.")
    g = np.array([c.slopes for c in candidates]).reshape(-1, n)
    return (
        slopes,
        np.where(np.isfinite(g), g, 0.0),
        np.array([c.noise for c in candidates]),
    )


def posterior(covariance: FloatArray, done: Candidate) -> FloatArray:
    """Return the covariance of the numbers after a measurement."""
    g = np.where(np.isfinite(done.slopes), done.slopes, 0.0)
    spread = covariance @ g
    left: FloatArray = covariance - np.outer(spread, spread) / (
        g @ spread + done.noise**2
    )
    return left


def best_set(
    slopes: FloatArray,
    candidates: Sequence[Candidate],
    covariance: FloatArray,
    most: int = 3,
) -> list[tuple[int, float]]:
    """Return measurements one after the other, each the best beside those before.

    Returns
    -------
    (place of the candidate, share of the variance removed by all up to it)
    """
    whole = float(slopes @ covariance @ slopes)
    left, found = covariance, []
    for _ in range(min(most, len(candidates))):
        removed = variance_removed(slopes, candidates, left)
        best = int(np.argmax(removed))
        left = posterior(left, candidates[best])
        found.append((best, 1.0 - float(slopes @ left @ slopes) / whole))
        if found[-1][1] > 1.0 - 1e-9:
            break
    return found


def removed_by_weighting(
    predictions: FloatArray, measurements: FloatArray, noise: float
) -> float:
    """Return the share of variance that a measurement removes, by weights of draws.

    Each draw is the truth once: its value is measured with the noise, and all draws are
    weighted by the normal likelihood of the outcome.

    Parameters
    ----------
    predictions, measurements : float arrays, shape (n_draw,), logarithms; draws that
        are not finite are left out

    Raises
    ------
    InputError
        For fewer than ten draws that are finite in both.
    """
    good = np.isfinite(predictions) & np.isfinite(measurements)
    if good.sum() < 10:
        raise InputError(
            f"Weights need 10 draws or more with finite values, got {int(good.sum())}."
        )
    y, z = predictions[good], measurements[good]
    rng = np.random.default_rng(0)
    data = z + noise * rng.standard_normal(len(z))
    logs = -0.5 * ((z[np.newaxis] - data[:, np.newaxis]) / noise) ** 2
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    mean = weights @ y
    left = weights @ y**2 - mean**2
    return float(1.0 - np.maximum(left, 0.0).mean() / y.var())
