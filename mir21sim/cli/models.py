"""``mir21sim models``: the shipped models and their cell lines."""

import textwrap
from typing import Annotated

import typer

_INDENT = " " * 18


def models(
    *,
    lines: Annotated[
        bool,
        typer.Option(
            "--lines",
            help="List the cell lines instead: tissue, miR-21, PTEN, data behind each.",
        ),
    ] = False,
) -> None:
    """List the shipped models and the contexts they have, or their cell lines."""
    from mir21sim.model import files, read

    if lines:
        _print_lines()
        return

    for name in files.shipped():
        _, info = read.understand(files.find(name, files.BASE))
        _print(f"{name:17s} {info.title}")
        available = ", ".join(files.contexts(name))
        if available:
            default = (
                f" (default {info.default_context})" if info.default_context else ""
            )
            _print(f"{_INDENT}contexts: {available}, {files.BASE}{default}")


def _print_lines() -> None:
    """Print a table of the cell lines of every model that has some."""
    from mir21sim.analysis.text_tables import TextTable, lines_of
    from mir21sim.errors import InputError
    from mir21sim.model import files
    from mir21sim.model.lines import lines

    titles = ("line", "tissue", "miR-21/s", "PTEN", "data")
    for model in files.shipped():
        try:
            found = lines(model)
        except InputError:
            continue  # a model without cell lines
        rows = tuple(
            (
                line.name,
                textwrap.shorten(line.tissue, 31, placeholder="…"),
                f"{line.mir21_per_s:g}",
                "model" if line.pten == "as in the model" else line.pten,
                line.data(),
            )
            for line in found
        )
        typer.echo(f"{model}:")
        for row in lines_of(TextTable(titles, rows, frozenset({2}))):
            typer.echo(f"  {row}")
        for line in found:
            for status, names in line.known.items():
                _print(f"  {line.name}, {status}: {', '.join(names)}")
        typer.echo("")
    typer.echo(
        "miR-21/s: transcripts made in a second. sketch: no number of the line goes\n"
        "back to data of it. `mir21sim sources MODEL --context LINE` has each source."
    )


def _print(line: str) -> None:
    """Print a line in at most 80 columns."""
    typer.echo(
        textwrap.fill(line, 80, subsequent_indent=_INDENT, break_on_hyphens=False)
    )
