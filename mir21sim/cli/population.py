"""``mir21sim population``: unlike cells under one treatment."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mir21sim.cli.dish import print_trust
from mir21sim.cli.ensemble import EnsembleOptions
from mir21sim.cli.groups import expanded
from mir21sim.cli.options import (
    ModelArgument,
    ObserveOption,
    OutputOptions,
    RunOptions,
    WorkOptions,
)
from mir21sim.cli.output import (
    exit_by_status,
    write_result,
)
from mir21sim.cli.parse import axes, name_list

if TYPE_CHECKING:
    import xarray as xr

    from mir21sim.compiler.model import CompiledModel
    from mir21sim.simulation.population import Population


@dataclass(frozen=True)
class CellOptions:
    """The cells of a population."""

    cells: Annotated[int, typer.Option(help="Number of cells.")] = 1000
    cv: Annotated[
        float, typer.Option(help="CV between cells of every protein and pool.")
    ] = 0.28
    vary: Annotated[
        list[str] | None,
        typer.Option(help="PROTEIN=CV of its own; may be repeated."),
    ] = None
    seed: Annotated[int, typer.Option(help="Equal seeds give equal cells.")] = 0

    def population(self) -> "Population":
        """Return the population."""
        from mir21sim.simulation.population import Population
        from mir21sim.simulation.treatment import numbers

        own = numbers(self.vary or (), "--vary")
        return Population(self.cells, self.cv, distributions=own, seed=self.seed)


@expanded
def population(
    model: ModelArgument,
    run: RunOptions,
    files: OutputOptions,
    drawn: CellOptions,
    work: WorkOptions,
    *,
    sets: EnsembleOptions,
    over: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUES, as in `sweep`; may be repeated."),
    ] = None,
    observe: ObserveOption = None,
    death: Annotated[
        str | None,
        typer.Option(help="Quantity that crosses one half in a cell that dies."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Count from here; default: the last dose.")
    ] = None,
) -> None:
    """Simulate unlike cells; print dead fraction and death times, write, draw."""
    from mir21sim.analysis import cell_death, tables
    from mir21sim.analysis.curves import stimulus_time
    from mir21sim.analysis.dead_share import dead_share
    from mir21sim.simulation import population as populations
    from mir21sim.simulation.names import canonical
    from mir21sim.simulation.plan import output_times

    files.check()
    swept = axes(over)
    files.check_axes(swept, most=1)
    cells = drawn.population()
    loaded = run.load.load(model)
    dies = canonical(loaded, death) if death else cell_death.death_quantity(loaded)
    arguments = run.treatment.arguments()
    ends = run.times
    times = output_times(loaded, ends.start, ends.end, ends.points or 201)
    ensemble = sets.of(loaded)
    with work.bar() as progress:
        result = populations.simulate_population(
            loaded,
            cells,
            ensemble=ensemble,
            observe=[dies, *(n for n in name_list(observe) or () if n != dies)],
            over=swept,
            times=times,
            options=run.solver.options(work.jobs, progress, work.executor()),
            **arguments,
        )
    start: str | float = since if since is not None else stimulus_time(result) or 0.0
    typer.echo(result.attrs["summary"])
    share = dead_share(result, dies, since=start)
    typer.echo(tables.death_text(result, dies, since=start, share=share))
    _print_shares(result, cells, loaded, dies, start)
    print_trust(loaded, run, swept, ensemble=ensemble)
    write_result(result, loaded, files.output)
    files.draw(lambda: _picture(result, dies, start, share))
    exit_by_status(result)


def _print_shares(
    result: "xr.Dataset",
    cells: "Population",
    model: "CompiledModel",
    dies: str,
    since: str | float,
) -> None:
    """Print which proteins tell who dies, and when, of cells under one treatment."""
    from mir21sim.analysis.variance import variance_by_protein, variance_text
    from mir21sim.simulation.varied import varied

    if set(result[dies].dims) != {"cell", "time"}:
        return
    levels = cells.factors(tuple(varied(model)))
    frame = variance_by_protein(result, levels, dies, since=since)
    typer.echo(variance_text(frame))


def _picture(
    result: "xr.Dataset", dies: str, since: str | float, share: "xr.Dataset"
) -> Any:
    from mir21sim.analysis import death_plots

    return death_plots.plot_population(result, dies, since=since, share=share)
