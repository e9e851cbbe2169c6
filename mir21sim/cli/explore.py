"""``mir21sim explore``: a page on this computer on which doses are moved."""

import os
import sys
from typing import Annotated

import typer

from mir21sim import errors
from mir21sim.cli.options import ContextOption


def explore(
    model: Annotated[
        str,
        typer.Argument(help="A shipped model's name, or an .xml, .sbml or .ant file."),
    ] = "mir21_apoptosis",
    context: ContextOption = None,
    host: Annotated[
        str,
        typer.Option(help="Where to listen; other computers reach any but 127.0.0.1."),
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="Port; default: the first free one from 8021.")
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")
    ] = True,
) -> None:
    """Open a page on which doses are moved, and curves, blots and plots answer."""
    try:
        from mir21sim.web import server
    except ImportError as error:
        raise errors.InputError(
            f"The explorer needs the package `{error.name}`: "
            'pip install "mir21sim[web]".'
        ) from error
    running = server.listen(model, context or "", host=host, port=port)
    if running.note:
        typer.echo(running.note)
    if host not in ("127.0.0.1", "localhost", "::1"):
        typer.echo(f"Other computers can reach the explorer on {host}.")
    typer.echo(f"Explorer: {running.address}")
    if browser and not _opened(running.address):
        typer.echo("No browser was found: open the address by hand.")
    typer.echo("Ctrl-C ends it.")
    try:
        running.serve()
    except KeyboardInterrupt:
        typer.echo("The explorer has ended.")


def _opened(address: str) -> bool:
    """Open an address in a browser; return whether there is one.

    On a server without a screen only browsers for the terminal are found, which would
    take the terminal over.
    """
    import webbrowser

    screens = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    if sys.platform == "linux" and not any(map(os.environ.get, screens)):
        return False
    try:
        return webbrowser.open(address)
    except webbrowser.Error:
        return False
