"""Plate maps: wells, their contents, and the CSV they are kept in."""

import csv
import io
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mir21sim import files
from mir21sim.errors import InputError, hint

ROWS = {96: 8, 384: 16}
COLUMNS = {96: 12, 384: 24}
MAP_COLUMNS = ("row", "column", "contents", "dose")

#: Contents of a well with reagents but without cells.
BLANK = "blank"

#: Contents of a well without reagents and cells.
EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Well:
    """One well: its place and contents.

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
    """The contents of every well of a 96- or 384-well plate.

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
        return well.row in ("A", row_letter(rows - 1)) or well.column in (1, columns)


def row_letter(k: int) -> str:
    """Return the letter of a row, counted from 0."""
    return chr(ord("A") + k)


def _places(size: int) -> list[str]:
    return [
        f"{row_letter(r)}{c}"
        for r, c in itertools.product(range(ROWS[size]), range(1, COLUMNS[size] + 1))
    ]


def layout(
    samples: Iterable[tuple[str, float]], replicates: int = 3, size: int = 96
) -> PlateMap:
    """Return a plate with replicates side by side and as many blanks, off the rim.

    The rim is used where the inside is too small; remaining wells are empty.

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
            Well(row_letter(r), c, *used.get((r, c), (EMPTY, math.nan)))
            for r, c in whole
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
    return Well(letter, int(number), files.with_formula(cells["contents"]), dose)


def write_plate_map(plate: PlateMap, path: str | Path) -> Path:
    """Write a plate map as CSV, which ``read_plate_map`` reads back the same."""
    path = files.check_writable(path, (".csv",))
    with (
        files.writing(path) as part,
        part.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(MAP_COLUMNS)
        for well in plate.wells:
            dose = "" if math.isnan(well.dose) else repr(well.dose)
            contents = files.no_formula(well.contents)
            writer.writerow([well.row, well.column, contents, dose])
    return path
