"""The cell lines of a model: tissue, miR-21, PTEN, and how much is known of each."""

import re
from dataclasses import dataclass

from mir21sim.errors import InputError
from mir21sim.model import toml_lines as toml_text
from mir21sim.model.files import DEFAULT_MODEL, contexts, find
from mir21sim.model.metadata import context_table, parameter_table

MIR21_RATE = "k_tx_miR21"
"""Number of a model by which lines differ in miR-21: its rate of transcription."""

PTEN_RATE = "k_tl_PTEN"
"""Number of a model that is 0 in a line that has lost PTEN: its rate of translation."""

OF_DATA = ("measured", "fitted", "derived", "recalled")
"""Statuses of numbers that go back to data of the line, best known first."""


@dataclass(frozen=True, slots=True)
class CellLine:
    """A cell line of a model.

    Attributes
    ----------
    name : its context
    tissue : the tissue it comes from, in words
    identity : Cellosaurus entry, "" where none was checked
    mir21_per_s : transcripts of miR-21 made in a second; NaN where the model has none
    pten : "lost", "as in the model", or the factor on its translation, "0.5 x"; "–" for
        a model without PTEN
    known : names of the numbers that go back to data of the line, by status
    numbers : how many numbers the line has of its own
    """

    name: str
    tissue: str
    identity: str
    mir21_per_s: float
    pten: str
    known: dict[str, tuple[str, ...]]
    numbers: int

    @property
    def is_sketch(self) -> bool:
        """Whether no number of the line goes back to data: all are assumed."""
        return not self.known

    def data(self) -> str:
        """Return how much is known, in words: ``2 measured of 11``, or ``sketch``."""
        if self.is_sketch:
            return f"sketch, {self.numbers} assumed"
        counts = (f"{len(names)} {status}" for status, names in self.known.items())
        return f"{', '.join(counts)} of {self.numbers}"


def lines(model: str = DEFAULT_MODEL) -> tuple[CellLine, ...]:
    """Return the cell lines of a model, in the order of their names.

    Raises
    ------
    InputError
        For a model without cell lines.

    Examples
    --------
    >>> found = {line.name: line for line in lines()}
    >>> found["MDA-MB-468"].pten, found["MCF-7"].is_sketch
    ('lost', True)
    """
    base = parameter_table(find(model, "base"))
    known = {name: row.value for name, row in base.items()}
    found = []
    for name, path in contexts(model).items():
        table = toml_text.parse(path.read_text(encoding="utf-8"), path.name)
        if "identity" in table:  # other contexts are fits, not cells
            own = context_table(find(model, name))
            by_status = {
                status: tuple(n for n, row in own.items() if row.status == status)
                for status in OF_DATA
            }
            found.append(
                CellLine(
                    name=name,
                    tissue=_tissue(str(table.get("title", name))),
                    identity=_identity(str(table["identity"])),
                    mir21_per_s=own[MIR21_RATE].value
                    if MIR21_RATE in own
                    else known.get(MIR21_RATE, float("nan")),
                    pten=_pten(
                        known.get(PTEN_RATE),
                        own[PTEN_RATE].value if PTEN_RATE in own else None,
                    ),
                    known={s: names for s, names in by_status.items() if names},
                    numbers=len(own),
                )
            )
    if not found:
        raise InputError(f"The model `{model}` has no cell lines of its own.")
    return tuple(found)


def _tissue(title: str) -> str:
    """Return the words on the tissue in ``NAME, tissue, PTEN lost (remark)``."""
    plain = re.sub(r"\s*\([^)]*\)", "", title)
    parts = [part for part in plain.split(", ")[1:] if not part.startswith("PTEN")]
    return ", ".join(parts) or title


def _identity(text: str) -> str:
    """Return the accession at the end of an identifiers.org address, "" for none."""
    match = re.search(r"cellosaurus:(CVCL_\w+)$", text)
    return match[1] if match else ""


def _pten(base: float | None, own: float | None) -> str:
    """Return the change of PTEN in a line, from the rates of its translation."""
    if base is None:
        return "–"
    if own is None or own == base:
        return "as in the model"
    return "lost" if own == 0 else f"{own / base:.2g} x"
