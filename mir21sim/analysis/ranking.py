"""Derivatives ranked: which numbers an output depends on, as table and pictures."""

import textwrap

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mir21sim._typing import FloatArray
from mir21sim.analysis.plot_style import new_axes
from mir21sim.analysis.tables import lines_of, text_table
from mir21sim.errors import InputError

SHOWN = 20
"""Numbers in a table or picture; the others are counted."""

STATUS_COLOURS = {
    "measured": "#0072B2",
    "derived": "#56B4E9",
    "fitted": "#009E73",
    "assumed": "#E69F00",
    "": "#999999",
}
"""How well a number is known (``parameters.tsv``), as a colour."""

LEAST = 1e-4
"""Share of the largest derivative below which a number is not listed."""


def ranked(result: xr.Dataset, of: str) -> pd.DataFrame:
    """Return the numbers by the size of their logarithmic derivative, largest first.

    Parameters
    ----------
    result : from ``sensitivities``
    of : a feature; or a quantity, whose largest derivative over time counts

    Returns
    -------
    DataFrame with number, log_derivative, derivative, nominal, unit, status, source

    Raises
    ------
    InputError
        For a feature or quantity that the result does not have.
    """
    log, plain = _derivatives(result, of)
    frame = pd.DataFrame(
        {
            "number": result["number"].values,
            "log_derivative": log,
            "derivative": plain,
            **{
                name: result[name].values
                for name in ("nominal", "unit", "status", "source")
            },
        }
    )
    order = np.argsort(-np.abs(log), kind="stable")  # NaN comes last
    return frame.iloc[order].reset_index(drop=True)


def _derivatives(result: xr.Dataset, of: str) -> tuple[FloatArray, FloatArray]:
    """Return the logarithmic and the absolute derivative by each number."""
    if "feature" in result.coords and of in result["feature"].values:
        row = result.sel(feature=of)
        return row["log_derivative"].values, row["derivative"].values
    if f"dlog_{of}" not in result:
        known = [str(x) for x in result.coords.get("feature", xr.DataArray([])).values]
        known += [str(x)[5:] for x in result.data_vars if str(x).startswith("dlog_")]
        raise InputError(f"`{of}` is not in the result, which has {', '.join(known)}.")
    log, plain = result[f"dlog_{of}"].values, result[f"d_{of}"].values
    # A logarithmic derivative says little where the quantity is next to zero.
    size = np.abs(result[of].values)
    seen = size > 1e-3 * size.max(initial=0.0)
    sizes = np.where(seen & np.isfinite(log), np.abs(log), -1.0)
    # A curve without a derivative from some moment on has no largest one.
    sizes[np.isnan(plain)] = np.inf
    place = sizes.argmax(axis=1)
    rows = np.arange(len(log))
    return log[rows, place], plain[rows, place]


def outputs_of(result: xr.Dataset) -> list[str]:
    """Return the features, then the quantities, of a result."""
    found = [str(x) for x in result["feature"].values] if "feature" in result else []
    return found + [str(x)[5:] for x in result.data_vars if str(x).startswith("dlog_")]


def ranking_text(result: xr.Dataset, of: str, shown: int = SHOWN) -> str:
    """Return a ranked table as text, with the status and source of each number."""
    frame = ranked(result, of)
    head = _head(result, of)
    note = _note(result, of)
    if note:
        return f"{head}\n  {note}"
    size = frame["log_derivative"].abs()
    listed = frame[size > LEAST * size.max()]
    rows = [
        {
            "d ln/d ln": f"{row['log_derivative']:+.3f}",
            "number": row["number"],
            "value": f"{row['nominal']:.4g} {row['unit']}".strip(),
            "status": row["status"] or "–",
            "source": textwrap.shorten(str(row["source"]), 50, placeholder="…"),
        }
        for _, row in listed.head(shown).iterrows()
    ]
    lines = [head, *(f"  {line}" for line in lines_of(text_table(rows)))]
    reason = result.attrs.get("reason", "")
    unknown = frame["number"][frame["derivative"].isna()]
    left = len(frame) - len(unknown) - min(len(listed), shown)
    if left:
        smallest = size.loc[listed.head(shown).index].min()
        lines.append(f"  {left} more numbers, each below {smallest:.2g}")
    without = int((result["effect"] == "none").sum())
    if without:
        plural = "" if without == 1 else "s"
        lines.append(
            f"  nothing asked for depends on {without} number{plural} "
            "(column `effect` of the file)"
        )
    if len(unknown) and reason:
        lines.append(f"  no derivative by {', '.join(unknown)}: {reason}")
    return "\n".join(lines)


