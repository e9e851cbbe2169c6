"""Rows of the validation tables over the parameter sets of an ensemble.

For each row: median and 50 and 95 % interval of the prediction over the sets, and the
share of sets that agree: in which an observation lies within its error, or a claim
holds. Cells of a population are the same in every set, so that sets differ by their
numbers alone; with few cells a share of cells is off by some points in all sets alike.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from mir21sim._typing import FloatArray
from mir21sim.errors import InputError
from mir21sim.model.files import BASE
from mir21sim.simulation import checkpoint
from mir21sim.simulation.ensemble import QUANTILES, Ensemble
from mir21sim.simulation.options import Options
from mir21sim.simulation.perturbations import Perturbations
from mir21sim.simulation.provenance import versions
from mir21sim.simulation.treatment import Treatment
from mir21sim.solvers.methods import MANY
from mir21sim.validation.claims import Case, ValidationRow, validation_rows
from mir21sim.validation.row_runs import RowRuns, Sets, prediction
from mir21sim.validation.rows import vocabulary
from mir21sim.validation.trial import Trial
from mir21sim.validation.validate import (
    Lines,
    Progress,
    claim_holds,
    floor_of,
    lacking,
)
from mir21sim.validation.verdicts import Outcome, SetShares

DRAWS = 50
"""Parameter sets of a validation by default: a share of 95 % is told to some 3 %."""

CELLS = 32
"""Unlike cells of a population in each set, at most."""

PART = 16
"""Rows that are kept on the disk together."""

APART = 0.01
"""Least relative change that has a direction: ten times the tolerance of the runs."""

RTOL = 1e-3
"""Relative tolerance of the runs, unless another is asked for."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The rows that are validated, and the changes of each run; as in ``validate``."""

    model: str | Path
    only: Sequence[str] | None = None
    contexts: Sequence[str] | None = None
    folder: str | Path | None = None
    perturb: Perturbations | None = None
    cells: int | None = None
    options: Options | None = None

    def rows(self) -> list[ValidationRow]:
        """Return the rows that are asked."""
        return validation_rows(
            self.model, only=self.only, contexts=self.contexts, folder=self.folder
        )

    def runs(self, rows: Sequence[ValidationRow]) -> RowRuns:
        """Return the runner of rows for parameter sets."""
        extra = Trial(Treatment.of(perturb=self.perturb or Perturbations()))
        options = self.options or Options()
        return RowRuns(
            self.model,
            [_joined(row, extra, self.cells) for row in rows],
            cells=self.cells or CELLS,
            points=None,
            rtol=options.rtol or RTOL,
            n_jobs=options.n_jobs,
            method=options.method or MANY.name,
        )


