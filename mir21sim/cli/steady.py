"""``mir21sim steady``: steady states, their stability, and branches over a number."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mir21sim.cli.groups import expanded
from mir21sim.cli.options import (
    LoadOptions,
    ModelArgument,
    OutputOptions,
    TreatmentOptions,
)
from mir21sim.cli.output import check_outputs, write_table
from mir21sim.cli.parse import axes, name_list

if TYPE_CHECKING:
    import xarray as xr

    from mir21sim.compiler.model import CompiledModel

MOST_ROWS = 30
"""Quantities that are printed; the others are in the file."""


@expanded
def steady(
    model: ModelArgument,
    load: LoadOptions,
    changes: TreatmentOptions,
    files: OutputOptions,
    *,
    over: Annotated[
        str | None,
        typer.Option(
            help="Number that is varied, and its range: NAME=log:FROM:TO:N. It is a "
            "parameter, the start of a conserved species, or the level at which an "
            "input or another species is held."
        ),
    ] = None,
    how: Annotated[
        str | None, typer.Option(help="parameter, initial or held. Default: by name.")
    ] = None,
    observe: Annotated[
        list[str] | None,
        typer.Option(help="Quantity; may be repeated or a comma list."),
    ] = None,
) -> None:
    """Print the steady state and its stability, or its branches over a number."""
    check_outputs(files.output, files.plot, kinds=(".csv",))
    loaded = load.load(model)
    done = changes.treatment()
    if done.doses:
        _refuse_doses(loaded, done)
    given = {
        "parameters": done.parameters,
        "initials": done.initials,
        "perturb": done.perturbations,
        "observe": name_list(observe),
    }
    if over is None:
        _print_state(loaded, files, given)
    else:
        _print_branches(loaded, files, {"over": axes([over]), "how": how, **given})


def _refuse_doses(model: "CompiledModel", done: Any) -> None:
    from mir21sim.simulation.stationary import start_of

    start_of(model, done)  # says why, and how to hold an input


def _print_state(
    model: "CompiledModel", files: OutputOptions, given: dict[str, Any]
) -> None:
    """Print quantities, fluxes and eigenvalues of the steady state."""
    from mir21sim.analysis import tables
    from mir21sim.errors import InputError
    from mir21sim.simulation.steady import steady_state

    if files.plot is not None:
        raise InputError("--plot needs --over NAME=VALUES: one state is no curve.")
    found = steady_state(model, **given)
    typer.echo(found.attrs["summary"])
    _print_note(found)
    records = [
        {
            "quantity": name,
            "value": float(found[name]),
            "unit": found[name].attrs.get("units", ""),
        }
        for name in found.data_vars
        if not found[name].dims
    ]
    _print_table(tables, records)
    typer.echo(_modes(found))
    if files.output is not None:
        unit = f"{model.border.time_unit}"
        records += [
            {"quantity": str(n), "value": float(v), "unit": f"flux, per {unit}"}
            for n, v in zip(found["reaction"].values, found["flux"].values, strict=True)
        ]
        write_table(records, files.output)


def _print_branches(
    model: "CompiledModel", files: OutputOptions, given: dict[str, Any]
) -> None:
    """Print folds, Hopf points and ranges of several states; draw the branches."""
    from mir21sim.analysis import tables
    from mir21sim.simulation.steady import continuation

    found = continuation(model, **given)
    typer.echo(found.attrs["summary"])
    _print_note(found)
    typer.echo(found.attrs["outcome"])
    if files.output is not None:
        columns = [n for n in found.variables if found[n].dims == ("point",)]
        frame = found[columns].to_dataframe().reset_index(drop=True)
        typer.echo(f"table: {tables.write_csv(frame, files.output)}")

    def picture() -> Any:
        from mir21sim.analysis.continuation_plot import plot_continuation

        return plot_continuation(found)

    files.draw(picture)


def _print_note(found: "xr.Dataset") -> None:
    if found.attrs["note"]:
        typer.echo(found.attrs["note"])


def _print_table(tables: Any, records: list[dict[str, Any]]) -> None:
    """Print the first rows, and the number of the others."""
    table = tables.text_table(records[:MOST_ROWS])
    typer.echo("\n".join(tables.lines_of(table)))
    if len(records) > MOST_ROWS:
        typer.echo(f"and {len(records) - MOST_ROWS} more: name them by --observe")


def _modes(found: "xr.Dataset") -> str:
    """Return the slowest modes as words."""
    real, imag = found["eigenvalue_real"].values, found["eigenvalue_imag"].values
    unit = found["eigenvalue_real"].attrs["units"]
    shown = [
        f"{a:.3g}" + (f" ± {b:.3g}i" if b > 0 else "")
        for a, b in zip(real, imag, strict=True)
        if b >= 0
    ]
    return f"eigenvalues ({unit}), slowest first: {', '.join(shown[:5]) or 'none'}"
