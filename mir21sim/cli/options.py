"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

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
CellsRtolOption = Annotated[
    float | None, typer.Option(help="Relative tolerance; default 1e-3.")
]
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
    bool, typer.Option("--ignore-units", help="Do not look at the units of formulas.")
]
StrictUnitsOption = Annotated[
    bool,
    typer.Option("--strict-units", help="Stop on contradicting units in any file."),
]
JobsOption = Annotated[
    int | None, typer.Option("--jobs", help="Threads over runs; default: the cores.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]
