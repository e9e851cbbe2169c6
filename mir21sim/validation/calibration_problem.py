"""Writes the calibration of a model as a PEtab v2 problem with its extension.

Priors follow from the status of a number: how far off a number of that kind may be. The
widths are chosen, not measured; a narrower range in the parameter table wins.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from mir21sim import files
from mir21sim.compiler.load import load
from mir21sim.compiler.model import CompiledModel
from mir21sim.model import files as model_files
from mir21sim.model import metadata
from mir21sim.model.formats.sbml_writer import write_sbml
from mir21sim.validation.calibration_reader import EXTENSION
from mir21sim.validation.claims import ValidationRow, validation_rows

WIDTHS = {
    "measured": 0.15,
    "derived": 0.35,
    "recalled": 0.5,
    "assumed": 0.7,
    "fitted": 0.7,
}
"""Standard deviation of the prior of a number's logarithm by its status: 95 % lie
within a factor of 1.3, 2, 2.7, 3.9 and 3.9. Those of `fitted` are wide, since the data
of the calibration are the data that they were fitted to."""

LINE_SHARE = 0.5
"""Width of a number of one cell line alone over that of its status; the common
factor of the same number adds to it."""

SIGMAS = 4.0
"""Bounds of a free number, in standard deviations of its prior."""

LINE = "HeLa"
"""Cell line of the PEtab tables, in which levels were measured."""

DIES = (
    *("A549", "HCT116", "HeLa", "LN229", "MCF-7", "MIA-PaCa-2", "SK-N-SH"),
    *("Tca8113", "U251"),
)
"""Tumour lines of which a claim reads a half-lethal dose of TRAIL: it must exist."""

LEFT_OUT = {
    "BCL2-THR-50": "the same data as BCL2-50-8-10 and BCL2-50-10-13",
    "BCL2-LOOK-8h": "the same data as BCL2-50-8-10 and BCL2-50-10-13",
    "BCL2-50-1-2": "no cell survives at any draw",
    "BCL2-50-2-4": "no cell survives at any draw",
    "BCL2-50-4-6": "hardly a cell survives at any draw",
    "BCL2-50-18-60": "all cells survive at all draws",
    "BCL2-TD-10-13": "too few of ten cells die for a mean",
    "SC-TD-50": "the same data as BCL2-TD-2-4",
    "AP-HS766T": "a share of rare cells, which takes 1,000 of them",
    "ZHOU-AP": "a share of rare cells, which takes 1,000 of them",
    "CH-DOX-468": "a ratio of shares, which takes 400 cells",
    "SENS-DOX": "a searched dose, which takes 20 runs of 120 h",
    **dict.fromkeys(
        ("IC-DOX-HELA", "IC-CIS-HELA", "IC-5FU-HCT"),
        "a searched dose, which takes 20 runs; its number was set by hand",
    ),
    "NEUR": "the model has no ischaemia",
    "HUVEC-L": "the model has no shear stress",
}
"""Rows with the use `fit` that the draws are not held against, with the reason."""

_Rows = list[Sequence[object]]


def write_problem(model: str, folder: str | Path) -> Path:
    """Write the problem of a shipped model; return the path of its PEtab file.

    Raises
    ------
    InputError
        For an unknown model, or one without the cell line ``LINE``.
    """
    folder = Path(folder)
    hela = load(model, LINE)
    widths = free_widths(model)
    rows = [r for r in validation_rows(model) if r.kind == "observation"]
    levels = [row for row in rows if _is_level(row)]
    free = _base_names(load(model, model_files.BASE), widths)
    tables: dict[str, _Rows] = {
        "parameters.tsv": _parameters(hela, free, widths),
        "observables.tsv": _observables(levels),
        "measurements.tsv": _measurements(levels),
        "experiments.tsv": [
            ("experimentId", "time", "conditionId"),
            ("rest", "-inf", ""),
            ("rest", 0, ""),
        ],
        "rows.tsv": _fit_rows(rows),
        "lines.tsv": _lines(model, free),
    }
    for name, table in tables.items():
        made = io.StringIO()
        csv.writer(made, delimiter="\t", lineterminator="\n").writerows(table)
        files.write_text(folder / name, made.getvalue())
    files.write_text(folder / "model.xml", write_sbml(hela.network))
    path = folder / "problem.yaml"
    files.write_text(path, _yaml(model, folder))
    return path


def free_widths(model: str) -> dict[str, tuple[str, float]]:
    """Return status and prior width of each number with a log-normal prior."""
    path = model_files.shipped()[model].with_suffix(".parameters.tsv")
    found = {}
    reader = csv.DictReader(
        io.StringIO(path.read_text(encoding="utf-8")), delimiter="\t"
    )
    for row in reader:
        if row["prior"] != "log-normal" or not float(row["value"]) > 0:
            continue
        ratio = math.log(float(row["upper"]) / float(row["lower"]))
        own = ratio / 4.0 if ratio > 0 else math.inf
        found[row["id"]] = (row["status"], min(WIDTHS[row["status"]], own))
    return found


def _base_names(
    base: CompiledModel, widths: Mapping[str, tuple[str, float]]
) -> list[str]:
    return [name for name in base.param_names if name in widths]


def _parameters(
    model: CompiledModel, names: Sequence[str], widths: Mapping[str, tuple[str, float]]
) -> _Rows:
    made: _Rows = [
        (
            *("parameterId", "lowerBound", "upperBound", "nominalValue"),
            *("estimate", "priorDistribution", "priorParameters"),
        )
    ]
    own = dict(zip(model.param_names, model.p0, strict=True))
    for name in names:
        value, width = float(own[name]), widths[name][1]
        reach = math.exp(SIGMAS * width)
        prior = f"{math.log(value)!r};{width:.4g}"
        bounds = (f"{value / reach:.6g}", f"{value * reach:.6g}")
        made.append((name, *bounds, repr(value), "true", "log-normal", prior))
    return made


def _is_level(row: ValidationRow) -> bool:
    """Return whether a row is a level at rest of HeLa, of the use `fit`."""
    return (
        row.use == "fit"
        and row.context == LINE
        and row.case.readout.feature == "rest"
        and row.against is None
    )


def _observables(rows: Sequence[ValidationRow]) -> _Rows:
    made: _Rows = [
        ("observableId", "observableFormula", "noiseFormula", "noiseDistribution")
    ]
    for row in rows:
        (quantity,) = row.case.readout.quantities
        formula = " + ".join(quantity.above)
        sd = (row.high - row.low) / (2 * (1.96 if row.is_interval else 1.0))
        made.append((_id(row.id), formula, f"{sd:.6g}", "normal"))
    return made


def _measurements(rows: Sequence[ValidationRow]) -> _Rows:
    made: _Rows = [("observableId", "experimentId", "time", "measurement")]
    made += [(_id(row.id), "rest", 0, f"{row.observed:g}") for row in rows]
    return made


def _id(name: str) -> str:
    return "level_" + "".join(c if c.isalnum() else "_" for c in name)


def _fit_rows(rows: Sequence[ValidationRow]) -> _Rows:
    made: _Rows = [("id", "in_fit", "reason")]
    for row in rows:
        if row.use == "fit":
            reason = LEFT_OUT.get(row.id, "")
            made.append((row.id, "no" if reason else "yes", reason))
    return made


def _lines(model: str, names: Sequence[str]) -> _Rows:
    """Return the numbers of each cell line that are free on their own."""
    made: _Rows = [("parameter", "line", "value", "status", "sd")]
    for line in sorted(model_files.contexts(model)):
        own = metadata.context_table(model_files.find(model, line))
        for name, row in own.items():
            if name in names and row.value > 0:
                width = LINE_SHARE * WIDTHS[row.status]
                made.append((name, line, repr(row.value), row.status, f"{width:.4g}"))
    return made


def _yaml(model: str, folder: Path) -> str:
    rows = model_files.models_folder() / "validation" / "observations.csv"
    relative = Path(_relative(rows, folder)).as_posix()
    known = sorted(model_files.contexts(model))
    lines = ", ".join(known)
    dies = ", ".join(line for line in known if line in DIES)
    return f"""\
format_version: 2.0.0
model_files:
  {model}:
    language: sbml
    location: model.xml
parameter_files:
- parameters.tsv
observable_files:
- observables.tsv
measurement_files:
- measurements.tsv
condition_files: []
experiment_files:
- experiments.tsv
mapping_files: []
extensions:
  {EXTENSION}:
    version: 1.0.0
    required: false
    config:
      model: {model}
      rows: {relative}
      fit_rows: rows.tsv
      lines: lines.tsv
      rest: [{lines}]
      dies: [{dies}]
"""


def _relative(path: Path, folder: Path) -> str:
    import os

    return os.path.relpath(path.resolve(), folder.resolve())
