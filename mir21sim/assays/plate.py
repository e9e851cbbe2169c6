"""Plates: caspase-3/7 activity and viability by luminescence, plate maps. Layer 15.

The cells of a well are lysed together, so a well reads the mean of its dish times the
cells in it. A dish is cells of the experiment; wells of one dish differ by noise alone.
"""

import csv
import io
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mir21sim import results
from mir21sim._typing import FloatArray
from mir21sim.assays.assay import (
    Reading,
    at_time,
    control_of,
    dish_mean,
    dishes_of,
    lognormal,
    no_signal,
    own,
    replicates_of,
    stream,
)
from mir21sim.assays.noise import PlateNoise
from mir21sim.assays.statistics import Test, summary_rows
from mir21sim.bench import Sample
from mir21sim.compare import HillFit, fit_hill
from mir21sim.compiled import CompiledModel, unique
from mir21sim.errors import InputError, UnknownNameError, hint
from mir21sim.plotting import OVERLAY_COLOURS

ROWS = {96: 8, 384: 16}
COLUMNS = {96: 12, 384: 24}
MAP_COLUMNS = ("row", "column", "contents", "dose")
BLANK, EMPTY = "blank", "empty"
"""Contents of a well with reagents but no cells, and of one with nothing."""


# --------------------------------------------------------------------------- plate maps
@dataclass(frozen=True, slots=True)
class Well:
    """One well: where it is and what is in it.

    Attributes
    ----------
    row : "A" to "H" or "P"; column : 1 to 12 or 24
    contents : treatment of the experiment, "blank" or "empty"
    dose : of that treatment, in its unit; NaN for none
    """

    row: str
    column: int
    contents: str
    dose: float = math.nan

    @property
    def place(self) -> str:
        """Row and column, ``B7``."""
        return f"{self.row}{self.column}"

    @property
    def sample(self) -> tuple[str, float | None]:
        """Contents and dose, None where it has none."""
        return self.contents, None if math.isnan(self.dose) else self.dose


@dataclass(frozen=True, slots=True)
class PlateMap:
    """What is in every well of a 96- or 384-well plate.

    Raises
    ------
    InputError
        For a well that is missing, given twice or not on the plate.
    """

    wells: tuple[Well, ...]
    size: int = 96

    def __post_init__(self) -> None:
        if self.size not in ROWS:
            raise InputError(f"A plate has 96 or 384 wells, got {self.size}.")
        seen: set[str] = set()
        places = _places(self.size)
        for well in self.wells:
            if well.place not in places:
                raise InputError(
                    f"The well {well.place} is not on a plate of {self.size} wells "
                    f"({places[0]} to {places[-1]})."
                )
            if well.place in seen:
                raise InputError(
                    f"The well {well.place} is given twice; each must stand once."
                )
            seen.add(well.place)
        missing = [place for place in places if place not in seen]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise InputError(
                f"The plate map lacks the well {missing[0]}{more}; a well that is not "
                f"used has the contents `{EMPTY}`."
            )

    def is_edge(self, well: Well) -> bool:
        """Say whether a well lies on the rim of the plate."""
        rows, columns = ROWS[self.size], COLUMNS[self.size]
        return well.row in ("A", _letter(rows - 1)) or well.column in (1, columns)


def _letter(k: int) -> str:
    return chr(ord("A") + k)


def _places(size: int) -> list[str]:
    return [
        f"{_letter(r)}{c}"
        for r, c in itertools.product(range(ROWS[size]), range(1, COLUMNS[size] + 1))
    ]


