"""Claims seen through assays: replicates, noise and a test in place of exact numbers.

Rows are data (``models/validation/assays.csv``) in the words of ``checks``. A claim
holds where the means of the replicates differ in its direction by 10 % or more; the p
of Welch's test on the replicates is reported beside it. All dishes of a cell line hold
the same cells, which are run once and read by every assay.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr

from mir21sim import bench, library
from mir21sim._typing import FloatArray
from mir21sim.assays.assay import Assay
from mir21sim.assays.flow import FlowCytometry
from mir21sim.assays.luciferase import LuciferaseAssay
from mir21sim.assays.noise import PlateNoise
from mir21sim.assays.plate import PlateAssay
from mir21sim.assays.statistics import compare_groups
from mir21sim.assays.western import WesternBlot
from mir21sim.bench import Experiment, Sample
from mir21sim.checks import (
    DEFAULT_MODEL,
    Treatment,
    cell_lines,
    check_comparison,
    check_known,
    parsed,
    table_rows,
    tables_folder,
)
from mir21sim.compare import fit_hill
from mir21sim.compiled import CompiledModel, unique
from mir21sim.errors import InputError, ModelError, hint
from mir21sim.execute import Options
from mir21sim.perturb import NONE, Perturbations
from mir21sim.population import Population
from mir21sim.validate import FLOORS, SEED, Outcome, Progress, Verdict, claim_holds

CELLS = 60
"""Cells of a population, where none is asked for."""

REPLICATES = 3
"""Replicates of every assay: what the field reports most."""

COARSE = tuple(10.0 ** (k / 2) for k in range(-4, 11))
"""Amounts of the dose written ``?``, two a decade from 0.01 to 100,000, in its unit."""

FINE = tuple(10.0 ** (k / 12) for k in range(-4, 5))
"""Amounts that join them on the second plate, over the half-way one of the first."""


# ----------------------------------------------------------------------- what is read
Make: TypeAlias = Callable[[tuple[str, ...], float], Assay]
Take: TypeAlias = Callable[[pd.DataFrame, str, tuple[str, ...]], FloatArray]


@dataclass(frozen=True, slots=True)
class Kind:
    """How one assay is set up for a claim, and what is taken from its raw table.

    Attributes
    ----------
    arguments : their names, for messages
    make : assay from arguments and the time of reading, h
    take : replicates from raw table, sample and arguments, float array (n_replicate,)
    floor : least absolute difference that counts
    """

    arguments: tuple[str, ...]
    make: Make
    take: Take
    floor: float = 0.0


def _column(name: str, **keys: str | int) -> Take:
    """Return what takes a column of the rows of a sample; `keys` name the arguments."""

    def take(raw: pd.DataFrame, sample: str, given: tuple[str, ...]) -> FloatArray:
        chosen = np.ones(len(raw), dtype=bool)
        for column, value in keys.items():
            wanted = sample if value == "sample" else given[int(value)]
            chosen &= (raw[column] == wanted).to_numpy()
        return np.asarray(raw.loc[chosen, name], dtype=float)

    return take


def _quadrant(raw: pd.DataFrame, sample: str, given: tuple[str, ...]) -> FloatArray:
    """Return the percentages of a sample in a quadrant; "dead": in both apoptotic."""
    columns = {"dead": ["early apoptotic", "late apoptotic"]}.get(given[0], [given[0]])
    rows = raw.loc[raw["sample"] == sample, columns]
    return np.asarray(rows.sum(axis=1), dtype=float)


_LEAST_LIGHT = PlateNoise().detection_sd * PlateNoise().background_sd
"""RLU, what a plate can tell from a blank."""

KINDS: dict[str, Kind] = {
    "luciferase": Kind(
        ("target", "construct"),
        lambda given, h: LuciferaseAssay(targets=(given[0],), times_h=(h,)),
        _column("ratio", treatment="sample", target=0, construct=1),
    ),
    "western": Kind(
        ("protein",),
        lambda given, h: WesternBlot(proteins=(given[0],), time_h=h),
        _column("scaled", sample="sample", protein=0),
    ),
    "flow": Kind(
        ("quadrant",),
        lambda given, h: FlowCytometry(time_h=h),
        _quadrant,
        floor=100 * FLOORS["cells"],  # percent
    ),
    "caspase": Kind(
        (),
        lambda given, h: PlateAssay("caspase", time_h=h),
        _column("net", sample="sample"),
        floor=_LEAST_LIGHT,
    ),
    "viability": Kind(
        (),
        lambda given, h: PlateAssay("viability", time_h=h),
        _column("net", sample="sample"),
        floor=_LEAST_LIGHT,
    ),
}
"""Assay to how it is read; ``ic50`` is ``viability`` over a series of doses."""

_READOUT = re.compile(r"\s*(\w+)\s*\(([^()]*)\)\s*")


@dataclass(frozen=True, slots=True)
class AssayReadout:
    """What is read by which assay: ``western(PTEN)`` or ``luciferase(PDCD4, WT)``.

    ``ic50(viability)`` is the amount, of the dose written ``?``, at which the signal of
    an assay is half way down. With any other read-out ``?`` stands for the half-lethal
    amount for the reference, which a viability plate finds first: a laboratory too
    reads where there is room for more and for less.
    """

    assay: str
    arguments: tuple[str, ...]
    series: bool = False

    @classmethod
    def parse(cls, text: str) -> "AssayReadout":
        """Read a read-out; an unknown assay is named with the near one."""
        match = _READOUT.fullmatch(text)
        if match is None:
            raise InputError(f"A read-out reads ASSAY(ARGUMENTS), got `{text}`.")
        name, inside = (
            match[1],
            tuple(filter(None, map(str.strip, match[2].split(",")))),
        )
        if name == "ic50":
            return replace(cls.parse(f"{''.join(inside)}()"), series=True)
        if name not in KINDS:
            raise InputError(f"Unknown assay `{name}`. {hint(name, (*KINDS, 'ic50'))}")
        if len(inside) != len(KINDS[name].arguments):
            needed = ", ".join(KINDS[name].arguments) or "nothing"
            raise InputError(f"`{name}` takes {needed} in brackets, got `{text}`.")
        return cls(name, inside)

    def __str__(self) -> str:
        if self.series:
            return f"ic50({self.assay})"
        return f"{self.assay}({', '.join(self.arguments)})"

    def assay_at(self, time_h: float) -> Assay:
        """Return the assay that reads it at a time."""
        return KINDS[self.assay].make(self.arguments, time_h)


# ------------------------------------------------------------------------ one question
@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: what is done, and what is read at its end."""

    treatment: Treatment
    readout: AssayReadout
    amounts: tuple[float, ...] = COARSE

    @property
    def end_h(self) -> float:
        """When it is read, h."""
        assert self.treatment.end_h is not None  # the table reader sees to it
        return self.treatment.end_h

    def ranging(self) -> "Side":
        """Return what finds the half-lethal amount of its dose ``?``."""
        return replace(self, readout=AssayReadout("viability", (), series=True))

    def finer(self, centre: float) -> "Side":
        """Return the series with more amounts around one; none where it is infinite."""
        more = (float(f"{centre * f:.3g}") for f in FINE if math.isfinite(centre))
        return replace(self, amounts=tuple(sorted({*COARSE, *more})))

    def at(self, amount: float) -> "Side":
        """Return the side with an amount in place of its ``?``."""
        return replace(self, treatment=self.treatment.with_amount(amount))

    def samples(self) -> tuple[Sample, ...]:
        """Return its dish, or one for each dose of its series."""
        if self.treatment.searched is None:
            return (_sample(self.treatment, ""),)
        return tuple(
            _sample(self.treatment.with_amount(dose), f"{dose:g}")
            for dose in self.amounts
        )


