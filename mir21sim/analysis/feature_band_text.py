"""Compared features with bands as lines of text."""

import numpy as np
import xarray as xr

from mir21sim.analysis.feature_bands import CHANGE
from mir21sim.analysis.set_bands import bracket_line, ends_text
from mir21sim.analysis.tables import (
    FIRST,
    lines_of,
    response_lines,
    text_table,
    without_hours,
)
from mir21sim.analysis.text_tables import narrowed
from mir21sim.simulation.ensemble import DRAW
from mir21sim.units import rounded

ABSENT = "none"
"""Stands for a feature that no member has, such as the time of a rise."""


def feature_band_text(features: xr.Dataset) -> str:
    """Return features with bands, and their changes, as tables, with dose–responses.

    Each table has the columns that fit into 80 characters, the response first; the
    others are named.

    Parameters
    ----------
    features : from ``compare_bands``
    """
    clock, since = features.attrs["time_unit"], features.attrs["since_h"]
    lines = [f"{features.attrs['observe']}, times from {since:g} {clock}"]
    lines += _table_lines(features, "")
    labels = [str(label) for label in features["result"].values]
    bands = dict(zip(labels, features.attrs["bands"], strict=True))
    several = len(set(bands.values())) > 1
    for band in dict.fromkeys(bands.values()):
        whose = ", ".join(label for label in labels if bands[label] == band)
        words = bracket_line(band, lines) if band else "a single curve, without a band."
        lines.append(f"{whose}: {words}" if several else words)
    if features.attrs["change"]:
        lines.append(f"change: {features.attrs['change']}")
        lines += _table_lines(features, CHANGE)
    notes = [
        f"{_where(features, place)}: {text}"
        for place, text in _places(features["note"])
        if isinstance(text, str) and text
    ]
    if notes:
        lines.append(f"note: {'; '.join(notes)}")
    if "EC50" in features:
        lines += response_lines(features)
    return "\n".join(lines)


def _places(values: xr.DataArray) -> list[tuple[dict[str, int], object]]:
    """Return the position and value of each entry."""
    dims = [str(d) for d in values.dims]
    flat = values.transpose(*dims).values
    places = [dict(zip(dims, k, strict=True)) for k in np.ndindex(flat.shape)]
    return [(place, flat[tuple(place.values())]) for place in places]


def _where(features: xr.Dataset, place: dict[str, int]) -> str:
    """Return the label of a result and its swept values."""
    words = [str(features["result"].values[place["result"]])]
    words += [
        f"{name} = {float(features[name].values[k]):g}"
        for name, k in place.items()
        if name != "result"
    ]
    return ", ".join(words)


def _table_lines(features: xr.Dataset, end: str) -> list[str]:
    """Return one table, of the features or their changes, as lines."""
    response = str(features.attrs["response"])
    names = [n for n in FIRST if n != without_hours(response)]
    long = {without_hours(n): n for n in _names(features)}
    order = [response, *(long[n] for n in names)]
    shape = features[response + end]
    keys = [str(d) for d in shape.dims]
    keys = keys[1:] if features.sizes["result"] == 1 and len(keys) > 1 else keys
    records = []
    for place, value in _places(shape):
        row = features.isel(place)
        if end and value != value:  # the reference, or a value that it does not have
            continue
        record = {
            _titled(features, key): str(features[key].values[place[key]])
            if key == "result"
            else rounded(float(features[key].values[place[key]]), 4)
            for key in keys
        }
        alike = features.attrs["members"][place["result"]] == DRAW
        record |= {
            _titled(features, n): _entry(row, n + end, alike=alike) for n in order
        }
        records.append(record)
    if not records:
        return ["none"]
    kept, left_out = narrowed(text_table(records), len(keys) + 1)
    lines = lines_of(kept)
    if left_out:
        shown = ", ".join(title.partition(" [")[0] for title in left_out)
        lines.append(f"not shown: {shown} (all: `mir21sim compare … -o features.csv`)")
    return lines


def _names(features: xr.Dataset) -> list[str]:
    """Return the features of a table."""
    return [str(n).removesuffix(CHANGE) for n in features if str(n).endswith(CHANGE)]


def _titled(features: xr.Dataset, name: str) -> str:
    """Return 'name [unit]' over a column."""
    if name == "result":
        return name
    unit = str(features[name].attrs.get("units", ""))
    return f"{without_hours(name)} [{unit}]" if unit else without_hours(name)


def _entry(row: xr.Dataset, name: str, *, alike: bool) -> str:
    """Return a middle with the ends of its 95 % band.

    Parameters
    ----------
    alike : whether a band of no width says that all members are alike, as over draws;
        over cells it says that nothing is told from the drawing of cells
    """
    middle, low, high = (float(row[name + end]) for end in ("", "_low", "_high"))
    if middle != middle:
        return ABSENT
    if alike and high - low <= 1e-9 * abs(middle):
        return rounded(middle)
    return f"{rounded(middle)} ({ends_text(middle, low, high)})"
