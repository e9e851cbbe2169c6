"""``mir21sim sensitivities``: which numbers an output depends on."""

from pathlib import Path
from typing import Annotated

import typer

from mir21sim.cli.groups import expanded
from mir21sim.cli.options import ModelArgument, RunOptions
from mir21sim.cli.output import check_outputs
from mir21sim.cli.parse import name_list


@expanded
def sensitivities(
    model: ModelArgument,
    of: Annotated[
        list[str],
        typer.Option(
            help="A quantity, or a feature of one: peak(A), peak_time(A), area(A), "
            "final(A), crossing(A, 500), lag(A), t_half(A), switch_time(A), rest(A); "
            "may be repeated."
        ),
    ],
    run: RunOptions,
    *,
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="Parameters, species (initial amounts), doses as dose(TRAIL); may be "
            "repeated or a comma list. Default: all parameters."
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Reference time of the features, e.g. 24h.")
    ] = None,
    top: Annotated[int, typer.Option(help="Numbers to list and to draw.")] = 20,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="All derivatives (.nc), or a table (.csv)."
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Bars of the first output (.png, .svg, .pdf).")
    ] = None,
    plot_over_time: Annotated[
        Path | None,
        typer.Option(help="Heat map over time of the first quantity of --of."),
    ] = None,
) -> None:
    """Rank the numbers of a model by their effect on an output: exact derivatives."""
    from mir21sim import errors
    from mir21sim.analysis import plots, ranking, tables
    from mir21sim.simulation import dataset
    from mir21sim.simulation import sensitivity as library
    from mir21sim.simulation.curve_features import parse_feature

    check_outputs(output, plot, plot_over_time)
    if top < 1:
        raise errors.InputError(f"--top must be 1 or more, got {top}.")
    asked = [text.strip() for text in of]
    names = name_list(by) or [library.ALL]
    curves = [text for text in asked if parse_feature(text) is None]
    if plot_over_time is not None and not curves:
        raise errors.InputError(
            "--plot-over-time draws a quantity: name one in --of, such as `A`."
        )
    loaded = run.load.load(model)
    result = library.sensitivities(
        loaded,
        asked,
        library.ALL if names == [library.ALL] else names,
        since=since,
        options=run.solver.options(),
        **run.arguments(),
    )
    typer.echo("\n".join(ranking.ranking_text(result, text, top) for text in asked))
    if output is not None and output.suffix == ".nc":
        typer.echo(f"result: {dataset.save(result, output, loaded.source)}")
    elif output is not None:
        frame = ranking.ranked(result, asked[0])
        typer.echo(f"table: {tables.write_csv(frame, output)}")
    if plot is not None:
        figure = ranking.plot_tornado(result, asked[0], top)
        typer.echo(f"picture: {plots.save(figure, plot)}")
    if plot_over_time is not None:
        figure = ranking.plot_heat_map(result, curves[0], top)
        typer.echo(f"picture: {plots.save(figure, plot_over_time)}")
