"""``mir21sim validate``: claims and measurements beside the model."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mir21sim import files
from mir21sim.cli.ensemble import EnsembleOptions
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
    from mir21sim.simulation.ensemble import Ensemble
    from mir21sim.simulation.options import Options
    from mir21sim.validation.set_rows import Asked
    from mir21sim.validation.single_cells import Film
    from mir21sim.validation.verdicts import Outcome


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


@dataclass(frozen=True)
class SetOptions:
    """The parameter sets over which each row is read."""

    sets: EnsembleOptions
    draws: Annotated[
        int, typer.Option(help="Parameter sets, the first of the ensemble.")
    ] = 50
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the sets (or lines, --assays) that were stopped.",
        ),
    ] = False
    report: Annotated[
        Path | None,
        typer.Option(help="What the sets say, as Markdown (.md), for models/README."),
    ] = None
    single_cells: Annotated[
        Path | None,
        typer.Option(help="Film of single cells (CSV): its likelihood as well, HeLa."),
    ] = None


@expanded
def validate(
    done: PerturbationOptions,
    rows: RowOptions,
    kind: KindOptions,
    spread: SetOptions,
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
    """Hold a model against every claim and observation, one verdict a row.

    Where parameter sets are shipped with the model, each row shows their predictions:
    median, 50 and 95 % interval, and the share of the sets that agree. With -o the sets
    that are done outlive a stop; --resume goes on with them. --assays says how each
    cell line did as it is finished, and is resumed likewise.
    """
    from mir21sim.model import files as model_files
    from mir21sim.simulation import checkpoint
    from mir21sim.simulation.options import Options
    from mir21sim.simulation.treatment import Treatment
    from mir21sim.solvers.methods import MANY
    from mir21sim.validation import verdicts
    from mir21sim.validation.set_rows import Asked
    from mir21sim.validation.single_cells import read_film

    check_outputs(output, plot, kinds=(".csv",))
    if spread.report is not None:
        files.check_writable(spread.report, (".md",))
    _check_kind(kind, spread, output)
    model_files.find(model)  # an unknown one would fail in every row
    options = Options(method=method, rtol=rtol)
    if kind.arms:
        many = replace(options, method=method or MANY.name)
        _print_arms(model, name_list(rows.context), many, output)
        return
    film = None if spread.single_cells is None else read_film(spread.single_cells)
    drawn = None if kind.assays else _ensemble(model, spread.sets)
    asked = Asked(
        model,
        name_list(rows.only),
        name_list(rows.context),
        rows.data,
        Treatment.from_options(done.given()).perturbations,
        rows.cells,
        options,
    )
    parted = drawn is not None or kind.assays
    if parted and output is not None and not spread.resume:
        checkpoint.refuse_to_lose(output, "validation")
    with progress_bar(quiet) as progress:
        outcomes = _verdicts(asked, kind, progress, (output, spread.resume, quiet))
    if drawn is not None:
        outcomes = _with_sets(asked, outcomes, drawn, (spread, output, quiet))
    typer.echo(verdicts.outcome_text(outcomes))
    if film is not None:
        _show_film(film, model, drawn, spread.draws, quiet)
    if spread.report is not None:
        text = verdicts.set_markdown(outcomes) + "\n"
        typer.echo(f"report: {files.write_text(spread.report, text)}")
    if output is not None:
        write_table(verdicts.outcome_records(outcomes), output)
    if plot is not None:
        from mir21sim.analysis import plots as plotting
        from mir21sim.validation import plot as pictures

        typer.echo(
            f"picture: {plotting.save(pictures.plot_validation(outcomes), plot)}"
        )


def _check_kind(kind: KindOptions, spread: SetOptions, output: Path | None) -> None:
    """Refuse options of the parameter sets where no sets are read."""
    from mir21sim.errors import InputError

    chosen = "--arms" if kind.arms else "--assays" if kind.assays else None
    given = {
        "--resume": spread.resume and not (kind.assays and output),
        "--report": spread.report is not None,
        "--single-cells": spread.single_cells is not None,
    }
    unused = [name for name, present in given.items() if present]
    if chosen is not None and unused:
        kept = " and keeps finished lines only with -o" if kind.assays else ""
        raise InputError(
            f"{chosen} reads no parameter sets{kept}, so {', '.join(unused)} would do "
            "nothing: leave one of them out."
        )


def _verdicts(
    asked: "Asked",
    kind: KindOptions,
    progress: Any,
    how: tuple[Path | None, bool, bool],
) -> "list[Outcome]":
    """Return a verdict on each row with the model's own numbers."""
    output, resume, quiet = how
    from mir21sim.solvers.methods import MANY

    options = asked.options
    common: dict[str, Any] = {
        "only": asked.only,
        "contexts": asked.contexts,
        "folder": asked.folder,
        "perturb": asked.perturb,
        "cells": asked.cells,
        "options": options and replace(options, method=options.method or MANY.name),
    }
    if kind.assays:
        from mir21sim.validation import validate_assays as assay_verdicts

        return assay_verdicts.validate_assays(
            asked.model,
            seed=kind.seed,
            work=assay_verdicts.Work(
                progress, None if quiet else _say_line, output, resume
            ),
            **common,
        )
    from mir21sim.validation import validate as validating

    return validating.validate(asked.model, progress=progress, **common)


def _say_line(outcomes: "list[Outcome]") -> None:
    """Say how a cell line did, as it is finished; the table of all comes at the end."""
    failed = [o for o in outcomes if o.verdict == "fail"]
    text = f"{len(outcomes) - len(failed)} of {len(outcomes)} rows pass"
    wrong = "; ".join(f"{o.id} {o.what}: {o.reason}" for o in failed)
    line = f"{outcomes[0].context}: {text}{'; failed: ' if wrong else ''}{wrong}"
    typer.echo(line, err=True)


def _ensemble(model: str, sets: EnsembleOptions) -> "Ensemble | None":
    """Return the parameter sets to use; None where there are none."""
    from mir21sim.compiler.load import load

    if not sets.has_any(model):
        return None
    loaded = load(model, backend="numpy")
    return sets.of(loaded, "verdicts are of the model's own numbers")


def _with_sets(
    asked: "Asked",
    outcomes: "list[Outcome]",
    drawn: "Ensemble",
    how: tuple[SetOptions, Path | None, bool],
) -> "list[Outcome]":
    """Return verdicts with the sets' predictions; print them if interrupted."""
    from mir21sim.validation import verdicts
    from mir21sim.validation.set_rows import add_sets

    spread, output, quiet = how
    try:
        with progress_bar(quiet) as progress:
            return add_sets(
                outcomes,
                asked,
                drawn,
                draws=spread.draws,
                output=output,
                resume=spread.resume,
                progress=progress,
            )
    except KeyboardInterrupt:
        typer.echo(verdicts.outcome_text(outcomes))
        kept = "the same command with --resume goes on" if output else "-o keeps them"
        typer.echo(f"the parameter sets are not done: {kept}", err=True)
        raise


def _show_film(
    film: "Film", model: str, drawn: "Ensemble | None", draws: int, quiet: bool
) -> None:
    """Print how well a film of single cells agrees with the model."""
    from mir21sim.validation import single_cells
    from mir21sim.validation.calibration_problem import LINE

    with progress_bar(quiet) as progress:
        found = single_cells.film_likelihood(
            film, model, LINE, drawn, draws=draws, progress=progress
        )
    typer.echo("\n".join(["", *single_cells.film_text(found)]))


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