def _sample(treatment: Treatment, label: str) -> Sample:
    """Return a dish, named after all that is done to it but for when it is read."""
    done = replace(treatment, end_h=None, searched=None)
    return Sample(
        name=f"{done!r} {label}".strip(),
        doses=treatment.doses,
        perturb=treatment.perturb,
        parameters=treatment.parameters,
    )


@dataclass(frozen=True, slots=True)
class AssayCheck:
    """One row of the table in one context: two sides and how they must compare."""

    id: str
    what: str
    context: str
    treated: Side
    against: Side
    comparison: str
    conflict: str
    place: str

    def joined(self, extra: Treatment) -> "AssayCheck":
        """Return the row with more done on both sides."""

        def more(side: Side) -> Side:
            return replace(side, treatment=side.treatment.joined(extra))

        return replace(self, treated=more(self.treated), against=more(self.against))

    @property
    def ranged(self) -> bool:
        """Whether it is read at the half-lethal amount for the reference."""
        return self.against.treatment.searched is not None and not (
            self.treated.readout.series
        )

    @property
    def sides(self) -> tuple[Side, Side]:
        """Both sides, the reference first."""
        return self.against, self.treated


def assay_checks(
    model: str | Path = DEFAULT_MODEL,
    *,
    only: Sequence[str] | None = None,
    contexts: Sequence[str] | None = None,
    folder: str | Path | None = None,
) -> list[AssayCheck]:
    """Return the rows of ``assays.csv``, checked, one a context.

    Raises
    ------
    ModelError
        For an unknown column, assay, comparison or context, by file and line.
    """
    available = (*library.contexts(model), library.BASE)
    found = [
        check
        for place, row in table_rows(tables_folder(folder) / "assays.csv")
        for check in _row_checks(place, row, available)
    ]
    check_known("id", only, [check.id for check in found])
    check_known("context", contexts, available)
    return [
        check
        for check in found
        if (not only or check.id in only)
        and (not contexts or check.context in contexts)
    ]


