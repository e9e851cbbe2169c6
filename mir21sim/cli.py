"""The command line: parse, call the library, print. Layer 12."""

import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mir21sim import errors

if TYPE_CHECKING:
    import xarray as xr

    from mir21sim.compiled import CompiledModel
    from mir21sim.execute import Options
    from mir21sim.perturb import Perturbations

EXIT_FAILED_RUN = 1
EXIT_INPUT = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="mir21sim",
    help="What happens to this cell if miR-21 is blocked? Simulate, sweep, compare.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

study_app = typer.Typer(
    name="study",
    help="Virtual experiments: one file says what is done, read and by which assays.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(study_app)

ModelArgument = Annotated[
    str, typer.Argument(help="A shipped model's name, or an .xml, .sbml or .ant file.")
]
ContextOption = Annotated[
    str | None,
    typer.Option(help="Cell line; `base` for the numbers of the model file itself."),
]
DoseOption = Annotated[
    list[str] | None,
    typer.Option(
        help="NAME=AMOUNT UNIT@TIME[:DURATION][/EVERYxN], NAME=wash@TIME, or `none`; "
        "may be repeated. Default: the model's protocol."
    ),
]
EndOption = Annotated[str | None, typer.Option(help="End, e.g. 48h (bare: hours).")]
StartOption = Annotated[str, typer.Option(help="Start, e.g. 0h.")]
PointsOption = Annotated[int, typer.Option(help="Number of output times.")]
ObserveOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Quantity to keep: A (molecules), [A] (nM), a rule variable or a "
        "reaction; may be repeated or a comma list. Default: the model's observables."
    ),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Parameter override NAME=VALUE.")
]
InitOption = Annotated[
    list[str] | None, typer.Option("--init", help="Initial amount NAME=VALUE.")
]
ClampOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Hold an amount: NAME=0.1x (of its resting level) or NAME=500 "
        "(molecules); may be repeated."
    ),
]
KnockdownOption = Annotated[
    list[str] | None,
    typer.Option(help="GENE=SHARE of its synthesis taken away, 0 to 1."),
]
OverexpressOption = Annotated[
    list[str] | None, typer.Option(help="GENE=FACTOR on its synthesis.")
]
NoSiteOption = Annotated[
    list[str] | None,
    typer.Option(help="GENE whose 3'UTR miR-21 cannot bind; may be repeated."),
]
MethodOption = Annotated[
    str | None,
    typer.Option(help="Rodas5P, Rodas4 (batch solver), LSODA, BDF or Radau."),
]
RtolOption = Annotated[float, typer.Option(help="Relative tolerance.")]
AtolOption = Annotated[
    float | None, typer.Option(help="Absolute tolerance; default: by species' scale.")
]
MaxStepsOption = Annotated[int, typer.Option(help="Steps that one run may take.")]
EquilibrateOption = Annotated[
    bool | None,
    typer.Option(
        "--equilibrate/--no-equilibrate",
        help="Start from the resting state or the given initial amounts. "
        "Default: as the model says.",
    ),
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="Result file (.nc or .csv).")
]
PlotOption = Annotated[
    Path | None, typer.Option(help="Picture of the first quantity (.png, .svg, .pdf).")
]
BackendOption = Annotated[str, typer.Option(help="numba, or numpy (no compiling).")]
UnitsOption = Annotated[
    bool, typer.Option("--ignore-units", help="Do not stop on contradicting units.")
]
JobsOption = Annotated[
    int | None, typer.Option("--jobs", help="Threads over runs; default: the cores.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]


@app.callback()
def options(
    debug: Annotated[  # taken off the arguments in `main`
        bool, typer.Option("--debug", help="Show the traceback of an error.")
    ] = False,
) -> None:
    """Simulate, sweep and compare runs of miR-21 apoptosis models."""


@app.command()
def models() -> None:
    """List the shipped models and the contexts they have."""
    from mir21sim import library

    for name in library.shipped():
        _, info = library.understand(library.find(name, library.BASE))
        typer.echo(f"{name:18s} {info.title}")
        available = ", ".join(library.contexts(name))
        if available:
            default = (
                f" (default {info.default_context})" if info.default_context else ""
            )
            typer.echo(f"{'':18s} contexts: {available}, {library.BASE}{default}")


@app.command()
def info(
    model: ModelArgument,
    context: ContextOption = None,
    plot: Annotated[
        Path | None, typer.Option(help="Picture of the network by module.")
    ] = None,
) -> None:
    """Tell what a model is: size, inputs, observables, contexts, papers."""
    from mir21sim import library, report

    _check_outputs(None, plot)
    files = library.find(model, context)
    typer.echo(report.model_text(files))
    if plot is not None:
        from mir21sim import diagrams, plotting

        figure = diagrams.plot_network(*library.understand(files))
        _say(f"picture: {plotting.save(figure, plot)}")


@app.command()
def simulate(
    model: ModelArgument,
    context: ContextOption = None,
    dose: DoseOption = None,
    start: StartOption = "0h",
    end: EndOption = None,
    points: PointsOption = 601,
    observe: ObserveOption = None,
    set_: SetOption = None,
    init: InitOption = None,
    clamp: ClampOption = None,
    knockdown: KnockdownOption = None,
    overexpress: OverexpressOption = None,
    no_site: NoSiteOption = None,
    method: MethodOption = None,
    rtol: RtolOption = 1e-6,
    atol: AtolOption = None,
    max_steps: MaxStepsOption = 100_000,
    equilibrate: EquilibrateOption = None,
    backend: BackendOption = "numba",
    ignore_units: UnitsOption = False,
    output: OutputOption = None,
    plot: PlotOption = None,
) -> None:
    """Simulate one run; print the end values, write a file, draw a picture."""
    from mir21sim import execute
    from mir21sim.simulate import simulate as simulate_

    _check_outputs(output, plot, kinds=(".nc", ".csv", ".omex"))
    loaded = _load(model, context, backend, ignore_units)
    result = simulate_(
        loaded,
        end,
        start=start,
        points=points,
        observe=_names(observe),
        doses=_doses(dose),
        parameters=_assignments(set_, "--set"),
        initials=_assignments(init, "--init"),
        perturb=_perturbations(clamp, knockdown, overexpress, no_site),
        options=execute.Options(
            method=method,
            rtol=rtol,
            atol=atol,
            max_steps=max_steps,
            equilibrate=equilibrate,
        ),
    )
    _write(result, loaded, output, plot)
    _print_end_values(result)


@app.command()
def sweep(
    model: ModelArgument,
    over: Annotated[
        list[str],
        typer.Option(
            help="NAME=VALUES, a comma list in which log:A:B:N and lin:A:B:N may "
            "stand, with a dose unit at most at the end; may be repeated."
        ),
    ],
    context: ContextOption = None,
    dose: DoseOption = None,
    start: StartOption = "0h",
    end: EndOption = None,
    points: PointsOption = 601,
    observe: ObserveOption = None,
    set_: SetOption = None,
    init: InitOption = None,
    clamp: ClampOption = None,
    knockdown: KnockdownOption = None,
    overexpress: OverexpressOption = None,
    no_site: NoSiteOption = None,
    method: MethodOption = None,
    rtol: RtolOption = 1e-6,
    atol: AtolOption = None,
    max_steps: MaxStepsOption = 100_000,
    equilibrate: EquilibrateOption = None,
    backend: BackendOption = "numba",
    ignore_units: UnitsOption = False,
    jobs: JobsOption = None,
    on_failure: Annotated[str, typer.Option(help="mask or raise.")] = "mask",
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the sweep that was stopped."),
    ] = False,
    output: OutputOption = None,
    plot: PlotOption = None,
    quiet: QuietOption = False,
) -> None:
    """Simulate once per value of a dose, parameter or initial amount."""
    from mir21sim import execute
    from mir21sim.sweep import sweep as sweep_

    _check_outputs(output, plot)
    axes = dict(_split(item, "--over", "NAME=VALUES") for item in over)
    loaded = _load(model, context, backend, ignore_units)
    with _progress(quiet) as progress:
        result = sweep_(
            loaded,
            axes,
            end,
            start=start,
            points=points,
            observe=_names(observe),
            doses=_doses(dose),
            parameters=_assignments(set_, "--set"),
            initials=_assignments(init, "--init"),
            perturb=_perturbations(clamp, knockdown, overexpress, no_site),
            options=execute.Options(
                method=method,
                rtol=rtol,
                atol=atol,
                max_steps=max_steps,
                equilibrate=equilibrate,
                n_jobs=jobs,
                progress=progress,
            ),
            on_failure=on_failure,  # type: ignore[arg-type]  # checked by sweep
            output=output if output is not None and output.suffix == ".nc" else None,
            resume=resume,
        )
    _write(result, loaded, output, plot, saved=True)
    _print_features(result)
    _exit_by_status(result)


@app.command()
def population(
    model: ModelArgument,
    cells: Annotated[int, typer.Option(help="Number of cells.")] = 1000,
    cv: Annotated[
        float, typer.Option(help="CV between cells of every protein and pool.")
    ] = 0.28,
    vary: Annotated[
        list[str] | None,
        typer.Option(help="PROTEIN=CV of its own; may be repeated."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal cells.")] = 0,
    context: ContextOption = None,
    dose: DoseOption = None,
    end: EndOption = None,
    points: PointsOption = 201,
    observe: ObserveOption = None,
    death: Annotated[
        str | None,
        typer.Option(help="Quantity that crosses one half in a cell that dies."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Count from here; default: the last dose.")
    ] = None,
    set_: SetOption = None,
    clamp: ClampOption = None,
    knockdown: KnockdownOption = None,
    overexpress: OverexpressOption = None,
    no_site: NoSiteOption = None,
    method: MethodOption = None,
    rtol: RtolOption = 1e-4,
    backend: BackendOption = "numba",
    ignore_units: UnitsOption = False,
    jobs: JobsOption = None,
    output: OutputOption = None,
    plot: Annotated[
        Path | None, typer.Option(help="Times of death and share dead, as a picture.")
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Simulate unlike cells; print who dies and when, write a file, draw a picture."""
    from mir21sim import execute
    from mir21sim import population as populations
    from mir21sim.arrange import output_times
    from mir21sim.compare import stimulus_time

    _check_outputs(output, plot)
    drawn = populations.Population(
        cells, cv, distributions=_assignments(vary, "--vary"), seed=seed
    )
    loaded = _load(model, context, backend, ignore_units)
    dies = death or populations.death_quantity(loaded)
    fixed = _assignments(set_, "--set")
    members = {k: v for k, v in drawn.cells(loaded).items() if k not in fixed}
    with _progress(quiet) as progress:
        result = populations.simulate_population(
            loaded,
            members,
            times=output_times(0.0, end or loaded.info.end_h, points, None),
            observe=[dies, *(n for n in _names(observe) or () if n != dies)],
            doses=_doses(dose),
            parameters=fixed,
            perturb=_perturbations(clamp, knockdown, overexpress, no_site),
            options=execute.Options(
                method=method, rtol=rtol, n_jobs=jobs, progress=progress
            ),
        )
    start: str | float = since if since is not None else stimulus_time(result) or 0.0
    typer.echo(populations.death_text(result, dies, since=start))
    _write(result, loaded, output, None)
    if plot is not None:
        from mir21sim import plotting

        figure = plotting.plot_population(result, dies, since=start)
        _say(f"picture: {plotting.save(figure, plot)}")
    _exit_by_status(result)


@app.command()
def compare(
    files: Annotated[list[str], typer.Argument(help="Result files, or LABEL=FILE.")],
    observe: Annotated[str, typer.Option(help="The quantity to compare.")],
    since: Annotated[
        str | None, typer.Option(help="Reference time of the features, e.g. 24h.")
    ] = None,
    response: Annotated[
        str, typer.Option(help="Feature that the Hill fit takes as the response.")
    ] = "peak",
    over: Annotated[str | None, typer.Option(help="Swept name of the fit.")] = None,
    measured: Annotated[
        list[Path] | None,
        typer.Option(help="CSV of measured points: time_h, value[, error, label]."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Features (.csv or .nc).")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Overlay of the curves.")] = None,
    plot_fit: Annotated[
        Path | None, typer.Option(help="Dose–response with fit.")
    ] = None,
) -> None:
    """Compare curves: features of every run, EC50 with interval, overlay."""
    from mir21sim import export, results
    from mir21sim.compare import compare as compare_
    from mir21sim.compare import label_results

    _check_outputs(output, plot, plot_fit)
    opened = [(label, results.read(path)) for label, path in map(_labelled, files)]
    named = {label: result for label, result in opened if label}
    if len(named) not in (0, len(opened)):
        raise errors.InputError("Label all result files (LABEL=FILE) or none.")
    labelled = named or label_results([result for _, result in opened])
    curves = [c for path in measured or () for c in export.read_measured(path)]
    features = compare_(labelled, observe, since=since, response=response, over=over)
    typer.echo(export.feature_text(features))
    if output is not None and output.suffix == ".nc":
        _say(f"features: {results.save(features, output, {})}")
    elif output is not None:
        frame = export.feature_frame(features)
        _say(f"features: {export.write_csv(frame, output)}")
    if plot is not None:
        from mir21sim import plotting

        ax = plotting.plot_overlay(labelled, observe, curves)
        _say(f"picture: {plotting.save(ax, plot)}")
    if plot_fit is not None:
        from mir21sim import plotting

        ax = plotting.plot_dose_response(features, over=over)
        _say(f"picture: {plotting.save(ax, plot_fit)}")


@app.command()
def lint(model: ModelArgument, context: ContextOption = None) -> None:
    """Check a model: undeclared names, units, sources, unused names."""
    from mir21sim import library

    issues = library.check(library.find(model, context))
    for issue in issues:
        typer.echo(f"{issue.severity}: {issue.message}")
    bad = sum(issue.severity == "error" for issue in issues)
    typer.echo(f"{bad} errors, {len(issues) - bad} warnings")
    if bad:
        raise typer.Exit(EXIT_INPUT)


@app.command()
def validate(
    model: Annotated[str, typer.Argument(help="A model.")] = "mir21_apoptosis",
    only: Annotated[
        list[str] | None, typer.Option(help="Ids to keep, a comma list.")
    ] = None,
    context: Annotated[
        list[str] | None, typer.Option(help="Cell lines to keep, a comma list.")
    ] = None,
    arms: Annotated[
        bool, typer.Option("--arms", help="Share of each arm in the effect instead.")
    ] = False,
    assays: Annotated[
        bool,
        typer.Option("--assays", help="Claims through noisy assays, n = 3, instead."),
    ] = False,
    clamp: ClampOption = None,
    knockdown: KnockdownOption = None,
    overexpress: OverexpressOption = None,
    no_site: NoSiteOption = None,
    cells: Annotated[
        int | None, typer.Option(help="Size of every population instead of its own.")
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of the measurement noise, with --assays.")
    ] = 1,
    method: MethodOption = None,
    rtol: Annotated[
        float | None,
        typer.Option(help="Relative tolerance; default 1e-6, of assays 1e-3."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder with claims.csv and observations.csv.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The table as .csv.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Predicted against observed, as a picture.")
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Hold a model against every claim and observation, one verdict a row."""
    from mir21sim import execute, integrate
    from mir21sim import validate as validating

    _check_outputs(output, plot, kinds=(".csv",))
    options = execute.Options(
        method=method or integrate.MANY, rtol=1e-6 if rtol is None else rtol
    )
    if arms:
        _print_arms(model, _names(context), options, output)
        return
    perturb = _perturbations(clamp, knockdown, overexpress, no_site)
    with _progress(quiet) as progress:
        common: dict[str, Any] = {
            "only": _names(only),
            "contexts": _names(context),
            "folder": data,
            "perturb": perturb,
            "cells": cells,
            "progress": progress,
        }
        if assays:
            from mir21sim import assay_verdicts, bench

            options = execute.Options(
                method=method, rtol=bench.RTOL if rtol is None else rtol
            )
            outcomes = assay_verdicts.validate_assays(
                model, seed=seed, options=options, **common
            )
        else:
            outcomes = validating.validate(model, options=options, **common)
    typer.echo(validating.outcome_text(outcomes))
    if output is not None:
        _write_table(validating.outcome_records(outcomes), output)
    if plot is not None:
        from mir21sim import diagrams, plotting

        _say(f"picture: {plotting.save(diagrams.plot_validation(outcomes), plot)}")


def _print_arms(
    model: str, contexts: list[str] | None, options: "Options", output: Path | None
) -> None:
    """Print the share of each arm, and write it where wanted."""
    from dataclasses import asdict

    from mir21sim import arms

    found = arms.arms(model, contexts=contexts, options=options)
    typer.echo(arms.arm_text(found))
    if output is not None:
        _write_table([asdict(arm) for arm in found], output)


def _write_table(records: list[dict[str, Any]], output: Path) -> None:
    from mir21sim import export

    _say(f"table: {export.write_csv(export.records_frame(records), output)}")


@app.command()
def sources(
    model: ModelArgument,
    context: ContextOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The table as .csv.")
    ] = None,
) -> None:
    """Print every number of a model with unit, status and source."""
    from mir21sim import library, report

    _check_outputs(output, kinds=(".csv",))
    files = library.find(model, context)
    typer.echo(report.source_text(files))
    if output is not None:
        _write_table(report.source_rows(files), output)


@app.command()
def convert(
    source: ModelArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write (.xml, .sbml, .ant).")
    ],
    context: ContextOption = None,
) -> None:
    """Write a model, with a cell line's values, as SBML L3V2 or Antimony."""
    from mir21sim import library

    typer.echo(f"{library.convert(source, output, context)}")


@app.command()
def verify(
    model: ModelArgument,
    with_: Annotated[
        str | None,
        typer.Option(
            "--with",
            help="Other simulators, a comma list of roadrunner and copasi, or `none`. "
            "Default: those that are installed.",
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(help="Largest relative difference that counts as equal.")
    ] = 1e-3,
    context: ContextOption = None,
    dose: DoseOption = None,
    start: StartOption = "0h",
    end: EndOption = None,
    points: PointsOption = 201,
    set_: SetOption = None,
    init: InitOption = None,
    clamp: ClampOption = None,
    knockdown: KnockdownOption = None,
    overexpress: OverexpressOption = None,
    no_site: NoSiteOption = None,
    method: MethodOption = None,
    rtol: RtolOption = 1e-6,
    atol: AtolOption = None,
    max_steps: MaxStepsOption = 100_000,
    equilibrate: EquilibrateOption = None,
    backend: BackendOption = "numba",
    ignore_units: UnitsOption = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Checks (.json or .csv).")
    ] = None,
) -> None:
    """Repeat a run at tighter tolerances, by every method and in other simulators."""
    from mir21sim import execute
    from mir21sim.verify import save, text
    from mir21sim.verify import verify as verify_

    _check_outputs(output, kinds=(".json", ".csv"))
    found = verify_(
        _load(model, context, backend, ignore_units),
        end,
        start=start,
        points=points,
        doses=_doses(dose),
        parameters=_assignments(set_, "--set"),
        initials=_assignments(init, "--init"),
        perturb=_perturbations(clamp, knockdown, overexpress, no_site),
        options=execute.Options(
            method=method,
            rtol=rtol,
            atol=atol,
            max_steps=max_steps,
            equilibrate=equilibrate,
        ),
        tools=_tools(with_),
        tolerance=tolerance,
    )
    typer.echo(text(found))
    if output is not None:
        _say(f"checks: {save(found, output)}")
    if not found.passed:
        raise typer.Exit(EXIT_FAILED_RUN)


@app.command()
def doctor() -> None:
    """Print versions, cache folder, cores and optional parts; check that they work."""
    from mir21sim import report

    text, healthy = report.doctor_text()
    typer.echo(text)
    if not healthy:
        raise typer.Exit(EXIT_FAILED_RUN)


@app.command()
def rerun(
    file: Annotated[Path, typer.Argument(help="A result file (.nc).")],
    output: OutputOption = None,
    rtol: Annotated[
        float, typer.Option(help="Largest relative difference that counts as equal.")
    ] = 0.0,
) -> None:
    """Run a result again from its own file and compare the numbers."""
    from mir21sim import results
    from mir21sim.rerun import rerun as rerun_

    _check_outputs(output, kinds=(".nc",))
    new, difference = rerun_(file)
    if output is not None:
        _say(f"result: {results.save(new, output, results.read_source(file))}")
    typer.echo(f"largest relative difference: {difference:.3g}")
    if not difference <= rtol:
        typer.echo("The numbers differ from those in the file.", err=True)
        raise typer.Exit(EXIT_FAILED_RUN)


@study_app.command("run")
def study_run(
    file: Annotated[Path, typer.Argument(help="A study file (.toml).")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the results.")
    ],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that are there.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the study that was stopped.")
    ] = False,
    method: MethodOption = None,
    rtol: Annotated[
        float | None, typer.Option(help="Relative tolerance; default 1e-3.")
    ] = None,
    jobs: JobsOption = None,
    backend: BackendOption = "numba",
    quiet: QuietOption = False,
) -> None:
    """Run a study: data, pictures and one HTML report in a folder."""
    from mir21sim import bench, execute
    from mir21sim.studies import study

    try:
        with _progress(quiet) as progress:
            done = study.run_study(
                file,
                output,
                overwrite=overwrite,
                resume=resume,
                options=execute.Options(
                    method=method,
                    rtol=bench.RTOL if rtol is None else rtol,
                    n_jobs=jobs,
                    progress=progress,
                ),
                backend=backend,  # type: ignore[arg-type]  # checked by load
            )
    except KeyboardInterrupt:
        typer.echo(f"mir21sim: interrupted; {study.left_text(output)}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    typer.echo(study.outcome_text(done))
    _say(f"report: {output / study.REPORT}")
    _exit_by_status(done.cells)


@study_app.command("check")
def study_check(
    file: Annotated[Path, typer.Argument(help="A study file (.toml).")],
) -> None:
    """Check a study file without running it."""
    from mir21sim.studies import study
    from mir21sim.studies.read import plan

    typer.echo(study.plan_text(plan(file, backend="numpy")))  # nothing to compile


@study_app.command("new")
def study_new(
    file: Annotated[Path, typer.Argument(help="File to write (.toml).")] = Path(
        "study.toml"
    ),
) -> None:
    """Write an example study with comments, to be changed."""
    from mir21sim.studies import example

    _say(f"study: {example.new_study(file)}")


@study_app.command("schema")
def study_schema() -> None:
    """Print the JSON Schema of study files, for editors."""
    from mir21sim.studies import study

    typer.echo(study.schema_text(), nl=False)


@app.command()
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


def _load(
    model: str, context: str | None, backend: str, ignore_units: bool
) -> "CompiledModel":
    from mir21sim import library

    return library.load(
        model,
        context,
        backend=backend,  # type: ignore[arg-type]  # checked by load
        unit_policy="ignore" if ignore_units else "check",
    )


def _split(text: str, option: str, form: str = "NAME=VALUE") -> tuple[str, str]:
    """Return what stands before and after the first equals sign."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise errors.InputError(f"{option} must read {form}, got `{text}`.")
    return name.strip(), value.strip()


def _assignments(items: list[str] | None, option: str) -> dict[str, float]:
    """Return numbers by name from ``NAME=NUMBER`` items."""
    values = {}
    for item in items or ():
        name, text = _split(item, option)
        try:
            values[name] = float(text)
        except ValueError as error:
            raise errors.InputError(
                f"{option} {name} must be a number, got `{text}`."
            ) from error
    return values


def _perturbations(
    clamp: list[str] | None,
    knockdown: list[str] | None,
    overexpress: list[str] | None,
    no_site: list[str] | None,
) -> "Perturbations":
    """Return what the options say is done to genes and proteins."""
    from mir21sim.perturb import Perturbations

    return Perturbations(
        clamp=dict(_split(item, "--clamp", "NAME=LEVEL") for item in clamp or ()),
        knockdown=_assignments(knockdown, "--knockdown"),
        overexpress=_assignments(overexpress, "--overexpress"),
        no_site=tuple(_names(no_site) or ()),
    )


def _doses(items: list[str] | None) -> list[str] | None:
    """Return dose texts; None for the model's own protocol, [] for `none`."""
    if items is None or not items:
        return None
    return [] if items == ["none"] else items


def _tools(text: str | None) -> list[str] | None:
    """Return tool names; None for those that are installed, [] for `none`."""
    if text is None:
        return None
    return [] if text == "none" else _names([text])


def _names(items: list[str] | None) -> list[str] | None:
    """Return names from repeated options and comma lists."""
    if not items:
        return None
    return [name.strip() for item in items for name in item.split(",") if name.strip()]


def _labelled(text: str) -> tuple[str, str]:
    """Return (label, path) of ``LABEL=FILE``; the label is empty for a plain path."""
    label, equals, path = text.partition("=")
    return (label, path) if equals and not Path(text).exists() else ("", text)


def _check_outputs(
    output: Path | None, *plots: Path | None, kinds: tuple[str, ...] = (".nc", ".csv")
) -> None:
    """Stop before the work where a file cannot be written after it."""
    from mir21sim import results

    if output is not None:
        results.check_writable(output, kinds)
    for path in plots:
        if path is not None:
            results.check_writable(path, results.PICTURE_KINDS)


def _write(
    result: "xr.Dataset",
    model: "CompiledModel",
    output: Path | None,
    plot: Path | None,
    *,
    saved: bool = False,
) -> None:
    """Write a result and its picture, and say where they are."""
    from mir21sim import export, results

    if output is not None and output.suffix == ".csv":
        _say(f"result: {export.write_csv(export.result_frame(result), output)}")
    elif output is not None and output.suffix == ".omex":
        from mir21sim import archive

        _say(f"archive: {archive.save_archive(result, model, output)}")
    elif output is not None:
        path = output if saved else results.save(result, output, model.source)
        _say(f"result: {path}")
    if plot is not None:
        from mir21sim import plotting

        figure = plotting.plot_sweep(result, _first_quantity(result))
        _say(f"picture: {plotting.save(figure, plot)}")


def _first_quantity(result: "xr.Dataset") -> str:
    return next(str(n) for n in result.data_vars if "time" in result[n].dims)


def _print_end_values(result: "xr.Dataset") -> None:
    end = float(result["time"][-1])
    typer.echo(f"at {end:g} h:")
    for name in result.data_vars:
        if "time" in result[name].dims:
            unit = result[name].attrs.get("units", "")
            typer.echo(f"  {name:28s} {float(result[name][-1]):12.5g} {unit}")


def _print_features(result: "xr.Dataset") -> None:
    """Print the features of the first quantity, unless they are too many to read."""
    from mir21sim import export
    from mir21sim.compare import compare as compare_
    from mir21sim.compare import stimulus_time

    if result["status"].size <= 40:
        since = stimulus_time(result)
        features = compare_(result, _first_quantity(result), since=since)
        typer.echo(export.feature_text(features))


def _exit_by_status(result: "xr.Dataset") -> None:
    """Exit with 1 where a run failed, with 130 where the sweep was interrupted."""
    status = result["status"].values
    if (status == errors.SolverStatus.NOT_RUN).any():
        raise typer.Exit(EXIT_INTERRUPTED)
    if (status != errors.SolverStatus.OK).any():
        raise typer.Exit(EXIT_FAILED_RUN)


def _say(text: str) -> None:
    typer.echo(text)


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Give a progress bar on stderr, none where nobody watches."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("runs", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exit 2 for input, 1 for a failed run, with one line."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default", errors.FailedRunsWarning)
            warnings.simplefilter("default", errors.ModelWarning)
            warnings.showwarning = _show_warning
            app(args=arguments, prog_name="mir21sim")
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of a pipe went away; nothing is wrong with the result.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 - the last place to make it a sentence
        if debug:
            traceback.print_exc()
        _show_error(error)
        failed = isinstance(error, errors.SolverError)
        known = isinstance(error, errors.Mir21simError)
        sys.exit(EXIT_INPUT if known and not failed else EXIT_FAILED_RUN)


def _show_error(error: Exception) -> None:
    text = " ".join(str(error).split())
    if not isinstance(error, errors.Mir21simError):
        text = (
            f"internal error ({type(error).__name__}: {text[:300]}); "
            "--debug shows where; please report it"
        )
    typer.echo(f"mir21sim: {text}", err=True)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    typer.echo(f"mir21sim: warning: {message}", err=True)


if __name__ == "__main__":
    main()
