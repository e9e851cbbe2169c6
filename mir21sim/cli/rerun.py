"""``mir21sim rerun``: run a result file again and compare the numbers."""

from pathlib import Path
from typing import Annotated

import typer

from mir21sim.cli.output import EXIT_FAILED_RUN, check_outputs


def rerun(
    file: Annotated[Path, typer.Argument(help="A result (.nc or .zarr).")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Result (.nc or .zarr).")
    ] = None,
    rtol: Annotated[
        float, typer.Option(help="Largest relative difference that counts as equal.")
    ] = 0.0,
) -> None:
    """Run a result again from its own file and compare the numbers."""
    from mir21sim.simulation import dataset as results
    from mir21sim.simulation import rerun as runs

    check_outputs(output, kinds=(".nc", ".zarr"))
    new, difference = runs.rerun(file)
    if output is not None:
        typer.echo(f"result: {results.save(new, output, results.read_source(file))}")
    typer.echo(f"largest relative difference: {difference:.3g}")
    if not difference <= rtol:
        typer.echo("The numbers differ from those in the file.", err=True)
        raise typer.Exit(EXIT_FAILED_RUN)
