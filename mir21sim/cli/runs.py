"""Commands that integrate: one run, a sweep, a population."""

from pathlib import Path
from typing import Annotated

import typer

from mir21sim.cli.options import (
    AtolOption,
    BackendOption,
    CellsRtolOption,
    ClampOption,
    ContextOption,
    DoseOption,
    EndOption,
    EquilibrateOption,
    InitOption,
    JobsOption,
    KnockdownOption,
    MaxStepsOption,
    MethodOption,
    ModelArgument,
    NoSiteOption,
    ObserveOption,
    OutputOption,
    OverexpressOption,
    PlotOption,
    PointsOption,
    QuietOption,
    RtolOption,
    SetOption,
    StartOption,
    StrictUnitsOption,
    UnitsOption,
)
from mir21sim.cli.output import (
    check_outputs,
    exit_by_status,
    print_end_values,
    print_features,
    progress_bar,
    write_result,
)
from mir21sim.cli.parse import (
    assignments,
    dose_texts,
    load_model,
    name_list,
    perturbations,
    split_item,
)


def simulate(
    model: ModelArgument,
    context: ContextOption = None,
    dose: DoseOption = None,
    start: StartOption = "0h",
    end: EndOption = None,
    points: PointsOption = 601,
    observe: ObserveOption = None,
    set_: SetOption = None,
    init: InitOption = None,
    clamp: ClampOption = None,
    knockdown: KnockdownOption = None,
    overexpress: OverexpressOption = None,
    no_site: NoSiteOption = None,
    method: MethodOption = None,
    rtol: RtolOption = 1e-6,
    atol: AtolOption = None,
    max_steps: MaxStepsOption = 100_000,
    equilibrate: EquilibrateOption = None,
    backend: BackendOption = "numba",
    ignore_units: UnitsOption = False,
    strict_units: StrictUnitsOption = False,
    output: OutputOption = None,
    plot: PlotOption = None,
) -> None:
    """Simulate one run; print the end values, write a file, draw a picture."""
    from mir21sim.simulation.options import Options
    from mir21sim.simulation.simulate import simulate as simulate_

    check_outputs(output, plot, kinds=(".nc", ".csv", ".omex"))
    loaded = load_model(model, context, backend, ignore_units, strict_units)
    result = simulate_(
        loaded,
        end,
        start=start,
        points=points,
        observe=name_list(observe),
        doses=dose_texts(dose),
        parameters=assignments(set_, "--set"),
        initials=assignments(init, "--init"),
        perturb=perturbations(clamp, knockdown, overexpress, no_site),
        options=Options(
            method=method,
            rtol=rtol,
            atol=atol,
            max_steps=max_steps,
            equilibrate=equilibrate,
        ),
    )
    write_result(result, loaded, output, plot)
    print_end_values(result)


OVER = typer.Option(
    help="NAME=VALUES, a comma list in which log:A:B:N and lin:A:B:N may stand, with a "
    "dose unit at most at the end; may be repeated."
)


def sweep(
    model: ModelArgument,
    over: Annotated[list[str], OVER],
    context: ContextOption = None,
    dose: DoseOption = None,
    start: StartOption = "0h",
    end: EndOption = None,
    points: PointsOption = 601,
    observe: ObserveOption = None,
    set_: SetOption = None,
    init: InitOption = None,
    clamp: ClampOption = None,
    knockdown: KnockdownOption = None,
    overexpress: OverexpressOption = None,
    no_site: NoSiteOption = None,
    method: MethodOption = None,
    rtol: RtolOption = 1e-6,
    atol: AtolOption = None,
    max_steps: MaxStepsOption = 100_000,
    equilibrate: EquilibrateOption = None,
    backend: BackendOption = "numba",
    ignore_units: UnitsOption = False,
    strict_units: StrictUnitsOption = False,
    jobs: JobsOption = None,
    on_failure: Annotated[str, typer.Option(help="mask or raise.")] = "mask",
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the sweep that was stopped."),
    ] = False,
    output: OutputOption = None,
    plot: PlotOption = None,
    quiet: QuietOption = False,
) -> None:
    """Simulate once per value of a dose, parameter or initial amount."""
    from mir21sim.simulation.options import Options
    from mir21sim.simulation.sweep import sweep as sweep_

    check_outputs(output, plot)
    axes = dict(split_item(item, "--over", "NAME=VALUES") for item in over)
    loaded = load_model(model, context, backend, ignore_units, strict_units)
    with progress_bar(quiet) as progress:
        result = sweep_(
            loaded,
            axes,
            end,
            start=start,
            points=points,
            observe=name_list(observe),
            doses=dose_texts(dose),
            parameters=assignments(set_, "--set"),
            initials=assignments(init, "--init"),
            perturb=perturbations(clamp, knockdown, overexpress, no_site),
            options=Options(
                method=method,
                rtol=rtol,
                atol=atol,
                max_steps=max_steps,
                equilibrate=equilibrate,
                n_jobs=jobs,
                progress=progress,
            ),
            on_failure=on_failure,  # type: ignore[arg-type]  # checked by sweep
            output=output if output is not None and output.suffix == ".nc" else None,
            resume=resume,
        )
    write_result(result, loaded, output, plot, saved=True)
    print_features(result)
    exit_by_status(result)


