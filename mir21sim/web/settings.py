"""Settings of the page → the arguments of the library, checked once.

The page sends one record of plain values. Everything in it is text that somebody may
have typed, so it is read here and nowhere else, by the parsers of the command line.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mir21sim import units
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.model.info import unique
from mir21sim.simulation.doses import Dose
from mir21sim.simulation.perturbations import NONE, Perturbations
from mir21sim.simulation.treatment import OPTIONS, Treatment, split_options

POINTS = 241
"""Output times of a curve."""

MOST_CELLS = 5000
MOST_QUANTITIES = 12
"""Panels of curves that one page shows."""

MOST_TEXT = 2000
"""Letters in one field: longer text is a mistake."""

ACTIONS = {
    "knockdown": "knock-down (share lost)",
    "overexpress": "over-expression (factor)",
    "clamp": "clamp (0.1x or an amount)",
    "no_site": "miR-21 site missing",
}
"""Changes of a gene, as the page calls them."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The treatment, the cells, and the quantities shown.

    Attributes
    ----------
    model : name of a shipped model, or the key of an uploaded one
    context : cell line; "" for the model's own
    treatment : doses, overrides and perturbations
    end : end of the run, as typed
    observe : quantities to draw
    cells, cv, seed : the population of the views that have one
    sets : whether the parameter sets of a model that has some give bands
    """

    model: str
    context: str = ""
    treatment: Treatment = field(default_factory=Treatment)
    end: str = "48 h"
    observe: tuple[str, ...] = ()
    cells: int = 300
    cv: float = 0.28
    seed: int = 0
    sets: bool = True

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Settings":
        """Return the settings of a record of the page.

        Raises
        ------
        InputError
            With the field, the text received and how to write it.
        """
        if not isinstance(record, Mapping):
            raise InputError("The page sent no settings; load it again.")
        observe = unique(_texts(record.get("observe"), "quantities"))
        if len(observe) > MOST_QUANTITIES:
            raise InputError(
                f"At most {MOST_QUANTITIES} quantities are drawn at once, got "
                f"{len(observe)}: leave some out."
            )
        return cls(
            model=_text(record.get("model"), "model"),
            context=_text(record.get("context") or "", "cell line"),
            treatment=_treatment(record),
            end=_text(record.get("end") or "", "end").strip() or "48 h",
            observe=observe,
            cells=int(_number(record.get("cells", 300), "cells", 1, MOST_CELLS)),
            cv=_number(record.get("cv", 0.28), "CV between cells", 0.0, 5.0),
            seed=int(_number(record.get("seed", 0), "seed", 0, 2**31)),
            sets=bool(record.get("sets", True)),
        )

    def key(self) -> str:
        """Return a text that is equal for equal settings."""
        return json.dumps(
            [
                self.model,
                self.context,
                self.treatment.to_record(),
                self.end,
                self.observe,
                self.cells,
                self.cv,
                self.seed,
                self.sets,
            ]
        )

    def untreated(self) -> "Settings":
        """Return the settings of the same cells with nothing done to them."""
        return replace(self, treatment=Treatment())

    def without_empty_doses(self, target: str = "") -> "Settings":
        """Return the settings without the doses whose amount is 0.

        The dose of `target`, whose amount is varied, stays.
        """
        kept = tuple(
            d
            for d in self.treatment.doses
            if d.amount > 0 or d.mode == "set" or d.target == target
        )
        return replace(self, treatment=replace(self.treatment, doses=kept))


def _treatment(record: Mapping[str, Any]) -> Treatment:
    """Return the treatment of a record: rows of the form, and options typed beside."""
    doses = [
        Dose.parse(f"{name}={amount or '0'}@{time or '0'}")
        for name, amount, time in _rows(record.get("doses"), 3, "doses")
    ]
    done = replace(
        Treatment.of(doses), perturbations=_perturbations(record.get("genes"))
    )
    given: dict[str, list[str]] = {"--set": [], "--init": []}
    for name, option, value in _rows(record.get("numbers"), 3, "numbers"):
        if option not in given:
            raise UnknownNameError("option", option, tuple(given))
        if value.strip():
            given[option].append(f"{name}={value}")
    done = done.joined(Treatment.from_options(given))
    typed = _text(record.get("extra") or "", "further options").strip()
    return done.joined(
        Treatment.from_options(split_options(typed, OPTIONS)) if typed else Treatment()
    )


def _perturbations(rows: Any) -> Perturbations:
    """Return the perturbations of the rows of genes; a row without a value is none."""
    kinds: dict[str, dict[str, Any]] = {"knockdown": {}, "overexpress": {}, "clamp": {}}
    blind = []
    for name, action, value in _rows(rows, 3, "genes"):
        if action not in ACTIONS:
            raise UnknownNameError("action", action, tuple(ACTIONS))
        if action == "no_site":
            blind.append(name)
        elif action == "clamp" and value.strip():
            kinds[action][name] = value.strip()
        elif value.strip():
            kinds[action][name] = _number(value, f"{ACTIONS[action]} of {name}")
    if not blind and not any(kinds.values()):
        return NONE
    return Perturbations(**kinds, no_site=tuple(blind))


def _rows(given: Any, width: int, what: str) -> list[tuple[str, ...]]:
    """Return rows of short texts."""
    if given is None:
        return []
    if not isinstance(given, Sequence) or len(given) > 200:
        raise InputError(f"The page sent no list of {what}; load it again.")
    rows = [_texts(row, what) for row in given]
    if any(len(row) != width for row in rows):
        raise InputError(
            f"Each row of {what} has {width} entries; load the page again."
        )
    return rows


def _texts(given: Any, what: str) -> tuple[str, ...]:
    if given is None:
        return ()
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise InputError(f"The page sent no list of {what}; load it again.")
    return tuple(_text("" if text is None else text, what) for text in given)


def _text(given: Any, what: str) -> str:
    """Return a short text."""
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        given = f"{given:g}"
    if not isinstance(given, str) or len(given) > MOST_TEXT or "\0" in given:
        raise InputError(f"The field `{what}` must be a short text, got {given!r:.60}.")
    return given


def _number(
    given: Any, what: str, low: float = -math.inf, high: float = math.inf
) -> float:
    """Return a finite number in its range."""
    try:
        value = float(given)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} must be a number, got `{given!s:.60}`.") from error
    if not math.isfinite(value) or not low <= value <= high:
        raise InputError(f"{what} must be {low:g} to {high:g}, got {value:g}.")
    return value


@dataclass(frozen=True, slots=True)
class Look:
    """The settings that one view shows; each view uses its own.

    Attributes
    ----------
    target, values : dose that is swept, and its amounts in the words of ``--over``
    response : feature of a curve, or response of a dish
    assay, proteins, read_at : virtual assay, its antibodies, when it is read
    at : time at which the network is drawn, as a share of the run
    module : module of the network, "" for all of them
    of : output whose sensitivities are listed, "" for none
    """

    target: str = ""
    values: str = ""
    response: str = "dead_end"
    assay: str = "western"
    proteins: tuple[str, ...] = ()
    read_at: str = ""
    at: float = 1.0
    module: str = ""
    of: str = ""

    @classmethod
    def of_record(cls, record: Mapping[str, Any] | None) -> "Look":
        """Return the contents of a view, from a record of the page."""
        given = dict(record or {})
        words = {
            name: _text(given.get(name) or "", name)
            for name in (
                "target",
                "values",
                "response",
                "assay",
                "read_at",
                "module",
                "of",
            )
        }
        return cls(
            **{name: word for name, word in words.items() if word},
            proteins=_texts(given.get("proteins"), "proteins"),
            at=_number(given.get("at", 1.0), "time of the network", 0.0, 1.0),
        )

    def key(self) -> str:
        """Return a text that is equal for equal looks."""
        return repr(self)


def hours(text: str, what: str) -> float:
    """Return a time in hours from text such as ``48 h``."""
    return units.seconds(text, what) / units.SECONDS_PER_HOUR
