"""Results and features ↔ tables for other programs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from mir21sim import files, units
from mir21sim.analysis.cell_death import EXPOSED, death_records
from mir21sim.analysis.curves import RESPONSE_NAMES, quantity, time_unit
from mir21sim.analysis.dead_share import dead_share
from mir21sim.analysis.set_bands import UNTOLD, ends_text
from mir21sim.analysis.text_tables import TextTable as TextTable
from mir21sim.analysis.text_tables import lines_of as lines_of
from mir21sim.analysis.text_tables import narrowed
from mir21sim.simulation.stored_features import FEATURES
from mir21sim.units import rounded

#: Dimensions of every population.
_OWN = ("cell", "time")
#: Columns of ``death_records`` that are times, h.
_TIMES = ("mean_h", "p10_h", "half_h", "p90_h")
_NO_DEATHS = "no cell dies at any of these doses"


def records_frame(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return records (one mapping a row) as a table."""
    return pd.DataFrame.from_records([dict(record) for record in records])


def text_table(
    table: pd.DataFrame | Sequence[Mapping[str, Any]],
    caption: str = "",
    titles: Mapping[str, str] | None = None,
) -> TextTable:
    """Return a table, or records, as texts: 4 digits, a dash where there is no value.

    Parameters
    ----------
    titles : column to the words over it; by default its name
    """
    frame = table if isinstance(table, pd.DataFrame) else records_frame(table)
    numeric = [
        k
        for k, column in enumerate(frame.columns)
        if pd.api.types.is_numeric_dtype(frame[column])
        and not pd.api.types.is_bool_dtype(frame[column])
    ]
    return TextTable(
        titles=tuple((titles or {}).get(str(c), str(c)) for c in frame.columns),
        rows=tuple(
            tuple(_cell(value) for value in row)
            for row in frame.itertuples(index=False, name=None)
        ),
        numeric=frozenset(numeric),
        caption=caption,
    )


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return "∞" if value is not None and value > 0 else "–"
    return units.rounded(value + 0.0, 4) if isinstance(value, float) else str(value)


def feature_frame(features: xr.Dataset) -> pd.DataFrame:
    """Return compared features in long form, one row a run; the response repeats."""
    names = [n for n in (*FEATURES, "note", *RESPONSE_NAMES) if n in features]
    frame = features[names].to_dataframe().reset_index()
    keys = [str(d) for d in features["peak"].dims]
    frame = frame[[*keys, *names]]
    if features.attrs["time_unit"] == "h":
        return frame
    return frame.rename(columns={n: without_hours(n) for n in names})


def without_hours(name: str) -> str:
    """Return a feature's name without the unit of our models' times."""
    return name.removesuffix("_per_h").removesuffix("_h")


#: Features in the order in which a narrow table has room for them.
FIRST = (
    "peak", "peak_time", "t_half", "switch_time", "area", "final_fraction", "baseline",
    "lag", "max_rate",
)  # fmt: skip


def feature_text(features: xr.Dataset) -> str:
    """Return compared features as a table with units, the dose–response below.

    The table has the columns that fit into 80 characters; the others are named.
    """
    short = {n: without_hours(n) for n in FEATURES}
    frame = feature_frame(features).rename(columns=short)
    keys = [str(d) for d in features["peak"].dims if d != "result"]
    clock = features.attrs["time_unit"]
    shown = [name for name in FIRST if name in frame]
    sources = {short.get(n, n): n for n in (*FEATURES, *keys)}
    renamed = {
        name: f"{name} [{features[sources[name]].attrs.get('units', '')}]"
        for name in (*shown, *keys)
    }
    one_sweep = keys and features.sizes["result"] == 1
    only = keys if one_sweep else ["result", *keys]
    table = text_table(frame[[*only, *shown]], titles=renamed)
    kept, left_out = narrowed(table, len(only) + 1)
    lines = [
        (
            f"{features.attrs['observe']}, times from {features.attrs['since_h']:g} "
            f"{clock}"
        ),
        *lines_of(kept),
    ]
    if left_out:
        lines.append(
            f"not shown: {', '.join(left_out)} (all: `mir21sim compare FILE -o "
            "features.csv`)"
        )
    notes = frame.loc[frame["note"] != "", ["result", *keys, "note"]]
    if len(notes):
        lines.append(
            "note: " + "; ".join(_sentence(row, keys) for _, row in notes.iterrows())
        )
    coarse = features.attrs["resolution_h"]
    if bool((features["switch_time_h"] < 2 * coarse).any()):
        lines.append(
            f"note: some switching times are below two output steps ({rounded(coarse)} "
            f"{clock} each); simulate with more points to resolve them"
        )
    if "EC50" in features:
        lines += response_lines(features)
    return "\n".join(lines)


def _sentence(row: "pd.Series[Any]", keys: list[str]) -> str:
    where = ", ".join(f"{key} = {row[key]}" for key in keys)
    return f"{row['result']} {where}: {row['note']}".strip()


