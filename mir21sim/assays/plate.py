"""Plates: caspase-3/7 activity and viability by luminescence, plate maps. Layer 15.

The cells of a well are lysed together, so a well reads the mean of its dish times the
cells in it. A dish is cells of the experiment; wells of one dish differ by noise alone.
"""

import csv
import io
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

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
    nothing_seen,
    own,
    replicates_of,
    scale_of,
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

    Entries are apart by commas, or as spreadsheets of many countries write them by
    semicolons (with decimal commas) or tabs. A plate of 96 or 384 wells is told by how
    many rows the file has. An empty dose is none. Every well must stand once.

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
    except UnicodeDecodeError as error:
        raise InputError(
            f"`{path}` is not a CSV table in UTF-8 ({error}): save it as that."
        ) from error
    except OSError as error:
        raise InputError(f"`{path}` is not a CSV table: {error.strerror}.") from error
    wells: dict[str, tuple[int, Well]] = {}
    for line, cells in _entries(text, path):
        well = _well(cells, f"{path}, line {line}")
        if well.place in wells:
            raise InputError(
                f"{path}, line {line}: the well {well.place} was given in line "
                f"{wells[well.place][0]} already."
            )
        wells[well.place] = line, well
    size = 384 if len(wells) > ROWS[96] * COLUMNS[96] else 96
    places = _places(size)
    for line, well in wells.values():
        if well.place not in places:
            raise InputError(
                f"{path}, line {line}: the well {well.place} is not on a plate of "
                f"{size} wells ({places[0]} to {places[-1]}), which a map of "
                f"{len(wells)} wells describes."
            )
    try:
        return PlateMap(tuple(well for _, well in wells.values()), size)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _entries(text: str, path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the line number and the entries of each row, by column."""
    lines = text.splitlines(keepends=True)
    skipped = 1 if lines and lines[0].lower().startswith("sep=") else 0
    header = lines[skipped] if len(lines) > skipped else ""
    mark = max(",;\t", key=header.count)
    reader = csv.reader(
        io.StringIO("".join(lines[skipped:]), newline=""), delimiter=mark
    )
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        _check_columns(names, path)
        for row in reader:
            line, cells = reader.line_num + skipped, [cell.strip() for cell in row]
            if not any(cells):
                continue
            if any(cells[len(names) :]):
                raise InputError(
                    f"{path}, line {line}: a line has {len(MAP_COLUMNS)} entries, got "
                    "more."
                )
            if any("\n" in cell for cell in cells):
                raise InputError(
                    f"{path}, line {line}: an entry runs over several lines; a quote "
                    "before it is not closed."
                )
            found = dict.fromkeys(MAP_COLUMNS, "") | dict(
                zip(names, cells, strict=False)
            )
            if mark == ";":
                found["dose"] = found["dose"].replace(",", ".")
            yield line, found
    except csv.Error as error:
        place = f"{path}, line {reader.line_num + skipped}"
        raise InputError(f"{place}: this is no row of a CSV table: {error}.") from error


def _check_columns(names: Sequence[str], path: Path) -> None:
    """Stop unless the header has each column of a plate map once."""
    for name in filter(None, names):
        if name not in MAP_COLUMNS:
            raise InputError(
                f"{path}, line 1: unknown column `{name}`. {hint(name, MAP_COLUMNS)}"
            )
    for name in MAP_COLUMNS:
        if names.count(name) != 1:
            what = "stands twice" if name in names else "is missing"
            raise InputError(f"{path}, line 1: the column `{name}` {what}.")


def _well(cells: Mapping[str, str], place: str) -> Well:
    """Return one line of a plate map."""
    letter, number = cells["row"].upper(), cells["column"]
    is_place = letter.isascii() and letter.isalpha() and number.isascii()
    if not (is_place and len(letter) == 1 and number.isdecimal()):
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
        if self.size not in ROWS:
            raise InputError(f"A plate has 96 or 384 wells, got {self.size}.")
        if self.control is not None and self.control == self.positive:
            raise InputError(
                f"`control` and `positive` must differ, got `{self.control}` for both."
            )
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

    def check_plate(self, samples: Sequence[Sample], replicates: int) -> None:
        """Stop where the plate does not suit some samples, before they are run.

        Raises
        ------
        InputError
            For a well whose contents and dose are none of the samples, and for samples
            that do not fit on the plate that is laid out.
        """
        known = {
            (s.treatment, None if math.isnan(s.dose) else s.dose): 0.0 for s in samples
        }
        if self.plate is None:
            layout([(s.treatment, s.dose) for s in samples], replicates, self.size)
            return
        for well in self.plate.wells:
            if well.contents not in (BLANK, EMPTY) and well.sample not in known:
                raise _unknown_contents(well, known)

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
        seen = any(values.mean() > floor for values in groups.values())
        rows = summary_rows(
            groups,
            control,
            test=test if noise and seen else "none",
            scale=scale_of(groups.values(), floor),
            measurable=measurable,
            keys={},
            label="sample",
        )
        about = used.drop_duplicates("sample").set_index("sample")
        for row in rows:
            row["contents"] = about.loc[row["sample"], "contents"]
            row["dose"] = about.loc[row["sample"], "dose"]
        notes = []
        if not seen:
            notes.append(nothing_seen(self.kind))
        elif not measurable:
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
    blanks = reading.raw[reading.raw["contents"] == BLANK]
    for row, column in zip(blanks["row"], blanks["column"], strict=True):
        ax.text(
            int(column) - 1,
            ord(row) - ord("A"),
            "B",
            ha="center",
            va="center",
            color="w",
            fontsize=7 if size == 96 else 4,
        )
    columns = [str(k + 1) for k in range(COLUMNS[size])]
    ax.set_xticks(range(COLUMNS[size]), columns, fontsize=7)
    ax.set_yticks(
        range(ROWS[size]), [_letter(k) for k in range(ROWS[size])], fontsize=7
    )
    ax.xaxis.tick_top()
    ax.set_facecolor("0.93")
    ax.set_xlabel(f"{reading.assay}: signal of each well (B: blank, grey: empty)")
    ax.figure.colorbar(image, ax=ax, label="signal (RLU)", shrink=0.7)


def _plot_series(ax: Axes, reading: PlateReading, series: list[str]) -> None:
    """Draw net signal over dose with the fitted curves; dose 0 stands at the left."""
    given = reading.raw.loc[reading.raw["contents"].isin(series), "dose"]
    zero = float(given[given > 0].min()) / 5
    for k, name in enumerate(series):
        wells = reading.raw[reading.raw["contents"] == name]
        dose = wells["dose"].to_numpy(dtype=float)
        colour = OVERLAY_COLOURS[k % len(OVERLAY_COLOURS)]
        shown = np.where(dose > 0, dose, zero)
        ax.plot(shown, wells["net"], "o", ms=4, color=colour, mfc="none", label=name)
        fit = reading.fits[name]
        if not fit.reason:
            x = np.geomspace(zero * 2, float(dose.max()), 200)
            bounded = math.isfinite(fit.ec50_high)
            interval = f"95 % CI {fit.ec50_low:.2g} to {fit.ec50_high:.2g}"
            interval = interval if bounded else "interval not determined"
            label = f"EC50 {fit.ec50:.3g} {reading.unit} ({interval})"
            ax.plot(x, fit(x), color=colour, lw=1.5, label=label)
    ax.set_xscale("log")
    if (given == 0).any():
        # What lies between is no dose: the axis is broken there.
        least, most = zero * 5, float(given.max())
        decades = [10.0**k for k in range(-12, 13) if least <= 10.0**k <= most]
        ax.minorticks_off()
        ax.set_xticks([zero, *decades], ["0", *(f"{d:g}" for d in decades)])
        ax.text(
            zero * 1.9,
            0,
            "//",
            transform=ax.get_xaxis_transform(),
            ha="center",
            va="center",
        )
    ax.set_xlabel(f"dose ({reading.unit})" if reading.unit else "dose")
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
