"""``mir21sim compare``: features of curves, EC50, overlay."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mir21sim import errors
from mir21sim.cli.groups import expanded
from mir21sim.cli.output import check_outputs, first_quantity
from mir21sim.cli.parse import figure_size, labelled_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr

    from mir21sim.analysis.measured import Measured


@dataclass(frozen=True)
class MeasuredOptions:
    """Measured points over the curves."""

    measured: Annotated[
        list[Path] | None,
        typer.Option(help="CSV of measured points: time_h, value[, error, label]."),
    ] = None
    scale: Annotated[
        list[str] | None,
        typer.Option(
            help="Factor of the measured values: a number, or `auto` (least squares to "
            "the curve). Once for all files of --measured, or once for each."
        ),
    ] = None

    def points(
        self, labelled: "Mapping[str, xr.Dataset]", observe: str
    ) -> "list[Measured]":
        """Return the measured curves of all files, scaled; print factors found."""
        from mir21sim.analysis.measured import read_measured
        from mir21sim.analysis.measured_scale import AUTO, factor_of, scaled

        paths, scales = self.measured or [], self.scale or ["1"]
        if self.scale and (not paths or len(scales) not in (1, len(paths))):
            raise errors.InputError(
                f"Give --scale once, or once for each --measured, got {len(scales)} "
                f"for {len(paths)} files."
            )
        scales = scales * len(paths) if len(scales) == 1 else scales
        found = []
        for path, scale in zip(paths, scales, strict=True):
            points = read_measured(path)
            factor = factor_of(points, labelled, observe, scale)
            if scale == AUTO:
                typer.echo(f"scale of {path.name}: {factor:.6g} (least squares)")
            found += scaled(points, factor)
        return found


@dataclass(frozen=True)
class ComparedFiles:
    """Files that are written."""

    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Features (.csv or .nc).")
    ] = None
    plot: Annotated[
        Path | None, typer.Option(help="Curves; with bands also the change.")
    ] = None
    size: Annotated[
        str | None, typer.Option(help="Size of the pictures, e.g. 85x60mm.")
    ] = None
    plot_fit: Annotated[Path | None, typer.Option(help="Dose–response with fit.")] = (
        None
    )

    def check(self) -> "tuple[float, float] | None":
        """Check that all can be written; return the size of pictures in inches."""
        check_outputs(self.output, self.plot, self.plot_fit)
        return figure_size(self.size)


@expanded
def compare(
    files: Annotated[list[str], typer.Argument(help="Result files, or LABEL=FILE.")],
    observe: Annotated[
        str | None,
        typer.Option(help="The quantity to compare; default: the first of the file."),
    ] = None,
    *,
    since: Annotated[
        str | None, typer.Option(help="Reference time of the features, e.g. 24h.")
    ] = None,
    response: Annotated[
        str, typer.Option(help="Feature that the Hill fit takes as the response.")
    ] = "peak",
    over: Annotated[str | None, typer.Option(help="Swept name of the fit.")] = None,
    measured: MeasuredOptions,
    written: ComparedFiles,
    each: Annotated[
        bool,
        typer.Option(
            "--each", help="A row for each cell or draw, in place of their bands."
        ),
    ] = False,
) -> None:
    """Compare curves: features of every run, EC50 with interval, overlay.

    Files of an ensemble or of many cells show bands, and changes with their band.
    """
    from mir21sim.analysis import curves
    from mir21sim.analysis import tables as export
    from mir21sim.analysis.comparison_plot import plot_comparison
    from mir21sim.analysis.feature_band_text import feature_band_text
    from mir21sim.analysis.feature_bands import compare_bands, has_members
    from mir21sim.simulation import dataset as results

    inches = written.check()
    output, plot, plot_fit = written.output, written.plot, written.plot_fit
    opened = [(label, results.read(path)) for label, path in map(labelled_path, files)]
    named = {label: result for label, result in opened if label}
    if len(named) not in (0, len(opened)):
        raise errors.InputError("Label all result files (LABEL=FILE) or none.")
    labelled = named or curves.label_results([result for _, result in opened])
    observe = observe or first_quantity(next(iter(labelled.values())))
    points = measured.points(labelled, observe)
    banded = not each and any(map(has_members, labelled.values()))
    read = compare_bands if banded else curves.compare
    features = read(labelled, observe, since=since, response=response, over=over)
    for label, result in labelled.items():
        if "a sketch" in (said := result.attrs.get("summary", "")):
            typer.echo(f"{label}: {said.partition(';')[0]}")
    tell = feature_band_text if banded else export.feature_text
    typer.echo(tell(features))
    if output is not None and output.suffix == ".nc":
        typer.echo(f"features: {results.save(features, output, {})}")
    elif output is not None:
        frame = (
            features.to_dataframe().reset_index()
            if banded
            else export.feature_frame(features)
        )
        typer.echo(f"features: {export.write_csv(frame, output)}")
    if plot is not None:
        from mir21sim.analysis import plots as plotting

        drawn = plot_comparison if banded else plotting.plot_overlay
        figure = drawn(labelled, observe, points)
        typer.echo(f"picture: {plotting.save(figure, plot, size=inches)}")
    if plot_fit is not None:
        from mir21sim.analysis import plots as plotting

        ax = plotting.plot_dose_response(features, over=over)
        typer.echo(f"picture: {plotting.save(ax, plot_fit, size=inches)}")
