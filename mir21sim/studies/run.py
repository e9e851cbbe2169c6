"""A planned study → one folder: data, pictures, and a report that stands alone.

The population is run once, and every assay reads it. All files are written to a folder
beside the one asked for, which takes its name in one move at the end: a folder
of that name is complete.
"""

import datetime as dt
import hashlib
import html
import platform
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from mir21sim import files
from mir21sim.analysis import model_report, plots, tables
from mir21sim.analysis.cell_death import DEAD, EXPOSED
from mir21sim.assays.assay import Assay, Reading
from mir21sim.assays.experiment import (
    Experiment,
    experiment_record,
    origins,
    run_experiment,
)
from mir21sim.assays.kinds import noise_table
from mir21sim.assays.prediction import (
    Frame,
    Prediction,
    predicted_fate,
    predicted_reading,
)
from mir21sim.assays.prediction_plot import plot_prediction
from mir21sim.compiler.card import html_rows, text_rows
from mir21sim.errors import InputError, SolverStatus
from mir21sim.model.info import unique
from mir21sim.simulation import dataset
from mir21sim.simulation.checkpoint import (
    PartialDishes,
    folder_for,
    refuse_to_lose,
)
from mir21sim.simulation.ensemble import Ensemble
from mir21sim.simulation.options import Options
from mir21sim.simulation.provenance import versions
from mir21sim.simulation.spread import LEAST, SET, SETS
from mir21sim.solvers.problem import Progress
from mir21sim.studies.mistakes import at
from mir21sim.studies.parse import Planned
from mir21sim.studies.schema import AssayTable

REPORT = "report.html"
CELLS = "cells.nc"
PREDICTED_CELLS = "cells_of_sets.nc"
PREDICTION = "prediction.png"
PROVENANCE = "provenance.json"


@dataclass(frozen=True, slots=True, eq=False)
class AssayResult:
    """One assay of a study: its table, settings and reading, and the files of it.

    ``pictures`` and ``data`` are paths within the folder of dataset; ``predicted`` is
    the reading without noise over parameter sets, None without an ensemble.
    """

    table: AssayTable
    assay: Assay[Any]
    reading: Reading
    pictures: tuple[Path, ...] = ()
    data: tuple[Path, ...] = ()
    predicted: Frame | None = None


@dataclass(frozen=True, slots=True, eq=False)
class StudyResult:
    """A study that was run: cells, readings of the assays, and warnings."""

    planned: Planned
    cells: xr.Dataset
    reads: tuple[AssayResult, ...]
    warnings: tuple[str, ...]
    prediction: Prediction | None = None

    def __repr__(self) -> str:
        return text_rows(f"StudyResult {self.planned.name}", self._card())

    def _repr_html_(self) -> str:
        """Return the card and the summary of each assay that notebooks show."""
        card = html_rows(self.planned.study.title, self.planned.name, self._card())
        summaries = (
            f"<p>{html.escape(read.assay.heading)}</p>"
            + read.reading.summary.to_html(index=False)  # escapes its output
            for read in self.reads
        )
        return card + "".join(summaries)

    def _card(self) -> dict[str, str]:
        """Return dishes, cells, assays and warnings, by title."""
        status = self.cells["status"].values
        return {
            "dishes": ", ".join(dish.name for dish in self.planned.dishes()),
            "cells": f"{status.size}, {int((status != 0).sum())} of them failed",
            "assays": ", ".join(read.assay.name for read in self.reads),
            "warnings": " ".join(self.warnings) or "none",
        }


