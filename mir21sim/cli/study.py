"""Commands of virtual experiments, ``mir21sim study …``."""

from pathlib import Path
from typing import Annotated

import typer

from mir21sim.cli.command import Command
from mir21sim.cli.ensemble import EnsembleOptions
from mir21sim.cli.groups import expanded
from mir21sim.cli.options import (
    BackendOption,
    MethodOption,
    RtolOption,
    WorkOptions,
)
from mir21sim.cli.output import EXIT_INPUT, EXIT_INTERRUPTED, exit_by_status

study_app = typer.Typer(
    name="study",
    help="Virtual experiments: one file says what is done, read and by which assays.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@study_app.command("run", cls=Command)
@expanded
def study_run(
    file: Annotated[Path, typer.Argument(help="A study file (.toml).")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the results.")
    ],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that are there.")
    ] = False,
    *,
    sets: EnsembleOptions,
    work: WorkOptions,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the study that was stopped.")
    ] = False,
    method: MethodOption = None,
    rtol: RtolOption = None,
    backend: BackendOption = "numba",
) -> None:
    """Run a study: data, pictures and one HTML report in a folder.

    Replicates imitate a measurement of cells with the model's own numbers; beside them
    stands what the parameter sets of the model predict, with a band.
    """
    from mir21sim.simulation.options import Options
    from mir21sim.studies import command as study

    try:
        with work.bar() as progress:
            done = study.run_study(
                file,
                output,
                overwrite=overwrite,
                resume=resume,
                options=Options(
                    method=method,
                    rtol=rtol,
                    n_jobs=work.jobs,
                    progress=progress,
                ),
                choose=lambda model: sets.of(model, "nothing is predicted"),
                backend=backend,  # type: ignore[arg-type]  # checked by load
            )
    except KeyboardInterrupt:
        typer.echo(f"mir21sim: interrupted; {study.left_text(output)}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    typer.echo(study.study_text(done))
    typer.echo(f"report: {output / study.REPORT}")
    exit_by_status(done.cells)


@study_app.command("check", cls=Command)
def study_check(
    file: Annotated[Path, typer.Argument(help="A study file (.toml).")],
) -> None:
    """Check a study file without running it; print all its mistakes."""
    from mir21sim.studies import command as study
    from mir21sim.studies.mistakes import StudyError
    from mir21sim.studies.parse import plan

    try:
        planned = plan(file, backend="numpy")  # nothing to compile
    except StudyError as error:
        for mistake in error.mistakes:
            typer.echo(f"mir21sim: {mistake}", err=True)
        raise typer.Exit(EXIT_INPUT) from None
    typer.echo(study.plan_text(planned))


@study_app.command("new", cls=Command)
def study_new(
    file: Annotated[Path, typer.Argument(help="File to write (.toml).")] = Path(
        "study.toml"
    ),
) -> None:
    """Write an example study with comments, to be changed."""
    from mir21sim.studies import example

    typer.echo(f"study: {example.new_study(file)}")


@study_app.command("schema", cls=Command)
def study_schema() -> None:
    """Print the JSON Schema of study files, for editors."""
    from mir21sim.studies import command as study

    typer.echo(study.schema_text(), nl=False)
