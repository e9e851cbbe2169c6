"""Times of death of single cells, each given its own level of one protein.

The table of a film has one line a cell: copies of a fusion protein, mean copies of the
cell's own protein, time of death, and whether the cell was alive when it was last seen.
The level of a cell is z = (fusion + own)/own, and the protein comes from a promoter
that no signal changes, as in the experiment: the basal transcription of the gene is set
so that the average cell rests with z times its protein.

The likelihood is that of ``estimation.terms.CellDeathTimes``: the other proteins of a
cell are not known, and M unlike cells, the same for all levels and parameter sets,
stand for them. Only the file that is given is read; no film is shipped.
"""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy.optimize
import scipy.special

from mir21sim._typing import BoolArray, FloatArray
from mir21sim.analysis.cell_death import DEAD, crossing_times
from mir21sim.errors import InputError
from mir21sim.estimation.terms import SETTLED, CellDeathTimes
from mir21sim.simulation.ensemble import Ensemble
from mir21sim.validation.claims import Case, ValidationRow
from mir21sim.validation.readouts import Readout
from mir21sim.validation.row_runs import RowRuns, Sets
from mir21sim.validation.trial import Trial
from mir21sim.validation.validate import Progress

COLUMNS = (
    "gfp_protein",
    "trail_ng_ml",
    "chx_ug_ml",
    "gfp_copies_per_cell",
    "endogenous_mean_copies",
    "t_momp_h",
    "censored_no_momp",
)

QUANTITY = "MOMP_fraction"
"""Quantity whose rise to one half is the death of a cell."""

DRAWS = 16
"""Unlike cells, for the properties of a cell that are not known."""

WIDTH = 0.2
"""Resolution of times, h: chosen, as far apart as the times of the unlike cells are."""

STEP = 0.05
"""Hours between output times."""

SPREAD = (0.025, 0.25, 0.5, 0.75, 0.975)


@dataclass(frozen=True, slots=True, eq=False)
class Film:
    """The cells of a film.

    Attributes
    ----------
    gene : whose protein was measured
    levels : float array, shape (n_cell,), over the mean of cells without fusion protein
    times : float array, shape (n_cell,), h
    alive : bool array, shape (n_cell,): still alive at that time
    treatment : of all cells, as options
    """

    gene: str
    levels: FloatArray
    times: FloatArray
    alive: BoolArray
    treatment: str

    def term(self) -> CellDeathTimes:
        """Return the likelihood term of the cells."""
        return CellDeathTimes(
            QUANTITY,
            DEAD,
            self.gene,
            tuple(self.times.tolist()),
            tuple(self.levels.tolist()),
            tuple(self.alive.tolist()),
            WIDTH,
            self.treatment,
            DRAWS,
            end=float(self.times.max()) + SETTLED * WIDTH,
        )


@dataclass(frozen=True, slots=True, eq=False)
class FilmLikelihood:
    """How well the cells of a film are described.

    Attributes
    ----------
    film : the cells
    own : −ln L with the model's own numbers
    sets : float array, shape (n_set,), −ln L of each parameter set; NaN where a run
        failed
    curve : −ln L of ``described``, four numbers fitted to these cells
    """

    film: Film
    own: float
    sets: FloatArray
    curve: float


