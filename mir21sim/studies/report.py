"""The report of a study: one HTML page that stands alone, pictures inside.

Every text goes through Jinja's escaping; the page has no script and asks for nothing
from the network.
"""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from mir21sim.analysis import model_report
from mir21sim.analysis.cell_death import EXPOSED, death_times
from mir21sim.analysis.tables import TextTable, text_table
from mir21sim.analysis.text_tables import narrowed
from mir21sim.assays.experiment import Sample
from mir21sim.assays.kinds import noise_table
from mir21sim.assays.prediction import (
    OWN,
    Frame,
    fate_records,
    with_prediction,
)
from mir21sim.studies.run import (
    PREDICTED_CELLS,
    PREDICTION,
    AssayResult,
    StudyResult,
    death_level,
)
from mir21sim.studies.schema import hour_keys
from mir21sim.units import rounded

_LEAST_P = 1e-4
"""Below this, p rests on the far tail of a distribution that few replicates show."""

_TITLES = {
    "sd": "SD", "relative": "relative to control", "p_anova": "p (ANOVA)",
    "p": "p against control", "time_h": "time (h)",
    "predicted": "predicted (95 %)",
}  # fmt: skip
_SHORT_TITLES = {"p": "p", "relative": "of control", "p_anova": "p of all"}
_SAID_ONCE = ("relative_sd", "control", "test", "contents")
"""Columns of a summary that are the same in all rows, or follow from others."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture as a data URI, with its caption."""

    uri: str
    caption: str


@dataclass(frozen=True, slots=True)
class Section:
    """One assay of the page."""

    title: str
    words: str
    figures: tuple[Figure, ...]
    tables: tuple[TextTable, ...]
    notes: tuple[str, ...]
    files: tuple[str, ...]


def render(
    done: StudyResult,
    reads: Sequence[AssayResult],
    folder: Path,
    made: Mapping[str, Any],
) -> str:
    """Return the page.

    Parameters
    ----------
    reads : the readings with their files, which lie in `folder`
    made : ``provenance`` of the same run
    """
    planned, study = done.planned, done.planned.study
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mir21sim.studies", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    rows = model_report.source_rows(planned.files)
    numbers = text_table(rows)
    info = planned.model.info
    noise = noise_table(planned.noises())
    return environment.get_template("report.html").render(
        study=study,
        text=planned.text,
        version=made["versions"]["mir21sim"],
        summary=_summary(done),
        warnings=done.warnings,
        samples=_samples(study.dishes()),
        population=_population(done),
        fate=_fate(done),
        prediction=_prediction(done, folder),
        sections=[_section(read, done, folder) for read in reads],
        noise=text_table(noise),
        noise_words=_noise_words(done, noise),
        numbers=numbers,
        numbers_words=(
            f"{len(rows)} numbers, by status: "
            f"{model_report.status_shares(row['status'] for row in rows)}. "
            "Assumed and fitted numbers were not measured."
        ),
        papers=info.references,
        made=_made(made),
    )


def _summary(done: StudyResult) -> str:
    """Return the content of the study in one sentence."""
    planned, study = done.planned, done.planned.study
    line = planned.model.context or "the model file's own numbers"
    return (
        f"{len(study.dishes())} samples, each of {study.dishes_each()} dishes of "
        f"{study.population.cells} virtual cells, the same in all samples "
        f"({planned.model.id}, {line}), read at {_hours(study.times)} by "
        f"{len(study.assays)} assay{'s' if len(study.assays) > 1 else ''}; "
        f"{study.replicates} replicates, measurement noise "
        f"{'on' if study.noise else 'off'}, seed {study.seed}. "
        "All numbers are simulated: nothing on this page was measured."
    )


def _hours(times: Sequence[float]) -> str:
    return ", ".join(f"{t:g}" for t in sorted(times)) + " h"


def _samples(dishes: Sequence[Sample]) -> TextTable:
    """Return the treatment of each sample."""
    rows = []
    for dish in dishes:
        p = dish.done.perturbations
        done = [
            *(f"{n} held at {level}" for n, level in p.clamps().items()),
            *(f"{n} knocked down by {x:.0%}" for n, x in p.knockdown.items()),
            *(f"{n} over-expressed {x:g} times" for n, x in p.overexpress.items()),
            *(f"{n} without a site of miR-21" for n in p.no_site),
            *(f"{n} = {x:g}" for n, x in dish.done.parameters.items()),
        ]
        rows.append(
            {
                "sample": dish.name,
                "doses": "; ".join(map(str, dish.done.doses)) or "none",
                "besides": "; ".join(done) or "–",
            }
        )
    return text_table(rows, "Samples")


def _population(done: StudyResult) -> TextTable:
    """Return how the cells differ."""
    table = done.planned.study.population
    rows = [{"what": "cells in every dish", "value": str(table.cells)}]
    rows.append({"what": "CV of every protein and pool", "value": f"{table.cv:g}"})
    for name, own in table.proteins.items():
        rows.append({"what": name, "value": f"CV {own.cv:g}, mean {own.mean:g} times"})
    for a, b, r in table.correlations:
        rows.append({"what": f"correlation of {a} and {b}", "value": f"{r:g}"})
    return text_table(rows, "Population")


def _fate(done: StudyResult) -> TextTable | None:
    """Return the share of cells that have died by each time, before any assay.

    A cell is dead as the assay of the study that counts dead cells defines it.
    """
    cells = done.cells
    if EXPOSED not in cells:
        return None
    plain = cells.isel(sample=cells["dish"].values == "")
    level = death_level(done.planned)
    died = death_times(plain, EXPOSED, level=level).transpose("sample", "cell")
    rows = []
    for name, times in zip(plain["sample"].values, died.values, strict=True):
        row: dict[str, Any] = {"sample": str(name)}
        for time in cells["time"].values:
            row[f"{time:g} h"] = f"{(times <= time).mean():.1%}"
        rows.append(row)
    return text_table(
        rows,
        f"Dead cells by then, before any assay: {level:.0%} or more of the "
        "phosphatidylserine exposed",
    )


