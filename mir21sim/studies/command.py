"""Functions behind `mir21sim study`: run a study file, describe plan and result."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import xarray as xr

from mir21sim import files
from mir21sim.analysis import tables
from mir21sim.assays.prediction import fate_records
from mir21sim.compiler import cache
from mir21sim.compiler.model import CompiledModel
from mir21sim.simulation.checkpoint import PartialDishes, folder_for
from mir21sim.simulation.ensemble import Ensemble
from mir21sim.simulation.options import Options
from mir21sim.simulation.summary import named_model
from mir21sim.solvers.problem import Progress
from mir21sim.studies import report, run, schema
from mir21sim.studies.parse import Planned, plan
from mir21sim.studies.run import REPORT as REPORT

SHOWN_TIMES = 2
"""Times of the predicted dead cells in a printed table; the report has all."""

Choose: TypeAlias = Callable[[CompiledModel], Ensemble | None]
"""Model to the parameter sets of its prediction, None for none."""


def run_study(
    study: str | Path,
    folder: str | Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
    options: Options | None = None,
    backend: cache.Backend = "numba",
    progress: Progress | None = None,
    choose: Choose | None = None,
) -> run.StudyResult:
    """Run a study file and write its data, pictures and report to a folder.

    The folder appears whole at the end; older results stay as they were until then.
    After an error, Ctrl-C or a crash, the dishes that are done lie in a folder beside
    it, ``<folder>.partial``, until the study goes on or is started anew.

    Parameters
    ----------
    overwrite : replace the results that are in the folder already, and an unfinished
        study
    resume : go on with the study that was stopped: dishes that are done are not run
        again, and the results are the same
    options : method and tolerances of the runs
    progress : called with (cells done, cells in all dishes)
    choose : returns the parameter sets of the prediction for the model of the study,
        None for none; by default none

    Raises
    ------
    InputError
        For a file or folder that cannot be used, before anything is run.
    ModelError
        For a mistake in the study file, by file, line and near name.
    """
    planned = plan(study, backend=backend)
    folder = run.check_folder(folder, overwrite=overwrite)
    ensemble = None if choose is None else choose(planned.model)
    store = run.unfinished(
        planned,
        folder,
        options=options,
        resume=resume,
        overwrite=overwrite,
        ensemble=ensemble,
    )
    try:
        done = _finish(planned, folder, store, ensemble, (options, progress))
    except BaseException:
        if not len(store):
            store.remove()  # nothing to go on with
        raise
    else:
        store.remove()
    finally:
        store.close()
    return done


def _finish(
    planned: Planned,
    folder: Path,
    store: PartialDishes,
    ensemble: Ensemble | None,
    how: tuple[Options | None, Progress | None],
) -> run.StudyResult:
    """Run the dishes that are missing, and write the folder."""
    options, progress = how
    done = run.run(
        planned, options=options, progress=progress, store=store, ensemble=ensemble
    )
    made = run.study_provenance(done)
    with run.new_folder(folder) as part:
        reads = run.write_data(done, part)
        text = report.render(done, reads, part, made)
        files.write_text(part / run.REPORT, text)
        record = json.dumps(made, indent=2, ensure_ascii=False) + "\n"
        files.write_text(part / run.PROVENANCE, record)
    return done


def left_text(folder: Path) -> str:
    """Return a sentence on the results that a stopped study has left."""
    part = folder_for(folder)
    if not part.is_dir():
        return f"no dish was done, and `{folder}` is as it was"
    return (
        f"the dishes that are done are kept in `{part}`, and --resume goes on with the "
        f"others; `{folder}` is as it was"
    )


def study_text(done: run.StudyResult) -> str:
    """Return the model, the cell line and the summaries of all assays as text.

    Tables have the columns that fit into a line; all are in the files of the assays.
    """
    lines = [named_model(done.planned.model), ""]
    if done.prediction is not None:
        n = done.prediction.n_sets
        lines += [f"predicted: mean (95 %) over {n} parameter sets, without noise."]
        lines += [
            "mean ± SD: replicates imitate a measurement of the model's own numbers.",
            "",
        ]
        if done.prediction.fate is not None:
            lines += _fate_lines(done.prediction.fate)
    for read in done.reads:
        lines.append(f"{read.table.title}: {report.test_words(read)}")
        lines += tables.lines_of(report.short_table(read))
        lines += [f"note: {note}" for note in read.reading.notes]
        lines.append("")
    return "\n".join(lines).rstrip()


def _fate_lines(fate: xr.Dataset) -> list[str]:
    """Return the predicted dead cells, the last times that fit into a line."""
    shown = fate.isel(time=slice(-SHOWN_TIMES, None))
    table = tables.text_table(fate_records(shown))
    return ["predicted dead cells by then:", *tables.lines_of(table), ""]


def plan_text(planned: Planned) -> str:
    """Return the plan of a study as text."""
    study = planned.study
    lines = [
        f"{planned.name}: {study.title}",
        f"model     {named_model(planned.model)}",
        f"cells     {study.population.cells} in each of {len(planned.dishes())} dishes",
        f"times     {', '.join(f'{t:g}' for t in sorted(study.times))} h",
    ]
    lines += [f"sample    {dish.name}" for dish in study.dishes()]
    lines += [f"assay     {table.title}" for table, _ in planned.assays]
    return "\n".join([*lines, "nothing is wrong with it"])


def schema_text() -> str:
    """Return the JSON Schema of study files, as the repository publishes it."""
    return json.dumps(schema.json_schema(), indent=2, ensure_ascii=False) + "\n"
