"""What `mir21sim study` does: run a study file to its folder, tell of it."""

import json
from pathlib import Path

from mir21sim import export, library
from mir21sim.codegen import cache
from mir21sim.execute import Options
from mir21sim.solvers.runs import Progress
from mir21sim.studies import page, run, schema
from mir21sim.studies.read import Planned, plan
from mir21sim.studies.run import REPORT as REPORT


def run_study(
    study: str | Path,
    folder: str | Path,
    *,
    overwrite: bool = False,
    options: Options | None = None,
    backend: cache.Backend = "numba",
    progress: Progress | None = None,
) -> run.Done:
    """Run a study file and write its data, pictures and report to a folder.

    The folder appears whole at the end; an error or Ctrl-C before leaves nothing, and
    older results as they were.

    Parameters
    ----------
    overwrite : replace the results that are in the folder already
    options : method and tolerances of the runs
    progress : called with (cells done, cells in all dishes)

    Raises
    ------
    InputError
        For a file or folder that cannot be used, before anything is run.
    ModelError
        For a mistake in the study file, by file, line and near name.
    """
    planned = plan(study, backend=backend)
    folder = run.check_folder(folder, overwrite=overwrite)
    done = run.run(planned, options=options, progress=progress)
    made = run.provenance(done)
    with run.new_folder(folder) as part:
        reads = run.write_data(done, part)
        text = page.render(done, reads, part, made)
        (part / run.REPORT).write_text(text, encoding="utf-8", newline="\n")
        record = json.dumps(made, indent=2, ensure_ascii=False) + "\n"
        (part / run.PROVENANCE).write_text(record, encoding="utf-8", newline="\n")
    return done


def outcome_text(done: run.Done) -> str:
    """Return what every assay found, as text: its groups against their control."""
    return "\n".join(
        line
        for read in done.reads
        for line in (
            f"{read.table.title}: {page.test_words(read)}",
            *export.lines_of(page.summary_table(read)),
            *(f"note: {note}" for note in read.reading.notes),
            "",
        )
    ).rstrip()


def plan_text(planned: Planned) -> str:
    """Return what a study would do, as text."""
    study = planned.study
    lines = [
        f"{planned.name}: {study.title}",
        f"model     {planned.model.id}, {planned.model.context or library.BASE}",
        f"cells     {study.population.cells} in each of {len(planned.dishes())} dishes",
        f"times     {', '.join(f'{t:g}' for t in sorted(study.times))} h",
    ]
    lines += [f"sample    {dish.name}" for dish in study.dishes()]
    lines += [f"assay     {table.title}" for table, _ in planned.assays]
    return "\n".join([*lines, "nothing is wrong with it"])


def schema_text() -> str:
    """Return the JSON Schema of study files, as the repository publishes it."""
    return json.dumps(schema.json_schema(), indent=2, ensure_ascii=False) + "\n"
