"""``mir21sim verify``: one run by other methods and other simulators."""

from pathlib import Path
from typing import Annotated

import typer

from mir21sim.cli.groups import expanded
from mir21sim.cli.options import ModelArgument, RunOptions
from mir21sim.cli.output import EXIT_FAILED_RUN, check_outputs
from mir21sim.cli.parse import tool_names


@expanded
def verify(
    model: ModelArgument,
    run: RunOptions,
    *,
    with_: Annotated[
        str | None,
        typer.Option(
            "--with",
            help="Other simulators, a comma list of roadrunner and copasi, or `none`. "
            "Default: those that are installed.",
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(help="Largest relative difference that counts as equal.")
    ] = 1e-3,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Checks (.json or .csv).")
    ] = None,
) -> None:
    """Repeat a run at tighter tolerances, by every method and in other simulators."""
    from mir21sim.validation import verify as verification

    check_outputs(output, kinds=(".json", ".csv"))
    found = verification.verify(
        run.load.load(model),
        options=run.solver.options(),
        tools=tool_names(with_),
        tolerance=tolerance,
        **run.arguments(),
    )
    typer.echo(verification.text(found))
    if output is not None:
        typer.echo(f"checks: {verification.save(found, output)}")
    if not found.passed:
        raise typer.Exit(EXIT_FAILED_RUN)
