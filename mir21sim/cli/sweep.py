"""``mir21sim sweep``: dishes of unlike cells, or one run, per value of a dose."""

import math
from dataclasses import dataclass, field, replace
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
    OptionalOverOption,
    OutputOptions,
    RunOptions,
    WidthOption,
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
from mir21sim.cli.schedule import ScheduleOptions, show_schedules

if TYPE_CHECKING:
    import xarray as xr

    from mir21sim.analysis.dish import Resampled
    from mir21sim.compiler.model import CompiledModel
    from mir21sim.simulation.ensemble import Ensemble
    from mir21sim.simulation.options import Options
    from mir21sim.simulation.population import Population


@dataclass(frozen=True)
class ShownOptions:
    """The features of the curves, and the picture of dishes."""

    response: Annotated[
        str, typer.Option(help="peak, integrated or dead_end: the response by dose.")
    ] = "dead_end"
    width: WidthOption = "double"
    doubling_time: Annotated[
        str | None,
        typer.Option(
            help="Time in which living cells double, e.g. 30h: prints GR50 and GRmax."
        ),
    ] = None
    features: FeaturesOption = None
    plans: ScheduleOptions = field(default_factory=ScheduleOptions)


@expanded
def sweep(
    model: ModelArgument,
    run: RunOptions,
    files: OutputOptions,
    dish: DishOptions,
    *,
    look: ShownOptions,
    keep: KeepOptions,
    work: WorkOptions,
    sets: EnsembleOptions,
    over: OptionalOverOption = None,
    observe: ObserveOption = None,
) -> None:
    """Simulate dishes of unlike cells, or one cell, per value of a dose."""
    from mir21sim.errors import InputError
    from mir21sim.simulation import sweep as sweeps

    output = files.output
    files.check()
    swept = axes(over)
    loaded = run.load.load(model)
    if look.plans.schedule is not None:
        _sweep_schedules(loaded, swept, run, (files, dish, look, work, sets))
        return
    if not swept:
        raise InputError("Give --over NAME=VALUES, or --schedule NAME=TIMES.")
    cells = dish.population(loaded, list(swept))
    ensemble = sets.given(loaded) if cells is None else sets.of(loaded)
    kept = name_list(observe)
    if cells is None and ensemble is not None:
        _sweep_draws(loaded, swept, run, (files, work), (kept, ensemble))
        return
    if cells is None:
        files.check_axes(swept, most=2)
    else:
        _check_picture(files, swept)
        active, death = dish.quantities(loaded)
        kept = list(dict.fromkeys((*active, death, *(kept or ()))))
    with work.bar() as progress:
        options = run.solver.options(work.jobs, progress, work.executor())
        result = sweeps.sweep(
            loaded,
            swept,
            observe=kept,
            options=_with_features(options, loaded, swept, cells, look.features),
            cells=cells,
            ensemble=ensemble,
            on_failure=keep.on_failure,  # type: ignore[arg-type]  # checked by sweep
            output=files.rerunnable,
            resume=keep.resume,
            **run.arguments(),
        )
    typer.echo(result.attrs["summary"])
    fate = None if cells is None else (active[0], death)
    print_outcome(result, fate[1] if fate else None)
    print_trust(loaded, run, swept, fate, ensemble)
    write_result(result, loaded, output, saved=True)
    if cells is None:
        files.draw(lambda: plot_first(result))
        print_features(result)
    else:
        _show_dish(result, loaded, dish, look, files)
    exit_by_status(result)


def _with_features(
    options: "Options",
    model: "CompiledModel",
    swept: dict[str, str],
    cells: "Population | None",
    wanted: bool | None,
) -> "Options":
    """Return options with the features of the curves, where they are wanted."""
    from mir21sim.simulation.axes import axis_values

    if cells is not None:
        return replace(options, features=wanted)
    n_run = math.prod(axis_values(n, v)[0].size for n, v in swept.items())
    return with_features(options, model, n_run, wanted)


def _sweep_draws(
    model: "CompiledModel",
    swept: dict[str, str],
    run: RunOptions,
    groups: tuple[OutputOptions, WorkOptions],
    asked: "tuple[list[str] | None, Ensemble]",
) -> None:
    """Run and show the average cell of each draw of an ensemble.

    Parameters
    ----------
    asked : quantities to keep, and the ensemble
    """
    from mir21sim.simulation import sweep as sweeps

    files, work = groups
    kept, ensemble = asked
    result = sweeps.sweep(
        model,
        swept,
        observe=kept,
        options=run.solver.options(work.jobs),
        ensemble=ensemble,
        **run.arguments(),
    )
    show_bands(result, files, ensemble)
    show_features(result, str(next(iter(result.data_vars))))


def _sweep_schedules(
    model: "CompiledModel",
    swept: dict[str, str],
    run: RunOptions,
    groups: tuple[
        OutputOptions, DishOptions, ShownOptions, WorkOptions, EnsembleOptions
    ],
) -> None:
    """Run and show dishes on each schedule of one substance."""
    from mir21sim.errors import InputError
    from mir21sim.simulation.names import canonical
    from mir21sim.simulation.schedules import parse_schedules

    files, dish, look, work, sets = groups
    plans = look.plans
    target = canonical(model, parse_schedules(plans.schedule or "")[0])
    cells = dish.population(model, [target])
    if cells is None:
        raise InputError(
            "--schedule compares dishes of unlike cells: give --cells of 2 or more, "
            "of a model whose cells differ, act and die."
        )
    others = [name for name in swept if canonical(model, name) != target]
    if others:
        raise InputError(
            f"--schedule takes one swept dose, that of `{target}`, got "
            f"{', '.join(others)} too: use `combine` for two drugs."
        )
    active, death = dish.quantities(model)
    with work.bar() as progress:
        found = plans.runs(
            model,
            run,
            swept,
            observe=[*active, death],
            options=run.solver.options(work.jobs, progress, work.executor()),
            cells=cells,
            ensemble=sets.of(model),
        )
    typer.echo(next(iter(found.values())).attrs["summary"])
    show_schedules(found, model, dish, files, (look.response, look.width))
    exit_by_status(*found.values())


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
    from mir21sim.analysis.set_bands import bracket_line

    active, death = options.quantities(model)
    last = stimulus_time(result)
    since = float(result["time"][0]) if last is None else last
    drawn = resample(result, active, death, since=since)
    found = dish_of(drawn, result, active, since)
    records = dish_records(found)
    typer.echo("\n".join(tables.lines_of(tables.text_table(records))))
    typer.echo(bracket_line(drawn.band, (t for r in records for t in r.values())))
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
