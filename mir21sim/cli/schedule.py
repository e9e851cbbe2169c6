"""``--schedule`` of ``sweep`` and ``combine``: dishes at other times of one dose."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mir21sim.cli.dish import DishOptions
from mir21sim.cli.options import OutputOptions, RunOptions

if TYPE_CHECKING:
    import xarray as xr

    from mir21sim.compiler.model import CompiledModel
    from mir21sim.simulation.schedules import Schedule


@dataclass(frozen=True)
class ScheduleOptions:
    """Times at which one substance is given, and how its amount is counted."""

    schedule: Annotated[
        str | None,
        typer.Option(
            help="NAME=TIMES, one dish for each: 0h,12h,24h; 0h/12hx3 (3 doses, one "
            "each 12 h); `0h every 12h x1..5` (1 to 5 doses); none."
        ),
    ] = None
    split: Annotated[
        bool,
        typer.Option(
            "--split", help="The amount is that of all doses of a schedule together."
        ),
    ] = False

    def runs(
        self,
        model: "CompiledModel",
        run: RunOptions,
        over: dict[str, str] | None,
        **arguments: Any,
    ) -> "dict[Schedule, xr.Dataset]":
        """Return the result of each schedule."""
        from mir21sim.simulation.schedules import sweep_schedules

        given = run.arguments()
        doses = given.pop("doses")
        return sweep_schedules(
            model,
            self.schedule or "",
            doses=model.info.doses if doses is None else doses,
            over=over,
            split=self.split,
            **given,
            **arguments,
        )


def show_schedules(
    found: "dict[Schedule, xr.Dataset]",
    model: "CompiledModel",
    dish: DishOptions,
    files: OutputOptions,
    look: tuple[str, str],
) -> None:
    """Print, write and draw the dishes of each schedule.

    Parameters
    ----------
    look : response, and width of the picture
    """
    from mir21sim.analysis import tables
    from mir21sim.analysis.schedule_dishes import (
        schedule_lines,
        schedule_records,
        scheduled_dishes,
    )
    from mir21sim.analysis.schedule_plot import plot_schedules
    from mir21sim.analysis.set_bands import bracket_line

    active, death = dish.quantities(model)
    target = next(s.dose.target for s in found if s.dose is not None)
    target = next(n for n in next(iter(found.values())).dims if n == target)
    dishes = scheduled_dishes(found, str(target), active, death)
    for line in schedule_lines(dishes, look[0]):
        typer.echo(line)
    records = schedule_records(dishes)
    typer.echo("\n".join(tables.lines_of(tables.text_table(records))))
    texts = (text for record in records for text in record.values() if "(" in text)
    typer.echo(bracket_line(dishes.drawn[0].band, texts))
    write_schedules(found, model, files, records)
    files.draw(lambda: plot_schedules(dishes, look[0], width=look[1]))


def write_schedules(
    found: "dict[Schedule, xr.Dataset]",
    model: "CompiledModel",
    files: OutputOptions,
    records: list[dict[str, Any]],
) -> None:
    """Write a table (.csv), or one result file for each schedule (.nc)."""
    from mir21sim.cli.output import write_result, write_table

    if files.output is None:
        return
    if files.output.suffix == ".csv":
        write_table(records, files.output)
        return
    for k, run in enumerate(found.values(), start=1):
        write_result(run, model, numbered(files.output, k))


def numbered(path: Path, k: int) -> Path:
    """Return a path with a number at the end of its name: ``x-1.nc``."""
    return path.with_name(f"{path.stem}-{k}{path.suffix}")
