"""``mir21sim sensitivities``: which numbers an output depends on."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mir21sim.cli.groups import expanded
from mir21sim.cli.options import ModelArgument, RunOptions
from mir21sim.cli.output import check_outputs
from mir21sim.cli.parse import name_list

if TYPE_CHECKING:
    from mir21sim.compiler.model import CompiledModel


@dataclass(frozen=True)
class RangeOptions:
    """Sensitivity over ranges of numbers instead of derivatives."""

    over_ranges: Annotated[
        str | None,
        typer.Option(
            "--global",
            help="Vary all numbers at once over ranges (extra `sens`): morris (which "
            "matter at all) or sobol (shares of the variance). --by then takes "
            "NAME=LOW:HIGH too.",
        ),
    ] = None
    fold: Annotated[
        float,
        typer.Option(
            help="Range of a number without one: its value over and times this."
        ),
    ] = 2.0
    samples: Annotated[
        int,
        typer.Option(
            help="Trajectories of Morris, or samples of Sobol (a power of 2)."
        ),
    ] = 32
    seed: Annotated[int, typer.Option(help="Of the samples.")] = 0


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
    ranges: RangeOptions,
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
    from mir21sim.simulation.names import canonical_feature

    check_outputs(output, plot, plot_over_time)
    if top < 1:
        raise errors.InputError(f"--top must be 1 or more, got {top}.")
    loaded = run.load.load(model)
    asked = [canonical_feature(loaded, text) for text in of]
    if ranges.over_ranges is not None:
        if plot_over_time is not None:
            raise errors.InputError("--plot-over-time needs derivatives, not --global.")
        shown = _Shown(asked, since, top, output, plot)
        _over_ranges(run, loaded, by, ranges, shown)
        return
    names = name_list(by) or [library.ALL]
    curves = [text for text in asked if parse_feature(text) is None]
    if plot_over_time is not None and not curves:
        raise errors.InputError(
            "--plot-over-time draws a quantity: name one in --of, such as `A`."
        )
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


@dataclass(frozen=True, slots=True)
class _Shown:
    """The quantities asked for, and the output file."""

    of: list[str]
    since: str | None
    top: int
    output: Path | None
    plot: Path | None


def _over_ranges(
    run: RunOptions,
    model: "CompiledModel",
    by: list[str] | None,
    ranges: RangeOptions,
    shown: _Shown,
) -> None:
    """Rank numbers by Morris or Sobol; write the files that are asked for."""
    from mir21sim.analysis import plots, ranking, tables
    from mir21sim.simulation import dataset
    from mir21sim.simulation.global_sensitivity import global_sensitivities

    arguments = run.arguments()
    arguments.pop("points", None)
    assert ranges.over_ranges is not None
    result = global_sensitivities(
        model,
        shown.of,
        _ranges(model, name_list(by) or [], ranges.fold),
        method=ranges.over_ranges,
        n=ranges.samples,
        seed=ranges.seed,
        since=shown.since,
        options=run.solver.options(),
        **arguments,
    )
    for text in shown.of:
        typer.echo(ranking.global_text(result, text, shown.top))
    if shown.output is not None and shown.output.suffix == ".nc":
        typer.echo(f"result: {dataset.save(result, shown.output, model.source)}")
    elif shown.output is not None:
        frame = result.to_dataframe().reset_index()
        typer.echo(f"table: {tables.write_csv(frame, shown.output)}")
    if shown.plot is not None:
        figure = ranking.plot_global(result, shown.of[0], shown.top)
        typer.echo(f"picture: {plots.save(figure, shown.plot)}")


def _ranges(
    model: "CompiledModel", given: list[str], fold: float
) -> dict[str, tuple[float, float]]:
    """Return the range of each number: NAME=LOW:HIGH, or around its own value."""
    from mir21sim.errors import InputError
    from mir21sim.simulation.global_sensitivity import ranges_of

    if not given or given == ["all"]:
        return ranges_of(model, None, fold)
    made: dict[str, tuple[float, float]] = {}
    for text in given:
        name, _, span = text.partition("=")
        if not span:
            made |= ranges_of(model, [name.strip()], fold)
            continue
        low, _, high = span.partition(":")
        try:
            made[name.strip()] = float(low), float(high)
        except ValueError as error:
            raise InputError(
                f"A range is NAME=LOW:HIGH with two numbers, got `{text}`."
            ) from error
    return made
