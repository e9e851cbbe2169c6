"""``mir21sim sweep``: dishes of unlike cells, or one run, per value of a dose."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from mir21sim.cli.dish import DishOptions, print_outcome, print_trust
from mir21sim.cli.ensemble import EnsembleOptions, show_bands, show_features
from mir21sim.cli.groups import expanded
from mir21sim.cli.options import (
    FeaturesOption,
    KeepOptions,
    ModelArgument,
    ObserveOption,
    OutputOptions,
    OverOption,
    RunOptions,
    WorkOptions,
    with_features,
)
from mir21sim.cli.output import (
    exit_by_status,
    plot_first,
    print_features,
    write_result,
)
from mir21sim.cli.parse import axes, name_list

if TYPE_CHECKING:
    import xarray as xr

    from mir21sim.analysis.dish import Resampled
    from mir21sim.compiler.model import CompiledModel


@dataclass(frozen=True)
class ShownOptions:
    """The features of the curves, and the picture of dishes."""

    response: Annotated[
        str, typer.Option(help="peak, integrated or dead_end: the response by dose.")
    ] = "dead_end"
    width: Annotated[
        str, typer.Option(help="Width of the picture: single or double column.")
    ] = "double"
    doubling_time: Annotated[
        str | None,
        typer.Option(
            help="Time in which living cells double, e.g. 30h: prints GR50 and GRmax."
        ),
    ] = None
    features: FeaturesOption = None


@expanded
def sweep(
    model: ModelArgument,
    over: OverOption,
    run: RunOptions,
    files: OutputOptions,
    dish: DishOptions,
    *,
    look: ShownOptions,
    keep: KeepOptions,
    work: WorkOptions,
    sets: EnsembleOptions,
    observe: ObserveOption = None,
) -> None:
    """Simulate dishes of unlike cells, or one cell, per value of a dose."""
    from mir21sim.simulation import sweep as sweeps
    from mir21sim.simulation.axes import axis_values

    output = files.output
    files.check()
    swept = axes(over)
    loaded = run.load.load(model)
    cells = dish.population(loaded, list(swept))
    ensemble = sets.given(loaded) if cells is None else sets.of_cells(loaded)
    if cells is None and ensemble is not None:
        result = sweeps.sweep(
            loaded,
            swept,
            observe=name_list(observe),
            options=run.solver.options(work.jobs),
            ensemble=ensemble,
            **run.arguments(),
        )
        show_bands(result, files, ensemble)
        show_features(result, str(next(iter(result.data_vars))))
        return
    kept = name_list(observe)
    if cells is None:
        files.check_axes(swept, most=2)
    else:
        _check_picture(files, swept)
        active, death = dish.quantities(loaded)
        kept = list(dict.fromkeys((*active, death, *(kept or ()))))
    n_run = math.prod(axis_values(n, v)[0].size for n, v in swept.items())
    with work.bar() as progress:
        options = run.solver.options(work.jobs, progress)
        if cells is not None:
            options = replace(options, features=look.features)
        else:
            options = with_features(options, loaded, n_run, look.features)
        result = sweeps.sweep(
            loaded,
            swept,
            observe=kept,
            options=options,
            cells=cells,
            ensemble=ensemble,
            on_failure=keep.on_failure,  # type: ignore[arg-type]  # checked by sweep
            output=output if output is not None and output.suffix == ".nc" else None,
            resume=keep.resume,
            **run.arguments(),
        )
    typer.echo(result.attrs["summary"])
    fate = None if cells is None else (active[0], death)
    print_outcome(result, fate[1] if fate else None)
    print_trust(loaded, run, swept, fate)
    if cells is None:
        write_result(result, loaded, output, saved=True)
        files.draw(lambda: plot_first(result))
        print_features(result)
    else:
        write_result(result, loaded, output, saved=True)
        _show_dish(result, loaded, dish, look, files)
    exit_by_status(result)


def _check_picture(files: OutputOptions, swept: dict[str, str]) -> None:
    """Stop before the work where a picture of dishes could not show the doses."""
    from mir21sim.errors import InputError

    if files.plot is not None and len(swept) > 1:
        raise InputError(
            f"The picture of dishes shows one swept dose, got {', '.join(swept)}: "
            "use `mir21sim combine` for two drugs, or --cells 1."
        )


def _show_dish(
    result: "xr.Dataset",
    model: "CompiledModel",
    options: DishOptions,
    look: ShownOptions,
    files: OutputOptions,
) -> None:
    """Print the responses of each dish, and draw the picture."""
    from mir21sim.analysis import tables
    from mir21sim.analysis.curves import stimulus_time
    from mir21sim.analysis.dish import dish_of, dish_records, resample
    from mir21sim.analysis.dish_plot import plot_dish
    from mir21sim.analysis.dish_response import half_effect_lines

    active, death = options.quantities(model)
    last = stimulus_time(result)
    since = float(result["time"][0]) if last is None else last
    drawn = resample(result, active, death, since=since)
    found = dish_of(drawn, result, active, since)
    typer.echo("\n".join(tables.lines_of(tables.text_table(dish_records(found)))))
    typer.echo(f"In brackets: {drawn.band}.")
    if len(drawn.dims) == 1:
        swept = result[drawn.dims[0]]
        unit = str(swept.attrs.get("units", ""))
        for line in half_effect_lines(drawn, swept.values.astype(float), unit):
            typer.echo(line)
        if look.doubling_time is not None:
            typer.echo(_growth_line(drawn, swept, look.doubling_time))
    files.draw(lambda: plot_dish(found, look.response, width=look.width))


def _growth_line(drawn: "Resampled", swept: "xr.DataArray", doubling: str) -> str:
    """Return GR50, GRmax and GR AOC of the dead cells at the end."""
    from mir21sim import units
    from mir21sim.analysis.growth_inhibition import growth_inhibition

    found = growth_inhibition(
        swept.values.astype(float),
        *(values[..., -1] for values in drawn.dead),
        doubling_h=units.seconds(doubling, "--doubling-time") / units.SECONDS_PER_HOUR,
        hours=float(drawn.after[-1]),
    )
    return f"growth: {found.text(str(swept.attrs.get('units', '')))}."
