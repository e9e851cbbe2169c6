"""``mir21sim benchmark``: compile times and runs per second of this machine."""

from typing import Annotated

import typer

from mir21sim.cli.options import ContextOption


def benchmark(
    model: Annotated[str, typer.Option(help="Model.")] = "earm2_m1a",
    context: ContextOption = None,
    cells: Annotated[int, typer.Option(help="Unlike cells to simulate.")] = 256,
) -> None:
    """Print this machine's numbers: compile times, runs per second, against LSODA."""
    from mir21sim.validation import benchmark as benchmarks

    found = benchmarks.measure(
        model, cells, context, say=lambda text: typer.echo(f"… {text}", err=True)
    )
    typer.echo(benchmarks.text(found))