def _row_checks(
    place: str, row: Mapping[str, str], available: tuple[str, ...]
) -> list[AssayCheck]:
    check_comparison(place, row["comparison"])
    readout = parsed(place, AssayReadout.parse, row["readout"])
    other = row["against_readout"] or row["readout"]
    treated = Side(parsed(place, Treatment.parse, row["treatment"]), readout)
    against = Side(
        parsed(place, Treatment.parse, row["against"]),
        parsed(place, AssayReadout.parse, other),
    )
    for side in (treated, against):
        if side.treatment.end_h is None:
            raise ModelError(f"{place}: a treatment needs --end, when it is read.")
        if side.readout.series and side.treatment.searched is None:
            raise ModelError(f"{place}: an ic50 needs one dose `?`.")
        if side.treatment.cells or side.treatment.uniform or side.treatment.initials:
            raise ModelError(
                f"{place}: all assays read one population: no --cells, --uniform or "
                "--init here."
            )
    if (treated.treatment.searched is None) != (against.treatment.searched is None):
        raise ModelError(f"{place}: both sides, or none, have a dose `?`.")
    if readout.assay == "western" and treated.end_h != against.end_h:
        raise ModelError(f"{place}: the lanes of one blot are lysed at one time.")
    return [
        AssayCheck(
            id=row["id"],
            what=row["what"],
            context=context,
            treated=treated,
            against=against,
            comparison=row["comparison"],
            conflict=row["conflict"],
            place=place,
        )
        for context in cell_lines(place, row["context"], available)
    ]


