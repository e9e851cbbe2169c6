"""Predictions with bands: the options ``--ensemble`` and ``--no-ensemble``."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from mir21sim.cli.options import OutputOptions

if TYPE_CHECKING:
    import xarray as xr

    from mir21sim.compiler.model import CompiledModel
    from mir21sim.simulation.ensemble import Ensemble

SHIPPED = "shipped"
"""The word for the ensemble that lies beside a shipped model."""


@dataclass(frozen=True)
class EnsembleOptions:
    """Parameter sets behind the bands."""

    ensemble: Annotated[
        str | None,
        typer.Option(
            help="Parameter sets of a fit (ensemble.nc), or `shipped`, those of the "
            "model: median, 50 and 95 % bands. Dishes of unlike cells, `exposure` "
            "and studies use those of the model by default."
        ),
    ] = None
    no_ensemble: Annotated[
        bool,
        typer.Option("--no-ensemble", help="The model's own numbers alone."),
    ] = False

    def given(self, model: "CompiledModel") -> "Ensemble | None":
        """Return the ensemble that is asked for by name.

        Raises
        ------
        InputError
            For both options, a model without an ensemble, or one of another version.
        """
        from mir21sim.errors import InputError
        from mir21sim.simulation import ensemble as ensembles

        if self.ensemble is None:
            return None
        if self.no_ensemble:
            raise InputError("Give --ensemble or --no-ensemble, not both.")
        if self.ensemble != SHIPPED:
            found = ensembles.Ensemble.load(self.ensemble)
            found.check(model)
            return found
        shipped = ensembles.shipped(model)
        if shipped is None:
            raise InputError(f"{model.id} is shipped without an ensemble.")
        return shipped

    def has_any(self, name: str) -> bool:
        """Return whether a model has parameter sets to use, before it is loaded."""
        from mir21sim.model.files import shipped
        from mir21sim.simulation.ensemble import shipped_path

        known = name in shipped() and shipped_path(name).is_file()
        return not self.no_ensemble and (known or self.ensemble is not None)

    def of(
        self, model: "CompiledModel", without: str = "bands are of resampled cells"
    ) -> "Ensemble | None":
        """Return the ensemble that is asked for, by default that of the model.

        Parameters
        ----------
        without : what a result is when the ensemble of the model belongs to another
            version of it: it is left out, and a note on stderr says so
        """
        from mir21sim.errors import InputError
        from mir21sim.simulation import ensemble as ensembles

        if self.ensemble is not None or self.no_ensemble:
            return self.given(model)
        try:
            return ensembles.shipped(model)
        except InputError as error:
            typer.echo(f"note: {without}. {error}", err=True)
            return None


def show_bands(
    result: "xr.Dataset", files: OutputOptions, ensemble: "Ensemble"
) -> None:
    """Print, write and draw the results of an ensemble as bands."""
    from mir21sim.analysis import band_plots, tables
    from mir21sim.simulation import dataset as results
    from mir21sim.simulation.ensemble import DRAW, bands

    found = bands(result)
    typer.echo(result.attrs["summary"])
    failed = int((result["status"] != 0).sum())
    typer.echo(f"{result.sizes[DRAW]} draws; {failed} runs failed")
    for line in band_plots.band_text(found):
        typer.echo(line)
    for line in band_plots.carrier_text(result, ensemble):
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
