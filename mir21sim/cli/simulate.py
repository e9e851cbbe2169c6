"""``mir21sim simulate``: one run."""

import typer

from mir21sim.cli.dish import print_outcome, print_trust
from mir21sim.cli.ensemble import EnsembleOptions, show_bands
from mir21sim.cli.groups import expanded
from mir21sim.cli.options import (
    FeaturesOption,
    ModelArgument,
    ObserveOption,
    OutputOptions,
    RunOptions,
    with_features,
)
from mir21sim.cli.output import plot_first, print_end_values, write_result
from mir21sim.cli.parse import name_list


@expanded
def simulate(
    model: ModelArgument,
    run: RunOptions,
    files: OutputOptions,
    observe: ObserveOption = None,
    *,
    sets: EnsembleOptions,
    features: FeaturesOption = None,
) -> None:
    """Simulate one run; print the end values, write a file, draw a picture."""
    from mir21sim.simulation import simulate as runs

    files.check(kinds=(".nc", ".zarr", ".csv", ".omex"))
    loaded = run.load.load(model)
    ensemble = sets.given(loaded)
    if features is None and observe is None:
        features = False  # of all quantities they would take most of the time
    result = runs.simulate(
        loaded,
        observe=name_list(observe),
        options=with_features(run.solver.options(), loaded, 1, features),
        ensemble=ensemble,
        **run.arguments(),
    )
    if ensemble is not None:
        show_bands(result, files, ensemble)
        return
    typer.echo(result.attrs["summary"])
    print_outcome(result)
    print_trust(loaded, run)
    write_result(result, loaded, files.output)
    files.draw(lambda: plot_first(result))
    print_end_values(result)
