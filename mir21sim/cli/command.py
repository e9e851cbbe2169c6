"""The class of all commands: help with the methods, and inputs that are not outputs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.core import TyperCommand

from mir21sim.cli.parse import labelled_path
from mir21sim.errors import InputError

METHOD_NAMES = "METHODS"
"""Stands in a help text for the list of the methods; commands start without them."""
_OUTPUTS = ("output", "plot", "plot_fit")


class Command(TyperCommand):
    """A command that lists the methods in its help and keeps the files it reads."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help page."""
        from mir21sim.solvers.methods import listed  # with SciPy and Numba: 0.5 s

        for parameter in self.params:
            text = getattr(parameter, "help", None)
            if text and METHOD_NAMES in text:
                parameter.help = text.replace(METHOD_NAMES, listed())  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)

    def invoke(self, ctx: Any) -> Any:
        """Run the command, unless a file that it writes is one of the others it names.

        Raises
        ------
        InputError
            Before a file is lost under another.
        """
        paths = list(self._paths(ctx.params))
        for name, path in paths:
            others = [other for option, other in paths if option != name]
            if name in _OUTPUTS and any(_is_same(path, other) for other in others):
                raise InputError(
                    f"--{name.replace('_', '-')} `{path}` is also another file of this "
                    "command, which would be lost: name another one."
                )
        return super().invoke(ctx)

    def _paths(self, values: dict[str, Any]) -> Iterator[tuple[str, Path]]:
        """Yield name and path of the options that are files, and of all arguments."""
        arguments = {p.name for p in self.params if p.param_type_name == "argument"}
        for name, value in values.items():
            for item in value if isinstance(value, list | tuple) else (value,):
                if isinstance(item, Path):
                    yield name, item
                elif isinstance(item, str) and item and name in arguments:
                    yield name, Path(labelled_path(item)[1])


def _is_same(path: Path, other: Path) -> bool:
    """Return whether two paths are one file; a folder takes files without a loss."""
    if path.suffix.lower() != other.suffix.lower() or not path.suffix:
        return False
    if path.exists() and other.exists():
        return path.samefile(other)
    return path.absolute() == other.absolute()
