"""Bands of a dish by the parameter sets of an ensemble, without the drawing of cells.

The cells of a dish are spread over S parameter sets (``simulation.spread``). The mean
m_s over the few cells of a set differs from set to set for two reasons: other numbers,
and other cells. With v the variance of the m_s, and w the mean over the sets of the
squared standard error of m_s (the variance between its cells over their number), the
variance by the numbers alone is τ² = max(0, v − w): the random-effects model of
DerSimonian and Laird (1986, Control Clin Trials 7:177,
doi:10.1016/0197-2456(86)90046-2) with the estimate by moments for equal weights
(DerSimonian and Kacker 2007, Contemp Clin Trials 28:105,
doi:10.1016/j.cct.2006.04.004). The sets are drawn towards their mean M until their
variance is τ². M itself has the squared error w/S by the drawing of cells, and it is
added to each of the S sets with a normal score z_s:
M + (m_s − M)·√(τ²/v) + z_s·√(w/S).
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import scipy.special

from mir21sim._typing import BoolArray, FloatArray, IntArray
from mir21sim.errors import InputError
from mir21sim.units import rounded


def set_means(
    values: FloatArray, keep: BoolArray, of_cell: IntArray, shape: tuple[int, ...]
) -> tuple[FloatArray, FloatArray]:
    """Return the mean over parameter sets, and the mean of each, cells' noise out.

    Parameters
    ----------
    values : shape (n_dose, n_cell, n_time)
    keep : shape (n_dose, n_cell): cells that count
    of_cell : shape (n_cell,): parameter set of each cell
    shape : of the swept dimensions, n_dose in all

    Returns
    -------
    mean of shape (…, n_time) and means of shape (n_set, …, n_time); NaN at a dose at
    which fewer than two sets have two cells left

    Raises
    ------
    InputError
        For cells of a single set.

    Examples
    --------
    Two sets of three like cells: nothing is taken out.

    >>> values = np.array([[[0.0]] * 3 + [[1.0]] * 3]).reshape(1, 6, 1)
    >>> keep, of_cell = np.full((1, 6), True), np.array([0, 0, 0, 1, 1, 1])
    >>> middle, sets = set_means(values, keep, of_cell, ())
    >>> middle, sets.ravel()
    (array([0.5]), array([0., 1.]))
    """
    sets = np.unique(of_cell)
    if len(sets) < 2:
        raise InputError("A band by parameter sets needs cells of two sets or more.")
    member = (of_cell[np.newaxis] == sets[:, np.newaxis]).astype(float)
    n_time = values.shape[-1]
    drawn = np.full((len(sets), len(values), n_time), np.nan)
    for dose, (block, good) in enumerate(zip(values, keep, strict=True)):
        drawn[:, dose] = _without_cells(block, good, member)
    lost = np.isnan(drawn)
    known = np.maximum((~lost).sum(axis=0), 1)
    middle = np.where(lost, 0.0, drawn).sum(axis=0) / known
    middle = np.where(lost.all(axis=0), np.nan, middle)
    return middle.reshape(*shape, n_time), drawn.reshape(-1, *shape, n_time)


def of_halves(first: FloatArray, second: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the mean over parameter sets, and the reading of each, cells' noise out.

    For readings that are no means over cells: the two halves of a set have other cells
    and the same numbers, so that the variance by the drawing of cells of their mean is
    w = ⟨((a − b)/2)²⟩.

    Parameters
    ----------
    first, second : shape (n_set, …): the reading of each half of the cells of a set

    Returns
    -------
    mean of shape (…) and readings of shape (n_set, …); a set that lacks a half is NaN,
    and all are where fewer than two sets have both

    Examples
    --------
    >>> a = np.array([[0.0], [1.0]])
    >>> of_halves(a, a)[1].ravel()  # no drawing of cells: nothing is taken out
    array([0., 1.])
    >>> of_halves(a, 1 - a)[1].ravel().round(2)  # only the error of the mean is left
    array([0.85, 0.15])
    """
    both = (first + second) / 2.0
    lost = ~np.isfinite(both)
    count = (~lost).sum(axis=0)
    enough = count >= 2
    n = np.maximum(count, 2)
    middle = np.where(lost, 0.0, both).sum(axis=0) / n
    apart = np.where(lost, 0.0, both - middle)
    spread = (apart**2).sum(axis=0) / (n - 1)
    error = np.where(lost, 0.0, (first - second) / 2.0)
    error = (error**2).sum(axis=0) / n
    score = _scores(len(both)).reshape(-1, *[1] * middle.ndim)
    drawn = _told_apart(both, middle, spread, error, score)
    drawn = np.where(lost | ~enough, np.nan, drawn)
    return np.where(enough, middle, np.nan), drawn