def layout(
    samples: Iterable[tuple[str, float]], replicates: int = 3, size: int = 96
) -> PlateMap:
    """Return a plate with replicates side by side and as many blanks, off the rim.

    The rim is used where the inside is too small; what is left is empty.

    Parameters
    ----------
    samples : (contents, dose) of each, dose NaN for none

    Raises
    ------
    InputError
        When they do not fit.
    """
    if size not in ROWS:
        raise InputError(f"A plate has 96 or 384 wells, got {size}.")
    wanted = [(BLANK, math.nan), *samples]
    rows, columns = ROWS[size], COLUMNS[size]
    inside = list(itertools.product(range(1, rows - 1), range(2, columns)))
    whole = list(itertools.product(range(rows), range(1, columns + 1)))
    places = inside if len(wanted) * replicates <= len(inside) else whole
    if len(wanted) * replicates > len(places):
        raise InputError(
            f"{len(wanted)} samples (blanks counted) in {replicates} replicates need "
            f"{len(wanted) * replicates} wells; a plate of {size} has {len(places)}."
        )
    filled = [sample for sample in wanted for _ in range(replicates)]
    used = dict(zip(places, filled, strict=False))
    return PlateMap(
        tuple(
            Well(_letter(r), c, *used.get((r, c), (EMPTY, math.nan))) for r, c in whole
        ),
        size,
    )


