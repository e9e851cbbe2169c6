"""Commands about a model as it stands: what is in it, and is it sound."""

from pathlib import Path
from typing import Annotated

import typer

from mir21sim.cli.options import ContextOption, ModelArgument
from mir21sim.cli.output import EXIT_INPUT, check_outputs, write_table


def models() -> None:
    """List the shipped models and the contexts they have."""
    from mir21sim.model import files, read

    for name in files.shipped():
        _, info = read.understand(files.find(name, files.BASE))
        typer.echo(f"{name:18s} {info.title}")
        available = ", ".join(files.contexts(name))
        if available:
            default = (
                f" (default {info.default_context})" if info.default_context else ""
            )
            typer.echo(f"{'':18s} contexts: {available}, {files.BASE}{default}")


def info(
    model: ModelArgument,
    context: ContextOption = None,
    plot: Annotated[
        Path | None, typer.Option(help="Picture of the network by module.")
    ] = None,
) -> None:
    """Tell what a model is: size, inputs, observables, contexts, papers."""
    from mir21sim.analysis import model_report as report
    from mir21sim.model.files import find

    check_outputs(None, plot)
    files = find(model, context)
    typer.echo(report.model_text(files))
    if plot is not None:
        from mir21sim.analysis import network_plot as diagrams
        from mir21sim.analysis import plots as plotting
        from mir21sim.model.read import understand

        figure = diagrams.plot_network(*understand(files))
        typer.echo(f"picture: {plotting.save(figure, plot)}")


def lint(model: ModelArgument, context: ContextOption = None) -> None:
    """Check a model: undeclared names, units, sources, unused names."""
    from mir21sim.compiler import load as library
    from mir21sim.model.files import find

    issues = library.check(find(model, context))
    for issue in issues:
        typer.echo(f"{issue.severity}: {issue.message}")
    bad = sum(issue.severity == "error" for issue in issues)
    typer.echo(f"{bad} errors, {len(issues) - bad} warnings")
    if bad:
        raise typer.Exit(EXIT_INPUT)


def sources(
    model: ModelArgument,
    context: ContextOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The table as .csv.")
    ] = None,
) -> None:
    """Print every number of a model with unit, status and source."""
    from mir21sim.analysis import model_report as report
    from mir21sim.model.files import find

    check_outputs(output, kinds=(".csv",))
    files = find(model, context)
    typer.echo(report.source_text(files))
    if output is not None:
        write_table(report.source_rows(files), output)


def convert(
    source: ModelArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write (.xml, .sbml, .ant).")
    ],
    context: ContextOption = None,
) -> None:
    """Write a model, with a cell line's values, as SBML L3V2 or Antimony."""
    from mir21sim.model import convert as writers

    typer.echo(f"{writers.convert(source, output, context)}")
