"""Options and output of commands that run dishes of unlike cells."""

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from mir21sim.cli.options import RunOptions
from mir21sim.cli.parse import name_list

if TYPE_CHECKING:
    import xarray as xr

    from mir21sim.compiler.model import CompiledModel
    from mir21sim.simulation.ensemble import Ensemble
    from mir21sim.simulation.population import Population

CELLS = 300
"""Cells a dose by default: an interval of 11 percentage points at most."""


@dataclass(frozen=True)
class DishOptions:
    """Cells of a dish, and the quantities that are its activity and death."""

    cells: Annotated[
        int | None,
        typer.Option(
            help="Unlike cells a dose, the same ones at each; 1 for the average cell. "
            f"Default: {CELLS} where one dose is swept and cells of the model can die."
        ),
    ] = None
    cv: Annotated[
        float, typer.Option(help="CV between cells of every protein and pool.")
    ] = 0.28
    seed: Annotated[int, typer.Option(help="Equal seeds give equal cells.")] = 0
    activity: Annotated[
        list[str] | None,
        typer.Option(help="Quantity of DEVDase activity; may be a comma list."),
    ] = None
    death: Annotated[
        str | None,
        typer.Option(help="Quantity that crosses one half in a cell that dies."),
    ] = None

    def population(
        self, model: "CompiledModel", swept: list[str]
    ) -> "Population | None":
        """Return the cells to run; None for the average cell."""
        from mir21sim.simulation.population import Population

        count = self.cells
        if count is None:
            count = CELLS if len(swept) == 1 and _has_dish(model, swept) else 1
        return None if count == 1 else Population(count, self.cv, seed=self.seed)

    def quantities(self, model: "CompiledModel") -> tuple[tuple[str, ...], str]:
        """Return the quantities of activity and of death."""
        from mir21sim.analysis.cell_death import death_quantity
        from mir21sim.analysis.dish import activity_quantities
        from mir21sim.simulation.names import canonical, canonical_names

        given = name_list(self.activity)
        active = canonical_names(model, given) if given else activity_quantities(model)
        death = canonical(model, self.death) if self.death else death_quantity(model)
        return active, death


def _has_dish(model: "CompiledModel", swept: list[str]) -> bool:
    """Return whether doses are swept of a model whose cells differ, act and die."""
    from mir21sim.simulation.varied import varied

    if not varied(model) or any(name not in model.info.inputs for name in swept):
        return False
    return _fate(model) is not None


def print_outcome(result: "xr.Dataset", death: str | None = None) -> None:
    """Print when the average cell dies, or how many cells are dead.

    By the quantity given, or the first quantity of death that the result holds.
    """
    from mir21sim.analysis.cell_death import DEATHS
    from mir21sim.analysis.outcome import outcome_lines

    death = death or next((name for name in DEATHS if name in result), "")
    for line in outcome_lines(result, death):
        typer.echo(line)


def print_trust(
    model: "CompiledModel",
    run: RunOptions,
    over: dict[str, str] | None = None,
    quantities: tuple[str, str] | None = None,
    ensemble: "Ensemble | None" = None,
) -> None:
    """Print which share of the width of the fate comes from assumed numbers.

    Nothing for a model whose cells cannot die or act, or a guest's file.

    Parameters
    ----------
    quantities : activity and death; by default those that the model has
    ensemble : of the bands: the width is then that of its draws
    """
    from mir21sim.analysis.trust import trust
    from mir21sim.errors import SolverError

    if model.border.is_guest or "parameters" not in model.source:
        return
    if quantities is None:
        quantities = _fate(model)
    if quantities is None:
        return
    given = {k: v for k, v in run.arguments().items() if k != "points"}
    with contextlib.suppress(SolverError):  # the run itself says that it has no rest
        found = trust(model, *quantities, over=over, ensemble=ensemble, **given)
        typer.echo(found.text())


def _fate(model: "CompiledModel") -> tuple[str, str] | None:
    """Return the quantities of activity and death of a model, None without."""
    from mir21sim.analysis.cell_death import death_quantity
    from mir21sim.analysis.dish import activity_quantities
    from mir21sim.errors import InputError

    try:
        return activity_quantities(model)[0], death_quantity(model)
    except InputError:
        return None