def read_plate_map(path: str | Path) -> PlateMap:
    """Read a plate map: CSV with the columns row, column, contents, dose.

    A plate of 96 or 384 wells is told by how many rows the file has. An empty dose is
    none. Every well must stand once.

    Raises
    ------
    InputError
        For a missing file, an unknown column, a well that is missing, given twice or
        not on the plate, or a dose that is no number, by line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"The plate map `{path}` does not exist.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"`{path}` is not a CSV table: {error}.") from error
    reader = csv.DictReader(io.StringIO(text))
    names = [name.strip() for name in reader.fieldnames or ()]
    for name in names:
        if name not in MAP_COLUMNS:
            raise InputError(
                f"`{path}`: unknown column `{name}`. {hint(name, MAP_COLUMNS)}"
            )
    for name in MAP_COLUMNS:
        if name not in names:
            raise InputError(f"`{path}`: the column `{name}` is missing.")
    reader.fieldnames = names
    lines: dict[str, int] = {}
    wells = []
    for row in reader:
        well = _well(row, f"{path}, line {reader.line_num}")
        if well.place in lines:
            raise InputError(
                f"{path}, line {reader.line_num}: the well {well.place} was given in "
                f"line {lines[well.place]} already."
            )
        lines[well.place] = reader.line_num
        wells.append(well)
    size = 384 if len(wells) > ROWS[96] * COLUMNS[96] else 96
    try:
        return PlateMap(tuple(wells), size)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _well(row: Mapping[str | None, Any], place: str) -> Well:
    """Return one line of a plate map."""
    cells = {name: (row.get(name) or "").strip() for name in MAP_COLUMNS}
    if None in row:
        raise InputError(f"{place}: a line has {len(MAP_COLUMNS)} entries, got more.")
    letter, number = cells["row"].upper(), cells["column"]
    if len(letter) != 1 or not letter.isalpha() or not number.isdecimal():
        raise InputError(
            f"{place}: a well is a row letter and a column number, got "
            f"`{cells['row']}` and `{number}`."
        )
    if not cells["contents"]:
        raise InputError(
            f"{place}: the contents of {letter}{number} are missing; a well that is "
            f"not used has the contents `{EMPTY}`."
        )
    try:
        dose = float(cells["dose"]) if cells["dose"] else math.nan
    except ValueError as error:
        raise InputError(
            f"{place}: the dose must be a number, got `{cells['dose']}`."
        ) from error
    if cells["dose"] and not (math.isfinite(dose) and dose >= 0):
        raise InputError(f"{place}: the dose must be finite, 0 or more, got {dose}.")
    return Well(letter, int(number), cells["contents"], dose)


def write_plate_map(plate: PlateMap, path: str | Path) -> Path:
    """Write a plate map as CSV, which ``read_plate_map`` reads back the same."""
    path = results.check_writable(path, (".csv",))
    part = results.prepare_output(path)
    with part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(MAP_COLUMNS)
        for well in plate.wells:
            dose = "" if math.isnan(well.dose) else repr(well.dose)
            writer.writerow([well.row, well.column, well.contents, dose])
    part.replace(path)
    return path


# ------------------------------------------------------------------------------ reading
@dataclass(frozen=True, slots=True, eq=False)
class PlateReading(Reading):
    """A reading with the plate, its Z′ factor and the fits of its dose series.

    Attributes
    ----------
    z_prime : of `control` against `positive`; NaN where replicates are too few
    fits : treatment to the Hill curve through its doses, or the reason for none
    """

    plate: PlateMap = field(default_factory=lambda: layout([]))
    z_prime: float = math.nan
    fits: Mapping[str, HillFit] = field(default_factory=dict)
    unit: str = ""


def z_prime(negative: FloatArray, positive: FloatArray) -> float:
    """Return the Z′ factor of two controls, 1 − 3(SD₊ + SD₋)/|mean₊ − mean₋|.

    NaN for fewer than 2 wells of either, −inf for equal means.

    References
    ----------
    Zhang JH et al. 1999, J Biomol Screen 4:67, doi 10.1177/108705719900400206.

    Examples
    --------
    >>> round(z_prime(np.array([1.0, 2.0, 3.0]), np.array([20.0, 21.0, 22.0])), 3)
    0.684
    """
    if len(negative) < 2 or len(positive) < 2:
        return math.nan
    gap = abs(float(np.mean(positive) - np.mean(negative)))
    spread = float(np.std(positive, ddof=1) + np.std(negative, ddof=1))
    if gap == 0:
        return -math.inf
    return 1.0 - 3.0 * spread / gap


@dataclass(frozen=True, slots=True)
class PlateAssay:
    """Caspase-3/7 activity or viability, well by well.

    Parameters
    ----------
    kind : "caspase" (DEVD cleaved by free active caspase-3 and -7, alike) or
        "viability" (ATP or MTT: cells that neither expose PS nor are ruptured)
    plate : what is where; by default ``layout`` of all samples
    size : wells of the plate that is laid out
    time_h : when it is read; by default at the last time kept
    control : treatment that ratios are relative to; by default the first
    positive : treatment of the Z′ factor; by default the one farthest from the control
    cells_per_well : cells seeded
    edge : share by which wells on the rim read higher, as their medium dries (0: none)
    """

    kind: Literal["caspase", "viability"] = "caspase"
    plate: PlateMap | None = None
    size: int = 96
    time_h: float | None = None
    control: str | None = None
    positive: str | None = None
    cells_per_well: float = 10_000.0
    edge: float = 0.0
    noise: PlateNoise = field(default_factory=PlateNoise)

    def __post_init__(self) -> None:
        if self.kind not in ("caspase", "viability"):
            raise UnknownNameError("plate assay", self.kind, ("caspase", "viability"))
        if not (math.isfinite(self.cells_per_well) and self.cells_per_well > 0):
            raise InputError(
                f"`cells_per_well` must be above 0, got {self.cells_per_well}."
            )
        if not (math.isfinite(self.edge) and self.edge > -1):
            raise InputError(f"`edge` must be above -1, got {self.edge}.")

    @property
    def name(self) -> str:
        """``caspase`` or ``viability``."""
        return self.kind

    def needs(self, model: CompiledModel) -> tuple[str, ...]:
        """Return what the wells light up by; a model without is an error."""
        known = (*model.state_names, *model.assigned_names)
        found = tuple(name for name in _NEEDS[self.kind] if name in known)
        if not found or (self.kind == "viability" and len(found) < 2):
            raise InputError(
                f"The {self.kind} assay needs {', '.join(_NEEDS[self.kind])}, and "
                f"{model.id} lacks them."
            )
        return found

    def dishes(
        self, samples: Sequence[Sample], model: CompiledModel
    ) -> tuple[Sample, ...]:
        """Return none: the plate reads the samples of the experiment."""
        return ()

    def read(
        self,
        cells: xr.Dataset,
        *,
        noise: bool = True,
        seed: int = 0,
        replicates: int = 3,
        test: Test = "auto",
    ) -> PlateReading:
        """Return the signal of every well and of every sample.

        ``raw``: well, row, column, contents, dose, sample, edge, signal (RLU), net
        (without the mean of the blanks). ``summary``: one row a sample; mean and SD are
        of the net signal. `replicates` is how often each sample stands on the plate
        that is laid out; a plate given has its own.

        Raises
        ------
        UnknownNameError
            For a well whose contents are no treatment of the experiment.
        """
        part = at_time(dishes_of(cells), self.time_h)
        levels = self._levels(part)
        wells = replicates_of(noise, replicates)
        plate = self.plate or layout(
            [(name, math.nan if d is None else d) for name, d in levels],
            wells,
            self.size,
        )
        labels = self._labels(part)
        raw = self._wells(plate, levels, labels, seed, noise=noise)
        used = raw[raw["contents"] != BLANK]
        groups = {
            str(name): table["net"].to_numpy(dtype=float)
            for name, table in used.groupby("sample", sort=False)
        }
        control = control_of(tuple(groups), self._named(self.control, raw))
        floor = self.noise.detection_sd * self.noise.background_sd if noise else 0.0
        measurable = bool(groups[control].mean() > floor)
        rows = summary_rows(
            groups,
            control,
            test=test if noise else "none",
            measurable=measurable,
            keys={},
            label="sample",
        )
        about = used.drop_duplicates("sample").set_index("sample")
        for row in rows:
            row["contents"] = about.loc[row["sample"], "contents"]
            row["dose"] = about.loc[row["sample"], "dose"]
        notes = []
        if not measurable:
            notes.append(no_signal(control, self.kind))
        positive = self._named(self.positive, raw) or _farthest(groups, control)
        factor = z_prime(groups[control], groups[positive])
        if math.isfinite(factor):
            notes.append(f"Z′ = {factor:.2f} ({control} against {positive}).")
        units = [str(u) for u in part["dose_unit"].values if u]
        return PlateReading(
            self.name,
            raw,
            pd.DataFrame(rows),
            unique(notes),
            plate,
            factor,
            _fits(used),
            units[0] if units else "",
        )

    def _levels(self, part: xr.Dataset) -> dict[tuple[str, float | None], float]:
        """Return the mean signal of a cell of each sample, by treatment and dose."""
        if self.kind == "caspase":
            names = [name for name in _NEEDS["caspase"] if name in part]
            means = dish_mean(part, names) * self.noise.caspase_gain
        else:
            alive = (1.0 - part[_NEEDS["viability"][0]]) * (
                1.0 - part[_NEEDS["viability"][1]]
            )
            means = dish_mean(alive.to_dataset(name="alive"), ["alive"])
            means = means * self.noise.viability_gain
        return dict(zip(_keys(part), map(float, means), strict=True))

    def _labels(self, part: xr.Dataset) -> dict[tuple[str, float | None], str]:
        """Return the sample's name by treatment and dose."""
        names = [str(name) for name in part["sample"].values]
        return dict(zip(_keys(part), names, strict=True))

    def _named(self, wanted: str | None, raw: pd.DataFrame) -> str | None:
        """Return the sample that a treatment or sample name stands for."""
        if wanted is None or (raw["sample"] == wanted).any():
            return wanted
        match = raw.loc[raw["contents"] == wanted, "sample"]
        if len(match):
            return str(match.iloc[0])
        raise UnknownNameError("control on the plate", wanted, unique(raw["sample"]))

    def _wells(
        self,
        plate: PlateMap,
        levels: Mapping[tuple[str, float | None], float],
        labels: Mapping[tuple[str, float | None], str],
        seed: int,
        *,
        noise: bool,
    ) -> pd.DataFrame:
        """Return every well that is not empty with its signal."""
        rows = []
        for well in plate.wells:
            if well.contents == EMPTY:
                continue
            if well.contents == BLANK:
                level, sample = 0.0, BLANK
            else:
                if well.sample not in levels:
                    raise _unknown_contents(well, levels)
                level, sample = levels[well.sample], labels[well.sample]
            edge = plate.is_edge(well)
            signal = level * self.cells_per_well * (1.0 + self.edge * edge)
            if noise:
                signal = self._noisy(signal, well, seed)
            rows.append(
                {
                    "well": well.place,
                    "row": well.row,
                    "column": well.column,
                    "contents": well.contents,
                    "dose": well.dose,
                    "sample": sample,
                    "edge": edge,
                    "signal": signal,
                }
            )
        raw = pd.DataFrame(rows)
        if raw.empty or (raw["contents"] == BLANK).all():
            raise InputError("The plate map has no well with cells.")
        blanks = raw.loc[raw["contents"] == BLANK, "signal"]
        raw["net"] = raw["signal"] - (float(blanks.mean()) if len(blanks) else 0.0)
        return raw

    def _noisy(self, signal: float, well: Well, seed: int) -> float:
        """Return the reading of one well."""
        about = self.noise
        rng = stream(seed, self.name, well.place, *well.sample)
        cv = (about.seeding_cv, about.pipetting_cv, about.reader_cv)
        light = signal * math.prod(lognormal(rng, c) for c in cv)
        return light + about.background + about.background_sd * rng.standard_normal()

    def plot(self, reading: Reading) -> Figure:
        """Draw the plate, and its dose series or samples."""
        return plot_plate(own(reading, PlateReading, self.name))