# ---------------------------------------------------------------------------- verdicts
def validate_assays(
    model: str | Path = DEFAULT_MODEL,
    *,
    only: Sequence[str] | None = None,
    contexts: Sequence[str] | None = None,
    folder: str | Path | None = None,
    perturb: Perturbations | None = None,
    cells: int | None = None,
    replicates: int = REPLICATES,
    seed: int = SEED,
    options: Options | None = None,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Show every claim of ``assays.csv`` through its assay, at default noise.

    Parameters
    ----------
    model : name or path, as in ``load``
    only, contexts : ids and cell lines to keep; by default all
    folder : where the table is, by default the shipped one
    perturb : done to every dish besides what the row says
    cells : size of every population
    replicates : of every assay, 2 or more
    seed : of the measurement noise; the cells are always the same ones
    options : method and tolerances of the runs
    progress : called with (cells run, cells in all)

    Returns
    -------
    One outcome a row and context; ``predicted`` and ``reference`` are means of the
    replicates, ``n`` and ``p`` their number and that of Welch's test

    Raises
    ------
    ModelError
        For a row that cannot be understood, by file and line.
    """
    if replicates < 2:
        raise InputError(f"A test needs 2 replicates or more, got {replicates}.")
    rows = assay_checks(model, only=only, contexts=contexts, folder=folder)
    extra = Treatment(perturb=perturb or NONE)
    lines = unique(row.context for row in rows)
    found: dict[int, Outcome] = {}
    for k, line in enumerate(lines):
        places = [i for i, row in enumerate(rows) if row.context == line]
        dishes = _Dishes(model, line, cells or CELLS, (replicates, seed))
        mine = [rows[i].joined(extra) for i in places]
        tell = _share_of(progress, k, len(lines))
        outcomes = dishes.outcomes(mine, options, tell)
        found |= dict(zip(places, outcomes, strict=True))
    return [found[i] for i in range(len(rows))]


def _share_of(progress: Progress | None, part: int, parts: int) -> Progress | None:
    """Return the progress of one of several parts, taken as equal."""
    if progress is None:
        return None
    return lambda done, total: progress(part * total + done, parts * total)


class _Dishes:
    """The dishes of one cell line, run once for all rows."""

    def __init__(
        self, model: str | Path, context: str, cells: int, measured: tuple[int, int]
    ) -> None:
        self.name, self.context = model, context
        self.replicates, self.seed = measured
        self.population = Population(cells, seed=SEED)
        self.cells: dict[str, list[xr.Dataset]] = {}
        self.done: set[tuple[str, float]] = set()
        self.halves: dict[str, FloatArray] = {}

    def outcomes(
        self,
        rows: Sequence[AssayCheck],
        options: Options | None,
        progress: Progress | None,
    ) -> list[Outcome]:
        """Return a verdict on each row; what cannot be shown fails with the reason."""
        if self.context not in (*library.contexts(self.name), library.BASE):
            reason = f"the model has no context `{self.context}`"
            return [_outcome(row, reason=reason) for row in rows]
        model = library.load(self.name, self.context)
        lacking = [_lacking(model, row) for row in rows]
        able = {k: row for k, row in enumerate(rows) if not lacking[k]}
        first = [
            side
            for row in able.values()
            for side in ((row.against.ranging(),) if row.ranged else row.sides)
        ]
        self._run(model, first, options, _share_of(progress, 0, 2))
        placed = {k: self._placed(row) for k, row in able.items()}
        second = [s for row in placed.values() if not row.ranged for s in row.sides]
        self._run(model, second, options, _share_of(progress, 1, 2))
        return [
            self._judged(placed[k]) if k in placed else _outcome(row, reason=lacking[k])
            for k, row in enumerate(rows)
        ]

    def _placed(self, row: AssayCheck) -> AssayCheck:
        """Return a row with the doses that the first plates showed to matter.

        A series becomes finer around its half. For any other read-out the half-lethal
        amount for the reference takes the place of ``?``, where there is one.
        """
        if row.treated.readout.series:
            against, treated = (s.finer(self._half(s)) for s in row.sides)
            return replace(row, treated=treated, against=against)
        if not row.ranged:
            return row
        amount = self._half(row.against.ranging())
        if not math.isfinite(amount):
            return row
        rounded = float(f"{amount:.1e}")  # two digits, as one would pipette it
        against = row.against.at(rounded)
        doses = zip(against.treatment.doses, row.against.treatment.doses, strict=True)
        changed = next((str(new) for new, old in doses if new != old), f"{rounded:g}")
        return replace(
            row,
            what=f"{row.what} ({changed})",
            treated=row.treated.at(rounded),
            against=against,
        )

    def _run(
        self,
        model: CompiledModel,
        sides: Sequence[Side],
        options: Options | None,
        progress: Progress | None,
    ) -> None:
        """Run every dish of some sides, each once and no longer than it is read."""
        dishes: dict[str, Sample] = {}
        times: dict[str, set[float]] = {}
        for side in sides:
            for dish in _dishes(model, side):
                if (dish.name, side.end_h) not in self.done:
                    self.done.add((dish.name, side.end_h))
                    dishes[dish.name] = dish
                    times.setdefault(dish.name, set()).add(side.end_h)
        observe = unique(
            name
            for side in sides
            for name in side.readout.assay_at(side.end_h).needs(model)
        )
        groups = dict.fromkeys(tuple(sorted(ends)) for ends in times.values())
        started = 0
        for ends in groups:
            mine = [d for n, d in dishes.items() if tuple(sorted(times[n])) == ends]
            n_cell = self.population.n
            tell = _part_of(progress, started * n_cell, len(dishes) * n_cell)
            experiment = Experiment(tuple(mine), self.population, ends)
            cells = bench.run(
                model, experiment, observe, options=options, progress=tell
            )
            for k, origin in enumerate(bench.origins(cells)):
                self.cells.setdefault(origin, []).append(cells.isel(sample=[k]))
            started += len(mine)

    def _judged(self, row: AssayCheck) -> Outcome:
        """Return the verdict on one row."""
        if row.ranged:
            reason = f"no dose from {COARSE[0]:g} to {COARSE[-1]:g} is half-lethal"
            return _outcome(row, reason=reason)
        try:
            against, treated = self._replicates(row)
        except InputError as error:  # e.g. no cell of a dish could be run
            return _outcome(row, reason=str(error))
        floor = KINDS[row.treated.readout.assay].floor
        if row.treated.readout.series:
            floor = 0.0
        value, reference = float(treated.mean()), float(against.mean())
        holds, reason = claim_holds(row.comparison, value, reference, floor)
        verdict: Verdict = "pass" if holds else "fail"
        if row.conflict:
            verdict, reason = "conflict", row.conflict
        return _outcome(
            row,
            verdict=verdict,
            reason=reason,
            predicted=value,
            reference=reference,
            n=len(treated),
            p=_p(against, treated, logarithmic=row.treated.readout.series),
        )

    def _replicates(self, row: AssayCheck) -> tuple[FloatArray, FloatArray]:
        """Return the replicates of the reference and of the treated."""
        a, b = row.sides
        if a.readout.series:
            return self._halves(a), self._halves(b)
        names = unique(s.name for side in row.sides for s in side.samples())
        return self._read(a, names)[0], self._read(b, names)[-1]

    def _read(self, side: Side, names: Sequence[str]) -> list[FloatArray]:
        """Return the replicates of each of some samples, all read together."""
        dishes = [
            dish.sel(time=[side.end_h])
            for name in names
            for dish in self.cells[name]
            if side.end_h in dish["time"].values
        ]
        reading = side.readout.assay_at(side.end_h).read(
            xr.concat(dishes, "sample", combine_attrs="override"),
            seed=self.seed,
            replicates=self.replicates,
            test="none",
        )
        take = KINDS[side.readout.assay].take
        return [take(reading.raw, name, side.readout.arguments) for name in names]

    def _halves(self, side: Side) -> FloatArray:
        """Return the dose of half effect of each replicate of a series.

        Infinite where the signal does not fall within the series.
        """
        key = repr(side)
        if key not in self.halves:
            curves = np.array(self._read(side, [s.name for s in side.samples()]))
            fits = [fit_hill(np.array(side.amounts), curve) for curve in curves.T]
            self.halves[key] = np.array(
                [fit.ec50 if not fit.reason else math.inf for fit in fits]
            )
        return self.halves[key]

    def _half(self, side: Side) -> float:
        """Return the geometric mean of ``_halves``."""
        return float(np.exp(np.log(self._halves(side)).mean()))


def _part_of(progress: Progress | None, done: int, total: int) -> Progress | None:
    """Return the progress of a part that begins when `done` of `total` is done."""
    if progress is None:
        return None
    return lambda more, _: progress(done + more, total)


def _dishes(model: CompiledModel, side: Side) -> tuple[Sample, ...]:
    """Return the dishes of a side, those that its assay adds among them."""
    samples = side.samples()
    added = side.readout.assay_at(side.end_h).dishes(samples, model)
    return added or samples


def _lacking(model: CompiledModel, row: AssayCheck) -> str:
    """Return what a model lacks for a row, "" where it lacks nothing."""
    try:
        for side in row.sides:
            side.readout.assay_at(side.end_h).needs(model)
            for dish in _dishes(model, side):
                bench.check(model, dish, (0.0, side.end_h))
    except InputError as error:
        return str(error)
    return ""


def _p(against: FloatArray, treated: FloatArray, *, logarithmic: bool) -> float:
    """Return the p of Welch's test; NaN where a replicate is missing or infinite."""
    groups = {"against": against, "treated": treated}
    if logarithmic:
        groups = {name: np.log(values) for name, values in groups.items()}
    if not all(np.isfinite(values).all() for values in groups.values()):
        return math.nan
    return float(compare_groups(groups, "against", "welch")["treated"]["p"])


def _outcome(row: AssayCheck, *, reason: str = "", **given: Any) -> Outcome:
    """Return the outcome of a row; by default it failed for a reason."""
    nothing = dict.fromkeys(
        ("predicted", "reference", "observed", "low", "high"), math.nan
    )
    return Outcome(
        **{
            **nothing,
            "id": row.id,
            "kind": "claim",
            "what": f"{row.what}, by {row.treated.readout}",
            "context": row.context,
            "comparison": row.comparison,
            "unit": "",
            "verdict": "fail",
            "reason": reason,
            "source": "",
            **given,
        }
    )
