"""``mir21sim export``: a result file as CSV or Excel workbook."""

from pathlib import Path
from typing import Annotated

import typer

from mir21sim.cli.options import ObserveOption
from mir21sim.cli.parse import name_list


def export(
    file: Annotated[Path, typer.Argument(help="A result (.nc or .zarr).")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write (.csv or .xlsx).")
    ],
    observe: ObserveOption = None,
    layout: Annotated[
        str,
        typer.Option(help="wide (a column for each run) or long (a row for each)."),
    ] = "wide",
) -> None:
    """Write a result as a table for Prism, Excel or R."""
    from mir21sim.analysis import export as tables
    from mir21sim.simulation.dataset import read

    path = tables.export(
        read(file),
        output,
        observe=name_list(observe),
        layout=layout,  # type: ignore[arg-type]  # checked by export
    )
    typer.echo(f"table: {path}")