def _prediction(done: StudyResult, folder: Path) -> Section | None:
    """Return the dead cells that the parameter sets predict, None without sets."""
    found = done.prediction
    if found is None:
        return None
    words = (
        "The replicates of the assays below imitate a measurement: cells with the "
        "model's own numbers, and noise. The column `predicted` says what the model "
        f"predicts of the same reading without noise: mean and {found.band}. The two "
        "differ where the model's own numbers are not in the middle of the sets."
    )
    if found.fate is None:
        return Section("Prediction", words, (), (), (), (PREDICTED_CELLS,))
    caption = "Dead cells of each sample as the parameter sets predict them."
    table = text_table(fate_records(found.fate), "Dead cells by then, mean (95 %)")
    return Section(
        "Prediction",
        words,
        (Figure(_data_uri(folder / PREDICTION), caption),),
        (table,),
        (),
        ("prediction.csv", PREDICTION, PREDICTED_CELLS),
    )


def _section(read: AssayResult, done: StudyResult, folder: Path) -> Section:
    """Return the section of one assay."""
    study, table, assay = done.planned.study, read.table, read.assay
    replicates = table.replicates or study.replicates
    words = f"{replicates} {assay.replicate_word} a sample. " if study.noise else ""
    words += test_words(read)
    hours = hour_keys(table.kind_name)
    settings = [
        {"setting": name, "value": _setting(value) + " h" * (name in hours)}
        for name, value in table
        if name not in ("kind", "name", "noise") and value not in (None, (), "")
    ]
    titled = table.title != table.kind_name
    return Section(
        title=f"{assay.heading}: {table.title}" if titled else assay.heading,
        words=words,
        figures=tuple(
            Figure(_data_uri(folder / path), assay.caption) for path in read.pictures
        ),
        tables=(
            summary_table(read, "Summary"),
            *(
                text_table(extra.records, extra.caption)
                for extra in read.reading.tables()
            ),
            text_table(settings, "Settings"),
        ),
        notes=read.reading.notes,
        files=tuple(path.as_posix() for path in (*read.data, *read.pictures)),
    )


def summary_table(read: AssayResult, caption: str = "") -> TextTable:
    """Return the summary of a reading as people read it, one row a group."""
    return text_table(summary_frame(read), caption, _TITLES)


def summary_frame(read: AssayResult) -> Frame:
    """Return the summary of a reading with its prediction, without empty columns."""
    table = read.reading.summary
    if read.predicted is not None:
        table = with_prediction(table, read.predicted)
    table = table.drop(columns=[c for c in _SAID_ONCE if c in table])
    empty = [c for c in table.columns if table[c].isna().all()]
    table = table.drop(columns=empty)
    for column in {"p", "p_anova"} & set(table.columns):
        table[column] = [_p_text(p) for p in table[column]]
    return table


def short_table(read: AssayResult) -> TextTable:
    """Return the summary in the columns that fit into a line of a terminal.

    Names that are the same in all groups, the number of replicates and the p of the
    analysis of variance are left out; mean and SD stand in one column. What does not
    fit is left out from the right.
    """
    table = summary_frame(read)
    names = [c for c in table if c in read.reading.summary and c not in OWN]
    alike = [c for c in names if table[c].nunique(dropna=False) == 1]
    first = [c for c in names if c not in alike]
    sd = table["sd"] if "sd" in table else [math.nan] * len(table)
    table["mean"] = [
        rounded(m) if math.isnan(s) else f"{rounded(m)} ± {rounded(s, 2)}"
        for m, s in zip(table["mean"], sd, strict=True)
    ]
    others = [c for c in ("mean", "p", "predicted", "relative") if c in table]
    titles = {**_TITLES, "mean": "mean ± SD" if "sd" in table else "mean"}
    shown = text_table(table[[*first, *others]], titles=titles | _SHORT_TITLES)
    return narrowed(shown, len(first) + 1)[0]


def test_words(read: AssayResult) -> str:
    """Return which test was done against which control."""
    table = read.reading.summary
    tests = [t for t in dict.fromkeys(table["test"]) if t != "none"]
    control = ", ".join(dict.fromkeys(map(str, table["control"])))
    return f"Control: {control}. Test: {'; or '.join(tests) or 'none'}."


def _p_text(p: float) -> str:
    if math.isnan(p):
        return "–"
    return f"{p:.2g}" if p >= _LEAST_P else f"<{_LEAST_P:g}"


def _setting(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(_setting(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _data_uri(picture: Path) -> str:
    data = base64.b64encode(picture.read_bytes()).decode("ascii")
    return f"data:image/png;base64,{data}"


def _noise_words(done: StudyResult, noise: Any) -> str:
    """Return where the numbers of noise come from."""
    if not done.planned.study.noise:
        return "Noise was off, so none of these numbers was used."
    return (
        f"{len(noise)} numbers, by status: "
        f"{model_report.status_shares(noise['status'])}. "
        "Those that are assumed set how large scatter and p are."
    )


def _made(made: Mapping[str, Any]) -> TextTable:
    """Return provenance as a table."""
    rows = []
    for name, value in made.items():
        text = (
            ", ".join(f"{key} {version}" for key, version in value.items())
            if isinstance(value, Mapping)
            else _setting(value)
        )
        rows.append({"what": name.replace("_", " "), "value": text})
    return text_table(rows)
