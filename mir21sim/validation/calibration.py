"""The calibration of a shipped model: residuals, draws of the posterior, a report.

Free numbers are factors on the numbers of the model, log-normal about 1. Residuals are
(prediction − observed)/error, an error ``a..b`` being read as a 95 % interval, ``e`` as
one standard deviation; where a prediction comes of n cells its own sampling error is
added. In every line the cell of ``WEAK``, weaker than about 99 of 100, must rest
without treatment for 72 h (residuals of log10 of released cytochrome c above 1e-3,
over 0.5). In the lines of ``dies`` the average cell must die of ``LETHAL``: claims on
half-lethal doses say nothing of a line without one.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from mir21sim._typing import BoolArray, FloatArray, IntArray
from mir21sim.analysis.cell_death import DEAD
from mir21sim.compiler.load import load
from mir21sim.estimation.smoother import STEPS, smoothed
from mir21sim.model import files as model_files
from mir21sim.simulation.ensemble import Ensemble
from mir21sim.validation.calibration_reader import Calibration
from mir21sim.validation.claims import Case, ValidationRow
from mir21sim.validation.readouts import Readout
from mir21sim.validation.row_runs import RowRuns, Sets
from mir21sim.validation.trial import Trial

CELLS, CELLS_OF = 6, {"dead": 48, "alive": 10, "mean_without": 24}
"""Unlike cells of a trial in a calibration: most, and by read-out. Of 6 cells all die
in many draws, which would say nothing of those that live."""

SHARES = ("dead", "alive", "mean")
"""Read-outs that are shares of cells."""

POINTS = 361
"""Output times of a trial in a calibration."""

TIME_CV, SHARE_SD = 0.2, 0.5
"""Spread between cells of a time of death over its mean, and of a share: over √n the
sampling error of a prediction."""

RELEASED, RELEASED_SD = -3.0, 0.5
"""log10 of the released share above which an untreated cell does not rest, its error.
"""

WEAK = (
    "--knockdown BCL2=0.336 --knockdown AKT=0.315 --overexpress BAX=1.24 "
    "--overexpress PTEN=1.2 --overexpress BBC3=1.16"
)
"""A cell that rests worse than about 99 of 100 unlike ones: 2.33 standard deviations
(0.275 of a logarithm) along the slopes of resting active Bax over levels, mean of five
lines.
"""

UNLIKE = 32
"""Unlike untreated cells of each line that a draw is held against at the end; none may
be dead after 72 h."""

LETHAL = '--dose "TRAIL=1000 ng/ml@0h" --end 24h'
"""Treatment that the average cell of some lines must die of in a draw."""

MISFIT = 1.5
"""Most mean square of the residuals of a draw: of 55 standard normal residuals it is
above in 1 % of cases (chi-squared)."""

DRAWS = 500

SHOWN = 40
"""Numbers that a report prints; the table has all."""

Told: TypeAlias = Callable[[int, int, float], None]


# ---------------------------------------------------------------------- the objective
class Residuals:
    """Residuals of the rows and of resting lines, for many draws at once."""

    def __init__(self, problem: Calibration, *, n_jobs: int | None = None) -> None:
        self.problem = problem
        rest = [_resting(problem.rows[0], line) for line in problem.lines]
        self.runs = RowRuns(
            problem.model,
            (*problem.rows, *rest),
            cells=CELLS,
            cells_of=CELLS_OF,
            points=POINTS,
            n_jobs=n_jobs,
        )
        self.observed = np.array([row.observed for row in problem.rows])
        sides = [_errors(row) for row in problem.rows]
        self.below, self.above = np.array(sides).T
        self.sampling = np.array([_sampling(row) for row in problem.rows])

    def __call__(self, z: FloatArray) -> FloatArray:
        """Return residuals, shape (n_draw, n_row + n_line); NaN for no prediction."""
        sets = Sets(self.problem.names, self.problem.factors(z))
        found = self.runs.predict(sets)
        count = len(self.problem.rows)
        gap = found[:, :count] - self.observed
        error = np.where(gap < 0, self.below, self.above)
        released = np.log10(np.maximum(found[:, count:], 1e-12))
        rest = np.maximum(released - RELEASED, 0.0) / RELEASED_SD
        return np.hstack([gap / np.hypot(error, self.sampling), rest])


def _resting(row: ValidationRow, line: str) -> ValidationRow:
    """Return a row that reads whether an untreated weak cell of a line lives."""
    trial, read = Trial.parse(f"{WEAK} --end 72h"), Readout.parse("end(MOMP_fraction)")
    case = Case(line, trial, read)
    return replace(row, id=f"rest {line}", case=case, against=None, unit="fraction")


def _errors(row: ValidationRow) -> tuple[float, float]:
    """Return the standard deviations below and above an observation."""
    below, above = row.observed - row.low, row.high - row.observed
    scale = 1.96 if row.is_interval else 1.0
    most = max(below, above)
    return (below or most) / scale, (above or most) / scale


def _sampling(row: ValidationRow) -> float:
    """Return the error that a prediction has from the few cells behind it."""
    if not row.case.trial.cells:
        return 0.0
    feature = row.case.readout.feature
    n = min(row.case.trial.cells, CELLS_OF.get(feature, CELLS))
    if feature in SHARES:
        return SHARE_SD / math.sqrt(n)
    return TIME_CV * abs(row.observed) / math.sqrt(n)


def calibrate(
    problem: Calibration,
    draws: int = DRAWS,
    *,
    steps: int = STEPS,
    seed: int = 1,
    n_jobs: int | None = None,
    progress: Told | None = None,
) -> "Calibrated":
    """Return draws of the posterior of a calibration; deterministic.

    Draws in which the weak cell of a line does not rest, the average cell of one
    survives ``LETHAL``, or unlike cells die untreated (``live``), are left out, and
    those that are farther from the data than ``MISFIT``; ``n_left_out`` counts them. A
    cell whose run fails counts as dead untreated, and as alive under ``LETHAL``.

    Parameters
    ----------
    draws : number of draws
    steps : assimilations of the data
    progress : called with (steps done, steps, mean sum of squares)
    """
    residuals = Residuals(problem, n_jobs=n_jobs)
    found = smoothed(
        residuals, len(problem.names), draws, steps=steps, seed=seed, progress=progress
    )
    of_rows, of_rest = np.hsplit(found.residuals, [len(problem.rows)])
    rests = (of_rest == 0).all(axis=1) & ((of_rows**2).mean(axis=1) <= MISFIT)
    rests[rests] = average_cells_die(problem, found.z[rests], n_jobs=n_jobs)
    dead, failed = unlike_cells(problem, found.z[rests], n_jobs=n_jobs)
    rests[rests] = live(dead + failed)
    return Calibrated(
        problem,
        found.z[rests],
        found.residuals[rests],
        found.misfit,
        int((~rests).sum()),
        int(failed.sum()),
    )


def average_cells_die(
    problem: Calibration, z: FloatArray, *, n_jobs: int | None = None
) -> BoolArray:
    """Return for each draw whether the average cell of each line in `dies` dies.

    Returns
    -------
    bool array, shape (n_draw,)
    """
    if not problem.dies:
        return np.ones(len(z), dtype=bool)
    trial, read = Trial.parse(LETHAL), Readout.parse("most(MOMP_fraction)")
    rows = [
        replace(_resting(problem.rows[0], line), case=Case(line, trial, read))
        for line in problem.dies
    ]
    runs = RowRuns(problem.model, rows, cells=1, points=3, n_jobs=n_jobs)
    found = runs.predict(Sets(problem.names, problem.factors(z)))
    return np.asarray((found >= DEAD).all(axis=1))


def unlike_cells(
    problem: Calibration, z: FloatArray, *, n_jobs: int | None = None
) -> tuple[IntArray, IntArray]:
    """Return how many of ``UNLIKE`` untreated cells die, and how many have no result.

    A cell is dead if it is so after 72 h, at rest or later. A cell has no result if its
    run fails.

    Returns
    -------
    dead, failed : int arrays, shape (n_draw, n_line)
    """
    trial = Trial.parse(f"--end 72h --cells {UNLIKE}")
    read = Readout.parse("mean(MOMP_fraction)")
    dead = np.zeros((len(z), len(problem.lines)), dtype=np.int64)
    failed = np.zeros_like(dead)
    sets = Sets(problem.names, problem.factors(z))
    for k, line in enumerate(problem.lines):
        case = Case(line, trial, read)
        row = replace(_resting(problem.rows[0], line), case=case)
        runs = RowRuns(problem.model, (row,), cells=UNLIKE, points=3, n_jobs=n_jobs)
        for block in runs.blocks(len(sets)):
            batch = runs.batch(sets.part(block))
            share, _ = batch.numbers(0)
            (missing,) = batch.failed.values()
            failed[block, k] = missing
            # The share is that of the cells with a result; NaN where there is none.
            dead[block, k] = np.round(np.nan_to_num(share) * (UNLIKE - missing))
    return dead, failed


def live(dead: IntArray) -> BoolArray:
    """Return for each draw whether all unlike untreated cells of every line live.

    Parameters
    ----------
    dead : int array, shape (n_draw, n_line), dead of ``UNLIKE`` cells or without a
        result

    Returns
    -------
    bool array, shape (n_draw,)
    """
    return np.asarray((dead == 0).all(axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class Calibrated:
    """Draws of a calibration.

    Attributes
    ----------
    z : float array, shape (n_draw, n_free), over the prior's standard deviation
    residuals : float array, shape (n_draw, n_row + n_line)
    misfit : mean sum of squares before each step and after the last
    n_left_out : draws in which untreated cells of a line do not rest or its average
        cell survives ``LETHAL``, or that are farther from the data than ``MISFIT``
    n_failed : untreated cells whose run failed, which count as dead
    """

    problem: Calibration
    z: FloatArray
    residuals: FloatArray
    misfit: FloatArray
    n_left_out: int
    n_failed: int

    def ensemble(self, provenance: Mapping[str, object]) -> Ensemble:
        """Return the draws as factors on the numbers of the model."""
        about: dict[str, object] = {
            "how": "ensemble smoother with multiple data assimilation",
            "rows": len(self.problem.rows),
            "prior_sd": {
                name: float(f"{sd:.4g}")
                for name, sd in zip(self.problem.names, self.problem.sd, strict=True)
            },
            **provenance,
        }
        return Ensemble(self.problem.names, self.problem.factors(self.z), about, True)

    def table(self) -> list[dict[str, object]]:
        """Return prior and posterior of each free number, medians and 95 % ranges."""
        ends = np.quantile(self.problem.factors(self.z), (0.5, 0.025, 0.975), axis=0)
        rows = zip(
            self.problem.names,
            self.problem.values,
            self.problem.sd,
            self.problem.statuses,
            *ends,
            self.z.std(axis=0),
            strict=True,
        )
        return [
            {
                "id": name,
                "status": status,
                "prior": value,
                "prior_low": value * math.exp(-1.96 * sd),
                "prior_high": value * math.exp(1.96 * sd),
                "posterior": value * middle,
                "low": value * low,
                "high": value * high,
                "sd_over_prior": width,
            }
            for name, value, sd, status, middle, low, high, width in rows
        ]

    def row_table(self) -> list[dict[str, object]]:
        """Return residuals of each fitted row: median and 95 % range, in errors."""
        count = len(self.problem.rows)
        ends = np.nanquantile(self.residuals[:, :count], (0.5, 0.025, 0.975), axis=0)
        return [
            {
                "id": row.id,
                "context": row.context,
                "observed": row.observed,
                "unit": row.unit,
                "residual": float(middle),
                "residual_low": float(low),
                "residual_high": float(high),
            }
            for row, middle, low, high in zip(self.problem.rows, *ends, strict=True)
        ]


def report(done: Calibrated) -> str:
    """Return the result of a calibration in lines: fit, and the numbers that moved."""
    problem = done.problem
    made = (
        f"{len(done.z)} parameter sets of {len(problem.names)} free numbers, held "
        f"against {len(problem.rows)} rows marked `fit`; {done.n_left_out} sets "
        "left out, in which untreated cells of some line do not rest, its average "
        "cell survives a lethal dose, or the mean square of the residuals is above "
        f"{MISFIT:g}"
        f" ({done.n_failed} untreated cells had no result and count as dead)"
    )
    misfit = (
        f"mean sum of squared residuals: {done.misfit[0]:.4g} of the prior, "
        f"{done.misfit[-1]:.4g} of the posterior"
    )
    others = ", ".join(problem.left_out) or "none"
    lines = [
        made,
        misfit,
        f"rows not held against the draws: {others}",
        "row: residual in errors, median (95 %)",
    ]
    lines += [
        f"  {row['id']!s:18s} {row['residual']:6.2f} ({row['residual_low']:.2f} to "
        f"{row['residual_high']:.2f})"
        for row in done.row_table()
    ]
    lines.append(
        "number: prior median (95 %), posterior median (95 %), most learnt first"
    )
    table = sorted(done.table(), key=lambda row: float(str(row["sd_over_prior"])))
    lines += [
        f"  {row['id']!s:28s} {row['prior']:.4g} ({row['prior_low']:.3g} to "
        f"{row['prior_high']:.3g}), {row['posterior']:.4g} ({row['low']:.3g} to "
        f"{row['high']:.3g})"
        for row in table[:SHOWN]
    ]
    return "\n".join(lines)


def model_digests(model: str) -> dict[str, str]:
    """Return the SHA-256 of a model by cell line, "" for its own numbers alone."""
    lines = {model_files.BASE: "", **{n: n for n in model_files.contexts(model)}}
    return {key: load(model, name).digest for name, key in lines.items()}