def run(
    planned: Planned,
    *,
    options: Options | None = None,
    progress: Progress | None = None,
    store: PartialDishes | None = None,
    ensemble: Ensemble | None = None,
) -> StudyResult:
    r"""Run the cells of a study once and read them by each of its assays.

    Parameters
    ----------
    progress : called with (cells done, cells in all dishes)
    store : keeps each dish as it is done (``unfinished``); those there are not run
    ensemble : parameter sets; the study then gives their prediction of each reading
        (``StudyResult.prediction``), beside the replicates of the model's own numbers

    Examples
    --------
    >>> import mir21sim as ms
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name) / "study.toml"
    >>> _ = path.write_text(
    ...     'model = "mir21_core"\ntimes = [4]\n[population]\ncells = 2\n'
    ...     '[[samples]]\nname = "control"\n'
    ...     '[[assays]]\nkind = "western"\nproteins = ["PTEN"]\n'
    ... )
    >>> study = ms.read_study(path)
    >>> folder.cleanup()
    >>> len(ms.run_study(study).reads)
    1
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cells = run_experiment(
            planned.model,
            _experiment(planned),
            _observed(planned),
            options=options,
            progress=progress,
            store=store,
        )
        reads = []
        for k, (table, assay) in enumerate(planned.assays):
            with at(planned.text, planned.name, "assays", k):
                reads.append(
                    AssayResult(table, assay, _reading(planned, table, assay, cells))
                )
        prediction = None
        if ensemble is not None:
            prediction = _predict(planned, ensemble, options, progress, store)
            reads = [
                replace(read, predicted=found)
                for read, found in zip(reads, prediction.readings, strict=True)
            ]
    said = unique(str(entry.message) for entry in caught)
    for entry in caught:
        warnings.warn(entry.message, entry.category, stacklevel=2)
    return StudyResult(planned, cells, tuple(reads), said, prediction)


def _predict(
    planned: Planned,
    ensemble: Ensemble,
    options: Options | None,
    progress: Progress | None,
    store: PartialDishes | None,
) -> Prediction:
    """Run the dishes over parameter sets, and read each assay in every set."""
    cells = run_experiment(
        planned.model,
        _spread_experiment(planned, ensemble),
        _observed(planned),
        options=options,
        progress=progress,
        store=None if store is None else store.after(len(planned.dishes())),
        ensemble=ensemble,
    )
    readings = []
    for k, (table, assay) in enumerate(planned.assays):
        with at(planned.text, planned.name, "assays", k):
            readings.append(predicted_reading(assay, _read_by(planned, table, cells)))
    plain = cells.isel(sample=cells["dish"].values == "")
    fate = predicted_fate(plain, death_level(planned))
    return Prediction(cells, len(np.unique(cells[SET].values)), fate, tuple(readings))


def _spread_experiment(planned: Planned, ensemble: Ensemble) -> Experiment:
    """Return the dishes with as many cells as the parameter sets need."""
    n = LEAST * max(2, min(SETS, len(ensemble)))
    population = replace(planned.population, n=n)
    return replace(_experiment(planned), population=population, replicates=1)


def death_level(planned: Planned) -> float:
    """Return the share of PS exposed in a dead cell, as the study's assays count it."""
    levels = [assay.death_level for _, assay in planned.assays]
    return next((found for found in levels if found is not None), DEAD)


def unfinished(
    planned: Planned,
    folder: Path,
    *,
    options: Options | None = None,
    resume: bool,
    overwrite: bool,
    ensemble: Ensemble | None = None,
) -> PartialDishes:
    """Return where the dishes of a study are kept until its folder is whole.

    To resume, all settings that decide the cells must be equal; settings of assays may
    differ.

    Raises
    ------
    InputError
        Where dishes of an unfinished study would be thrown away unasked, and with
        `resume` where the study is another one.
    """
    if not (resume or overwrite):
        refuse_to_lose(folder, "study")
    plan = experiment_record(
        planned.model, _experiment(planned), _observed(planned), options, ensemble
    )
    return PartialDishes(folder_for(folder), plan, resume=resume)


def _experiment(planned: Planned) -> Experiment:
    return Experiment(
        planned.dishes(),
        planned.population,
        tuple(sorted(planned.study.times)),
        replicates=planned.study.dishes_each(),
    )


def _observed(planned: Planned) -> tuple[str, ...]:
    """Return the quantities to keep: needs of the assays, and the mark of death."""
    names = [n for _, assay in planned.assays for n in assay.needs(planned.model)]
    if EXPOSED in (*planned.model.assigned_names, *planned.model.state_names):
        names.append(EXPOSED)
    return unique(names)


def _reading(
    planned: Planned, table: AssayTable, assay: Assay[Any], cells: xr.Dataset
) -> Reading:
    """Return the reading of one assay in its dishes."""
    study = planned.study
    reading: Reading = assay.read(
        _read_by(planned, table, cells),
        noise=study.noise,
        seed=study.seed,
        replicates=table.replicates or study.replicates,
        test=table.test or study.test,
    )
    return reading


