"""Options that several commands share, in groups that become library arguments."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mir21sim import errors
from mir21sim.cli.command import METHOD_NAMES
from mir21sim.cli.output import check_outputs, progress_bar
from mir21sim.cli.parse import figure_size

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from mir21sim.compiler.load import UnitPolicy
    from mir21sim.compiler.model import CompiledModel
    from mir21sim.simulation.options import Options
    from mir21sim.simulation.treatment import Treatment

ModelArgument = Annotated[
    str, typer.Argument(help="A shipped model's name, or an .xml, .sbml or .ant file.")
]
ContextOption = Annotated[
    str | None,
    typer.Option(help="Cell line; `base` for the numbers of the model file itself."),
]
ObserveOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Quantity to keep: A (molecules), [A] (nM), a rule variable or a "
        "reaction; may be repeated or a comma list. Default: the model's observables."
    ),
]
FeaturesOption = Annotated[
    bool | None,
    typer.Option(
        "--features/--no-features",
        help="Find peaks, times and areas between the output times, by the solver. "
        "Default: of up to 12 quantities where the method makes it cheap (Rodas5P, "
        "Rodas4), and of all in up to 40 runs of models in hours.",
    ),
]
MOST_FEATURE_RUNS = 40
"""Runs up to which features of all quantities are found where nobody asks for them."""
OverOption = Annotated[
    list[str],
    typer.Option(
        help="NAME=VALUES, a comma list in which log:A:B:N and lin:A:B:N may stand, "
        "with a dose unit at most at the end; may be repeated."
    ),
]
OptionalOverOption = Annotated[
    list[str] | None,
    typer.Option(
        help="NAME=VALUES, a comma list in which log:A:B:N and lin:A:B:N may stand, "
        "with a dose unit at most at the end; may be repeated."
    ),
]
MethodOption = Annotated[
    str | None,
    typer.Option(help=f"Method of integration: {METHOD_NAMES}."),
]
RtolOption = Annotated[
    float | None,
    typer.Option(help="Relative tolerance; default 1e-4 (LSODA 1e-6), cells 1e-3."),
]
BackendOption = Annotated[str, typer.Option(help="numba, or numpy (no compiling).")]
JobsOption = Annotated[
    int | None, typer.Option("--jobs", help="Threads over runs; default: the cores.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]
TableOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="The table as .csv.")
]


@dataclass(frozen=True)
class LoadOptions:
    """Cell line, kernels and unit check of the model."""

    context: ContextOption = None
    backend: BackendOption = "numba"
    ignore_units: Annotated[
        bool,
        typer.Option("--ignore-units", help="Do not look at the units of formulas."),
    ] = False
    strict_units: Annotated[
        bool,
        typer.Option("--strict-units", help="Stop on contradicting units in any file."),
    ] = False

    def load(self, model: str) -> "CompiledModel":
        """Return the compiled model."""
        from mir21sim.compiler import load as library

        if self.ignore_units and self.strict_units:
            raise errors.InputError("Give one of --ignore-units and --strict-units.")
        policy: UnitPolicy = "strict" if self.strict_units else "check"
        return library.load(
            model,
            self.context,
            backend=self.backend,  # type: ignore[arg-type]  # checked by load
            unit_policy="ignore" if self.ignore_units else policy,
        )


@dataclass(frozen=True)
class PerturbationOptions:
    """Perturbations of genes and proteins."""

    clamp: Annotated[
        list[str] | None,
        typer.Option(
            help="Hold an amount: NAME=0.1x (of its resting level) or NAME=500 "
            "(molecules); may be repeated."
        ),
    ] = None
    knockdown: Annotated[
        list[str] | None,
        typer.Option(help="GENE=SHARE of its synthesis taken away, 0 to 1."),
    ] = None
    overexpress: Annotated[
        list[str] | None, typer.Option(help="GENE=FACTOR on its synthesis.")
    ] = None
    no_site: Annotated[
        list[str] | None,
        typer.Option(help="GENE whose 3'UTR miR-21 cannot bind; may be repeated."),
    ] = None

    def given(self) -> dict[str, list[str]]:
        """Return the values by option, for ``Treatment.from_options``."""
        return {
            "--clamp": self.clamp or [],
            "--knockdown": self.knockdown or [],
            "--overexpress": self.overexpress or [],
            "--no-site": self.no_site or [],
        }


WidthOption = Annotated[
    str, typer.Option(help="Width of the picture: single or double column.")
]


@dataclass(frozen=True)
class TreatmentOptions:
    """Doses, overrides and perturbations."""

    dose: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=AMOUNT UNIT@TIME[:DURATION][/EVERYxN], NAME=wash@TIME, or "
            "`none`; may be repeated. Default: the model's protocol, unless a dose is "
            "swept."
        ),
    ] = None
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Parameter override NAME=VALUE.")
    ] = None
    init: Annotated[
        list[str] | None, typer.Option("--init", help="Initial amount NAME=VALUE.")
    ] = None
    perturbations: PerturbationOptions = PerturbationOptions()

    def treatment(self) -> "Treatment":
        """Return the treatment, without doses where none is given."""
        from mir21sim.simulation.treatment import Treatment

        return Treatment.from_options(
            {
                "--dose": [] if self.dose == ["none"] else self.dose or [],
                "--set": self.set_ or [],
                "--init": self.init or [],
                **self.perturbations.given(),
            }
        )

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of ``simulate``; None for default doses."""
        done = self.treatment()
        return {
            "doses": done.doses if self.dose else None,
            "parameters": done.parameters,
            "initials": done.initials,
            "perturb": done.perturbations,
        }


