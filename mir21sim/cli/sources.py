"""``mir21sim sources``: every number with unit, status, source, prior and posterior."""

from pathlib import Path
from typing import Annotated, Any

import typer

from mir21sim.cli.ensemble import EnsembleOptions
from mir21sim.cli.groups import expanded
from mir21sim.cli.options import ContextOption, ModelArgument
from mir21sim.cli.output import check_outputs, write_table


@expanded
def sources(
    model: ModelArgument,
    sets: EnsembleOptions,
    context: ContextOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The table as .csv.")
    ] = None,
) -> None:
    """Print every number of a model with unit, status and source.

    Where parameter sets are shipped with the model, prior and posterior follow.
    """
    from mir21sim.analysis import model_report as report
    from mir21sim.model.files import find

    check_outputs(output, kinds=(".csv",))
    files = find(model, context)
    typer.echo(report.source_text(files))
    found = _prior_posterior(model, context, sets)
    if found is not None:
        from mir21sim.validation.prior_posterior import prior_posterior_text

        line = files.context or "no cell line"
        typer.echo(f"\nprior and posterior of calibrated numbers, {line}:")
        typer.echo("\n".join(prior_posterior_text(found)))
    if output is not None:
        write_table(_records(report.source_rows(files), found), output)


def _prior_posterior(name: str, context: str | None, sets: EnsembleOptions) -> Any:
    """Return the table of ``prior_posterior``; None without parameter sets."""
    from mir21sim.compiler.load import load
    from mir21sim.validation.prior_posterior import prior_posterior

    if not sets.has_any(name):
        return None
    model = load(name, context, backend="numpy")
    ensemble = sets.of(model, "prior and posterior are left out")
    return None if ensemble is None else prior_posterior(model, ensemble)


def _records(rows: list[dict[str, Any]], found: Any) -> list[dict[str, Any]]:
    """Return the rows of the table, with prior and posterior where there are any."""
    if found is None:
        return rows
    own: dict[str, dict[str, Any]] = found.to_dict(orient="index")
    empty: dict[str, Any] = dict.fromkeys(found.columns)
    return [{**row, **own.get(row["id"], empty)} for row in rows]