def _read_by(planned: Planned, table: AssayTable, cells: xr.Dataset) -> xr.Dataset:
    """Return the cells of the dishes that an assay reads."""
    names = {dish.name for dish in planned.study.dishes(table.samples)}
    mine = [k for k, name in enumerate(origins(cells)) if name in names]
    return cells.isel(sample=mine)


# ------------------------------------------------------------------- the folder of it
def check_folder(folder: str | Path, *, overwrite: bool = False) -> Path:
    """Return a folder that results can be put in; an old one is kept until then.

    Raises
    ------
    InputError
        Where something stands in the way: results without `overwrite`, or with it
        anything that is not the results of a study.
    """
    folder = Path(folder)
    if folder.is_file():
        raise InputError(f"`{folder}` is a file; results need a folder.")
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / PROVENANCE).is_file():
            raise InputError(
                f"`{folder}` holds something that is not the results of a study; give "
                "another folder."
            )
        if not overwrite:
            raise InputError(
                f"`{folder}` holds results already; give another folder, or replace "
                "them by overwrite=True (on the command line --overwrite)."
            )
    files.prepare_output(folder.parent / f"{folder.name}.check").unlink()
    return folder


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to fill; it takes the name when all went well, else it is gone."""
    try:
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name[:40]}-", dir=folder.parent))
    except OSError as error:
        raise InputError(
            f"`{folder}` cannot be written: {files.reason(error)}."
        ) from error
    try:
        yield part
        part.chmod(0o755)
        if folder.is_dir():
            old = part.with_name(part.name + "-old")
            folder.replace(old)
            part.replace(folder)
            shutil.rmtree(old)
        else:
            part.replace(folder)
    except OSError as error:
        raise InputError(
            f"`{folder}` cannot be written: {files.reason(error)}."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_data(done: StudyResult, folder: Path) -> tuple[AssayResult, ...]:
    """Write the cells and all readings; return the readings with their files.

    The same study and seed give the same bytes.
    """
    planned = done.planned
    files.write_text(folder / "study.toml", planned.text)
    dataset.save(done.cells, folder / CELLS, planned.model.source)
    tables.write_csv(noise_table(planned.noises()), folder / "noise.csv")
    _write_prediction(done, folder)
    numbers = tables.records_frame(model_report.source_rows(planned.files))
    tables.write_csv(numbers, folder / "numbers.csv")
    return tuple(write_result(read, folder) for read in done.reads)


def _write_prediction(done: StudyResult, folder: Path) -> None:
    """Write the cells over parameter sets, and the dead ones of them with a picture."""
    found = done.prediction
    if found is None:
        return
    dataset.save(found.cells, folder / PREDICTED_CELLS, done.planned.model.source)
    if found.fate is not None:
        frame = found.fate.to_dataframe().reset_index()
        tables.write_csv(frame, folder / "prediction.csv")
        picture = plot_prediction(found.fate, found.band)
        plots.save(picture, folder / PREDICTION)


def write_result(result: AssayResult, folder: Path) -> AssayResult:
    """Write the tables, files and picture of one assay."""
    name = files.slug(result.table.title)
    home = folder / name
    home.mkdir()
    exported = result.assay.export(result.reading, home)
    picture = home / f"{name}.png"
    plots.save(result.assay.plot(result.reading), picture)
    notes = (*result.reading.notes, *exported.notes)
    written = exported.files
    if result.predicted is not None:
        path = tables.write_csv(result.predicted, home / "predicted.csv")
        written = (*written, path)
    return replace(
        result,
        reading=replace(result.reading, notes=notes),
        pictures=(picture.relative_to(folder),),
        data=tuple(path.relative_to(folder) for path in written),
    )


def study_provenance(done: StudyResult) -> dict[str, Any]:
    """Return how the study was run, as plain values."""
    planned = done.planned
    failed = int((done.cells["status"].values != SolverStatus.OK).sum())
    return {
        "study": planned.name,
        "study_sha256": hashlib.sha256(planned.text.encode()).hexdigest(),
        "model": planned.model.id,
        "model_sha256": planned.model.digest,
        "context": planned.model.context,
        "seed": planned.study.seed,
        "parameter_sets": done.prediction.n_sets if done.prediction else 0,
        "runs": int(done.cells["status"].size),
        "failed_runs": failed,
        "warnings": list(done.warnings),
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions(),
    }
