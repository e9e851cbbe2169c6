"""Verdicts on claims seen through assays: cells run once, read with noise, compared.

A claim holds where the means of the replicates differ in its direction by 10 % or more;
the p of the test that suits the assay (``assays.statistics``) is reported beside it.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from mir21sim._typing import FloatArray
from mir21sim.analysis.hill_fit import fit_hill
from mir21sim.assays.experiment import (
    Experiment,
    Sample,
    check_sample,
    origins,
    run_experiment,
)
from mir21sim.assays.statistics import compare_groups
from mir21sim.compiler.load import load
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError
from mir21sim.model import files as model_files
from mir21sim.model.files import DEFAULT_MODEL
from mir21sim.model.info import unique
from mir21sim.simulation import checkpoint
from mir21sim.simulation.options import Options
from mir21sim.simulation.perturbations import Perturbations
from mir21sim.simulation.population import Population
from mir21sim.simulation.provenance import versions
from mir21sim.simulation.treatment import Treatment
from mir21sim.validation.assay_claims import (
    CLAIMS,
    COARSE,
    AssayReadout,
    AssayRow,
    Side,
    assay_rows,
)
from mir21sim.validation.trial import Trial
from mir21sim.validation.validate import SEED, Progress, claim_holds
from mir21sim.validation.verdicts import Outcome, Verdict

CELLS = 300
"""Cells of a population, where none is asked for."""

REPLICATES = 3
"""Replicates of every assay: the most common number in publications."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is told and kept while claims are shown through assays.

    Attributes
    ----------
    progress : called with (cells run, cells in all)
    on_line : called with the verdicts of each cell line as it is finished
    output : where the table will be; verdicts of finished cell lines are kept beside it
        until then
    resume : go on with the lines that are there
    """

    progress: Progress | None = None
    on_line: Callable[[list[Outcome]], None] | None = None
    output: Path | None = None
    resume: bool = False


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
    work: Work | None = None,
) -> list[Outcome]:
    """Show every claim of ``assays.csv`` through its assay, at default noise.

    Parameters
    ----------
    model : name or path, as in ``load``
    only, contexts : ids and cell lines to keep; by default all
    folder : where the table is, by default the shipped one
    perturb : done to every dish in addition to the treatment of the row
    cells : size of every population
    replicates : of every assay, 2 or more
    seed : of the measurement noise; the cells are always the same ones
    options : method and tolerances of the runs
    work : what is told and kept during the work; by default nothing

    Returns
    -------
    One outcome a row and context; ``predicted`` and ``reference`` are means of the
    replicates, ``n`` and ``p`` their number and that of the assay's test

    Raises
    ------
    ModelError
        For a row that cannot be understood, by file and line.
    InputError
        For fewer than two replicates, or finished lines of another validation.
    """
    if replicates < 2:
        raise InputError(f"A test needs 2 replicates or more, got {replicates}.")
    rows = assay_rows(model, only=only, contexts=contexts, folder=folder)
    extra = Trial(Treatment.of(perturb=perturb))
    lines = unique(row.context for row in rows)
    found: dict[int, Outcome] = {}
    shared = (extra, cells or CELLS, replicates, seed, options)
    work = work or Work()
    with _kept(model, rows, shared, work) as parts:
        for k, line in enumerate(lines):
            places = [i for i, row in enumerate(rows) if row.context == line]
            outcomes = _read_outcomes(parts, f"{k:03d}")
            if outcomes is None:
                dishes = _Dishes(model, line, cells or CELLS, (replicates, seed))
                mine = [rows[i].joined(extra) for i in places]
                tell = _share_of(work.progress, k, len(lines))
                outcomes = dishes.outcomes(mine, options, tell)
                _write_outcomes(parts, f"{k:03d}", outcomes)
            found |= dict(zip(places, outcomes, strict=True))
            if work.on_line is not None:
                work.on_line(outcomes)
    return [found[i] for i in range(len(rows))]


@contextmanager
def _kept(
    model: str | Path,
    rows: Sequence[AssayRow],
    shared: tuple[object, ...],
    work: Work,
) -> Iterator[checkpoint.PartFolder | None]:
    """Give the folder of finished lines, None without an output; delete it at the end.

    It stays where the work is stopped, so that it can be resumed.
    """
    if work.output is None:
        yield None
        return
    lines = unique(row.context for row in rows)
    known = (*model_files.contexts(model), model_files.BASE)
    texts = [model_files.find(model, line).texts for line in lines if line in known]
    plan = {
        "rows": hashlib.sha256(repr((rows, shared)).encode()).hexdigest(),
        "model": hashlib.sha256(repr(texts).encode()).hexdigest(),
        "versions": versions(),
    }
    folder = checkpoint.folder_for(work.output)
    parts = checkpoint.PartFolder(folder, plan, "validation", resume=work.resume)
    try:
        yield parts
    except BaseException:
        parts.close()
        raise
    parts.remove()


def _read_outcomes(
    parts: checkpoint.PartFolder | None, name: str
) -> list[Outcome] | None:
    """Return the verdicts of a finished line, None where there are none."""
    kept = parts.read(name) if parts is not None else None
    if kept is None:
        return None
    return [Outcome(**record) for record in json.loads(str(kept["outcomes"]))]


def _write_outcomes(
    parts: checkpoint.PartFolder | None, name: str, outcomes: Sequence[Outcome]
) -> None:
    """Keep the verdicts of a finished line, where there is an output."""
    if parts is not None:
        text = json.dumps([asdict(outcome) for outcome in outcomes])
        parts.write(name, {"outcomes": np.array(text)})


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
        rows: Sequence[AssayRow],
        options: Options | None,
        progress: Progress | None,
    ) -> list[Outcome]:
        """Return a verdict on each row, with the reason where it cannot be shown."""
        if self.context not in (*model_files.contexts(self.name), model_files.BASE):
            reason = f"the model has no context `{self.context}`"
            return [_outcome(row, reason=reason) for row in rows]
        model = load(self.name, self.context)
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

    def _placed(self, row: AssayRow) -> AssayRow:
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
        new_doses, old_doses = (
            side.trial.treatment.doses for side in (against, row.against)
        )
        doses = zip(new_doses, old_doses, strict=True)
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
            cells = run_experiment(
                model, experiment, observe, options=options, progress=tell
            )
            for k, origin in enumerate(origins(cells)):
                self.cells.setdefault(origin, []).append(cells.isel(sample=[k]))
            started += len(mine)

    def _judged(self, row: AssayRow) -> Outcome:
        """Return the verdict on one row."""
        if row.ranged:
            reason = f"no dose from {COARSE[0]:g} to {COARSE[-1]:g} is half-lethal"
            return _outcome(row, reason=reason)
        try:
            against, treated = self._replicates(row)
        except InputError as error:  # e.g. no cell of a dish could be run
            return _outcome(row, reason=str(error))
        floor = CLAIMS[row.treated.readout.assay].floor
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
            p=_p(against, treated, row.treated.readout),
        )

    def _replicates(self, row: AssayRow) -> tuple[FloatArray, FloatArray]:
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
        take = CLAIMS[side.readout.assay].take
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


def _lacking(model: CompiledModel, row: AssayRow) -> str:
    """Return the name that a model lacks for a row, or ""."""
    try:
        for side in row.sides:
            side.readout.assay_at(side.end_h).needs(model)
            for dish in _dishes(model, side):
                check_sample(model, dish, (0.0, side.end_h))
    except InputError as error:
        return str(error)
    return ""


def _p(against: FloatArray, treated: FloatArray, readout: AssayReadout) -> float:
    """Return the p of the assay's test; NaN for a missing or infinite replicate."""
    groups = {"against": against, "treated": treated}
    if not all(np.isfinite(values).all() for values in groups.values()):
        return math.nan
    kind = CLAIMS[readout.assay]
    found = compare_groups(
        groups,
        "against",
        scale="log" if readout.series else kind.scale,
        blocks=kind.blocks and not readout.series,
    )
    return float(found["treated"]["p"])


def _outcome(row: AssayRow, *, reason: str = "", **given: Any) -> Outcome:
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
