"""``mir21sim exposure``: where a dosed molecule is, for how long, with what effect."""

from collections.abc import Collection
from dataclasses import replace
from typing import Annotated

import typer

from mir21sim.cli.ensemble import EnsembleOptions
from mir21sim.cli.groups import expanded
from mir21sim.cli.options import ModelArgument, OutputOptions, RunOptions, WidthOption
from mir21sim.cli.output import check_outputs, write_table
from mir21sim.cli.parse import name_list

EFFECTS = ("miR21_active", "miR21")
"""Loaded and free miR-21, those that a model has."""

TARGETS = ("PTEN_total", "PDCD4_total", "BCL2_total", "PTEN", "PDCD4")
"""Targets of miR-21, those that a model has; a total before its free form."""


@expanded
def exposure(
    model: ModelArgument,
    run: RunOptions,
    files: OutputOptions,
    sets: EnsembleOptions,
    *,
    of: Annotated[
        str, typer.Option(help="Input whose pools are read: NAME and NAME_….")
    ] = "anti_miR21",
    effect: Annotated[
        list[str] | None,
        typer.Option(
            help="Quantity that it changes; may be repeated or a comma list. Default: "
            "miR-21 free of it, and the targets PTEN, PDCD4 and Bcl-2."
        ),
    ] = None,
    width: WidthOption = "double",
) -> None:
    """Print C_max, AUC and half-life of each pool of an input; draw its effects."""
    from mir21sim.analysis import exposure as exposures
    from mir21sim.analysis import tables
    from mir21sim.analysis.oligonucleotide import way_in
    from mir21sim.errors import InputError
    from mir21sim.simulation.ensemble import DRAW
    from mir21sim.simulation.simulate import simulate
    from mir21sim.simulation.spread import SETS

    check_outputs(files.output, files.plot, kinds=(".csv",))
    loaded = run.load.load(model)
    known = (*loaded.state_names, *loaded.assigned_names)
    pools = [n for n in loaded.state_names if n == of or n.startswith(f"{of}_")]
    loaded.state_index(of)  # names the near ones of an unknown input
    if not run.treatment.dose:
        raise InputError(f'Give a dose of `{of}`, for example --dose "{of}=50 nM@0h".')
    given = name_list(effect)
    effects = given or [n for n in EFFECTS if n in known]
    targets = [] if given else _targets(known)
    ensemble = sets.of(loaded, "the curves are of the model's own numbers")
    result = simulate(
        loaded,
        observe=list(dict.fromkeys((*pools, *effects, *targets))),
        options=replace(run.solver.options(), features=False),
        ensemble=None if ensemble is None else ensemble.first(SETS),
        **run.arguments(),
    )
    typer.echo(result.attrs["summary"])
    way = way_in(
        {
            **dict(zip(loaded.param_names, loaded.p0.tolist(), strict=True)),
            **run.treatment.treatment().parameters,
        }
    )
    if way:
        typer.echo(f"{of}: {way}")
    records = exposures.exposure_records(result, pools)
    for table in exposures.exposure_tables(records):
        typer.echo("\n".join(tables.lines_of(tables.text_table(table))))
    if ensemble is not None:
        typer.echo(f"Median (95 % of {result.sizes[DRAW]} parameter sets).")
    if files.output is not None:
        write_table(records, files.output)
    files.draw(
        lambda: exposures.plot_exposure(
            result, pools, effects, targets=targets, width=width, way=way
        )
    )


def _targets(known: Collection[str]) -> list[str]:
    """Return the targets of a model, each by its total where it has one."""
    found = [name for name in TARGETS if name in known]
    return [name for name in found if f"{name}_total" not in found]