@dataclass(frozen=True)
class TimeOptions:
    """Start, end and number of the output times."""

    start: Annotated[str, typer.Option(help="Start, e.g. 0h.")] = "0h"
    end: Annotated[str | None, typer.Option(help="End, e.g. 48h (bare: hours).")] = None
    points: Annotated[
        int | None, typer.Option(help="Number of output times; default 201 or more.")
    ] = None

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of ``simulate``."""
        points = {} if self.points is None else {"points": self.points}
        return {"start": self.start, "end": self.end, **points}


@dataclass(frozen=True)
class SolverOptions:
    """Method, tolerances and limits."""

    method: MethodOption = None
    rtol: RtolOption = None
    atol: Annotated[
        float | None,
        typer.Option(help="Absolute tolerance; default: by species' scale."),
    ] = None
    max_steps: Annotated[int, typer.Option(help="Steps that one run may take.")] = (
        100_000
    )
    max_step: Annotated[
        str | None, typer.Option(help="Longest step, e.g. `1 min`, for short pulses.")
    ] = None
    equilibrate: Annotated[
        bool | None,
        typer.Option(
            "--equilibrate/--no-equilibrate",
            help="Start from the resting state or the given initial amounts. "
            "Default: as the model says.",
        ),
    ] = None
    allow_negative: Annotated[
        bool,
        typer.Option(
            "--allow-negative",
            help="Accept amounts below zero, as of a species that is a voltage.",
        ),
    ] = False

    def options(
        self,
        jobs: int | None = None,
        progress: Callable[[int, int], None] | None = None,
        executor: "Executor | None" = None,
    ) -> "Options":
        """Return the options of the library."""
        from mir21sim.simulation.options import Options

        return Options(
            method=self.method,
            rtol=self.rtol,
            atol=self.atol,
            max_steps=self.max_steps,
            max_step=self.max_step,
            equilibrate=self.equilibrate,
            allow_negative=self.allow_negative,
            n_jobs=jobs,
            progress=progress,
            executor=executor,
        )


@dataclass(frozen=True)
class RunOptions:
    """All options that the commands which integrate share."""

    load: LoadOptions = LoadOptions()
    treatment: TreatmentOptions = TreatmentOptions()
    times: TimeOptions = TimeOptions()
    solver: SolverOptions = SolverOptions()

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of ``simulate`` but for its options."""
        return {**self.times.arguments(), **self.treatment.arguments()}


@dataclass(frozen=True)
class OutputOptions:
    """Result file and picture."""

    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Result (.nc, .csv, or a .zarr folder)."),
    ] = None
    plot: Annotated[
        Path | None,
        typer.Option(help="Picture of the first quantity (.png, .svg, .pdf)."),
    ] = None
    size: Annotated[
        str | None, typer.Option(help="Size of the picture, e.g. 85x60mm.")
    ] = None
    dpi: Annotated[float, typer.Option(help="Dots per inch of a .png.")] = 300.0

    @property
    def rerunnable(self) -> Path | None:
        """The output where it is a result that can be run again, else None."""
        from mir21sim.simulation.dataset import RESULT_KINDS

        path = self.output
        return path if path is not None and path.suffix in RESULT_KINDS else None

    def check(self, kinds: tuple[str, ...] = (".nc", ".zarr", ".csv")) -> None:
        """Stop before the work where a file could not be written after it."""
        check_outputs(self.output, self.plot, kinds=kinds)
        figure_size(self.size)

    def check_axes(self, swept: dict[str, str], most: int) -> None:
        """Stop before the work where a picture could not show all swept names."""
        if self.plot is None:
            return
        if len(swept) > most:
            number = ("one swept name", "two swept names")[most - 1]
            raise errors.InputError(
                f"--plot shows {number} at most, got {', '.join(swept)}: sweep fewer, "
                "or leave --plot out."
            )
        if len(swept) == 2:
            from mir21sim.analysis.plots import MAX_PANELS
            from mir21sim.simulation.axes import axis_values

            name = list(swept)[1]
            count = axis_values(name, swept[name])[0].size
            if count > MAX_PANELS:
                raise errors.InputError(
                    f"--plot has a panel for each value of `{name}`, at most "
                    f"{MAX_PANELS}, got {count}: swap the names, or leave --plot out."
                )

    def draw(self, picture: Callable[[], Any]) -> None:
        """Draw and write the picture where one is wanted, and print where it is."""
        if self.plot is not None:
            from mir21sim.analysis import plots  # Matplotlib takes 0.3 s

            size = figure_size(self.size)
            path = plots.save(picture(), self.plot, size=size, dpi=self.dpi)
            typer.echo(f"picture: {path}")


@dataclass(frozen=True)
class WorkOptions:
    """Threads and progress bar."""

    jobs: JobsOption = None
    quiet: QuietOption = False
    cluster: Annotated[
        str | None,
        typer.Option(help="Address of a dask scheduler that runs it: tcp://HOST:8786."),
    ] = None

    def executor(self) -> "Executor | None":
        """Return the executor of parts on the cluster that was asked for."""
        from mir21sim.cli import cluster

        return None if self.cluster is None else cluster.executor(self.cluster)

    def bar(self) -> AbstractContextManager[Callable[[int, int], None] | None]:
        """Return the progress bar as a context manager."""
        return progress_bar(self.quiet)


@dataclass(frozen=True)
class KeepOptions:
    """Failed runs, and the runs of a sweep that was stopped."""

    on_failure: Annotated[str, typer.Option(help="mask or raise.")] = "mask"
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the sweep that was stopped."),
    ] = False


def with_features(
    options: "Options", model: "CompiledModel", n_run: int, wanted: bool | None
) -> "Options":
    """Return options with the features of the solver, as asked for or by default."""
    if wanted is None and not model.border.is_guest and n_run <= MOST_FEATURE_RUNS:
        wanted = True
    return replace(options, features=wanted)