def population(
    model: ModelArgument,
    cells: Annotated[int, typer.Option(help="Number of cells.")] = 1000,
    cv: Annotated[
        float, typer.Option(help="CV between cells of every protein and pool.")
    ] = 0.28,
    vary: Annotated[
        list[str] | None,
        typer.Option(help="PROTEIN=CV of its own; may be repeated."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal cells.")] = 0,
    context: ContextOption = None,
    dose: DoseOption = None,
    over: Annotated[list[str] | None, OVER] = None,
    end: EndOption = None,
    points: PointsOption = 201,
    observe: ObserveOption = None,
    death: Annotated[
        str | None,
        typer.Option(help="Quantity that crosses one half in a cell that dies."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Count from here; default: the last dose.")
    ] = None,
    set_: SetOption = None,
    clamp: ClampOption = None,
    knockdown: KnockdownOption = None,
    overexpress: OverexpressOption = None,
    no_site: NoSiteOption = None,
    method: MethodOption = None,
    rtol: CellsRtolOption = None,
    backend: BackendOption = "numba",
    ignore_units: UnitsOption = False,
    strict_units: StrictUnitsOption = False,
    jobs: JobsOption = None,
    output: OutputOption = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Times of death, or dead by dose, and share dead."),
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Simulate unlike cells; print who dies and when, write a file, draw a picture."""
    from mir21sim.analysis import cell_death
    from mir21sim.analysis import tables as export
    from mir21sim.analysis.curves import stimulus_time
    from mir21sim.simulation import population as populations
    from mir21sim.simulation.options import Options
    from mir21sim.simulation.plan import output_times

    check_outputs(output, plot)
    axes = dict(split_item(item, "--over", "NAME=VALUES") for item in over or ())
    drawn = populations.Population(
        cells, cv, distributions=assignments(vary, "--vary"), seed=seed
    )
    loaded = load_model(model, context, backend, ignore_units, strict_units)
    dies = death or cell_death.death_quantity(loaded)
    fixed = assignments(set_, "--set")
    members = {k: v for k, v in drawn.cells(loaded).items() if k not in fixed}
    with progress_bar(quiet) as progress:
        result = populations.simulate_population(
            loaded,
            members,
            times=output_times(loaded, 0.0, end, points),
            observe=[dies, *(n for n in name_list(observe) or () if n != dies)],
            doses=dose_texts(dose),
            parameters=fixed,
            over=axes,
            perturb=perturbations(clamp, knockdown, overexpress, no_site),
            options=Options(method=method, rtol=rtol, n_jobs=jobs, progress=progress),
        )
    start: str | float = since if since is not None else stimulus_time(result) or 0.0
    typer.echo(export.death_text(result, dies, since=start))
    write_result(result, loaded, output, None)
    if plot is not None:
        from mir21sim.analysis import plots as plotting

        figure = plotting.plot_population(result, dies, since=start)
        typer.echo(f"picture: {plotting.save(figure, plot)}")
    exit_by_status(result)
