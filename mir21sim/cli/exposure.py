"""``mir21sim exposure``: where a dosed molecule is, for how long, with what effect."""

from typing import Annotated

import typer

from mir21sim.cli.groups import expanded
from mir21sim.cli.options import ModelArgument, OutputOptions, RunOptions
from mir21sim.cli.output import check_outputs, write_table
from mir21sim.cli.parse import name_list

EFFECTS = ("miR21_RISC", "PTEN", "PDCD4")
"""Quantities that an inhibitor of miR-21 changes first, those that a model has."""


@expanded
def exposure(
    model: ModelArgument,
    run: RunOptions,
    files: OutputOptions,
    *,
    of: Annotated[
        str, typer.Option(help="Input whose pools are read: NAME and NAME_….")
    ] = "anti_miR21",
    effect: Annotated[
        list[str] | None,
        typer.Option(
            help="Quantity that it changes; may be repeated or a comma list. Default: "
            f"{', '.join(EFFECTS)}, where the model has them."
        ),
    ] = None,
) -> None:
    """Print C_max, AUC and half-life of each pool of an input; draw its effects."""
    from mir21sim.analysis import exposure as exposures
    from mir21sim.analysis import tables
    from mir21sim.errors import InputError
    from mir21sim.simulation.simulate import simulate

    check_outputs(files.output, files.plot, kinds=(".csv",))
    loaded = run.load.load(model)
    known = (*loaded.state_names, *loaded.assigned_names)
    pools = [n for n in loaded.state_names if n == of or n.startswith(f"{of}_")]
    loaded.state_index(of)  # names the near ones of an unknown input
    if not run.treatment.dose:
        raise InputError(f'Give a dose of `{of}`, for example --dose "{of}=50 nM@0h".')
    effects = name_list(effect) or [n for n in EFFECTS if n in known]
    result = simulate(
        loaded,
        observe=[*pools, *(n for n in effects if n not in pools)],
        options=run.solver.options(),
        **run.arguments(),
    )
    typer.echo(result.attrs["summary"])
    records = exposures.exposure_records(result, pools)
    typer.echo("\n".join(tables.lines_of(tables.text_table(records))))
    if files.output is not None:
        write_table(records, files.output)
    files.draw(lambda: exposures.plot_exposure(result, pools, effects))
