"""``mir21sim convert``: SBML or Antimony with the values of a cell line."""

from pathlib import Path
from typing import Annotated

import typer

from mir21sim.cli.options import ContextOption, ModelArgument


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
