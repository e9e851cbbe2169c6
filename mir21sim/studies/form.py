"""A TOML table → a Study: keys and values that do not fit, and all that can be kept."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pydantic

from mir21sim.assays.gates import Gates
from mir21sim.errors import hint, likely
from mir21sim.studies.mistakes import Mistakes, Place
from mir21sim.studies.repair import Repaired
from mir21sim.studies.schema import (
    ASSAYS,
    PopulationTable,
    ProteinTable,
    SampleTable,
    Study,
    Table,
)

_PARTS: dict[str, type[Table]] = {"population": PopulationTable, "samples": SampleTable}


#: Most rounds of repair: a round shows the mistakes that those before it hid.
ROUNDS = 8


def read(table: dict[str, Any], mistakes: Mistakes) -> Study | None:
    """Return the study of a table, and note all keys and values that do not fit.

    With mistakes it is the study without their entries, fit for more checks but not to
    be run; None where not even that can be read.
    """
    repaired = Repaired(table)
    for _ in range(ROUNDS):
        try:
            return Study.model_validate(repaired.table)
        except pydantic.ValidationError as error:
            found = [m for m in error.errors(include_url=False) if not _follows(m)]
        # A misspelt key is missing as well: first the one that is there.
        found.sort(key=lambda m: m["type"] not in _UNKNOWN_KEY)
        wrong: list[Place] = []
        for mistake in found:
            path = _path(repaired.table, mistake["loc"])
            if _is_over(mistake):
                path = (*path, "over")
            mistakes.add(repaired.original(path), _sentence(repaired.table, mistake))
            if not (mistake["type"] in _UNKNOWN_KEY and _meant(repaired, mistake)):
                wrong.append(_needed(path, mistake))
        repaired.repair(wrong)
        mistakes.doubtful |= repaired.doubtful
    return None


def _is_over(mistake: Any) -> bool:
    """Whether a sample's `over` does not fit its doses."""
    loc = mistake["loc"]
    return mistake["type"] == "value_error" and loc[0] == "samples" and len(loc) == 2


def _needed(path: Place, mistake: Any) -> Place:
    """Return the place to repair: of a key that must be there, where it is missing."""
    key = mistake["loc"][-1]
    if mistake["type"] == "missing" and (
        not path or (path[0], key) == ("samples", "name")
    ):
        return (*path, key)
    return path


def _meant(repaired: Repaired, mistake: Any) -> bool:
    """Give an unknown key the name that it is likely to mean; False without one."""
    place = _path(repaired.table, mistake["loc"])
    meant = likely(str(place[-1]), _known(mistake["loc"][:-1]))
    return bool(meant) and repaired.rename(place, meant)


# ---------------------------------------------------- values that do not fit their keys
def _path(table: Any, loc: Sequence[str | int]) -> Place:
    """Return the keys of a place in a file, without the names of alternatives."""
    path: Place = ()
    for key in loc:
        there = isinstance(table, dict) and key in table
        if isinstance(table, list) and isinstance(key, int):
            there = key < len(table)
        if there:
            path, table = (*path, key), table[key]
    return path


def _follows(mistake: Any) -> bool:
    """Whether a list is only short because of a mistake in one of its entries."""
    return mistake["type"] == "too_short" and len(mistake["input"]) > 0


def _sentence(table: Any, mistake: Any) -> str:
    """Return the mistake and its remedy in one sentence."""
    kind, loc, came = mistake["type"], mistake["loc"], mistake["input"]
    key = str(loc[-1]) if loc else ""
    where = _called(_path(table, loc))
    if kind in _UNKNOWN_KEY:
        return f"unknown key `{key}`. {hint(key, _known(loc[:-1]))}"
    if kind == "missing":
        missing = f"entry {loc[-1] + 1}" if isinstance(loc[-1], int) else f"`{key}`"
        return f"{missing}{f' of {where}' if where else ''} is missing."
    if kind == "union_tag_not_found":
        return f"`kind` of {where} is missing. {hint('', tuple(ASSAYS))}"
    if kind == "union_tag_invalid":
        tag = str(came["kind"])
        return f"unknown kind of assay `{tag}`. {hint(tag, tuple(ASSAYS))}"
    if kind == "value_error":
        return str(mistake["ctx"]["error"])
    if kind == "too_short":
        return f"`{key}` needs {mistake['ctx']['min_length']} or more, got none."
    if kind == "literal_error":
        known = [word.strip(" '") for word in _words(mistake["ctx"]["expected"])]
        return f"unknown {key} `{came}`. {hint(str(came), known)}"
    shape = next((f"be {_SHAPES[word]}" for word in _SHAPES if word in kind), "")
    what = shape or mistake["msg"].removeprefix("Input should ")
    return f"{where} must {what}, got {came!r}."


_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")
_SHAPES = {
    "tuple": "a list",
    "model_type": "a table",
    "dataclass_type": "a table",
    "dict_type": "a table",
    "path_type": "the name of a file",
}
"""Name of a type in pydantic → its name in TOML."""


def _words(listed: str) -> list[str]:
    return listed.replace(" or ", ", ").split(",")


def _known(loc: Sequence[str | int]) -> tuple[str, ...]:
    """Return the keys that the table at a place may have."""
    names = [key for key in loc if isinstance(key, str)]
    if not names:
        return tuple(Study.model_fields)
    if names[0] != "assays":
        table = ProteinTable if "proteins" in names else _PARTS[names[0]]
        return tuple(table.model_fields)
    fields = ASSAYS[names[1]].model_fields
    if names[2:] == ["noise"]:
        return tuple(fields["noise"].annotation.model_fields)  # type: ignore[union-attr]
    if "gates" in names:
        return tuple(field.name for field in dataclasses.fields(Gates))
    return tuple(fields)


def _called(loc: Sequence[str | int]) -> str:
    """Return the words for a place: ``samples 2, doses 1``."""
    words: list[str] = []
    for key in loc:
        if isinstance(key, int) and words:
            words[-1] += f" {key + 1}"
        else:
            words.append(str(key))
    return f"`{', '.join(words)}`" if words else ""
