"""Read the rows of the validation tables (``models/validation``) from CSV files."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from mir21sim.errors import InputError, Mir21simError, ModelError, hint
from mir21sim.model import files as model_files
from mir21sim.model.info import unique

COMPARISONS = ("up", "down", "same", "near")

CLAIM_COLUMNS = (
    "id", "what", "context", "treatment", "readout", "comparison", "against",
    "against_context", "against_readout", "effect_of", "conflict",
)  # fmt: skip
ASSAY_COLUMNS = (
    "id", "what", "context", "treatment", "readout", "comparison", "against",
    "against_readout", "conflict",
)  # fmt: skip
OBSERVATION_COLUMNS = (
    "id", "what", "context", "treatment", "readout", "against", "observed", "error",
    "unit", "use", "source", "note",
)  # fmt: skip


class Row(Protocol):
    """A row of a table in one cell line."""

    @property
    def id(self) -> str:
        """The row's id; every cell line of a row has the same."""

    @property
    def context(self) -> str:
        """The cell line."""


AnyRow = TypeVar("AnyRow", bound=Row)
Reader = Callable[[str, Mapping[str, str], tuple[str, ...]], Sequence[AnyRow]]


def read_rows(
    readers: Mapping[str, Reader[AnyRow]],
    model: str | Path,
    *,
    only: Sequence[str] | None,
    contexts: Sequence[str] | None,
    folder: str | Path | None,
) -> list[AnyRow]:
    """Return the rows of some tables, checked, one a cell line.

    Parameters
    ----------
    readers : name of a table → function of place, columns and known cell lines
    model : name or path, as in ``load``
    only, contexts : ids and cell lines to keep; None: all
    folder : where the tables are, by default the shipped ones

    Raises
    ------
    ModelError
        For a row that cannot be understood, by file and line.
    InputError
        For an unknown id or cell line in `only` and `contexts`.
    """
    root = tables_folder(folder)
    available = (*model_files.contexts(model), model_files.BASE)
    found = [
        made
        for name, reader in readers.items()
        for place, row in table_rows(root / name)
        for made in reader(place, row, available)
    ]
    check_known("id", only, [row.id for row in found])
    check_known("context", contexts, available)
    return [
        row
        for row in found
        if (not only or row.id in only) and (not contexts or row.context in contexts)
    ]


def tables_folder(folder: str | Path | None = None) -> Path:
    """Return where the tables of a validation are, by default the shipped ones."""
    return Path(folder) if folder else model_files.models_folder() / "validation"


def check_known(kind: str, wanted: Sequence[str] | None, known: Iterable[str]) -> None:
    """Stop at the first wanted name that is not known, with the near one."""
    known = unique(known)
    for name in wanted or ():
        if name not in known:
            raise InputError(f"Unknown {kind} `{name}`. {hint(name, known)}")


def vocabulary(folder: str | Path | None = None) -> dict[str, str]:
    """Return the names that rows may use although a model lacks them, with meanings."""
    root = tables_folder(folder)
    return {row["id"]: row["meaning"] for _, row in table_rows(root / "quantities.csv")}


def table_rows(path: Path) -> list[tuple[str, dict[str, str]]]:
    """Return the rows of a table with their places; a missing file has none."""
    columns = {
        "claims.csv": CLAIM_COLUMNS,
        "observations.csv": OBSERVATION_COLUMNS,
        "quantities.csv": ("id", "meaning"),
        "assays.csv": ASSAY_COLUMNS,
    }[path.name]
    if not path.is_file():
        return []
    reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
    titles = tuple(reader.fieldnames or ())
    if titles != columns:
        raise ModelError(
            f"{path.name}, line 1: the columns must be {', '.join(columns)}; got "
            f"{', '.join(titles)}."
        )
    rows = []
    for row in reader:
        place = f"{path.name}, line {reader.line_num}"
        if None in row or None in row.values():
            raise ModelError(f"{place}: {len(columns)} entries are needed.")
        rows.append((place, {key: value.strip() for key, value in row.items()}))
    return rows


def check_comparison(place: str, comparison: str) -> None:
    """Stop at a comparison that does not exist."""
    if comparison not in COMPARISONS:
        raise ModelError(
            f"{place}: unknown comparison `{comparison}`. "
            f"{hint(comparison, COMPARISONS)}"
        )


def cell_lines(place: str, text: str, available: tuple[str, ...]) -> list[str]:
    """Return the cell lines of ``A|B``; one that exists nowhere is an error."""
    names = [name.strip() for name in text.split("|")]
    everywhere = {
        p.stem for p in (model_files.models_folder() / "contexts").glob("*.toml")
    }
    for name in names:
        if name not in available and name not in everywhere:
            raise ModelError(
                f"{place}: unknown context `{name}`. "
                f"{hint(name, unique((*available, *sorted(everywhere))))}"
            )
    return names


def parsed(place: str, parse: Callable[[str], Any], text: str) -> Any:
    """Return the parsed text, or raise with file and line."""
    try:
        return parse(text)
    except Mir21simError as error:
        raise ModelError(f"{place}: {error}") from error
    except ValueError as error:
        raise ModelError(f"{place}: `{text}` cannot be read ({error}).") from error
