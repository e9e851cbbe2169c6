"""All commands, and the way in: one line for a mistake, exit codes."""

import gc
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Annotated, Any, cast

import typer

from mir21sim import __version__, errors, files
from mir21sim.cli.benchmark import benchmark
from mir21sim.cli.calibrate import fit_app
from mir21sim.cli.combine import combine
from mir21sim.cli.command import Command
from mir21sim.cli.compare import compare
from mir21sim.cli.convert import convert
from mir21sim.cli.doctor import doctor
from mir21sim.cli.experiments import experiments
from mir21sim.cli.explore import explore
from mir21sim.cli.export import export
from mir21sim.cli.exposure import exposure
from mir21sim.cli.info import info
from mir21sim.cli.lint import lint
from mir21sim.cli.models import models
from mir21sim.cli.output import EXIT_FAILED_RUN, EXIT_INPUT, EXIT_INTERRUPTED
from mir21sim.cli.population import population
from mir21sim.cli.rerun import rerun
from mir21sim.cli.sensitivities import sensitivities
from mir21sim.cli.simulate import simulate
from mir21sim.cli.sources import sources
from mir21sim.cli.steady import steady
from mir21sim.cli.streams import prepare
from mir21sim.cli.study import study_app
from mir21sim.cli.sweep import sweep
from mir21sim.cli.validate import validate
from mir21sim.cli.verify import verify

app = typer.Typer(
    name="mir21sim",
    help="What happens to this cell if miR-21 is blocked? Simulate, sweep, compare.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mir21sim {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[  # taken off the arguments in `main`
        bool, typer.Option("--debug", help="Show the traceback of an error.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Simulate, sweep and compare runs of miR-21 apoptosis models."""


for _command in (  # in the order in which `--help` lists them
    models,
    info,
    simulate,
    sweep,
    population,
    combine,
    exposure,
    steady,
    compare,
    export,
    sensitivities,
    experiments,
    lint,
    validate,
    sources,
    convert,
    verify,
    doctor,
    rerun,
    benchmark,
    explore,
):
    app.command(cls=Command)(_command)
app.add_typer(study_app)
app.add_typer(fit_app)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exit 2 for input, 1 for a failed run, with one line."""
    if arguments is None and "xarray" not in sys.modules:
        # No command makes arrays of dask, which xarray would import: 0.15 s a process.
        # An xarray that is loaded has found dask already and must be able to import it.
        sys.modules.setdefault("dask", cast("ModuleType", None))
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    prepare()
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        with warnings.catch_warnings(), _rare_garbage_collection():
            warnings.simplefilter("default", errors.FailedRunsWarning)
            warnings.simplefilter("default", errors.ModelWarning)
            warnings.showwarning = _show_warning
            app(args=arguments, prog_name="mir21sim")
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the last place to make it a sentence
        if debug:
            traceback.print_exc()
        _show_error(error)
        failed = isinstance(error, errors.SolverError)
        known = isinstance(error, errors.Mir21simError) or _named_file(error)
        sys.exit(EXIT_INPUT if known and not failed else EXIT_FAILED_RUN)


@contextmanager
def _rare_garbage_collection() -> Iterator[None]:
    """Look for garbage rarely: at a start nearly all that is made is kept.

    With Python's own threshold the searches take a tenth of a short command.
    """
    before = gc.get_threshold()
    gc.set_threshold(_NEW_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


_NEW_OBJECTS = 100_000
"""New objects after which Python looks for garbage; some 10 MB."""


def _named_file(error: Exception) -> bool:
    """Return whether the system refused a file that it names."""
    return isinstance(error, OSError) and isinstance(error.filename, str | os.PathLike)


def _show_error(error: Exception) -> None:
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and _named_file(error):
        text = errors.shortened(
            f"`{error.filename}` cannot be read or written: {files.reason(error)}."
        )
    elif not isinstance(error, errors.Mir21simError):
        text = (
            f"internal error ({type(error).__name__}: {text[:300]}); "
            "--debug shows where; please report it"
        )
    typer.echo(f"mir21sim: {text}", err=True)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    typer.echo(f"mir21sim: warning: {message}", err=True)