def add_sets(
    outcomes: Sequence[Outcome],
    asked: Asked,
    ensemble: Ensemble,
    *,
    draws: int = DRAWS,
    output: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Return verdicts with the predictions of the parameter sets.

    Parameters
    ----------
    outcomes : verdicts of ``validate`` on the rows of `asked`; a row for which the
        model lacks a name gets nothing
    ensemble : factors on the numbers of the model; the first `draws` are used
    output : where the table will be; finished parts are kept beside it until then
    resume : go on with the parts that are there

    Raises
    ------
    InputError
        For an ensemble of another version of the model or one that is not relative,
        fewer than two draws, or parts of another validation.
    """
    rows, known = asked.rows(), vocabulary(asked.folder)
    lines = Lines(asked.model)
    places = [k for k, row in enumerate(rows) if not lacking(lines, row, known)]
    if not places:
        return list(outcomes)
    runs = asked.runs([rows[k] for k in places])
    sets = _sets(runs, ensemble, draws)
    parts = None
    if output is not None:
        plan = _plan(runs, sets)
        folder = checkpoint.folder_for(output)
        parts = checkpoint.PartFolder(folder, plan, "validation", resume=resume)
    try:
        values, references = _numbers(runs, sets, parts, progress)
    except BaseException:
        if parts is not None:
            parts.close()
        raise
    found = list(outcomes)
    for column, k in enumerate(places):
        row, pair = rows[k], (values[:, column], references[:, column])
        floor = floor_of(lines.context(row.context), row) if row.comparison else 0.0
        found[k] = replace(outcomes[k], sets=shares_of(row, *pair, floor))
    if parts is not None:
        parts.remove()
    return found


def _joined(row: ValidationRow, extra: Trial, cells: int | None) -> ValidationRow:
    """Return a row with a treatment on top of its own, and other numbers of cells."""

    def changed(case: Case | None) -> Case | None:
        if case is None:
            return None
        trial = case.trial.joined(extra)
        if cells and trial.cells:
            trial = replace(trial, cells=cells)
        return replace(case, trial=trial)

    case = changed(row.case)
    assert case is not None
    return replace(row, case=case, against=changed(row.against))


def _sets(runs: RowRuns, ensemble: Ensemble, draws: int) -> Sets:
    """Return the first sets of an ensemble that belongs to every line that is run."""
    if draws < 2:
        raise InputError(f"Intervals need two parameter sets or more, got {draws}.")
    if not ensemble.relative:
        raise InputError(
            "The ensemble has numbers of one cell line, and rows are of many; give one "
            "of factors (`mir21sim fit calibrate`), or --no-ensemble."
        )
    for context in {c.context: None for cases in runs.cases for c in cases}:
        ensemble.check(runs.context(context))
    return Sets(ensemble.names, ensemble.first(draws).values)


def _plan(runs: RowRuns, sets: Sets) -> dict[str, object]:
    """Return all that decides the numbers, as JSON values."""
    drawn = hashlib.sha256(sets.factors.tobytes() + repr(sets.names).encode())
    asked = hashlib.sha256(repr(runs.cases).encode())
    lines = sorted({c.context for cases in runs.cases for c in cases})
    return {
        "parameter sets": drawn.hexdigest(),
        "rows": asked.hexdigest(),
        "model": {name or BASE: runs.context(name).digest for name in lines},
        "options": json.loads(json.dumps(asdict(runs.options), default=str)),
        "cells": runs.cells,
        "versions": versions(),
    }


def _numbers(
    runs: RowRuns,
    sets: Sets,
    parts: checkpoint.PartFolder | None,
    progress: Progress | None,
) -> tuple[FloatArray, FloatArray]:
    """Return numbers and references, shape (n_set, n_row) each."""
    n_row = len(runs.rows)
    values = np.full((len(sets), n_row), np.nan)
    references = np.full((len(sets), n_row), np.nan)
    blocks = runs.blocks(len(sets))
    for b, block in enumerate(blocks):
        batch = runs.batch(sets.part(block))
        for start in range(0, n_row, PART):
            mine = slice(start, min(start + PART, n_row))
            name = f"{block.start:06d}-{start:06d}"
            kept = parts.read(name) if parts is not None else None
            if kept is None:
                pairs = [batch.numbers(k) for k in range(mine.start, mine.stop)]
                first, second = (
                    np.stack(side, axis=1) for side in zip(*pairs, strict=True)
                )
                kept = {"values": first, "references": second}
                if parts is not None:
                    parts.write(name, kept)
            values[block, mine] = kept["values"]
            references[block, mine] = kept["references"]
            if progress:
                progress(b * n_row + mine.stop, len(blocks) * n_row)
    return values, references


def shares_of(
    row: ValidationRow, values: FloatArray, references: FloatArray, floor: float
) -> SetShares:
    """Return the predictions of the sets for one row.

    Parameters
    ----------
    values, references : float arrays, shape (n_set,), from ``Batch.numbers``
    floor : least absolute change that counts, in the unit of the values
    """
    shown = prediction(row, values, references)
    direction = against = math.nan
    if row.kind == "claim":
        pairs = list(zip(values.tolist(), references.tolist(), strict=True))
        held = [claim_holds(row.comparison, v, r, floor)[0] for v, r in pairs]
        signs = np.array([_sign(row.comparison, v, r, floor) for v, r in pairs])
        direction, against = float(np.mean(signs > 0)), float(np.mean(signs < 0))
        shown = np.where(values == references, 0.0, shown)
    else:
        held = [bool(row.low <= value <= row.high) for value in shown]
    known = shown[~np.isnan(shown)]
    ends = np.full(len(QUANTILES), np.nan)
    if known.size:
        # Infinite times are numbers here, and must not be averaged with others.
        ends = np.quantile(known, QUANTILES, method="closest_observation")
    low, lower, middle, upper, high = map(float, ends)
    return SetShares(
        n=len(values),
        known=known.size,
        median=middle,
        low_50=lower,
        high_50=upper,
        low_95=low,
        high_95=high,
        agree=float(np.mean(held)),
        direction=direction,
        against=against,
    )


def _sign(comparison: str, value: float, reference: float, floor: float) -> int:
    """Return 1 for a change with the direction of a claim, −1 against it, 0 for none.

    None are a change too small to be seen, a tie, and a number that is missing: two
    half-lethal doses that are both infinite say nothing of a direction.
    """
    if math.isnan(value) or math.isnan(reference):
        return 0
    if comparison in ("same", "near"):
        return 1 if claim_holds(comparison, value, reference, floor)[0] else -1
    if value == reference:
        return 0
    gap = value - reference
    if not math.isinf(gap) and (abs(gap) < floor or abs(gap) < APART * abs(reference)):
        return 0
    return 1 if (gap > 0) == (comparison == "up") else -1
