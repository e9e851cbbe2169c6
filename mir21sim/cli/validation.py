"""Commands that ask how far a model, or a run, is right."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mir21sim.cli.options import (
    AtolOption,
    BackendOption,
    ClampOption,
    ContextOption,
    DoseOption,
    EndOption,
    EquilibrateOption,
    InitOption,
    KnockdownOption,
    MaxStepsOption,
    MethodOption,
    ModelArgument,
    NoSiteOption,
    OverexpressOption,
    PointsOption,
    QuietOption,
    RtolOption,
    SetOption,
    StartOption,
    StrictUnitsOption,
    UnitsOption,
)
from mir21sim.cli.output import (
    EXIT_FAILED_RUN,
    check_outputs,
    progress_bar,
    write_table,
)
from mir21sim.cli.parse import (
    assignments,
    dose_texts,
    load_model,
    name_list,
    perturbations,
    tool_names,
)

if TYPE_CHECKING:
    from mir21sim.simulation.options import Options


def validate(
    model: Annotated[str, typer.Argument(help="A model.")] = "mir21_apoptosis",
    only: Annotated[
        list[str] | None, typer.Option(help="Ids to keep, a comma list.")
    ] = None,
    context: Annotated[
        list[str] | None, typer.Option(help="Cell lines to keep, a comma list.")
    ] = None,
    arms: Annotated[
        bool, typer.Option("--arms", help="Share of each arm in the effect instead.")
    ] = False,
    assays: Annotated[
        bool,
        typer.Option("--assays", help="Claims through noisy assays, n = 3, instead."),
    ] = False,
    clamp: ClampOption = None,
    knockdown: KnockdownOption = None,
    overexpress: OverexpressOption = None,
    no_site: NoSiteOption = None,
    cells: Annotated[
        int | None, typer.Option(help="Size of every population instead of its own.")
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of the measurement noise, with --assays.")
    ] = 1,
    method: MethodOption = None,
    rtol: Annotated[
        float | None,
        typer.Option(help="Relative tolerance; default 1e-6, of cells 1e-3."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder with claims.csv and observations.csv.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The table as .csv.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Predicted against observed, as a picture.")
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Hold a model against every claim and observation, one verdict a row."""
    from mir21sim.simulation.options import Options
    from mir21sim.solvers.methods import MANY
    from mir21sim.validation import validate as validating
    from mir21sim.validation import verdicts

    check_outputs(output, plot, kinds=(".csv",))
    options = Options(method=method or MANY.name, rtol=rtol)
    if arms:
        _print_arms(model, name_list(context), options, output)
        return
    perturb = perturbations(clamp, knockdown, overexpress, no_site)
    with progress_bar(quiet) as progress:
        common: dict[str, Any] = {
            "only": name_list(only),
            "contexts": name_list(context),
            "folder": data,
            "perturb": perturb,
            "cells": cells,
            "progress": progress,
        }
        if assays:
            from mir21sim.validation import validate_assays as assay_verdicts

            outcomes = assay_verdicts.validate_assays(
                model, seed=seed, options=options, **common
            )
        else:
            outcomes = validating.validate(model, options=options, **common)
    typer.echo(verdicts.outcome_text(outcomes))
    if output is not None:
        write_table(verdicts.outcome_records(outcomes), output)
    if plot is not None:
        from mir21sim.analysis import plots as plotting
        from mir21sim.validation import plot as pictures

        typer.echo(
            f"picture: {plotting.save(pictures.plot_validation(outcomes), plot)}"
        )


def _print_arms(
    model: str, contexts: list[str] | None, options: "Options", output: Path | None
) -> None:
    """Print the share of each arm, and write it where wanted."""
    from dataclasses import asdict

    from mir21sim.validation import pathway_arms

    found = pathway_arms.pathway_arms(model, contexts=contexts, options=options)
    typer.echo(pathway_arms.arm_text(found))
    if output is not None:
        write_table([asdict(arm) for arm in found], output)


def verify(
    model: ModelArgument,
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
    context: ContextOption = None,
    dose: DoseOption = None,
    start: StartOption = "0h",
    end: EndOption = None,
    points: PointsOption = 201,
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
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Checks (.json or .csv).")
    ] = None,
) -> None:
    """Repeat a run at tighter tolerances, by every method and in other simulators."""
    from mir21sim.simulation.options import Options
    from mir21sim.validation.verify import save, text
    from mir21sim.validation.verify import verify as verify_

    check_outputs(output, kinds=(".json", ".csv"))
    found = verify_(
        load_model(model, context, backend, ignore_units, strict_units),
        end,
        start=start,
        points=points,
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
        tools=tool_names(with_),
        tolerance=tolerance,
    )
    typer.echo(text(found))
    if output is not None:
        typer.echo(f"checks: {save(found, output)}")
    if not found.passed:
        raise typer.Exit(EXIT_FAILED_RUN)
