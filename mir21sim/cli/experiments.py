"""``mir21sim experiments``: which measurement would narrow a prediction most."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from mir21sim.cli.ensemble import EnsembleOptions
from mir21sim.cli.groups import expanded
from mir21sim.cli.options import LoadOptions, ModelArgument
from mir21sim.cli.output import check_outputs, write_table
from mir21sim.cli.parse import axes, name_list


@dataclass(frozen=True)
class CandidateOptions:
    """The measurements that are ranked."""

    measure: Annotated[
        list[str] | None,
        typer.Option(
            help="What is read: PTEN, `cleaved PARP`, `caspase-3/7 activity`; or "
            "QUANTITY:CV of the model; may be repeated. Default: all that the virtual "
            "assays read."
        ),
    ] = None
    over: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUES: doses at which it is measured, 8 at most."),
    ] = None
    times: Annotated[
        str | None, typer.Option(help="Hours at which it is measured: 0,6,24.")
    ] = None
    replicates: Annotated[int, typer.Option(help="Replicates of each.")] = 3

    def readouts(self) -> list[str] | dict[str, float]:
        """Return names of readouts, or quantities with their CV."""
        from mir21sim.errors import InputError

        given = name_list(self.measure) or []
        pairs = [name.rpartition(":") for name in given if ":" in name]
        if not pairs:
            return given
        if len(pairs) < len(given):
            raise InputError("--measure takes names, or NAME:CV for all of them.")
        try:
            return {name: float(cv) for name, _, cv in pairs}
        except ValueError as error:
            raise InputError(
                f"--measure reads NAME:CV with a number, got {', '.join(given)}."
            ) from error

    def moments(self) -> list[float] | None:
        """Return the times of measurement, h."""
        from mir21sim import units

        if self.times is None:
            return None
        return [
            units.seconds(text, "--times") / units.SECONDS_PER_HOUR
            for text in self.times.split(",")
        ]


@expanded
def experiments(
    model: ModelArgument,
    predict: Annotated[
        str,
        typer.Option(
            help="The prediction: peak(A), area(A), final(A), crossing(A, 0.5), …"
        ),
    ],
    load: LoadOptions,
    candidates: CandidateOptions,
    *,
    sets: EnsembleOptions,
    dose: Annotated[
        list[str] | None,
        typer.Option(help="Doses of the prediction. Default: the model's protocol."),
    ] = None,
    end: Annotated[str | None, typer.Option(help="End, e.g. 48h.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Reference time of the feature, e.g. 24h.")
    ] = None,
    draws: Annotated[
        int,
        typer.Option(
            help="Without an ensemble: rank by this many draws of the numbers."
        ),
    ] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="All candidates as .csv.")
    ] = None,
) -> None:
    """Rank measurements by how much of a prediction's variance each removes."""
    from mir21sim.analysis import tables
    from mir21sim.assays.which_measurement import experiments as ranked

    check_outputs(output, kinds=(".csv",))
    loaded = load.load(model)
    found = ranked(
        loaded,
        predict,
        end=end,
        doses=[] if dose == ["none"] else dose,
        since=since,
        measure=candidates.readouts(),
        over=axes(candidates.over),
        times=candidates.moments(),
        replicates=candidates.replicates,
        draws=sets.of(loaded) or draws,
    )
    for line in found.text():
        typer.echo(line)
    typer.echo(found.carried_by.text())
    shown = [
        {
            "measurement": record["name"],
            "removed %": round(100 * record["removed"], 1),
            "by draws %": round(100 * record["by_weighting"], 1),
        }
        for record in found.records[:SHOWN]
    ]
    typer.echo("\n".join(tables.lines_of(tables.text_table(shown))))
    left = len(found.records) - len(shown)
    if left:
        typer.echo(f"{left} more candidates, each below the last.")
    if output is not None:
        write_table([dict(record) for record in found.records], output)


SHOWN = 12
"""Candidates in the printed table."""
