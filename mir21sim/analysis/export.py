"""Results as files for other programs: wide tables for Prism and Excel, and more."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import pandas as pd
import xarray as xr

from mir21sim import files
from mir21sim.analysis.curves import quantity
from mir21sim.analysis.tables import write_csv
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.simulation import dataset, omex
from mir21sim.simulation.translate import CELL

Layout: TypeAlias = Literal["wide", "long"]
KINDS = (".nc", ".zarr", ".csv", ".xlsx", ".omex")

_SHEET_LENGTH = 31
"""Longest name of a sheet that Excel takes."""


def wide_table(result: xr.Dataset, observe: str) -> pd.DataFrame:
    """Return one quantity with a row for each time and a column for each run.

    Unlike cells are three columns for each dose: mean, SD and n, as Prism takes them.

    Examples
    --------
    >>> import numpy as np
    >>> result = xr.Dataset(
    ...     {"A": (("dose", "time"), [[1.0, 2.0], [3.0, 4.0]])},
    ...     {"dose": ("dose", [0.0, 5.0], {"units": "nM"}), "time": [0.0, 1.0]},
    ... )
    >>> wide_table(result, "A").columns.tolist()
    ['time', 'dose = 0 nM', 'dose = 5 nM']
    """
    curves = quantity(result, observe)
    dims = [str(d) for d in curves.dims if d != "time"]
    unit = result["time"].attrs.get("units", "")
    times = result["time"].to_series().reset_index(drop=True)
    table = pd.DataFrame({f"time [{unit}]" if unit else "time": times})
    shown = _of_cells(curves) if CELL in dims else {observe: curves}
    return pd.concat(
        [table, *(_columns(result, *item) for item in shown.items())], axis=1
    )


def _of_cells(curves: xr.DataArray) -> dict[str, xr.DataArray]:
    """Return mean, SD and number of the cells, without those that failed."""
    return {
        "mean": curves.mean(CELL),
        "SD": curves.std(CELL, ddof=1),
        "n": curves.count(CELL),
    }


def _columns(result: xr.Dataset, name: str, curves: xr.DataArray) -> pd.DataFrame:
    """Return the curves of all runs as columns."""
    dims = [str(d) for d in curves.dims if d != "time"]
    if not dims:
        return pd.DataFrame({name: curves.values})
    stacked = curves.stack(run=dims).transpose("time", "run")
    keys = stacked["run"].values
    columns = [_run_name(result, dims, key) for key in keys]
    if name in ("mean", "SD", "n"):
        columns = [f"{column}, {name}" for column in columns]
    return pd.DataFrame(stacked.values, columns=columns)


def _run_name(result: xr.Dataset, dims: Sequence[str], key: tuple[object, ...]) -> str:
    """Return 'anti_miR21 = 10 nM, TRAIL = 50 ng/ml' for one run."""
    parts = []
    for name, value in zip(dims, key, strict=True):
        shown = f"{value:g}" if isinstance(value, (int, float)) else str(value)
        parts.append(f"{name} = {shown} {result[name].attrs.get('units', '')}".strip())
    return ", ".join(parts)


def quantities_of(result: xr.Dataset) -> list[str]:
    """Return the names of the quantities of a result."""
    return [str(n) for n in result.data_vars if "time" in result.variables[n].dims]


def export(
    result: xr.Dataset,
    path: str | Path,
    *,
    observe: Sequence[str] | None = None,
    layout: Layout = "wide",
) -> Path:
    """Write quantities of a result as CSV or as an Excel workbook.

    Parameters
    ----------
    path : ``.csv``, or ``.xlsx`` with a sheet for each quantity
    observe : quantities; by default all; a wide CSV holds one
    layout : "wide" (a row for each time, a column for each run) or "long" (a row for
        each run and time, a column for each quantity)

    Raises
    ------
    InputError
        For an unknown quantity, a result without curves, several quantities in one
        wide CSV, or a path that cannot be written.

    Examples
    --------
    >>> import mir21sim as ms
    >>> import tempfile
    >>> from pathlib import Path
    >>> import xarray as xr
    >>> result = xr.Dataset({"A": ("time", [1.0, 2.0])}, {"time": [0.0, 1.0]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = ms.export(result, Path(folder) / "a.csv")
    ...     print(path.read_text(encoding="utf-8").split())
    ['time,A', '0.0,1.0', '1.0,2.0']
    """
    result = _over_time(result)
    path = files.check_writable(path, (".csv", ".xlsx"))
    if layout not in ("wide", "long"):
        raise UnknownNameError("layout", layout, ("wide", "long"))
    names = [str(quantity(result, n).name) for n in observe or quantities_of(result)]
    if path.suffix.lower() == ".xlsx":
        return _write_workbook(result, path, names, layout)
    if layout == "long":
        return write_csv(_long(result, names), path)
    if len(names) != 1:
        raise InputError(
            f"A wide CSV holds one quantity, got {len(names)}: name one, write .xlsx "
            "(a sheet for each), or use the long layout."
        )
    return write_csv(wide_table(result, names[0]), path)


def _over_time(result: xr.Dataset) -> xr.Dataset:
    """Return curves over ``time``; those of a dish count it from a dose (``after``)."""
    if "time" not in result.dims and "after" in result.dims:
        return result.rename(after="time")
    if "time" not in result.dims:
        raise InputError(
            "An export needs curves over `time`, got a result with the dimensions "
            f"{', '.join(map(str, result.dims)) or 'none'}; write tables of features "
            "with pandas (`result.to_dataframe()`)."
        )
    return result


def _long(result: xr.Dataset, names: Sequence[str]) -> pd.DataFrame:
    return dataset.result_frame(result[[*names]])


def _write_workbook(
    result: xr.Dataset, path: Path, names: Sequence[str], layout: Layout
) -> Path:
    tables = {"about": _about(result)}
    if layout == "long":
        tables["data"] = _long(result, names)
    else:
        for name in names:
            tables[_sheet_name(name, tables)] = wide_table(result, name)
    try:
        with files.writing(path) as part, pd.ExcelWriter(part, "openpyxl") as book:
            for sheet, table in tables.items():
                table.to_excel(book, sheet_name=sheet, index=False)
    except ModuleNotFoundError as error:
        raise InputError(
            'Excel workbooks need the extra `excel`: pip install "mir21sim[excel]".'
        ) from error
    return path


def _sheet_name(name: str, taken: dict[str, pd.DataFrame]) -> str:
    """Return a sheet name that Excel takes: short, without brackets, and new."""
    for sign in r"[]:*?/\ ".strip():
        name = name.replace(sign, "_")
    name = name[:_SHEET_LENGTH]
    k = 2
    known = {sheet.lower() for sheet in taken}
    while name.lower() in known:
        name = f"{name[: _SHEET_LENGTH - 3]}_{k}"
        k += 1
    return name


def _about(result: xr.Dataset) -> pd.DataFrame:
    """Return the summary and the units of a result as a table."""
    rows = [
        {"name": key, "value": str(result.attrs[key])}
        for key in ("summary", "title", "model_id", "context", "method", "created")
        if key in result.attrs
    ]
    rows += [
        {"name": f"unit of {name}", "value": result[name].attrs.get("units", "")}
        for name in quantities_of(result)
    ]
    return pd.DataFrame(rows)


def save(
    result: xr.Dataset, path: str | Path, model: CompiledModel | None = None
) -> Path:
    """Write a result; the ending decides the format.

    Parameters
    ----------
    path : ``.nc`` or ``.zarr`` (everything, can be run again), ``.csv`` (long table),
        ``.xlsx`` (a sheet for each quantity) or ``.omex`` (COMBINE archive of one run)
    model : that the result was made with; by default it is loaded again by its name

    Raises
    ------
    InputError
        When the path cannot be written, or the model cannot be found by its name.

    Examples
    --------
    >>> import tempfile
    >>> from mir21sim.compiler.load import load
    >>> from mir21sim.simulation.simulate import simulate
    >>> model = load("earm_1_3", backend="numpy")
    >>> result = simulate(model, "1 min", points=2, observe="L")
    >>> save(result, Path(tempfile.mkdtemp()) / "run.nc", model).name
    'run.nc'
    """
    path = dataset.check_place(path, KINDS)
    kind = path.suffix.lower()
    if kind in (".csv", ".xlsx"):
        return export(result, path, layout="long" if kind == ".csv" else "wide")
    used = model or _model_of(result)
    if kind == ".omex":
        return omex.save_archive(result, used, path)
    return dataset.save(result, path, used.source)


def _model_of(result: xr.Dataset) -> CompiledModel:
    """Return the shipped model of a result, after checking that it is the same one."""
    from mir21sim.compiler.load import load
    from mir21sim.model.files import BASE, shipped

    name = str(result.attrs.get("model_id", ""))
    if name in shipped():
        backend = json.loads(result.attrs.get("provenance", "{}")).get("backend")
        model = load(
            name,
            result.attrs.get("context") or BASE,
            backend="numpy" if backend == "numpy" else "numba",
        )
        if model.digest == result.attrs.get("model_sha256"):
            return model
    raise InputError(
        f"The model `{name}` of the result is not a shipped one, or has changed: give "
        "the model that it was made with (`save(result, path, model)`)."
    )
