"""Commands whose help lists the methods of integration."""

from typing import Any

from typer.core import TyperCommand

METHOD_NAMES = "METHODS"
"""Stands in a help text for the list of the methods; commands start without them."""


class MethodCommand(TyperCommand):
    """A command that puts the names of the methods into its help when it is printed."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help page."""
        from mir21sim.solvers.methods import listed  # with SciPy and Numba: 0.5 s

        for parameter in self.params:
            text = getattr(parameter, "help", None)
            if text and METHOD_NAMES in text:
                parameter.help = text.replace(METHOD_NAMES, listed())  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)