_NEEDS = {
    "caspase": ("CASP3_active", "CASP7_active"),
    "viability": ("PS_exposed", "membrane_ruptured"),
}


def _keys(part: xr.Dataset) -> list[tuple[str, float | None]]:
    """Return treatment and dose of each sample, which no two may share."""
    keys = [
        (str(treatment), None if math.isnan(dose) else float(dose))
        for treatment, dose in zip(
            part["treatment"].values, part["dose"].values, strict=True
        )
    ]
    for k, key in enumerate(keys):
        if key in keys[:k]:
            raise InputError(
                f"Two samples are `{key[0]}` at one dose, so a well cannot say which "
                "it holds: give them treatments of their own."
            )
    return keys


def _unknown_contents(
    well: Well, levels: Mapping[tuple[str, float | None], float]
) -> InputError:
    """Return the error for a well with what the experiment does not have."""
    treatments = unique(name for name, _ in levels)
    if well.contents not in treatments:
        return UnknownNameError(
            f"contents of the well {well.place}",
            well.contents,
            (*treatments, BLANK, EMPTY),
        )
    doses = ", ".join(
        "none" if d is None else f"{d:g}" for n, d in levels if n == well.contents
    )
    shown = "no dose" if math.isnan(well.dose) else f"the dose {well.dose:g}"
    return InputError(
        f"The well {well.place} has {shown} of `{well.contents}`; the experiment has: "
        f"{doses}."
    )