def _head(result: xr.Dataset, of: str) -> str:
    if "feature" in result.coords and of in result["feature"].values:
        row = result.sel(feature=of)
        value = f" = {float(row['value']):.6g} {row['feature_unit'].item()}".rstrip()
    else:
        value = ", largest over time"
    way = {"tangents": "exact", "differences": "by central differences"}
    kind = way[result.attrs["derivatives"]]
    return f"{of}{value}: relative change per relative change of a number, {kind}"


def _note(result: xr.Dataset, of: str) -> str:
    if "feature" in result.coords and of in result["feature"].values:
        row = result.sel(feature=of)
        if not np.isfinite(row["log_derivative"]).any():
            return str(row["note"].item()) or "The value is 0: no relative change."
    return ""


_LEADING = {"morris": "mu_star", "sobol": "ST"}
"""Measure by which numbers are ranked, of each method over ranges."""

_GLOBAL_LABELS = {
    "mu_star": "mean absolute elementary effect μ* (Morris)",
    "sigma": "spread of the effects σ: interactions and bends",
    "S1": "share of the variance by the number alone (Sobol S1)",
    "ST": "share of the variance with all interactions (Sobol ST)",
}


def _by_leading(result: xr.Dataset, of: str) -> tuple[pd.DataFrame, str]:
    """Return the measures of a feature, largest first, and by which one."""
    leading = _LEADING[str(result.attrs["method"])]
    measures = [str(n) for n in result.data_vars if "number" in result[n].dims]
    frame = result[measures].sel(feature=of, drop=True).to_dataframe().reset_index()
    return frame.sort_values(leading, ascending=False, kind="stable"), leading


def global_text(result: xr.Dataset, of: str, shown: int = SHOWN) -> str:
    """Return the ranked measures of Morris or Sobol as a table of text.

    Parameters
    ----------
    result : from ``global_sensitivities``
    of : one of its features
    """
    frame, _ = _by_leading(result, of)
    row = result.sel(feature=of)
    head = (
        f"{of}: {result.attrs['method']}, {int(row['n_used'])} of "
        f"{result.attrs['n_runs']} runs analysed"
    )
    failed = int(row["n_failed"])
    if failed:
        head += f"; {failed} failed or have no such feature"
    rows = [
        {
            str(name): value if name == "number" else f"{value:.3g}"
            for name, value in record.items()
        }
        for record in frame.head(shown).to_dict("records")
    ]
    lines = [head, *(f"  {line}" for line in lines_of(text_table(rows)))]
    left = len(frame) - shown
    return "\n".join([*lines, f"  {left} more numbers"] if left > 0 else lines)


def plot_global(result: xr.Dataset, of: str, shown: int = SHOWN) -> Figure:
    """Draw the measures of Morris or Sobol of the leading numbers as bars."""
    frame, leading = _by_leading(result, of)
    other = "sigma" if leading == "mu_star" else "S1"
    frame = frame.head(shown)[::-1]
    ax = new_axes(7.6, 1.6 + 0.3 * max(len(frame), 4))
    place = np.arange(len(frame))
    for name, shift, colour in ((leading, 0.2, "#0072B2"), (other, -0.2, "#E69F00")):
        spread = frame.get(f"{name}_conf")
        ax.barh(
            place + shift,
            frame[name],
            0.38,
            xerr=None if spread is None else spread.to_numpy(),
            color=colour,
            error_kw={"elinewidth": 0.8, "ecolor": "0.3"},
            label=_GLOBAL_LABELS[name],
        )
    ax.set_yticks(place, frame["number"], fontsize=8)
    ax.axvline(0.0, color="0.3", linewidth=0.8)
    unit = "" if leading == "ST" else f", in units of {of}"
    ax.set_xlabel(f"effect on {of} over the ranges{unit}")
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    ax.set_title(
        f"{result.attrs['n_runs']} runs; lines: 95 % intervals", fontsize=9, loc="left"
    )
    figure = ax.figure
    assert isinstance(figure, Figure)
    return figure


