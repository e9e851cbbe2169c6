"""``mir21sim sources``: every number with unit, status and source."""

from pathlib import Path
from typing import Annotated

import typer

from mir21sim.cli.options import ContextOption, ModelArgument
from mir21sim.cli.output import check_outputs, write_table


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
