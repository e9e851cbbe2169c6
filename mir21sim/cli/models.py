"""``mir21sim models``: the shipped models and their cell lines."""

import typer


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
