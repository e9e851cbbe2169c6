"""``mir21sim combine``: two drugs on dishes of unlike cells."""

from typing import Annotated

import typer

from mir21sim.cli.dish import DishOptions, print_trust
from mir21sim.cli.ensemble import EnsembleOptions
from mir21sim.cli.groups import expanded
from mir21sim.cli.options import (
    JobsOption,
    ModelArgument,
    OutputOptions,
    OverOption,
    QuietOption,
    RunOptions,
)
from mir21sim.cli.output import (
    check_outputs,
    exit_by_status,
    progress_bar,
    write_result,
)
from mir21sim.cli.parse import axes


@expanded
def combine(
    model: ModelArgument,
    over: OverOption,
    run: RunOptions,
    files: OutputOptions,
    dish: DishOptions,
    *,
    sets: EnsembleOptions,
    measure: Annotated[
        str, typer.Option(help="HSA, Bliss, Loewe or ZIP: the excess that is drawn.")
    ] = "Bliss",
    jobs: JobsOption = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with runs that were stopped.")
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Combine two drugs: dead cells of each dose pair, excess over additivity."""
    from mir21sim.analysis import combination as combining
    from mir21sim.analysis import tables
    from mir21sim.analysis.curves import stimulus_time
    from mir21sim.analysis.dish import resample
    from mir21sim.errors import InputError, UnknownNameError
    from mir21sim.simulation import sweep as sweeps
    from mir21sim.simulation.axes import axis_values

    output = files.output
    check_outputs(output, files.plot)
    swept = axes(over)
    if len(swept) != 2:
        raise InputError(
            f"`combine` needs --over of two drugs, got {len(swept)}: "
            f"{', '.join(swept) or 'none'}."
        )
    if measure not in combining.MEASURES:
        raise UnknownNameError("measure", measure, combining.MEASURES)
    loaded = run.load.load(model)
    cells = dish.population(loaded, list(swept)[:1])
    if cells is None:
        raise InputError("`combine` counts dead cells: give --cells of 2 or more.")
    active, death = dish.quantities(loaded)
    combining.check_doses({n: axis_values(n, text)[0] for n, text in swept.items()})
    with progress_bar(quiet) as progress:
        result = sweeps.sweep(
            loaded,
            swept,
            observe=[*active, death],
            options=run.solver.options(jobs, progress),
            cells=cells,
            ensemble=sets.of_cells(loaded),
            output=output if output is not None and output.suffix == ".nc" else None,
            resume=resume,
            **run.arguments(),
        )
    typer.echo(result.attrs["summary"])
    since = stimulus_time(result) or float(result["time"][0])
    table = combining.combination(resample(result, active, death, since=since), result)
    for name in combining.MEASURES:
        typer.echo(combining.summary(table, name))
    print_trust(loaded, run, swept, (active[0], death))
    lines = tables.lines_of(tables.text_table(combining.combination_records(table)))
    typer.echo("\n".join(lines))
    write_result(result, loaded, output, saved=True)
    if files.plot is not None:
        from mir21sim.analysis.combination_plot import plot_combination

        files.draw(lambda: plot_combination(table, measure))
    exit_by_status(result)
