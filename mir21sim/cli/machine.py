"""Commands about this machine: is all well, how fast is it. Layer 12."""

from typing import Annotated

import typer

from mir21sim.cli.options import ContextOption
from mir21sim.cli.output import EXIT_FAILED_RUN


def doctor() -> None:
    """Print versions, cache folder, cores and optional parts; check that they work."""
    from mir21sim import report

    text, healthy = report.doctor_text()
    typer.echo(text)
    if not healthy:
        raise typer.Exit(EXIT_FAILED_RUN)


def benchmark(
    model: Annotated[str, typer.Option(help="Model.")] = "earm2_m1a",
    context: ContextOption = None,
    cells: Annotated[int, typer.Option(help="Unlike cells to simulate.")] = 256,
) -> None:
    """Print this machine's numbers: compile times, runs per second, against LSODA."""
    from mir21sim import benchmark as benchmark_

    found = benchmark_.measure(
        model, cells, context, say=lambda what: typer.echo(f"… {what}", err=True)
    )
    typer.echo(benchmark_.text(found))
