"""``mir21sim combine``: two drugs on dishes of unlike cells."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mir21sim.cli.dish import DishOptions, print_trust
from mir21sim.cli.ensemble import EnsembleOptions
from mir21sim.cli.groups import expanded
from mir21sim.cli.options import (
    ModelArgument,
    OutputOptions,
    OverOption,
    RunOptions,
    WidthOption,
    WorkOptions,
)
from mir21sim.cli.output import (
    check_outputs,
    exit_by_status,
    write_result,
)
from mir21sim.cli.parse import axes
from mir21sim.cli.schedule import ScheduleOptions, write_schedules

if TYPE_CHECKING:
    import xarray as xr

    from mir21sim.compiler.model import CompiledModel
    from mir21sim.simulation.population import Population
    from mir21sim.simulation.schedules import Schedule


@dataclass(frozen=True)
class LookOptions:
    """The picture of a combination."""

    measure: Annotated[
        str, typer.Option(help="HSA, Bliss, Loewe or ZIP: the excess that is drawn.")
    ] = "Bliss"
    width: WidthOption = "double"


@expanded
def combine(
    model: ModelArgument,
    over: OverOption,
    run: RunOptions,
    files: OutputOptions,
    dish: DishOptions,
    *,
    sets: EnsembleOptions,
    plans: ScheduleOptions,
    look: LookOptions,
    work: WorkOptions,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with runs that were stopped.")
    ] = False,
) -> None:
    """Combine two drugs, at once or in time order: excess over additivity."""
    from mir21sim.simulation import sweep as sweeps

    output = files.output
    check_outputs(output, files.plot)
    swept = axes(over)
    _check(swept, look)
    loaded = run.load.load(model)
    cells = _cells(loaded, dish, swept)
    active, death = dish.quantities(loaded)
    shared: dict[str, Any] = {
        "observe": [*active, death],
        "cells": cells,
        "ensemble": sets.of(loaded),
    }
    with work.bar() as progress:
        shared["options"] = run.solver.options(work.jobs, progress, work.executor())
        if plans.schedule is not None:
            _check_schedule(loaded, plans.schedule, swept)
            found = plans.runs(loaded, run, swept, **shared)
        else:
            result = sweeps.sweep(
                loaded,
                swept,
                output=files.rerunnable,
                resume=resume,
                **shared,
                **run.arguments(),
            )
    if plans.schedule is not None:
        _show_orders(found, loaded, (*active, death), look, files)
        exit_by_status(*found.values())
        return
    typer.echo(result.attrs["summary"])
    table = _show(result, (*active, death), MEASURES)
    print_trust(loaded, run, swept, (active[0], death), shared["ensemble"])
    _print_table(table)
    write_result(result, loaded, output, saved=True)
    if files.plot is not None:
        from mir21sim.analysis.combination_plot import plot_combination

        files.draw(lambda: plot_combination(table, look.measure, width=look.width))
    exit_by_status(result)


MEASURES = ("HSA", "Bliss", "Loewe", "ZIP")
"""Measures in the order in which they are printed."""


def _check(swept: dict[str, str], look: LookOptions) -> None:
    """Stop before the work where doses, measure or width cannot be used."""
    from mir21sim.analysis import combination as combining
    from mir21sim.analysis.dish_plot import WIDTHS
    from mir21sim.errors import InputError, UnknownNameError
    from mir21sim.simulation.axes import axis_values

    if len(swept) != 2:
        raise InputError(
            f"`combine` needs --over of two drugs, got {len(swept)}: "
            f"{', '.join(swept) or 'none'}."
        )
    if look.measure not in combining.MEASURES:
        raise UnknownNameError("measure", look.measure, combining.MEASURES)
    if look.width not in WIDTHS:
        raise UnknownNameError("width", look.width, tuple(WIDTHS))
    combining.check_doses({n: axis_values(n, text)[0] for n, text in swept.items()})


def _cells(
    model: "CompiledModel", dish: DishOptions, swept: dict[str, str]
) -> "Population":
    """Return the cells that are counted."""
    from mir21sim.errors import InputError

    cells = dish.population(model, list(swept)[:1])
    if cells is None:
        raise InputError("`combine` counts dead cells: give --cells of 2 or more.")
    return cells


def _show(
    result: "xr.Dataset",
    quantities: tuple[str, ...],
    measures: tuple[str, ...],
    since: float | None = None,
    before: str = "",
) -> "xr.Dataset":
    """Print a sentence for each measure; return the table of the combination.

    Parameters
    ----------
    quantities : those of activity, then that of death
    since : h; dead cells are counted from here, by default from the last dose
    before : words in front of each sentence
    """
    from mir21sim.analysis import combination as combining
    from mir21sim.analysis.curves import stimulus_time
    from mir21sim.analysis.dish import resample

    if since is None:
        since = stimulus_time(result) or float(result["time"][0])
    drawn = resample(result, quantities[:-1], quantities[-1], since=since)
    table = combining.combination(drawn, result)
    for remark in table.attrs["remarks"]:
        typer.echo(f"{before}{remark}")
    for name in measures:
        typer.echo(f"{before}{combining.summary(table, name)}")
    return table


def _print_table(table: "xr.Dataset") -> None:
    from mir21sim.analysis import combination as combining
    from mir21sim.analysis import tables

    lines = tables.lines_of(tables.text_table(combining.combination_records(table)))
    typer.echo("\n".join(lines))


def _show_orders(
    found: "dict[Schedule, xr.Dataset]",
    model: "CompiledModel",
    quantities: tuple[str, ...],
    look: LookOptions,
    files: OutputOptions,
) -> None:
    """Print, write and draw a combination for each order of the two drugs."""
    from mir21sim.analysis import combination as combining
    from mir21sim.analysis.combination_plot import plot_orders
    from mir21sim.analysis.curves import dose_records
    from mir21sim.analysis.schedule_dishes import last_other_dose

    measure = look.measure
    first = next(iter(found.values()))
    typer.echo(first.attrs["summary"])
    drug, other = _scheduled(found)
    given = {str(d["target"]): float(d["time"]) for d in dose_records(first)[::-1]}
    tables: dict[str, xr.Dataset] = {}
    for schedule, run in found.items():
        if schedule.dose is None:
            continue  # no combination without the drug
        words = combining.order_words(
            schedule.label, schedule.dose.time, other, given[other]
        )
        since = last_other_dose(run, drug)
        tables[words] = _show(run, quantities, (measure,), since, f"{drug} {words}: ")
    typer.echo(combining.order_summary(tables, drug, measure))
    records = [
        {"order": words, **record}
        for words, table in tables.items()
        for record in combining.combination_records(table)
    ]
    write_schedules(found, model, files, records)
    files.draw(lambda: plot_orders(tables, drug, measure, width=look.width))


def _check_schedule(
    model: "CompiledModel", schedule: str, swept: dict[str, str]
) -> None:
    """Stop before the work where the times are not those of one of the two drugs."""
    from mir21sim.errors import InputError
    from mir21sim.simulation.names import canonical
    from mir21sim.simulation.schedules import parse_schedules

    name, found = parse_schedules(schedule)
    if canonical(model, name) not in {canonical(model, key) for key in swept}:
        raise InputError(
            f"--schedule must name one of the two drugs, {' or '.join(swept)}, got "
            f"`{name}`."
        )
    if all(one.dose is None for one in found):
        raise InputError(f"--schedule gives `{name}` at no time; give one or more.")


def _scheduled(found: "dict[Schedule, xr.Dataset]") -> tuple[str, str]:
    """Return the drug whose times differ, and the other one."""
    names = [str(d) for d in next(iter(found.values()))["status"].dims if d != "cell"]
    drug = next(s.dose.target for s in found if s.dose is not None)
    return drug, next(name for name in names if name != drug)
