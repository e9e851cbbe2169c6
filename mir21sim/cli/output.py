"""Output files, printed tables and exit codes of commands."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mir21sim import errors, files

if TYPE_CHECKING:
    import xarray as xr

    from mir21sim.compiler.model import CompiledModel


EXIT_FAILED_RUN = 1
EXIT_INPUT = 2
EXIT_INTERRUPTED = 130


def check_outputs(
    output: Path | None,
    *plots: Path | None,
    kinds: tuple[str, ...] = (".nc", ".zarr", ".csv"),
) -> None:
    """Stop before the work where a file cannot be written after it."""
    from mir21sim.simulation import dataset as results

    if output is not None:
        results.check_place(output, kinds)
    for path in plots:
        if path is not None:
            files.check_writable(path, results.PICTURE_KINDS)


def write_result(
    result: "xr.Dataset",
    model: "CompiledModel",
    output: Path | None,
    *,
    saved: bool = False,
) -> None:
    """Write a result, unless it is saved already, and print where it is."""
    from mir21sim.simulation import dataset as results

    if output is not None and output.suffix == ".csv":
        from mir21sim.analysis import tables

        frame = results.result_frame(result)
        path = tables.write_csv(frame, output, note=result.attrs["summary"])
        typer.echo(f"result: {path}")
    elif output is not None and output.suffix == ".omex":
        from mir21sim.simulation import omex as archive

        typer.echo(f"archive: {archive.save_archive(result, model, output)}")
    elif output is not None:
        path = output if saved else results.save(result, output, model.source)
        typer.echo(f"result: {path}")


def write_table(records: list[dict[str, Any]], output: Path) -> None:
    """Write records as CSV, and say where they are."""
    from mir21sim.analysis import tables as export

    typer.echo(f"table: {export.write_csv(export.records_frame(records), output)}")


def plot_first(result: "xr.Dataset") -> Any:
    """Return the picture of the first quantity of a run or sweep."""
    from mir21sim.analysis import plots

    return plots.plot_sweep(result, first_quantity(result))


def first_quantity(result: "xr.Dataset") -> str:
    """Return the first quantity of a result that has times."""
    return next(str(n) for n in result.data_vars if "time" in result.variables[n].dims)


def print_end_values(result: "xr.Dataset") -> None:
    """Print the last value of every quantity."""
    end = float(result["time"][-1])
    typer.echo(f"at {end:g} {result['time'].attrs.get('units', 'h')}:")
    for name in result.data_vars:
        if "time" in result[name].dims:
            unit = result[name].attrs.get("units", "")
            typer.echo(f"  {name:28s} {float(result[name][-1]):12.5g} {unit}")


def print_features(result: "xr.Dataset") -> None:
    """Print the features of the first quantity, unless they are too many to read."""
    from mir21sim.analysis import tables as export
    from mir21sim.analysis.curves import compare as compare_
    from mir21sim.analysis.curves import stimulus_time

    if result["status"].size <= 40:
        since = stimulus_time(result)
        features = compare_(result, first_quantity(result), since=since)
        typer.echo(export.feature_text(features))


def exit_by_status(*results: "xr.Dataset") -> None:
    """Exit with 1 where a run failed, with 130 where the sweep was interrupted."""
    import numpy as np

    status = np.concatenate([result["status"].values.ravel() for result in results])
    if (status == errors.SolverStatus.NOT_RUN).any():
        raise typer.Exit(EXIT_INTERRUPTED)
    if (status != errors.SolverStatus.OK).any():
        raise typer.Exit(EXIT_FAILED_RUN)


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Give a progress bar on stderr, none where nobody watches."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("runs", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
