"""``mir21sim validate``: claims and measurements beside the model."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mir21sim.cli.groups import expanded
from mir21sim.cli.options import (
    MethodOption,
    PerturbationOptions,
    QuietOption,
    RtolOption,
    TableOption,
)
from mir21sim.cli.output import check_outputs, progress_bar, write_table
from mir21sim.cli.parse import name_list

if TYPE_CHECKING:
    from mir21sim.simulation.options import Options


@dataclass(frozen=True)
class RowOptions:
    """The rows that are asked, and the cells of their populations."""

    only: Annotated[
        list[str] | None, typer.Option(help="Ids to keep, a comma list.")
    ] = None
    context: Annotated[
        list[str] | None, typer.Option(help="Cell lines to keep, a comma list.")
    ] = None
    cells: Annotated[
        int | None, typer.Option(help="Size of every population instead of its own.")
    ] = None
    data: Annotated[
        Path | None, typer.Option(help="Folder with claims.csv and observations.csv.")
    ] = None


@dataclass(frozen=True)
class KindOptions:
    """The kind of table that is made."""

    arms: Annotated[
        bool, typer.Option("--arms", help="Share of each arm in the effect instead.")
    ] = False
    assays: Annotated[
        bool,
        typer.Option("--assays", help="Claims through noisy assays, n = 3, instead."),
    ] = False
    seed: Annotated[
        int, typer.Option(help="Of the measurement noise, with --assays.")
    ] = 1


@expanded
def validate(
    done: PerturbationOptions,
    rows: RowOptions,
    kind: KindOptions,
    model: Annotated[str, typer.Argument(help="A model.")] = "mir21_apoptosis",
    *,
    method: MethodOption = None,
    rtol: RtolOption = None,
    output: TableOption = None,
    plot: Annotated[
        Path | None, typer.Option(help="Predicted against observed, as a picture.")
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Hold a model against every claim and observation, one verdict a row."""
    from mir21sim.simulation.options import Options
    from mir21sim.simulation.treatment import Treatment
    from mir21sim.solvers.methods import MANY
    from mir21sim.validation import validate as validating
    from mir21sim.validation import verdicts

    check_outputs(output, plot, kinds=(".csv",))
    options = Options(method=method or MANY.name, rtol=rtol)
    if kind.arms:
        _print_arms(model, name_list(rows.context), options, output)
        return
    treatment = Treatment.from_options(done.given())
    with progress_bar(quiet) as progress:
        common: dict[str, Any] = {
            "only": name_list(rows.only),
            "contexts": name_list(rows.context),
            "folder": rows.data,
            "perturb": treatment.perturbations,
            "cells": rows.cells,
            "progress": progress,
        }
        if kind.assays:
            from mir21sim.validation import validate_assays as assay_verdicts

            outcomes = assay_verdicts.validate_assays(
                model, seed=kind.seed, options=options, **common
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
