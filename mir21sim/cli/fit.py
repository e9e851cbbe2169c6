"""Commands of fits, ``mir21sim fit …``."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from mir21sim.cli.command import Command
from mir21sim.cli.groups import expanded
from mir21sim.cli.output import EXIT_INPUT, EXIT_INTERRUPTED
from mir21sim.cli.parse import name_list

if TYPE_CHECKING:
    from mir21sim.estimation.fit import FitResult, Told
    from mir21sim.estimation.problem import FitProblem


class _FitGroup(TyperGroup):
    """Takes a file of data for the command ``data``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``data`` before a first argument that is a file."""
        first = args[0] if args else ""
        if first and first not in self.commands and not first.startswith("-"):
            args = ["data", *args]
        return super().parse_args(ctx, args)


fit_app = typer.Typer(
    name="fit",
    cls=_FitGroup,
    help="Fit models to data: `fit DATA.csv --model …`, or PEtab problems.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

ProblemArgument = Annotated[Path, typer.Argument(help="A PEtab problem (.yaml).")]


@dataclass(frozen=True, slots=True)
class FitOptions:
    """Method and outputs of a fit."""

    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Folder; the same command again goes on there."
        ),
    ] = Path("fit")
    starts: Annotated[int, typer.Option(help="Number of starts.")] = 20
    seed: Annotated[int, typer.Option(help="Of the starts and draws.")] = 0
    optimizer: Annotated[
        str | None, typer.Option(help="fides (extra `fit`) or scipy.")
    ] = None
    rtol: Annotated[float, typer.Option(help="Relative tolerance.")] = 3e-6
    analytic: Annotated[
        bool,
        typer.Option(
            "--analytic/--free",
            help="Scales, offsets and noise: the best ones at every evaluation, or "
            "free parameters.",
        ),
    ] = False
    profile: Annotated[
        list[str] | None,
        typer.Option(help="Parameter to profile; `all` for all; may be repeated."),
    ] = None
    draws: Annotated[
        int, typer.Option(help="Size of the ensemble to write; 0 for none.")
    ] = 200
    mcmc: Annotated[
        int, typer.Option(help="Steps of MCMC (extra `bayes`); 0: Laplace draws.")
    ] = 0
    jobs: Annotated[int, typer.Option(help="Threads over runs.")] = 1
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False


@fit_app.command("check", cls=Command)
def fit_check(problem: ProblemArgument) -> None:
    """Check a PEtab problem: the library's lint, then the unsupported parts."""
    from mir21sim.estimation import fit_report, petab_check

    found, findings = petab_check.check(problem)
    for finding in findings:
        typer.echo(f"{finding.severity}: {finding.message}")
    if found is not None:
        typer.echo(fit_report.check_text(found))
    if found is None or any(f.severity == "error" for f in findings):
        raise typer.Exit(EXIT_INPUT)


@fit_app.command("llh", cls=Command)
def fit_llh(
    problem: ProblemArgument,
    rtol: Annotated[float, typer.Option(help="Relative tolerance.")] = 1e-8,
) -> None:
    """Print log-likelihood, chi² and log-prior at the nominal values."""
    from mir21sim.errors import InputError
    from mir21sim.estimation import petab_read
    from mir21sim.estimation.engine import Engine
    from mir21sim.estimation.objective import Objective

    read = petab_read.read_petab(problem)
    objective = Objective(read, Engine.of(read.model, rtol=rtol))
    fit, reason = objective.fit(read.nominal)
    if reason:
        raise InputError(f"{read.id}: {reason}")
    typer.echo(f"log-likelihood  {fit.llh:.10g}")
    typer.echo(f"chi2            {fit.chi2:.10g}")
    typer.echo(f"log-prior       {objective.prior_terms(read.nominal)[0]:.10g}")
    for note in read.notes:
        typer.echo(f"note: {note}")


@fit_app.command("run", cls=Command)
@expanded
def fit_run(problem: ProblemArgument, options: FitOptions) -> None:
    """Fit a PEtab problem; write tables, pictures and an ensemble."""
    from mir21sim.estimation import petab_read

    _fit(petab_read.read_petab(problem), options)


@dataclass(frozen=True)
class MeasureOptions:
    """Scale, offset and noise of the measured values."""

    scale: Annotated[
        str | None,
        typer.Option(help="Estimate a factor: `one`, or one for each value of COLUMN."),
    ] = None
    offset: Annotated[
        str | None,
        typer.Option(help="Estimate a constant: `one`, or one per value of COLUMN."),
    ] = None
    noise: Annotated[
        str, typer.Option(help="additive, multiplicative or log-normal.")
    ] = "additive"