def response_lines(features: xr.Dataset) -> list[str]:
    """Return one line a dose–response, and one with its plateaus and slope."""
    frame = features[list(RESPONSE_NAMES)].to_dataframe().reset_index()
    frame = frame[
        frame["dose_response_summary"].map(lambda text: isinstance(text, str))
    ]
    keys = [c for c in frame.columns if c not in RESPONSE_NAMES]
    lines = []
    for _, row in frame.iterrows():
        where = ", ".join(_named(key, row[key], features) for key in keys)
        text = f"{where}: {features.attrs['response']}: {row['dose_response_summary']}"
        numbers = [
            f"{label} = {row[name]:.4g}"
            for name, label in (("E0", "E0"), ("Emax", "Emax"), ("Hill", "slope"))
            if np.isfinite(row[name])
        ]
        lines.append(f"{text} ({', '.join(numbers)})" if numbers else text)
    return lines


def _named(key: str, value: Any, features: xr.Dataset) -> str:
    """Return a label of a result, or a swept name with its value and unit."""
    if key == "result":
        return str(value)
    unit = features[key].attrs.get("units", "")
    return f"{key} = {value:g} {unit}".strip()


def write_csv(frame: pd.DataFrame, path: str | Path, note: str = "") -> Path:
    """Write a table as CSV, in one move, with an optional first line ``# note``.

    Texts that a spreadsheet would take for a formula get an apostrophe in front, which
    spreadsheets do not show.

    Raises
    ------
    InputError
        When the path cannot be written.
    """
    path = Path(path)
    with files.writing(path) as part:
        table = _without_formulas(frame).to_csv(index=False, lineterminator="\n")
        part.write_text(f"# {note}\n{table}" if note else table, encoding="utf-8")
    return path


def _without_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table without texts that begin as formulas of spreadsheets do."""
    safe = frame.rename(columns=files.no_formula)
    for column in safe.select_dtypes(include=["object", "string", "category"]):
        if safe[column].map(lambda v: v is not files.no_formula(v)).any():
            safe[column] = safe[column].astype(object).map(files.no_formula)
    return safe


def death_text(
    result: xr.Dataset,
    observe: str = EXPOSED,
    *,
    since: float | str = 0.0,
    share: xr.Dataset | None = None,
) -> str:
    """Return dead cells and death times as lines; a table where a dose is swept.

    Parameters
    ----------
    share : from ``dead_share`` of the same, where it is at hand
    """
    clock = time_unit(result)
    start = units.time_in(since, clock, "since")
    length = float(result["time"][-1]) - start
    records = death_records(result, observe, since=start)
    swept = [str(d) for d in quantity(result, observe).dims if d not in _OWN]
    if share is None:
        share = dead_share(result, observe, since=start)
    last = share.isel(after=-1)
    parts = [last[f"dead{end}"].values.ravel() for end in ("", "_low", "_high")]
    ends = [
        ends_text(float(middle), float(low), float(high), ".0f")
        for middle, low, high in zip(*parts, strict=True)
    ]
    if swept:
        frame = pd.DataFrame(records)
        frame["dead"] = parts[0]
        frame.insert(list(frame).index("dead") + 1, "band", ends)
        names = {"dead": "dead [%]", "band": "band [%]"}
        names |= {name: f"{name.removesuffix('_h')} [{clock}]" for name in _TIMES}
        names |= {d: f"{d} [{result[d].attrs.get('units', '1')}]" for d in swept}
        table = frame.drop(columns=[] if frame["lost"].any() else ["lost"])
        body = "\n".join(lines_of(text_table(table, titles=names)))
        none = f"\n{_NO_DEATHS}" if (frame["dead"] == 0).all() else ""
        return (
            f"cells that live at {start:g} {clock}, dead of them within "
            f"{length:g} {clock}, and "
            f"their time of death\n{body}\nband: {share.attrs['band']}{none}"
        )
    (found,) = records
    n_dead = round(found["dead"] * found["cells"]) if found["cells"] else 0
    alive = f"{found['cells']} of {result.sizes['cell']} cells live"
    lines = [f"{alive} at {start:g} {clock}"]
    if found["cells"]:
        lines.append(
            f"{n_dead} of them ({found['dead']:.1%}) die within {length:g} {clock}"
        )
    if n_dead:
        told = "spread not told from the drawing of cells"
        shown = told if ends[0] == UNTOLD else f"{ends[0]} %"
        lines.append(f"share that dies: {shown} ({share.attrs['band']})")
    if found["cells"] and not n_dead:
        lines[1] = f"no cell dies within {length:g} {clock}"
    if n_dead > 1:
        lines.append(
            f"time of death: mean {rounded(found['mean_h'])} {clock}, "
            f"CV {found['CV']:.2f}; 10 % by {rounded(found['p10_h'])} {clock}, half by "
            f"{rounded(found['half_h'])} {clock}, 90 % by "
            f"{rounded(found['p90_h'])} {clock}"
        )
    if found["lost"]:
        lines.append(f"{found['lost']} cells could not be followed to the end")
    return "\n".join(lines)
