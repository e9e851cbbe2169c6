"""``mir21sim fit problem``, ``fit calibrate``: the calibration of a shipped model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mir21sim.cli.command import Command
from mir21sim.cli.fit import ProblemArgument
from mir21sim.cli.fit import fit_app as fit_app

if TYPE_CHECKING:
    from mir21sim.simulation.ensemble import Ensemble
    from mir21sim.validation.calibration import Calibrated


@fit_app.command("problem", cls=Command)
def fit_problem(
    model: Annotated[str, typer.Argument(help="A shipped model.")] = "mir21_apoptosis",
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the problem.")
    ] = Path("problem"),
) -> None:
    """Write the calibration of a model as a PEtab v2 problem, priors by status."""
    from mir21sim.validation.calibration_problem import write_problem

    typer.echo(f"PEtab: {write_problem(model, output)}")


@fit_app.command("calibrate", cls=Command)
def fit_calibrate(
    problem: ProblemArgument,
    *,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder: ensemble.nc and two tables."),
    ] = Path("calibration"),
    draws: Annotated[int, typer.Option(help="Parameter sets to draw.")] = 500,
    steps: Annotated[int, typer.Option(help="Assimilations of the data.")] = 4,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 1,
    jobs: Annotated[int | None, typer.Option(help="Threads over runs.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Draw parameter sets that agree with all rows marked `fit`; print the numbers."""
    from mir21sim.cli.output import check_outputs, write_table
    from mir21sim.validation import calibration
    from mir21sim.validation.calibration_reader import read_calibration

    read = read_calibration(problem)
    output.mkdir(parents=True, exist_ok=True)
    paths = [output / name for name in ("ensemble.nc", "numbers.csv", "rows.csv")]
    for path in paths:
        check_outputs(path)

    def told(step: int, of: int, misfit: float) -> None:
        if not quiet:
            typer.echo(f"step {step} of {of}: misfit {misfit:.5g}", err=True)

    done = calibration.calibrate(
        read, draws, steps=steps, seed=seed, n_jobs=jobs, progress=told
    )
    typer.echo(calibration.report(done))
    made = _ensemble(done, seed, steps)
    typer.echo(f"file: {made.save(paths[0])}")
    write_table(done.table(), paths[1])
    write_table(done.row_table(), paths[2])


def _ensemble(done: "Calibrated", seed: int, steps: int) -> "Ensemble":
    """Return the draws with the versions that they belong to."""
    import datetime as dt

    from mir21sim.simulation.provenance import versions
    from mir21sim.validation.calibration import model_digests

    model = done.problem.model
    return done.ensemble(
        {
            "model": model,
            "seed": seed,
            "steps": steps,
            "left_out": done.n_left_out,
            "created": dt.datetime.now(dt.UTC).date().isoformat(),
            "mir21sim": versions()["mir21sim"],
            "digests": model_digests(model),
        }
    )
