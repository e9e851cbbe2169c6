"""``mir21sim models``: the shipped models and their cell lines."""

import textwrap

import typer

_INDENT = " " * 18


def models() -> None:
    """List the shipped models and the contexts they have."""
    from mir21sim.model import files, read

    for name in files.shipped():
        _, info = read.understand(files.find(name, files.BASE))
        _print(f"{name:17s} {info.title}")
        available = ", ".join(files.contexts(name))
        if available:
            default = (
                f" (default {info.default_context})" if info.default_context else ""
            )
            _print(f"{_INDENT}contexts: {available}, {files.BASE}{default}")


def _print(line: str) -> None:
    """Print a line in at most 80 columns."""
    typer.echo(
        textwrap.fill(line, 80, subsequent_indent=_INDENT, break_on_hyphens=False)
    )
