"""What a validation asks: treatments, read-outs and rows of tables. Layer 11.

Rows are data (``models/validation``): what is done to the cell in the words of the
command line, what is read, and what it is compared with.
"""

import csv
import io
import math
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from mir21sim import library, units
from mir21sim._typing import FloatArray
from mir21sim.compiled import unique
from mir21sim.errors import InputError, Mir21simError, ModelError, hint
from mir21sim.perturb import Perturbations
from mir21sim.protocol import Dose

DEFAULT_MODEL = "mir21_apoptosis"

POINTS = 361
"""Output times from the last dose to the end, where a treatment does not say."""

COMPARISONS = ("up", "down", "same", "near")
UNITS = {
    "molecule": 1.0, "fraction": 1.0, "%": 100.0, "fold": 1.0, "h": 1.0, "min": 60.0,
    "nM": 1.0, "ng/ml": 1.0,
}  # fmt: skip
"""Units of a row, and what one native unit (h, fraction, molecule) is in them."""

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


# ----------------------------------------------------------------------- what is read
_READOUT = re.compile(r"\s*(\w+)\s*\((.*)\)\s*")
_SINGLE = {
    "end": 1, "at": 2, "rest": 1, "peak": 1, "area": 1, "time_to": 1, "rise_time": 1,
    "lag": 2, "level": 2, "threshold": 1, "most": 1,
}  # fmt: skip
_MANY = {"dead": 1, "alive": 1, "mean": 1, "mean_time": 1, "cv_time": 1}
FEATURES = {**_SINGLE, **_MANY}
"""Read-out to its number of arguments; those of populations are ``dead``, …"""