SEED = 21
"""Seed of the order of the normal scores."""

UNTOLD = "–"
"""Stands for a band without width, that is not told from the drawing of cells."""


def ends_text(point: float, low: float, high: float, form: str = "") -> str:
    """Return the ends of a band, or ``UNTOLD`` where it has no width.

    Sets that differ by no more than the drawing of cells have a band of no width, which
    is not the certainty that it looks like; where all cells live, or all die, it is.

    Parameters
    ----------
    form : how the ends are written, as in ``format``; by default with three digits

    Examples
    --------
    >>> ends_text(40.0, 12.0, 71.5), ends_text(2.0, 2.0, 2.0), ends_text(0.0, 0.0, 0.0)
    ('12 to 71.5', '–', '0 to 0')
    """
    flat = high - low <= 1e-9 * abs(point)
    if not np.isfinite(low) or (flat and point not in (0.0, 100.0)):
        return UNTOLD
    first, last = (format(x, form) if form else rounded(x) for x in (low, high))
    return f"{first} to {last}"


def bracket_line(band: str, texts: Iterable[str]) -> str:
    """Return what the brackets of a table hold, and what a dash in them means."""
    if any(UNTOLD in text for text in texts):
        band += f"; {UNTOLD}: not told from the drawing of cells"
    return f"In brackets: {band}."


def percentiles(drawn: FloatArray, wanted: Sequence[float]) -> FloatArray:
    """Return percentiles over the first axis, NaN left out; NaN where all are.

    Parameters
    ----------
    drawn : float array, shape (n_draw, …)
    wanted : percentiles, 0 to 100

    Returns
    -------
    float array, shape (n_wanted, …)
    """
    lost = np.isnan(drawn)
    if not lost.any():  # many times faster
        return np.asarray(np.percentile(drawn, wanted, axis=0))
    gone = lost.all(axis=0)
    found = np.nanpercentile(np.where(gone, 0.0, drawn), wanted, axis=0)
    return np.where(gone, np.nan, found)


def _without_cells(
    block: FloatArray, good: BoolArray, member: FloatArray
) -> FloatArray:
    """Return the means of the sets of one dose, their variance that of the numbers.

    A set with fewer than two cells left is NaN.
    """
    count = member @ good.astype(float)
    enough = count >= 2
    found = np.full((len(member), block.shape[-1]), np.nan)
    if enough.sum() < 2:
        return found
    member, count = member[enough], count[enough][:, np.newaxis]
    kept = np.where(good[:, np.newaxis], block, 0.0)
    means = member @ kept / count
    # About the mean of all cells, so that no digits are lost in the squares.
    centre = kept.sum(axis=0) / good.sum()
    apart = np.where(good[:, np.newaxis], block - centre, 0.0)
    squares = member @ apart**2 / count - (means - centre) ** 2
    error = (np.maximum(squares, 0.0) / (count - 1.0)).mean(axis=0)
    middle, spread = means.mean(axis=0), means.var(axis=0, ddof=1)
    # A mean lies between the values of its cells: a share is no more than 100 %.
    least = np.where(good[:, np.newaxis], block, np.inf).min(axis=0)
    most = np.where(good[:, np.newaxis], block, -np.inf).max(axis=0)
    score = _scores(len(enough))[enough, np.newaxis]
    made = _told_apart(means, middle, spread, error, score)
    found[enough] = np.clip(made, least, most)
    return found


def _told_apart(
    means: FloatArray,
    middle: FloatArray,
    spread: FloatArray,
    error: FloatArray,
    score: FloatArray,
) -> FloatArray:
    """Return M + (m_s − M)·√(τ²/v) + z_s·√(w/S) for variance v = spread, w = error.

    Parameters
    ----------
    means : m_s, shape (n_set, …)
    score : z_s, shape (n_set, 1, …)
    """
    share = np.zeros_like(spread)
    np.divide(np.maximum(spread - error, 0.0), spread, out=share, where=spread > 0)
    numbers = (means - middle) * np.sqrt(share)
    return np.asarray(middle + numbers + score * np.sqrt(error / len(means)))


@lru_cache(maxsize=8)
def _scores(n: int) -> FloatArray:
    """Return n normal scores of variance 1 in a random order that is always the same.

    One score a set, for all times and doses: curves stay smooth, and dishes of the same
    cells err together.
    """
    score = scipy.special.ndtri((np.arange(n) + 0.5) / n)
    np.random.default_rng(SEED).shuffle(score)
    return np.asarray(score / score.std())