def check_contents(plate: PlateMap, samples: Iterable[Sample]) -> None:
    """Stop at a well whose contents and dose are none of some samples.

    Raises
    ------
    InputError
        With the well, and the treatments or doses that there are.
    """
    known = {
        (s.treatment, None if math.isnan(s.dose) else s.dose): 0.0 for s in samples
    }
    for well in plate.wells:
        if well.contents not in (BLANK, EMPTY) and well.sample not in known:
            raise _unknown_contents(well, known)


def _farthest(groups: Mapping[str, FloatArray], control: str) -> str:
    """Return the group whose mean is farthest from the control's."""
    base = groups[control].mean()
    return max(groups, key=lambda name: abs(float(groups[name].mean()) - base))


def _fits(used: pd.DataFrame) -> dict[str, HillFit]:
    """Return a Hill curve through the wells of each treatment with doses."""
    return {
        str(name): fit_hill(
            table["dose"].to_numpy(dtype=float), table["net"].to_numpy(dtype=float)
        )
        for name, table in used.groupby("contents", sort=False)
        if table["dose"].nunique() > 1
    }


# -------------------------------------------------------------------------- the picture
def plot_plate(reading: PlateReading) -> Figure:
    """Draw the signal of every well where it is, and of every sample beside it."""
    figure = Figure(figsize=(10.5, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1.0))
    _plot_wells(left, reading)
    series = [name for name, fit in reading.fits.items()]
    if series:
        _plot_series(right, reading, series)
    else:
        _plot_bars(right, reading)
    right.spines[["top", "right"]].set_visible(False)
    return figure