@fit_app.command("data", cls=Command)
@expanded
def fit_data(
    data: Annotated[Path, typer.Argument(help="Measured curves (.csv).")],
    options: FitOptions,
    *,
    model: Annotated[str, typer.Option(help="Name or file of the model.")],
    estimate: Annotated[
        list[str], typer.Option(help="Parameters to estimate; a comma list.")
    ],
    observe: Annotated[
        list[str],
        typer.Option(help="NAME=QUANTITY for a column of the data, or QUANTITY."),
    ],
    measured: MeasureOptions,
    context: Annotated[str | None, typer.Option(help="Cell line.")] = None,
    dose: Annotated[
        list[str] | None, typer.Option(help="Dose of all rows; may be repeated.")
    ] = None,
    priors: Annotated[
        bool, typer.Option("--priors/--no-priors", help="Those of the model's table.")
    ] = True,
    petab: Annotated[
        Path | None,
        typer.Option(
            help="Also write the problem as PEtab v2 there; infusions, held species, "
            "own likelihood terms and log10 residuals are refused."
        ),
    ] = None,
) -> None:
    """Fit a model to measured curves; write tables, pictures and an ensemble."""
    from mir21sim.compiler.load import load
    from mir21sim.estimation.build import Problem

    made = Problem(
        load(model, context),
        data,
        _observables(observe),
        name_list(estimate) or [],
        priors="table" if priors else None,
        noise=measured.noise,  # type: ignore[arg-type]  # checked there
        scale=_factor(measured.scale),
        offset=_factor(measured.offset),
        doses=([] if dose == ["none"] else dose) if dose else None,
    )
    if petab is not None:
        from mir21sim.estimation.petab_write import write_petab

        typer.echo(f"PEtab: {write_petab(made, petab)}")
    _fit(made, options)


@fit_app.command("compare", cls=Command)
def fit_compare(
    folders: Annotated[
        list[Path], typer.Argument(help="Folders of fits to the same data.")
    ],
) -> None:
    """Compare fits of several models to the same data: AIC, BIC and weights."""
    from mir21sim.analysis import tables
    from mir21sim.estimation import hypotheses

    records = {str(folder): hypotheses.read_record(folder) for folder in folders}
    table = hypotheses.criteria(records)
    typer.echo("\n".join(tables.lines_of(tables.text_table(table))))
    typer.echo("\n".join(hypotheses.verdicts(table)))


def _observables(given: list[str]) -> dict[str, str]:
    pairs = [item.partition("=") for part in given for item in part.split(",")]
    return {
        name.strip(): (formula or name).strip() for name, _, formula in pairs if name
    }


def _factor(given: str | None) -> bool | str:
    if given is None:
        return False
    return True if given == "one" else given


def _fit(problem: "FitProblem", options: FitOptions) -> None:
    """Fit, then profiles and draws; print the files made and how to go on."""
    from mir21sim.estimation import fit_report
    from mir21sim.estimation.fit import fit

    folder = options.output
    with _told("starts", options.quiet) as told:
        try:
            result = fit(
                problem,
                options.starts,
                seed=options.seed,
                folder=folder,
                optimizer=options.optimizer,
                rtol=options.rtol,
                n_jobs=options.jobs,
                analytic=options.analytic,
                progress=told,
            )
        except KeyboardInterrupt:
            _interrupted(folder)
    typer.echo(fit_report.summary(result))
    made = fit_report.write_fit(result, folder)
    if result.interrupted:
        _interrupted(folder)
    try:
        made += _more(result, options)
    except KeyboardInterrupt:
        _interrupted(folder)
    for path in made:
        typer.echo(f"file: {path}")


def _more(result: "FitResult", options: FitOptions) -> list[Path]:
    """Make the profiles and the ensemble that are asked for."""
    from mir21sim.estimation import fit_report, sampling
    from mir21sim.estimation.profiles import profiles

    made: list[Path] = []
    names = name_list(options.profile) or []
    if names:
        chosen = None if names == ["all"] else names
        with _told("profiles", options.quiet) as told:
            found = profiles(result, chosen, folder=options.output, progress=told)
        for profile in found.values():
            typer.echo(str(profile))
        made += fit_report.write_fit(result, options.output, found)[-1:]
    if options.mcmc:
        with _told("steps", options.quiet) as told:
            chains = sampling.mcmc(
                result,
                options.mcmc,
                seed=options.seed,
                folder=options.output,
                progress=told,
            )
        ensemble = chains.ensemble(options.draws or 200)
    elif options.draws:
        ensemble = sampling.laplace(result, options.draws, seed=options.seed)
    else:
        return made
    return [*made, ensemble.save(options.output / "ensemble.nc")]


def _interrupted(folder: Path) -> None:
    typer.echo(
        f"mir21sim: interrupted; all evaluations are kept in `{folder}`, the same "
        "command goes on",
        err=True,
    )
    raise typer.Exit(EXIT_INTERRUPTED) from None


@contextmanager
def _told(what: str, quiet: bool) -> "Iterator[Told | None]":
    """Give a progress bar with the time left on stderr."""
    import sys

    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}, best {task.fields[best]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None, best="–")

        def told(done: int, total: int, best: float) -> None:
            bar.update(task, completed=done, total=total, best=f"{best:.5g}")

        yield told