def plot_tornado(result: xr.Dataset, of: str, shown: int = SHOWN) -> Figure:
    """Draw the largest logarithmic derivatives as bars, coloured by status."""
    frame = ranked(result, of).head(shown)
    frame = frame[frame["log_derivative"].abs() > 0][::-1]
    ax = new_axes(7.6, 1.4 + 0.26 * max(len(frame), 4))
    colours = [STATUS_COLOURS.get(s, STATUS_COLOURS[""]) for s in frame["status"]]
    ax.barh(frame["number"], frame["log_derivative"], color=colours, height=0.72)
    ax.axvline(0.0, color="0.3", linewidth=0.8)
    ax.set_xlabel(f"d ln {of} / d ln number")
    ax.tick_params(axis="y", length=0, labelsize=8)
    ax.margins(y=0.01)
    ax.grid(axis="x", color="0.9", linewidth=0.6)
    ax.set_axisbelow(True)
    used = [s for s in STATUS_COLOURS if s in set(frame["status"])]
    if used:
        handles = [
            Patch(color=STATUS_COLOURS[s], label=s or "no source given") for s in used
        ]
        ax.legend(handles=handles, frameon=False, fontsize=8, loc="best")
    ax.set_title(_title(result), fontsize=9, loc="left")
    figure = ax.figure
    assert isinstance(figure, Figure)
    return figure


def plot_heat_map(result: xr.Dataset, of: str, shown: int = SHOWN) -> Figure:
    """Draw the logarithmic derivatives of a quantity over time, a row a number.

    Times at which the quantity is below a thousandth of its largest value are left
    out: relative changes of traces say little.

    Raises
    ------
    InputError
        For a feature, which has no time.
    """
    if f"dlog_{of}" not in result:
        raise InputError(f"`{of}` is no quantity over time in this result.")
    names = ranked(result, of)["number"].head(shown)
    size = np.abs(result[of].values)
    log = result[f"dlog_{of}"].sel(number=list(names)).values
    log = np.where(size > 1e-3 * size.max(initial=0.0), log, np.nan)
    ax = new_axes(7.6, 1.6 + 0.26 * len(names))
    limit = float(np.nanquantile(np.abs(log), 0.99)) if np.isfinite(log).any() else 1.0
    limit = limit or 1.0
    times = result["time"].values
    mesh = ax.pcolormesh(
        times,
        np.arange(len(names)),
        log,
        cmap="RdBu_r",
        norm=TwoSlopeNorm(0.0, -limit, limit),
        shading="nearest",
    )
    ax.set_yticks(np.arange(len(names)), list(names), fontsize=8)
    ax.invert_yaxis()
    ax.set_facecolor("0.92")
    seen = times[np.isfinite(log).any(axis=0)]
    if seen.size > 1:
        ax.set_xlim(seen[0], seen[-1])
    ax.set_xlabel(f"time ({result['time'].attrs.get('units', 'h')})")
    bar = ax.figure.colorbar(mesh, ax=ax, extend="both", pad=0.02)
    bar.set_label(f"d ln {of} / d ln number", fontsize=8)
    ax.set_title(_title(result), fontsize=9, loc="left")
    figure = ax.figure
    assert isinstance(figure, Figure)
    return figure


def _title(result: xr.Dataset) -> str:
    context = result.attrs.get("context", "")
    name = str(result.attrs.get("model_id", ""))
    return f"{name}, {context}" if context else name
