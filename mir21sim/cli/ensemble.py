"""Predictions with bands: the option ``--ensemble`` of simulate and sweep."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mir21sim.cli.options import OutputOptions

if TYPE_CHECKING:
    import xarray as xr

EnsembleOption = Annotated[
    Path | None,
    typer.Option(
        "--ensemble", help="Draws of a fit (ensemble.nc): median, 50 and 95 % bands."
    ),
]


def show_bands(result: "xr.Dataset", files: OutputOptions, ensemble: Path) -> None:
    """Print, write and draw the results of an ensemble as bands."""
    from mir21sim.analysis import band_plots, tables
    from mir21sim.simulation import dataset as results
    from mir21sim.simulation.ensemble import DRAW, Ensemble, bands

    found = bands(result)
    typer.echo(result.attrs["summary"])
    failed = int((result["status"] != 0).sum())
    typer.echo(f"{result.sizes[DRAW]} draws; {failed} runs failed")
    for line in band_plots.band_text(found):
        typer.echo(line)
    for line in band_plots.carrier_text(result, Ensemble.load(ensemble)):
        typer.echo(line)
    if files.output is not None and files.output.suffix == ".csv":
        frame = found.to_dataframe().reset_index()
        typer.echo(
            f"result: {tables.write_csv(frame, files.output, result.attrs['summary'])}"
        )
    elif files.output is not None:
        typer.echo(f"result: {results.save(result, files.output, {})}")
    files.draw(lambda: band_plots.plot_bands(found))


def show_features(result: "xr.Dataset", quantity: str) -> None:
    """Print EC50 and Emax of a swept dose with their bands."""
    from mir21sim.analysis import band_plots
    from mir21sim.analysis.curves import compare
    from mir21sim.simulation.ensemble import DRAW

    swept = [str(d) for d in result["status"].dims if d != DRAW]
    if len(swept) != 1:
        return
    found = compare(result, quantity, over=swept[0])
    for line in band_plots.feature_text(found):
        typer.echo(line)
