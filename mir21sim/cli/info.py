"""``mir21sim info``: size, inputs, observables and papers of a model."""

from pathlib import Path
from typing import Annotated

import typer

from mir21sim.cli.options import ContextOption, ModelArgument
from mir21sim.cli.output import check_outputs


def info(
    model: ModelArgument,
    context: ContextOption = None,
    plot: Annotated[
        Path | None, typer.Option(help="Picture of the network by module.")
    ] = None,
) -> None:
    """Print size, inputs, observables, contexts and papers of a model."""
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