def _plot_wells(ax: Axes, reading: PlateReading) -> None:
    size = reading.plate.size
    grid = np.full((ROWS[size], COLUMNS[size]), np.nan)
    for row, column, signal in zip(
        reading.raw["row"], reading.raw["column"], reading.raw["signal"], strict=True
    ):
        grid[ord(row) - ord("A"), int(column) - 1] = signal
    image = ax.imshow(grid, cmap="viridis")
    columns = [str(k + 1) for k in range(COLUMNS[size])]
    ax.set_xticks(range(COLUMNS[size]), columns, fontsize=7)
    ax.set_yticks(
        range(ROWS[size]), [_letter(k) for k in range(ROWS[size])], fontsize=7
    )
    ax.xaxis.tick_top()
    ax.set_facecolor("0.93")
    ax.set_xlabel(f"{reading.assay}: signal of each well (grey: empty)")
    ax.figure.colorbar(image, ax=ax, label="signal (RLU)", shrink=0.7)


def _plot_series(ax: Axes, reading: PlateReading, series: list[str]) -> None:
    """Draw net signal over dose with the fitted curves; dose 0 stands at the left."""
    for k, name in enumerate(series):
        wells = reading.raw[reading.raw["contents"] == name]
        dose = wells["dose"].to_numpy(dtype=float)
        least = float(dose[dose > 0].min())
        colour = OVERLAY_COLOURS[k % len(OVERLAY_COLOURS)]
        shown = np.where(dose > 0, dose, least / 3)
        ax.plot(shown, wells["net"], "o", ms=4, color=colour, mfc="none", label=name)
        fit = reading.fits[name]
        if not fit.reason:
            x = np.geomspace(least / 3, float(dose.max()), 200)
            bounded = math.isfinite(fit.ec50_high)
            interval = f"95 % CI {fit.ec50_low:.2g} to {fit.ec50_high:.2g}"
            interval = interval if bounded else "interval not determined"
            label = f"EC50 {fit.ec50:.3g} {reading.unit} ({interval})"
            ax.plot(x, fit(x), color=colour, lw=1.5, label=label)
    ax.set_xscale("log")
    ax.set_xlabel(f"dose ({reading.unit}; 0 at the left end)".replace("(;", "("))
    ax.set_ylabel("signal without blank (RLU)")
    ax.set_ylim(bottom=min(0.0, float(reading.raw["net"].min())))
    # Curves fall or rise through the middle: the only free place is above them.
    ax.legend(
        frameon=False, fontsize="x-small", loc="lower left", bbox_to_anchor=(0.0, 1.0)
    )


def _plot_bars(ax: Axes, reading: PlateReading) -> None:
    table = reading.summary
    x = np.arange(len(table))
    ax.bar(
        x,
        table["mean"],
        yerr=table["sd"].fillna(0.0),
        capsize=3,
        color=OVERLAY_COLOURS[0],
        alpha=0.75,
    )
    for place, name in zip(x, table["sample"], strict=True):
        values = reading.raw.loc[reading.raw["sample"] == name, "net"]
        spread = np.linspace(-0.1, 0.1, len(values)) if len(values) > 1 else 0
        ax.plot(place + spread, values, "o", ms=3.5, color="0.15")
    ax.set_xticks(x, table["sample"], rotation=25, ha="right")
    ax.set_ylabel("signal without blank (RLU)")
