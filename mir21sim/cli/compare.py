"""``mir21sim compare``: features of curves, EC50, overlay."""

from pathlib import Path
from typing import Annotated

import typer

from mir21sim import errors
from mir21sim.cli.output import check_outputs
from mir21sim.cli.parse import figure_size, labelled_path


def compare(
    files: Annotated[list[str], typer.Argument(help="Result files, or LABEL=FILE.")],
    observe: Annotated[str, typer.Option(help="The quantity to compare.")],
    *,
    since: Annotated[
        str | None, typer.Option(help="Reference time of the features, e.g. 24h.")
    ] = None,
    response: Annotated[
        str, typer.Option(help="Feature that the Hill fit takes as the response.")
    ] = "peak",
    over: Annotated[str | None, typer.Option(help="Swept name of the fit.")] = None,
    measured: Annotated[
        list[Path] | None,
        typer.Option(help="CSV of measured points: time_h, value[, error, label]."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Features (.csv or .nc).")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Overlay of the curves.")] = None,
    size: Annotated[
        str | None, typer.Option(help="Size of the pictures, e.g. 85x60mm.")
    ] = None,
    plot_fit: Annotated[
        Path | None, typer.Option(help="Dose–response with fit.")
    ] = None,
) -> None:
    """Compare curves: features of every run, EC50 with interval, overlay."""
    from mir21sim.analysis import curves
    from mir21sim.analysis import tables as export
    from mir21sim.analysis.measured import read_measured
    from mir21sim.simulation import dataset as results

    check_outputs(output, plot, plot_fit)
    inches = figure_size(size)
    opened = [(label, results.read(path)) for label, path in map(labelled_path, files)]
    named = {label: result for label, result in opened if label}
    if len(named) not in (0, len(opened)):
        raise errors.InputError("Label all result files (LABEL=FILE) or none.")
    labelled = named or curves.label_results([result for _, result in opened])
    points = [c for path in measured or () for c in read_measured(path)]
    features = curves.compare(
        labelled, observe, since=since, response=response, over=over
    )
    typer.echo(export.feature_text(features))
    if output is not None and output.suffix == ".nc":
        typer.echo(f"features: {results.save(features, output, {})}")
    elif output is not None:
        frame = export.feature_frame(features)
        typer.echo(f"features: {export.write_csv(frame, output)}")
    if plot is not None:
        from mir21sim.analysis import plots as plotting

        ax = plotting.plot_overlay(labelled, observe, points)
        typer.echo(f"picture: {plotting.save(ax, plot, size=inches)}")
    if plot_fit is not None:
        from mir21sim.analysis import plots as plotting

        ax = plotting.plot_dose_response(features, over=over)
        typer.echo(f"picture: {plotting.save(ax, plot_fit, size=inches)}")