def read_film(path: str | Path) -> Film:
    """Read the table of a film; lines that begin with # are comments.

    Raises
    ------
    InputError
        For a missing file or column, no cells, an entry that is no number, or cells of
        more than one protein or treatment.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"The table of single cells `{path}` does not exist.")
    text = path.read_text(encoding="utf-8").splitlines()
    reader = csv.DictReader(line for line in text if not line.startswith("#"))
    missing = [c for c in COLUMNS if c not in (reader.fieldnames or ())]
    if missing:
        raise InputError(
            f"{path.name}: the column `{missing[0]}` is missing; single cells need "
            f"{', '.join(COLUMNS)}."
        )
    rows = list(reader)
    kinds = {tuple(row[c] for c in COLUMNS[:3]) for row in rows}
    if len(kinds) != 1:
        raise InputError(
            f"{path.name}: all cells need one protein and one treatment, got "
            f"{len(kinds)}."
        )
    protein, trail, chx = kinds.pop()
    numbers = np.array(
        [[_number(path, k, row, c) for c in COLUMNS[3:]] for k, row in enumerate(rows)]
    )
    fusion, own, times, alive = numbers.T
    if not (own > 0).all() or not (fusion >= 0).all() or not (times >= 0).all():
        raise InputError(
            f"{path.name}: copies and times must not be negative, and "
            "`endogenous_mean_copies` must be above 0."
        )
    end = f"{times.max() + SETTLED * WIDTH:g}h"
    doses = f'--dose "cycloheximide={chx} ug/ml@0h" --dose "TRAIL={trail} ng/ml@0h"'
    return Film(
        protein.upper().replace("-", ""),
        1.0 + fusion / own,
        times,
        alive > 0,
        f"{doses} --end {end}",
    )


def _number(path: Path, cell: int, row: Mapping[str, str], column: str) -> float:
    try:
        value = float(row[column])
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise InputError(
            f"{path.name}, cell {cell + 1}: `{column}` must be a number, got "
            f"`{row[column]}`."
        )
    return value


def film_likelihood(
    film: Film,
    model: str | Path,
    line: str,
    ensemble: Ensemble | None = None,
    *,
    draws: int = 50,
    n_jobs: int | None = None,
    progress: Progress | None = None,
) -> FilmLikelihood:
    """Return −ln L of a film, with the model's own numbers and each parameter set.

    Parameters
    ----------
    model, line : name or path, and its cell line
    ensemble : factors on the numbers of the model; the first `draws` are used

    Raises
    ------
    InputError
        For a gene that the model lacks or whose basal transcription it does not name,
        or an ensemble of another version.
    """
    drawn = None if ensemble is None else ensemble.first(draws)
    names = () if drawn is None else drawn.names
    factors = np.ones((1, len(names)))
    if drawn is not None:
        factors = np.vstack([factors, drawn.values])  # the model's own numbers first
    basal = _basal(film, model, line)
    read = Readout.parse(f"mean_time({QUANTITY})")
    treated = f"{film.treatment} --uniform {film.gene} --cells {DRAWS}"
    cases = [
        Case(line, _stepped(Trial.parse(f"--set {basal}={w:.6g} {treated}")), read)
        for w in _transcription(film, model, line, basal)
    ]
    runs = RowRuns(model, [_row(case) for case in cases], points=None, n_jobs=n_jobs)
    if drawn is not None:
        drawn.check(runs.context(line))
    found = _film_times(runs, Sets(names, factors), progress)
    values = np.array([film_nll(film, times) for times in found])
    return FilmLikelihood(film, float(values[0]), values[1:], described(film))


def _film_times(runs: RowRuns, sets: Sets, progress: Progress | None) -> FloatArray:
    """Return times of death, shape (n_set, n_cell, n_draw): infinite for none."""
    found = np.full((len(sets), len(runs.rows), DRAWS), np.nan)
    for block in runs.blocks(len(sets)):
        batch = runs.batch(sets.part(block))
        for k, (case,) in enumerate(runs.cases):
            times, curves = batch.run(case.context, case.trial)
            values = curves[QUANTITY]
            died = crossing_times(times, values, DEAD, 0.0)
            found[block, k] = np.where(np.isfinite(values).all(axis=-1), died, np.nan)
            batch.curves.clear()
            if progress:
                progress(
                    block.start * len(runs.rows) + k + 1, len(sets) * len(runs.rows)
                )
    return found


def film_nll(film: Film, times: FloatArray) -> float:
    """Return −ln L of a film from times of death, as ``CellDeathTimes`` defines it.

    Parameters
    ----------
    times : float array, shape (n_cell, n_draw), h; infinite where a draw lives on, NaN
        where its run failed
    """
    term = film.term()
    u = (times - film.times[:, np.newaxis]) / WIDTH
    density = np.exp(-0.5 * u**2) / (math.sqrt(2.0 * math.pi) * WIDTH)
    part = np.where(film.alive[:, np.newaxis], scipy.special.ndtr(u), density)
    stray = np.where(film.alive, term.strays, term.strays / term.end)
    return float(-np.log(stray + (1.0 - term.strays) * part.mean(axis=1)).sum())


def described(film: Film) -> float:
    """Return the least −ln L of a description without a model.

    A cell dies with the chance 1/(1 + (z/K)^h), at a time that is normal and does not
    depend on its level z: four numbers, with the same share of strays.
    """
    term, z = film.term(), film.levels

    def nll(point: FloatArray) -> float:
        x = np.clip(point, -20.0, 20.0)  # exponents: a search may go far
        dies = scipy.special.expit(-np.exp(x[0]) * (np.log(z) - x[1]))
        sd = np.exp(x[3])
        density = np.exp(-0.5 * ((film.times - x[2]) / sd) ** 2) / (2.5066282746 * sd)
        late = scipy.special.ndtr((x[2] - film.times) / sd)
        stray = np.where(film.alive, term.strays, term.strays / term.end)
        part = np.where(film.alive, 1.0 - dies + dies * late, dies * density)
        return float(-np.log(stray + (1.0 - term.strays) * part).sum())

    died = film.times[~film.alive]
    middle, spread = (
        (float(died.mean()), float(died.std())) if died.size else (1.0, 1.0)
    )
    start = [
        math.log(5.0),
        float(np.median(np.log(z))),
        middle,
        math.log(spread or 1.0),
    ]
    options = {"maxiter": 4000, "xatol": 1e-4, "fatol": 1e-4}
    return float(
        scipy.optimize.minimize(nll, start, method="Nelder-Mead", options=options).fun
    )


def _basal(film: Film, model: str | Path, line: str) -> str:
    """Return the parameter that sets the basal transcription of the gene."""
    loaded = RowRuns(model, ()).context(line)
    name = f"w_basal_{film.gene}"
    if (
        name not in loaded.param_names
        or f"{film.gene}_total" not in loaded.assigned_names
    ):
        raise InputError(
            f"{loaded.id} has no `{name}` and `{film.gene}_total`, which single cells "
            f"by their level of {film.gene} need."
        )
    return name


def _transcription(film: Film, model: str | Path, line: str, basal: str) -> list[float]:
    """Return the basal transcription at which a cell rests with each level.

    The protein at rest is linear in it: two resting states give the line.
    """
    loaded = RowRuns(model, ()).context(line)
    own = float(loaded.p0[loaded.param_names.index(basal)])
    read = Readout.parse(f"rest({film.gene}_total)")
    cases = [
        Case(line, Trial.parse(f"--set {basal}={w:.6g} --end 1h"), read)
        for w in (own, 10.0 * own)
    ]
    runs = RowRuns(model, [_row(case) for case in cases], points=None)
    low, high = runs.predict(Sets((), np.ones((1, 0))))[0]
    per = (high - low) / (9.0 * own)
    return [float(own + (z - 1.0) * low / per) for z in film.levels]


def _stepped(trial: Trial) -> Trial:
    assert trial.end_h is not None
    return replace(trial, points=round(trial.end_h / STEP) + 1)


def _row(case: Case) -> ValidationRow:
    """Return a row that reads one case; its reference is not used."""
    return ValidationRow(
        id="",
        kind="observation",
        what="",
        case=case,
        against=None,
        effect_of=None,
        comparison="",
        observed=math.nan,
        low=math.nan,
        high=math.nan,
        unit="h",
        conflict="",
        source="",
        note="",
        place="",
    )


def film_text(found: FilmLikelihood) -> list[str]:
    """Return the comparison of a film with the model, in lines."""
    film = found.film
    n, alive = len(film.times), int(film.alive.sum())
    head = f"{n} single cells ({alive} alive when last seen), each by its own level of"
    lines = [
        f"{head} {film.gene}, −ln L:",
        f"  {found.own:.1f} with the model's own numbers ({found.own / n:.2f} a cell)",
        f"  {found.curve:.1f} of a logistic share and a normal time, fitted to them",
    ]
    good = found.sets[np.isfinite(found.sets)]
    if good.size:
        low, lower, middle, upper, high = np.quantile(good, SPREAD)
        lines.append(
            f"  {middle:.1f} median of {good.size} parameter sets (50 %: {lower:.1f} "
            f"to {upper:.1f}; 95 %: {low:.1f} to {high:.1f}), best {good.min():.1f}"
        )
        weights = np.exp(good.min() - good)
        kept = float(weights.sum() ** 2 / (weights**2).sum())
        lines.append(
            f"  weighted by these cells {kept:.1f} of the {good.size} sets would count "
            "(the calibration uses their means and shares by level, not each cell)"
        )
    return lines
