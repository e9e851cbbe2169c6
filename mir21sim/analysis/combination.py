"""Two drugs together: excess over Bliss, Loewe, HSA and ZIP, and dose reduction.

Effects are fractions of 0 to 1, here dead cells beyond those of the untreated dish.
The measures and their null models:

* HSA (highest single agent): E = max(E₁, E₂);
* Bliss 1939 (doi:10.1111/j.1744-7348.1939.tb06990.x): E = E₁ + E₂ − E₁E₂;
* Loewe 1953: E solves d₁/D₁(E) + d₂/D₂(E) = 1, D the inverse curve of one drug;
* ZIP, Yadav et al. 2015 (doi:10.1016/j.csbj.2015.09.001): Bliss of Hill curves fitted
  to each drug, compared with Hill curves fitted across the surface;
* dose reduction index, Chou and Talalay 1984 (doi:10.1016/0065-2571(84)90007-4):
  D₁(E)/d₁, the factor by which the combination lowers the dose for the same effect.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.interpolate import PchipInterpolator
from scipy.optimize import least_squares

from mir21sim._typing import FloatArray
from mir21sim.analysis.cell_means import BAND
from mir21sim.analysis.dish import Resampled
from mir21sim.analysis.treatment_words import treatment_text
from mir21sim.errors import InputError
from mir21sim.units import rounded

MEASURES = ("HSA", "Bliss", "Loewe", "ZIP")
"""Measures of ``combination``: observed minus expected effect, percentage points."""

SURFACES_DRAWN = 60
"""Resampled surfaces behind the interval of a measure; each takes two fits a dose."""

BAND_TEXT = f"95 % of {SURFACES_DRAWN} resamplings of the cells"

NOTABLE = 5.0
"""Excess in percentage points below which a combination counts as additive."""


FINE = 801
"""Points of the tables by which curves are inverted."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A monotone curve of effect against dose through points, as a fine table.

    Between two doses it is a monotone cubic in log dose (Fritsch and Carlson 1980,
    doi:10.1137/0717021), from dose 0 to the first dose a straight line in dose. A
    curve that falls somewhere is replaced by its running maximum.

    Attributes
    ----------
    doses : float array, ascending, the first one 0
    effects : float array of the same shape, not falling
    """

    doses: FloatArray
    effects: FloatArray

    @classmethod
    def through(cls, doses: FloatArray, effects: FloatArray) -> "Curve":
        """Return the curve through the effects of doses, of which the first is 0."""
        rising = np.maximum.accumulate(np.asarray(effects, float))
        logs = np.log(doses[1:])
        fine = np.linspace(logs[0], logs[-1], FINE)
        cubic = PchipInterpolator(logs, rising[1:])(fine)
        return cls(
            np.concatenate(([0.0], np.exp(fine))),
            np.concatenate((rising[:1], np.maximum.accumulate(cubic))),
        )

    def dose_of(self, effects: FloatArray | float) -> FloatArray:
        """Return the smallest dose of each effect, infinite beyond the range."""
        wanted = np.asarray(effects, float)
        rises = np.concatenate(([True], np.diff(self.effects) > 0))
        known, doses = self.effects[rises], self.doses[rises]
        return np.asarray(np.interp(wanted, known, doses, left=0.0, right=np.inf))


def hsa(surface: FloatArray) -> FloatArray:
    """Return the effect of the better drug alone, shape (n₁, n₂)."""
    return np.maximum(surface[:, :1], surface[:1, :])


def bliss(surface: FloatArray) -> FloatArray:
    """Return the effect of two drugs that act independently, shape (n₁, n₂)."""
    one, two = surface[:, :1], surface[:1, :]
    expected: FloatArray = one + two - one * two
    return expected


def loewe(surface: FloatArray, doses: tuple[FloatArray, FloatArray]) -> FloatArray:
    """Return the effect of two drugs that replace each other, shape (n₁, n₂).

    Where one drug cannot reach the effect at any dose of the range, its share
    d/D is 0, so that the other drug alone sets the expected effect.
    """
    one = Curve.through(doses[0], surface[:, 0])
    two = Curve.through(doses[1], surface[0, :])
    low = min(one.effects[0], two.effects[0])
    top = max(one.effects[-1], two.effects[-1])
    effects = np.linspace(low, top, FINE)[1:]
    with np.errstate(divide="ignore"):
        per_dose = [1.0 / one.dose_of(effects), 1.0 / two.dose_of(effects)]
    expected = hsa(surface)
    for i, j in np.ndindex(*surface.shape):
        if i and j:  # the sum of shares falls with the effect, from infinity
            shares = doses[0][i] * per_dose[0] + doses[1][j] * per_dose[1]
            expected[i, j] = np.interp(-1.0, -shares, effects)
    return expected


def zip_expected(
    surface: FloatArray, doses: tuple[FloatArray, FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """Return the fitted surface and the expected one of the ZIP model.

    Returns
    -------
    fitted, expected : float arrays, shape (n₁, n₂); Yadav et al. 2015, equations 8
        and 12: δ = fitted − expected
    """
    one = _hill_curve(doses[0], surface[:, 0])
    two = _hill_curve(doses[1], surface[0, :])
    expected = one[:, np.newaxis] + two - one[:, np.newaxis] * two
    across = np.array(
        [
            _hill_curve(doses[0], column, start=two[j])
            for j, column in enumerate(surface.T)
        ]
    ).T
    along = np.array(
        [_hill_curve(doses[1], row, start=one[i]) for i, row in enumerate(surface)]
    )
    return (across + along) / 2.0, expected


def _hill_curve(
    doses: FloatArray, effects: FloatArray, start: float | None = None
) -> FloatArray:
    """Return the Hill curve fitted to effects, at the doses.

    E = E₀ + (E∞ − E₀)·dⁿ/(mⁿ + dⁿ), with E₀ = `start` where it is given. A flat
    response is returned as its mean.
    """
    low = float(effects[0]) if start is None else start
    if np.ptp(effects) < 1e-6 and abs(float(effects.mean()) - low) < 1e-6:
        return np.full(len(doses), float(effects.mean()))
    given = doses > 0
    logs = np.log(doses[given])

    def share(p: FloatArray) -> FloatArray:
        found = np.zeros(len(doses))
        found[given] = 1.0 / (1.0 + np.exp(-p[1] * (logs - p[0])))
        return found

    def curve(p: FloatArray) -> FloatArray:
        bottom = p[3] if start is None else low
        return np.asarray(bottom + (p[2] - bottom) * share(p))

    def slopes(p: FloatArray) -> FloatArray:
        """Return the derivatives by ln m, n, E∞ and, where it is free, E₀."""
        part = share(p)
        height = (p[2] - (p[3] if start is None else low)) * part * (1.0 - part)
        from_middle = np.zeros(len(doses))
        from_middle[given] = logs - p[0]
        columns = [-p[1] * height, from_middle * height, part]
        return np.stack(columns + [1.0 - part] * (start is None), axis=1)

    guess = [float(np.median(logs)), 1.0, float(effects[-1])]
    bounds = ([logs[0] - 5, 0.1, -0.5], [logs[-1] + 5, 10.0, 1.5])
    if start is None:
        guess, bounds = [*guess, low], ([*bounds[0], -0.5], [*bounds[1], 1.5])
    guess = list(np.clip(guess, np.array(bounds[0]) + 1e-9, np.array(bounds[1]) - 1e-9))
    # Where doses are too few for all numbers the misfit falls towards 0 for hundreds of
    # steps; to stop at this gradient changes an excess by 0.01 percentage points.
    fit = least_squares(
        lambda p: curve(p) - effects, guess, slopes, bounds, ftol=1e-6, gtol=1e-5
    )
    return curve(fit.x)


def combination(
    drawn: Resampled, result: xr.Dataset, *, intervals: bool = True
) -> xr.Dataset:
    """Return the excess of two drugs over each null model, with intervals.

    Parameters
    ----------
    drawn : from ``dish.resample`` of a population with two swept doses, each with 0
    result : the same result, for coordinates and attributes

    Returns
    -------
    Dataset with the two doses as dimensions: ``effect`` (% of cells, beyond the
    untreated dish, of those that live in it) and for each of ``MEASURES`` the excess
    (percentage points) with ``_low`` and ``_high``; ``reduction`` (dose reduction index
    of each drug, dimension ``drug``)

    Raises
    ------
    InputError
        For other than two swept doses, a dose list without 0, or fewer than three
        doses.

    Examples
    --------
    >>> import mir21sim as ms
    >>> import numpy as np
    >>> import xarray as xr
    >>> t, dims = np.linspace(0, 8, 9), ("a", "b", "cell", "time")
    >>> need = np.linspace(0.5, 6.0, 40)  # a cell dies where the doses sum to this
    >>> sums = np.add.outer(np.arange(4.0), np.arange(4.0))
    >>> dead = (sums[..., None] >= need)[..., None] * (t >= 4)
    >>> curves = {name: (dims, 1.0 * dead) for name in ("A", "PS_exposed")}
    >>> doses = {name: (name, np.arange(4.0), {"units": "nM"}) for name in "ab"}
    >>> result = xr.Dataset(curves, {**doses, "time": t})
    >>> drawn = ms.resample(result, ["A"], "PS_exposed")
    >>> table = ms.combination(drawn, result)
    >>> bool(abs(table["Loewe"].sel(a=1, b=1)) < 2)  # one drug given twice: no excess
    True
    """
    names, doses = _checked(drawn, result)
    dead, deaths = drawn.dead[0][..., -1], drawn.dead[1][..., -1]
    surface = _beyond_untreated(_ascending(dead, result, names))
    table = xr.Dataset(coords={n: (n, d) for n, d in zip(names, doses, strict=True)})
    for name in names:
        table[name].attrs = dict(result[name].attrs)
    table["effect"] = (names, 100 * surface)
    table["effect"].attrs = {"units": "%", "long_name": "cells killed by the drugs"}
    for name, excess in _excesses(surface, doses).items():
        table[name] = (names, 100 * excess)
        table[name].attrs = {
            "units": "percentage points",
            "long_name": f"excess over {name}",
            "band": drawn.band,
        }
    if intervals:
        surfaces = [
            _excesses(_beyond_untreated(_ascending(block, result, names)), doses)
            for block in deaths[:SURFACES_DRAWN]
        ]
        for name in MEASURES:
            values = np.stack([100 * found[name] for found in surfaces])
            low, high = np.nanpercentile(values, BAND, axis=0)
            table[f"{name}_low"], table[f"{name}_high"] = (names, low), (names, high)
    table["reduction"] = (("drug", *names), _dose_reduction(surface, doses))
    table = table.assign_coords(drug=list(names))
    table.attrs = {
        **result.attrs,
        "cells": result.sizes["cell"],
        "treatment": treatment_text(result),
        "remarks": list(_remarks(_ascending(dead, result, names), names)),
    }
    return table


def _remarks(dead: FloatArray, names: tuple[str, str]) -> Iterator[str]:
    """Yield a sentence for each drug that alone kills no cells.

    Parameters
    ----------
    dead : float array, shape (n₁, n₂), % of cells, doses ascending from 0
    """
    for name, alone in zip(names, (dead[:, 0], dead[0, :]), strict=True):
        change = alone - alone[0]
        most, least = float(change.max()), float(change.min())
        if least <= -NOTABLE and most < NOTABLE:
            yield (
                f"{name} alone protects cells ({alone[0]:.0f} to "
                f"{alone[0] + least:.0f} % dead), which counts as no effect here: "
                "less than additive then means protection from the other drug."
            )
        elif max(most, -least) < NOTABLE:
            yield (
                f"{name} alone changes the dead cells by {max(most, -least):.1f} "
                "percentage points at most: at these doses the cells do not respond "
                "to it."
            )


def check_doses(doses: Mapping[str, FloatArray]) -> None:
    """Check the doses of a combination: two drugs, each with dose 0 and two others.

    Raises
    ------
    InputError
        Naming the drug and its doses.
    """
    if len(doses) != 2:
        raise InputError(
            "A combination needs two swept doses, got "
            f"{', '.join(doses) or 'none'}: give `over` two names."
        )
    for name, values in doses.items():
        distinct = np.unique(np.asarray(values, float))
        if len(distinct) != len(values):
            raise InputError(f"The doses of `{name}` must differ, got a repeated one.")
        if len(distinct) < 3 or distinct[0] != 0:
            raise InputError(
                f"A combination needs dose 0 and two more of `{name}`, got "
                f"{', '.join(f'{v:g}' for v in values)}."
            )


def _checked(
    drawn: Resampled, result: xr.Dataset
) -> tuple[tuple[str, str], tuple[FloatArray, FloatArray]]:
    """Return the two swept names and their doses in order."""
    doses = {n: result[n].values.astype(float) for n in drawn.dims if n in result}
    check_doses(doses)
    one, two = drawn.dims
    return (one, two), (np.sort(doses[one]), np.sort(doses[two]))


def _ascending(
    values: FloatArray, result: xr.Dataset, names: tuple[str, str]
) -> FloatArray:
    """Return a surface with its doses in ascending order."""
    rows, columns = (np.argsort(result[name].values) for name in names)
    return np.asarray(values[np.ix_(rows, columns)])


def _beyond_untreated(dead: FloatArray) -> FloatArray:
    """Return killed cells as fractions of those that live untreated (Abbott 1925).

    (E − E₀)/(1 − E₀), not below 0.
    """
    untreated = dead[0, 0] / 100.0
    if untreated >= 1.0:
        raise InputError("All untreated cells die; a combination cannot be read.")
    killed: FloatArray = (dead / 100.0 - untreated) / (1.0 - untreated)
    return np.maximum(killed, 0.0)


def _excesses(
    surface: FloatArray, doses: tuple[FloatArray, FloatArray]
) -> dict[str, FloatArray]:
    """Return observed minus expected effect by measure, fractions."""
    fitted, expected = zip_expected(surface, doses)
    return {
        "HSA": surface - hsa(surface),
        "Bliss": surface - bliss(surface),
        "Loewe": surface - loewe(surface, doses),
        "ZIP": fitted - expected,
    }


def _dose_reduction(
    surface: FloatArray, doses: tuple[FloatArray, FloatArray]
) -> FloatArray:
    """Return D(E)/d of both drugs, shape (2, n₁, n₂); NaN on the axes.

    Infinite where no dose of the range has the effect alone.
    """
    found = np.full((2, *surface.shape), np.nan)
    inner = surface[1:, 1:]
    one = Curve.through(doses[0], surface[:, 0])
    two = Curve.through(doses[1], surface[0, :])
    found[0, 1:, 1:] = one.dose_of(inner) / doses[0][1:, np.newaxis]
    found[1, 1:, 1:] = two.dose_of(inner) / doses[1][1:]
    return found


def combination_records(table: xr.Dataset) -> list[dict[str, float]]:
    """Return one record a dose pair: effect, excess by measure, dose reduction."""
    one, two = (str(d) for d in table["effect"].dims)
    records: list[dict[str, float]] = []
    for i, j in np.ndindex(*table["effect"].shape):
        row = table.isel({one: i, two: j})
        reduction = row["reduction"].values
        records.append(
            {
                one: float(row[one]),
                two: float(row[two]),
                "killed %": float(row["effect"]),
            }
            | {name: round(float(row[name]), 1) for name in MEASURES}
            | {f"DRI {one}": float(reduction[0]), f"DRI {two}": float(reduction[1])}
        )
    return records


def summary(table: xr.Dataset, measure: str = "Bliss") -> str:
    """Return one sentence on the largest excess that its interval supports.

    An excess counts where its interval leaves 0 and it is ``NOTABLE`` at least.
    """
    names = [str(d) for d in table[measure].dims]
    values = table[measure].values
    low, high = table[f"{measure}_low"].values, table[f"{measure}_high"].values
    more = np.where((low > 0) & (values >= NOTABLE), values, -np.inf)
    less = np.where((high < 0) & (values <= -NOTABLE), values, np.inf)
    sentences = []
    for word, found, best in (
        ("More", more, np.unravel_index(more.argmax(), more.shape)),
        ("Less", less, np.unravel_index(less.argmin(), less.shape)),
    ):
        if np.isfinite(found[best]):
            pair = zip(names, best, strict=True)
            at = ", ".join(_dose_text(table[n], int(k)) for n, k in pair)
            sentences.append(
                f"{word} than additive ({measure}) most at {at}: {found[best]:+.0f} "
                f"percentage points ({low[best]:+.0f} to {high[best]:+.0f}, "
                f"{table[measure].attrs['band']})."
            )
    return " ".join(sentences) or (
        f"Additive ({measure}): no dose pair differs by {NOTABLE:g} percentage points "
        "or more from the expected effect with an interval off 0."
    )


def order_words(schedule: str, time_h: float, other: str, other_h: float) -> str:
    """Return when a drug is given relative to another: ``24 h before TRAIL (0 h)``.

    Parameters
    ----------
    schedule : its times in words
    time_h, other_h : first doses of the two, h
    other : name of the other drug
    """
    apart = other_h - time_h
    if apart == 0:
        return f"with {other} ({schedule})"
    side = "before" if apart > 0 else "after"
    return f"{abs(apart):g} h {side} {other} ({schedule})"


def order_summary(
    tables: Mapping[str, xr.Dataset], drug: str, measure: str = "Bliss"
) -> str:
    """Return one sentence on the order of two drugs that is most beyond additivity.

    Orders are compared by the mean excess over all dose pairs of both drugs.

    Parameters
    ----------
    tables : order in words → table from ``combination``
    drug : name of the drug whose times differ, for the sentence
    """
    means = {
        words: float(table[measure].values[1:, 1:].mean())
        for words, table in tables.items()
    }
    order = sorted(means, key=lambda words: -means[words])
    texts = [f"{words} {means[words]:+.1f}" for words in order]
    return (
        f"Order: most beyond additivity ({measure}, mean excess over all dose pairs, "
        f"percentage points) with {drug} {'; '.join(texts)}."
    )


def _dose_text(coordinate: xr.DataArray, k: int) -> str:
    """Return 'anti-miR-21 10 nM'."""
    label = coordinate.attrs.get("long_name", coordinate.name)
    unit = coordinate.attrs.get("units", "")
    return f"{label} {rounded(float(coordinate[k]))} {unit}".strip()
