"""``mir21sim lint``: undeclared names, units, sources, unused names."""

import typer

from mir21sim.cli.options import ContextOption, ModelArgument
from mir21sim.cli.output import EXIT_INPUT


def lint(model: ModelArgument, context: ContextOption = None) -> None:
    """Check a model: undeclared names, units, sources, unused names."""
    from mir21sim.compiler import load as library
    from mir21sim.model.files import find

    issues = library.check(find(model, context))
    for issue in issues:
        typer.echo(f"{issue.severity}: {issue.message}")
    bad = sum(issue.severity == "error" for issue in issues)
    typer.echo(f"{bad} errors, {len(issues) - bad} warnings")
    if bad:
        raise typer.Exit(EXIT_INPUT)
