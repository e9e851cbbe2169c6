"""Features of curves with bands, and how they differ between results, with bands.

A result has members: the draws of an ensemble, unlike cells, or the one curve of each
run. Over draws the middle is the median and the band holds 95 % of them. Over cells it
is the mean of the features of the cells, with the band of a mean in ``cell_means``: by
parameter sets, or by resampled cells.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from mir21sim._typing import FloatArray
from mir21sim.analysis.cell_means import Drawn, Means, band_means, put_with_ends
from mir21sim.analysis.curves import (
    FEATURE_NOTES,
    Results,
    feature_table,
    label_results,
    quantity,
    response_columns,
    since_of,
    swept_of,
    time_unit,
)
from mir21sim.analysis.set_bands import percentiles
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.simulation.ensemble import DRAW
from mir21sim.simulation.stored_features import FEATURES
from mir21sim.simulation.translate import CELL

CHANGE = "_change"
"""End of the name of a difference from the reference."""

UNPAIRED = "all pairs of draws"
"""How the draws of results with other members are subtracted."""


def has_members(result: xr.Dataset) -> bool:
    """Return whether a result has draws or cells to make bands of."""
    return Members.of(result).count > 1


@dataclass(frozen=True, slots=True)
class Members:
    """The members of a result, and how a band is made of them.

    Attributes
    ----------
    name : dimension: "cell" or "draw"; of a single curve, "draw" too
    count : number of members
    band : middle and band in words; empty for a single curve
    """

    name: str
    count: int
    band: str
    means: Means | None = None

    @classmethod
    def of(cls, result: xr.Dataset) -> "Members":
        """Return the members of a result."""
        if DRAW in result.dims:
            n = result.sizes[DRAW]
            return cls(DRAW, n, f"median and 95 % of {n} draws of the ensemble")
        n = result.sizes.get(CELL, 1)
        if n == 1:
            return cls(CELL if CELL in result.dims else DRAW, 1, "")
        means, band = band_means(result)
        return cls(CELL, n, f"mean of {n} cells and {band}", means)

    def like(self, other: "Members") -> bool:
        """Return whether members of both can be subtracted one by one."""
        return (self.name, self.count, self.band) == (
            other.name,
            other.count,
            other.band,
        )

    def drawn(self, values: FloatArray) -> Drawn:
        """Return the middle of the members, and the draws behind its band.

        Parameters
        ----------
        values : shape (n_member, …); NaN is left out
        """
        if self.means is None:
            return percentiles(values, (50.0,))[0], values
        rest = values.shape[1:]
        block = values.reshape(self.count, -1).T[..., np.newaxis]
        middle, draws = self.means(block, np.isfinite(block[..., 0]), rest)
        return middle[..., 0], draws[..., 0]


def compare_bands(
    results: Results,
    observe: str,
    *,
    since: float | str | None = None,
    response: str = "peak",
    over: str | None = None,
) -> xr.Dataset:
    """Return the features of results with bands, and their differences.

    Differences are those from the first result at the same swept values; of a single
    result, from the lowest value of `over`. Like members (as many cells, or draws) are
    subtracted one by one, so that what they share cancels.

    Parameters
    ----------
    results : as in ``compare``: of an ensemble, of cells, or single curves
    observe, since, response, over : as in ``compare``

    Returns
    -------
    Dataset on ``result`` × the swept dimensions: each of ``FEATURES`` as the median
    over draws, or mean over cells, with ``_low`` and ``_high``, the ends of the 95 %
    band, and ``_low50`` and ``_high50``, those of the 50 % band; the same of
    ``<feature>_change`` (NaN for the reference itself); the dose–response of these,
    its interval of the draws; the attributes ``bands`` and ``members`` (one for each
    result) and ``change``, in words

    Raises
    ------
    InputError
        For results that sweep different names.
    UnknownNameError
        For a quantity, feature or dimension that the results do not have.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> t = np.linspace(0, 10, 11)
    >>> draws = np.linspace(1.0, 2.0, 101)[:, np.newaxis]
    >>> low = xr.Dataset({"C": (("draw", "time"), draws * t)}, {"time": t})
    >>> found = compare_bands({"low": low, "twice": 2 * low}, "C")
    >>> found["peak"].values, found["peak_change"].sel(result="twice").item()
    (array([15., 30.]), 15.0)
    """
    if response not in FEATURES:
        raise UnknownNameError("feature", response, tuple(FEATURES))
    labelled = label_results(results)
    members = {k: Members.of(r) for k, r in labelled.items()}
    tables = {k: _table(r, observe, since) for k, r in labelled.items()}
    swept = _same_sweep(tables)
    if over is not None and over not in swept:
        raise UnknownNameError("swept dimension", over, swept)
    over = over or next(iter(swept), None)
    changes, words = _changes(tables, members, swept, over)
    parts = []
    for k, table in tables.items():
        part = _with_bands(table, members[k], swept, response, over)
        _put_changes(part, changes[k], swept)
        parts.append(part.expand_dims(result=[k]))
    merged = xr.concat(parts, "result", join="outer", combine_attrs="override")
    first = next(iter(labelled.values()))
    merged.attrs = {
        "observe": str(quantity(first, observe).name),
        "response": response,
        "since_h": since_of(first, since),
        "time_unit": time_unit(first),
        "resolution_h": max(t.attrs["resolution_h"] for t in tables.values()),
        "bands": [m.band for m in members.values()],
        "members": [m.name for m in members.values()],
        "change": words,
    }
    return merged


def _table(result: xr.Dataset, observe: str, since: float | str | None) -> xr.Dataset:
    """Return the features of every member, members first, without a coordinate."""
    table = feature_table(result, observe, since)
    name = Members.of(result).name
    table = table if name in table.dims else table.expand_dims(name)
    return table.transpose(name, ...).drop_vars(name, errors="ignore")


def _same_sweep(tables: Mapping[str, xr.Dataset]) -> tuple[str, ...]:
    """Return the swept dimensions, which must be those of every result."""
    dims = {k: swept_of(t["peak"]) for k, t in tables.items()}
    if len(set(dims.values())) > 1:
        shown = "; ".join(f"{k}: {', '.join(d) or 'none'}" for k, d in dims.items())
        raise InputError(f"Results to compare must sweep the same names, got {shown}.")
    return next(iter(dims.values()))


_Drawn = dict[str, tuple[xr.DataArray, xr.DataArray]]
"""Feature to its middle, and its draws (first dimension ``draw``)."""


def _changes(
    tables: Mapping[str, xr.Dataset],
    members: Mapping[str, Members],
    swept: tuple[str, ...],
    over: str | None,
) -> tuple[dict[str, _Drawn], str]:
    """Return the differences of each result from its reference, and what they are."""
    label, first = next(iter(tables.items()))
    mine = members[label]
    if len(tables) > 1:
        found: dict[str, _Drawn] = {label: {}}
        ways = []
        for name, table in list(tables.items())[1:]:
            ends = [mine.name, members[name].name]
            one, other = xr.align(table, first, join="inner", exclude=ends)
            found[name], way = {}, "no swept value in common"
            if all(one.sizes[d] for d in swept):
                found[name], way = _difference(one, other, members[name], mine)
            ways.append(way)
        return found, f"minus {label}, {' or '.join(dict.fromkeys(ways))}"
    if over is None or first.sizes[over] < 2:
        return {label: {}}, ""
    lowest = float(first[over].min())
    rest = first.isel({over: first[over].values != lowest})
    at_lowest = first.isel({over: int(np.argmin(first[over].values))}, drop=True)
    reference = at_lowest.broadcast_like(rest).transpose(*rest["peak"].dims)
    made, way = _difference(rest, reference, mine, mine)
    unit = str(first[over].attrs.get("units", ""))
    words = f"minus {over} = {lowest:g} {'' if unit == '1' else unit}".rstrip()
    return {label: made}, f"{words}, {way}"


def _difference(
    one: xr.Dataset, other: xr.Dataset, members: Members, others: Members
) -> tuple[_Drawn, str]:
    """Return how the features of one result differ from those of another."""
    paired = members.like(others)
    found: _Drawn = {}
    for name in FEATURES:
        a = one[name]
        b = other[name].transpose(others.name, *a.dims[1:])
        if paired:
            middle, draws = members.drawn(a.values - b.values)
        else:
            (top, tops), (low, lows) = members.drawn(a.values), others.drawn(b.values)
            middle = top - low
            draws = (tops[:, np.newaxis] - lows).reshape(-1, *middle.shape)
        coords = {d: one[d] for d in a.dims[1:]}
        found[name] = (
            xr.DataArray(middle, coords, a.dims[1:]),
            xr.DataArray(draws, coords, (DRAW, *a.dims[1:])),
        )
    return found, f"{members.name} by {members.name}" if paired else UNPAIRED


def _with_bands(
    table: xr.Dataset,
    members: Members,
    swept: tuple[str, ...],
    response: str,
    over: str | None,
) -> xr.Dataset:
    """Return the features of one result with bands, and its dose–response."""
    made = xr.Dataset(coords={d: table[d] for d in swept})
    for name in FEATURES:
        values = table[name].transpose(members.name, *swept)
        put_with_ends(made, name, swept, members.drawn(values.values), **values.attrs)
    made["note"] = (swept, _notes(table["note"].transpose(members.name, *swept).values))
    if over is None:
        return made
    draws: xr.DataArray | None = None
    if members.count > 1:
        values = table[response].transpose(members.name, *swept)
        draws = xr.DataArray(members.drawn(values.values)[1], dims=(DRAW, *swept))
    return made.assign(response_columns(made, response, over, draws))


def _put_changes(made: xr.Dataset, changes: _Drawn, swept: tuple[str, ...]) -> None:
    """Put the differences of one result into its table, NaN where there is none."""
    at = {d: made[d] for d in swept}
    for name in FEATURES:
        empty = xr.full_like(made[name], np.nan)
        middle, draws = changes.get(name, (empty, empty.expand_dims(DRAW)))
        placed = middle.reindex(at).transpose(*swept).values
        drawn = draws.reindex(at).transpose(DRAW, *swept).values
        about = dict(made[name].attrs)
        about["long_name"] = f"change of {about['long_name']}"
        put_with_ends(made, name + CHANGE, swept, (placed, drawn), **about)


def _notes(notes: np.ndarray) -> np.ndarray:
    """Return how many members have a note, one text for each run."""
    found = np.empty(notes.shape[1:], dtype=object)
    for place in np.ndindex(found.shape):
        mine = notes[(slice(None), *place)]
        counts = {words: int((mine == words).sum()) for words in FEATURE_NOTES}
        of = "" if len(mine) == 1 else " in {} of " + str(len(mine))
        found[place] = ", ".join(
            words + of.format(n) for words, n in counts.items() if n
        )
    return found


def bars_of(
    features: xr.Dataset, response: str, block: xr.DataArray
) -> list[tuple[xr.DataArray, xr.DataArray, float]]:
    """Return the ends of the bands of a response with their line widths, if any."""
    if f"{response}_low" not in features:
        return []
    ends = (
        [features[f"{response}_{side}{end}"] for side in ("low", "high")]
        for end in ("", "50")
    )
    low, high, low50, high50 = (v.transpose(*block.dims) for pair in ends for v in pair)
    return [(low, high, 1.0), (low50, high50, 3.0)]


def band_words(features: xr.Dataset) -> str:
    """Return what the bars of a picture are."""
    bands = [band for band in dict.fromkeys(features.attrs["bands"]) if band]
    texts = [b.replace("95 %", "50 % (thick) and 95 % (thin)", 1) for b in bands]
    return f"Points and bars: {'; '.join(texts)}."
