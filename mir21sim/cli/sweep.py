"""``mir21sim sweep``: one run per value of a dose, parameter or initial amount."""

from typing import Annotated

import typer

from mir21sim.cli.groups import expanded
from mir21sim.cli.options import (
    JobsOption,
    ModelArgument,
    ObserveOption,
    OutputOptions,
    OverOption,
    QuietOption,
    RunOptions,
)
from mir21sim.cli.output import (
    check_outputs,
    exit_by_status,
    print_features,
    progress_bar,
    write_result,
)
from mir21sim.cli.parse import axes, name_list


@expanded
def sweep(
    model: ModelArgument,
    over: OverOption,
    run: RunOptions,
    files: OutputOptions,
    *,
    observe: ObserveOption = None,
    jobs: JobsOption = None,
    on_failure: Annotated[str, typer.Option(help="mask or raise.")] = "mask",
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the sweep that was stopped."),
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Simulate once per value of a dose, parameter or initial amount."""
    from mir21sim.simulation import sweep as sweeps

    output = files.output
    check_outputs(output, files.plot)
    swept = axes(over)
    loaded = run.load.load(model)
    with progress_bar(quiet) as progress:
        result = sweeps.sweep(
            loaded,
            swept,
            observe=name_list(observe),
            options=run.solver.options(jobs, progress),
            on_failure=on_failure,  # type: ignore[arg-type]  # checked by sweep
            output=output if output is not None and output.suffix == ".nc" else None,
            resume=resume,
            **run.arguments(),
        )
    typer.echo(result.attrs["summary"])
    write_result(result, loaded, output, files.plot, saved=True)
    print_features(result)
    exit_by_status(result)