NATIVE = {
    "time_to": "h", "rise_time": "h", "lag": "h", "mean_time": "h", "dead": "fraction",
    "alive": "fraction", "cv_time": "fraction", "threshold": "",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Quantity:
    """A ratio of sums of model quantities, ``(A + B)/C``."""

    above: tuple[str, ...]
    below: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Quantity":
        """Read ``A``, ``A + B``, ``A/B`` or ``(A + B)/(C + D)``."""
        sides = [
            tuple(name.strip() for name in side.strip(" ()").split("+"))
            for side in text.split("/")
        ]
        names = [name for side in sides for name in side]
        if len(sides) > 2 or not all(re.fullmatch(r"[A-Za-z_]\w*", n) for n in names):
            raise InputError(f"A quantity reads `A`, `A + B` or `A/B`, got `{text}`.")
        return cls(sides[0], sides[1] if len(sides) == 2 else ())

    @property
    def names(self) -> tuple[str, ...]:
        """Every name in it."""
        return (*self.above, *self.below)

    def of(self, result: xr.Dataset) -> FloatArray:
        """Return its values in a result, float array (…, n_time)."""
        top: FloatArray = np.sum([result[name].values for name in self.above], axis=0)
        if not self.below:
            return top
        bottom = np.sum([result[name].values for name in self.below], axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio: FloatArray = top / bottom
        return ratio


@dataclass(frozen=True, slots=True)
class Readout:
    """One number from a run: ``peak(CASP3_active)``, ``at(PTEN, 48h)``, or a constant.

    ``end``, ``at``, ``rest`` (the start), ``peak``, ``most`` (over the whole run) and
    ``area`` read a quantity after the last dose; ``time_to`` is when it crosses one
    half, ``rise_time`` its rise from 10 to 90 %, both in h; ``lag(A, B)`` is the time
    from half of A to half of B, ``level(A, B)`` the share of its maximum that A has at
    half of B. ``threshold`` is the amount written ``?`` at which it reaches one half.
    Of a population, ``dead`` and ``alive`` are shares of the cells that are alive at
    the last dose, ``mean`` is the mean of all cells at the end, ``mean_time`` and
    ``cv_time`` describe when it crosses one half among those in which it does.
    """

    feature: str
    quantities: tuple[Quantity, ...] = ()
    number: float = math.nan

    @classmethod
    def parse(cls, text: str) -> "Readout":
        """Read a read-out; an unknown feature is named with the near one."""
        match = _READOUT.fullmatch(text)
        if match is None:
            try:
                return cls("constant", (), float(text))
            except ValueError as error:
                raise InputError(
                    f"A read-out reads FEATURE(QUANTITY), got `{text}`."
                ) from error
        feature, inside = match.groups()
        if feature not in FEATURES:
            raise InputError(
                f"Unknown read-out `{feature}`. {hint(feature, tuple(FEATURES))}"
            )
        parts = [part.strip() for part in inside.split(",")]
        if len(parts) != FEATURES[feature]:
            raise InputError(
                f"`{feature}` takes {FEATURES[feature]} argument(s), got `{inside}`."
            )
        number = math.nan
        if feature == "at":
            number = units.seconds(parts.pop(), "the time of `at`") / 3600.0
        return cls(feature, tuple(Quantity.parse(part) for part in parts), number)

    @property
    def many(self) -> bool:
        """Whether it reads a population."""
        return self.feature in _MANY

    @property
    def names(self) -> tuple[str, ...]:
        """Every model quantity it needs."""
        return tuple(name for q in self.quantities for name in q.names)


# ------------------------------------------------------------------ what is done first
@dataclass(frozen=True, slots=True)
class Treatment:
    """What is done to a cell, in the words of the command line.

    ``cells`` is the size of a population, whose cells are alike in the genes that are
    ``uniform``. ``searched`` is what carries the ``?`` of a threshold: ``("dose", k)``
    for the k-th dose, or an option's name and the gene.
    """

    doses: tuple[Dose, ...] = ()
    parameters: Mapping[str, float] = field(default_factory=dict)
    initials: Mapping[str, float] = field(default_factory=dict)
    perturb: Perturbations = field(default_factory=Perturbations)
    end_h: float | None = None
    points: int = POINTS
    cells: int = 0
    uniform: tuple[str, ...] = ()
    searched: tuple[str, int | str] | None = None

    def __str__(self) -> str:
        perturb = self.perturb
        words = [f'--dose "{dose}"' for dose in self.doses]
        for option, given in (
            ("--set", self.parameters),
            ("--init", self.initials),
            ("--clamp", perturb.clamp),
            ("--knockdown", perturb.knockdown),
            ("--overexpress", perturb.overexpress),
        ):
            words += [f"{option} {name}={value}" for name, value in given.items()]
        words += [f"--no-site {gene}" for gene in perturb.no_site]
        words += [f"--uniform {gene}" for gene in self.uniform]
        words += [f"--end {self.end_h:g}h"] if self.end_h is not None else []
        words += [f"--points {self.points}"] if self.points != POINTS else []
        words += [f"--cells {self.cells}"] if self.cells else []
        return " ".join(words) or "untreated"

    @classmethod
    def parse(cls, text: str) -> "Treatment":
        """Read ``--dose "TRAIL=50 ng/ml@24h" --clamp PTEN=0.1x --end 48h``."""
        words = shlex.split(text)
        if len(words) % 2 or any(not w.startswith("--") for w in words[::2]):
            raise InputError(f"A treatment is a list of --option VALUE, got `{text}`.")
        given: dict[str, list[str]] = {}
        for option, value in zip(words[::2], words[1::2], strict=True):
            if option not in _OPTIONS:
                raise InputError(
                    f"Unknown option `{option}` of a treatment. "
                    f"{hint(option, _OPTIONS)}"
                )
            given.setdefault(option, []).append(value)
        searched = _searched(given)
        end = given.get("--end")
        return cls(
            doses=tuple(
                Dose.parse(d.replace("?", "1")) for d in given.get("--dose", ())
            ),
            parameters=_numbers(given, "--set"),
            initials=_numbers(given, "--init"),
            perturb=Perturbations(
                clamp=dict(map(_pair, given.get("--clamp", ()))),
                knockdown=_numbers(given, "--knockdown"),
                overexpress=_numbers(given, "--overexpress"),
                no_site=tuple(given.get("--no-site", ())),
            ),
            end_h=units.seconds(end[-1], "end") / 3600.0 if end else None,
            points=int(given.get("--points", [str(POINTS)])[-1]),
            cells=int(given.get("--cells", ["0"])[-1]),
            uniform=tuple(given.get("--uniform", ())),
            searched=searched,
        )

    def with_amount(self, value: float) -> "Treatment":
        """Return the treatment with a number in place of its ``?``."""
        assert self.searched is not None
        kind, key = self.searched
        if kind == "dose":
            doses = tuple(
                replace(dose, amount=value) if k == key else dose
                for k, dose in enumerate(self.doses)
            )
            return replace(self, doses=doses, searched=None)
        perturb = replace(
            self.perturb,
            overexpress={**self.perturb.overexpress, str(key): value},
        )
        return replace(self, perturb=perturb, searched=None)

    def joined(self, other: "Treatment") -> "Treatment":
        """Return both treatments at once; the other's end wins where it has one."""
        mine, its = self.perturb, other.perturb
        return replace(
            self,
            doses=(*self.doses, *other.doses),
            parameters={**self.parameters, **other.parameters},
            initials={**self.initials, **other.initials},
            perturb=Perturbations(
                {**mine.clamp, **its.clamp},
                {**mine.knockdown, **its.knockdown},
                {**mine.overexpress, **its.overexpress},
                (*mine.no_site, *its.no_site),
            ),
            end_h=self.end_h if other.end_h is None else other.end_h,
            cells=max(self.cells, other.cells),
            uniform=(*self.uniform, *other.uniform),
        )

    @property
    def stimulus_h(self) -> float:
        """Time of the last dose, h: what features count from."""
        return max((t for dose in self.doses for t in dose.times()), default=0.0)

    def names(self) -> dict[str, tuple[str, ...]]:
        """Return the names it uses, by what they must be in the model."""
        p = self.perturb
        return {
            "species": (*(d.target for d in self.doses), *self.initials),
            "parameter": tuple(self.parameters),
            "species or gene": tuple(p.clamp),
            "gene": (*p.knockdown, *p.overexpress, *p.no_site, *self.uniform),
        }


_OPTIONS = (
    "--dose", "--set", "--init", "--clamp", "--knockdown", "--overexpress", "--no-site",
    "--end", "--points", "--cells", "--uniform",
)  # fmt: skip


def _searched(given: Mapping[str, list[str]]) -> tuple[str, int | str] | None:
    """Return what carries the ``?``; it must be one dose or over-expression."""
    found: list[tuple[str, int | str]] = [
        ("dose", k) for k, d in enumerate(given.get("--dose", ())) if "?" in d
    ]
    found += [
        ("overexpress", item.removesuffix("=?"))
        for item in given.get("--overexpress", ())
        if item.endswith("=?")
    ]
    if len(found) > 1:
        raise InputError("A treatment can have one `?`.")
    return found[0] if found else None


def _pair(item: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not equals:
        raise InputError(f"An option of a treatment reads NAME=VALUE, got `{item}`.")
    return name.strip(), value.strip()


def _numbers(given: Mapping[str, list[str]], option: str) -> dict[str, float]:
    values = {}
    for item in given.get(option, ()):
        name, text = _pair(item)
        try:
            values[name] = float(text.replace("?", "1"))
        except ValueError as error:
            raise InputError(f"{option} {name} must be a number: `{text}`.") from error
    return values


# ------------------------------------------------------------------------ one question
@dataclass(frozen=True, slots=True)
class Case:
    """A treatment of one cell line and what is read from it."""

    context: str
    treatment: Treatment
    readout: Readout


@dataclass(frozen=True, slots=True)
class Check:
    """One row of a table in one context.

    Attributes
    ----------
    kind : "claim" or "observation"
    case : what is predicted
    against : what it is divided by or compared with, or None
    effect_of : treatment whose effect (ratio with it to without) is read, or None
    comparison : "up", "down", "same", "near" for a claim; "" for an observation
    observed, low, high : measured value and accepted range, in `unit`; NaN for a claim
    conflict : why no verdict can be forced, "" where it can
    place : file and line, for messages
    """

    id: str
    kind: str
    what: str
    case: Case
    against: Case | None
    effect_of: Treatment | None
    comparison: str
    observed: float
    low: float
    high: float
    unit: str
    conflict: str
    source: str
    note: str
    place: str

    def cases(self) -> list[Case]:
        """Return every case that must be run."""
        plain = [case for case in (self.case, self.against) if case is not None]
        if self.effect_of is None:
            return plain
        return plain + [
            replace(case, treatment=case.treatment.joined(self.effect_of))
            for case in plain
        ]


def checks(
    model: str | Path = DEFAULT_MODEL,
    *,
    only: Sequence[str] | None = None,
    contexts: Sequence[str] | None = None,
    folder: str | Path | None = None,
) -> list[Check]:
    """Return the rows of the validation tables, checked, one a context.

    Parameters
    ----------
    only : ids to keep; contexts : cell lines to keep
    folder : where ``claims.csv``, ``observations.csv`` and ``quantities.csv`` are

    Raises
    ------
    ModelError
        For an unknown column, read-out, unit, comparison or context, by file and line.
    """
    root = tables_folder(folder)
    available = (*library.contexts(model), library.BASE)
    found = [
        check
        for name, reader in (
            ("claims.csv", _claim_checks),
            ("observations.csv", _observation_checks),
        )
        for place, row in table_rows(root / name)
        for check in reader(place, row, available)
    ]
    check_known("id", only, [check.id for check in found])
    check_known("context", contexts, available)
    return [
        check
        for check in found
        if (not only or check.id in only)
        and (not contexts or check.case.context in contexts)
    ]


def tables_folder(folder: str | Path | None = None) -> Path:
    """Return where the tables of a validation are, by default the shipped ones."""
    return Path(folder) if folder else library.models_folder() / "validation"


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


def _claim_checks(
    place: str, row: Mapping[str, str], available: tuple[str, ...]
) -> list[Check]:
    check_comparison(place, row["comparison"])
    made = []
    for context in cell_lines(place, row["context"], available):
        case = _case(place, context, row["treatment"], row["readout"])
        other = row["against_context"] or context
        cell_lines(place, other, available)
        against = _case(
            place, other, row["against"], row["against_readout"] or row["readout"]
        )
        effect = parsed(place, Treatment.parse, row["effect_of"])
        made.append(
            Check(
                id=row["id"],
                kind="claim",
                what=row["what"],
                case=case,
                against=against,
                effect_of=effect if row["effect_of"] else None,
                comparison=row["comparison"],
                observed=math.nan,
                low=math.nan,
                high=math.nan,
                unit="",
                conflict=row["conflict"],
                source="",
                note="",
                place=place,
            )
        )
    return made


def _observation_checks(
    place: str, row: Mapping[str, str], available: tuple[str, ...]
) -> list[Check]:
    if row["unit"] not in UNITS:
        raise ModelError(
            f"{place}: unknown unit `{row['unit']}`. "
            f"{hint(row['unit'], tuple(u for u in UNITS if u))}"
        )
    if row["use"] not in ("CAL", "CONTEXT"):
        raise ModelError(f"{place}: use must be CAL or CONTEXT, got `{row['use']}`.")
    observed, low, high = _measured(place, row["observed"], row["error"])
    made = []
    for context in cell_lines(place, row["context"], available):
        case = _case(place, context, row["treatment"], row["readout"])
        against = None
        if row["unit"] == "fold" and row["against"]:
            against = _case(place, context, row["against"], row["readout"])
        made.append(
            Check(
                id=row["id"],
                kind="observation",
                what=row["what"],
                case=case,
                against=against,
                effect_of=None,
                comparison="",
                observed=observed,
                low=low,
                high=high,
                unit=row["unit"],
                conflict=row["note"] if row["use"] == "CONTEXT" else "",
                source=row["source"],
                note=row["note"],
                place=place,
            )
        )
    return made


def _measured(place: str, observed: str, error: str) -> tuple[float, float, float]:
    """Return a measured value and the range of its error, ``e`` or ``a..b``."""
    try:
        value = float(observed)
        if ".." in error:
            low, high = (float(part) for part in error.split(".."))
        else:
            low, high = value - float(error), value + float(error)
    except ValueError as fault:
        raise ModelError(
            f"{place}: observed and error must be numbers (or a range a..b), got "
            f"`{observed}` and `{error}`."
        ) from fault
    if not low <= value <= high or not math.isfinite(value):
        raise ModelError(f"{place}: {value:g} lies outside {low:g} to {high:g}.")
    return value, low, high


def cell_lines(place: str, text: str, available: tuple[str, ...]) -> list[str]:
    """Return the cell lines of ``A|B``; one that exists nowhere is an error."""
    names = [name.strip() for name in text.split("|")]
    everywhere = {p.stem for p in (library.models_folder() / "contexts").glob("*.toml")}
    for name in names:
        if name not in available and name not in everywhere:
            raise ModelError(
                f"{place}: unknown context `{name}`. "
                f"{hint(name, unique((*available, *sorted(everywhere))))}"
            )
    return names


def _case(place: str, context: str, treatment: str, readout: str) -> Case:
    read = parsed(place, Readout.parse, readout)
    done = parsed(place, Treatment.parse, treatment)
    if read.many and not done.cells:
        raise ModelError(f"{place}: `{read.feature}` needs --cells in the treatment.")
    if (read.feature == "threshold") != (done.searched is not None):
        raise ModelError(f"{place}: a threshold, and only a threshold, needs one `?`.")
    return Case(context, done, read)


def parsed(place: str, parse: Callable[[str], Any], text: str) -> Any:
    """Return what a text means, or raise with the file and line."""
    try:
        return parse(text)
    except Mir21simError as error:
        raise ModelError(f"{place}: {error}") from error
    except ValueError as error:
        raise ModelError(f"{place}: `{text}` cannot be read ({error}).") from error
