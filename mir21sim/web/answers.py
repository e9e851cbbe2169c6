"""Texts and pictures of one view for a question of the page, also when it fails."""

import base64
import io
import tempfile
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from dash import dcc, html

from mir21sim.analysis import death_plots, plots, tables
from mir21sim.analysis.dish_plot import plot_dish
from mir21sim.analysis.network_plot import plot_network
from mir21sim.errors import InputError, Mir21simError
from mir21sim.simulation.dataset import result_frame
from mir21sim.web import described, figures, views
from mir21sim.web.explorer import Explorer, Question
from mir21sim.web.models import Facts
from mir21sim.web.network_figure import network
from mir21sim.web.recipes import Recipe, recipe
from mir21sim.web.settings import Settings
from mir21sim.web.work import STOPPED, Job, sentence

POLL = 0.2
DPI = 150
SLOW = 2.0
"""Seconds after which the page says how long it has worked, and what takes long."""


@dataclass(frozen=True, slots=True)
class Told:
    """The answer to a question of one view.

    Attributes
    ----------
    picture : figure or elements; None to leave the one that is there
    caption, numbers : of a picture by Plotly: what is drawn, and a table of its values
    said : sentences, as elements
    code : the recipe, None where the settings could not be read
    waits, doing, share : whether work goes on, in words, and its share in %
    later : whether there is more to come, for which the page asks again
    """

    picture: Any = None
    caption: str | None = None
    numbers: Any = None
    said: Any = None
    code: Recipe | None = None
    waits: bool = False
    doing: str = ""
    share: str | None = None
    later: bool = False


def answer(
    explorer: Explorer,
    view: str,
    record: Mapping[str, Any],
    look: Mapping[str, Any] | None = None,
    *,
    earlier: Any = (),
    tab: str = "",
    stop: bool = False,
    again: bool = False,
) -> Told:
    """Return the contents of a view: the result, its progress, or one sentence.

    Parameters
    ----------
    record : the settings as the page sends them
    look : the own controls of the view
    earlier : records of settings before
    tab : names the tab of the browser, so that tabs do not stop each other
    stop : whether the work is to end
    again : whether the page asks for what follows an answer that it has
    """
    if stop:
        explorer.jobs.stop(tab, view)
        return Told(said=_sentences((STOPPED,)))
    try:
        question = Question.of(view, record, look, earlier)
        facts = explorer.facts(question.settings)
        code = recipe(view, question.settings, question.look, facts)
        job = explorer.ask(tab, question, again=again)
        if not job.done.is_set():
            return _waiting(job)
        if job.error == STOPPED:
            return Told(said=_sentences((STOPPED,)), code=code)
        if job.error:
            return Told(said=_failed(job.error), code=code)
        follow, later = _following(explorer, question, tab, again=again)
        if later and again:
            return Told(later=True)
        with explorer.draw:
            drawn = _drawn(explorer, question, facts, job.answer, follow)
    except Exception as error:  # noqa: BLE001 - the page says so and goes on
        return Told(said=_failed(sentence(error)))
    lines = (*drawn.lines, *job.answer.lines, *(follow.lines if follow else ()))
    told = Told(drawn.picture, said=_sentences(lines, job.said), code=code, later=later)
    if drawn.about is None:
        return told
    caption, numbers = drawn.about
    return replace(told, caption=caption, numbers=described.table(numbers))


def _following(
    explorer: Explorer, question: Question, tab: str, *, again: bool
) -> tuple[Any, bool]:
    """Return the parts behind the curves, and whether it is still to come."""
    if question.view != "curves":
        return None, False
    more = Question("more", question.settings, question.look)
    known = explorer.cache.get(more.key())
    if known is not None:
        return known, False
    if not again:  # the work for settings before is not wanted any more
        explorer.jobs.stop(tab, "more")
        return None, True
    job = explorer.ask(tab, more, POLL)
    if job.error:
        return views.Shown(None, (job.error,)), False
    return job.answer, not job.done.is_set()


def _waiting(job: Job) -> Told:
    """Return the progress of a job: runs that are done, or the time of one long run."""
    done, total = job.progress
    passed = time.monotonic() - job.started
    since = f", {passed:.0f} s" if passed > SLOW else ""
    if total > 1:
        return Told(
            waits=True,
            doing=f"{done} of {total} runs{since}",
            share=f"{100 * done / total:.0f}",
        )
    words = f"Working{since} …"
    if since:
        words += (
            " A model that is new here is compiled once; a run is given up after "
            f"{views.TIMEOUT:.0f} s."
        )
    return Told(waits=True, doing=words)


def _sentences(lines: Any, warnings: tuple[str, ...] = ()) -> list[Any]:
    """Return sentences as elements: the first one is the outcome; tables keep form."""
    found: list[Any] = []
    table: list[str] = []
    for line in [part for text in lines for part in str(text).split("\n")] + [""]:
        if "  " in line:
            table.append(line)
            continue
        if table:
            found.append(html.Pre("\n".join(table), className="table", tabIndex="0"))
            table = []
        if line:
            found.append(html.P(line, className=None if found else "outcome"))
    return [*found, *[html.P(text, className="warning") for text in warnings[:4]]]


def _failed(text: str) -> list[Any]:
    return [html.P(text, className="error", role="alert")]


# ---------------------------------------------------------------------------- pictures
@dataclass(frozen=True, slots=True)
class _Drawn:
    """The picture of a view, a sentence about it, its caption and table of values."""

    picture: Any
    about: tuple[str, described.Table] | None = None
    lines: tuple[str, ...] = ()


def _drawn(
    explorer: Explorer,
    question: Question,
    facts: Facts,
    shown: Any,
    follow: Any = None,
) -> _Drawn:
    """Return the picture of an answer."""
    data, look = shown.data, question.look
    if question.view == "curves":
        now, before = data
        labelled = list(zip(_names_of(question), before, strict=True))
        wanted = question.settings.observe or tuple(map(str, now.data_vars))[:4]
        parts = now, labelled, wanted, None if follow is None else follow.data
        return _Drawn(figures.curves(*parts), described.curves(*parts))
    if question.view == "response":
        return _Drawn(
            figures.response(data, look.response),
            described.response(data, look.response),
        )
    if question.view == "population":
        return _Drawn(figures.population(*data), described.population(*data))
    if question.view == "network":
        settings = question.settings
        model = explorer.models.load(settings.model, settings.context)
        figure, words = network(model, data, facts.modules, look.module, look.at)
        return _Drawn(figure, described.network(figure), (words,))
    if question.view == "assay":
        assay, reading = data
        image = _image(assay.plot(reading), assay.caption)
        return _Drawn(html.Div([image, _summary(reading.summary)]))
    return _Drawn(_table(data))


def _names_of(question: Question) -> list[str]:
    """Return the changes in each of the earlier settings."""
    now = set(_told_apart(question.settings))
    found = []
    for old in question.earlier:
        other = [text for text in _told_apart(old) if text not in now]
        found.append(", ".join(other)[:60] or "before")
    return found


def _told_apart(settings: Settings) -> list[str]:
    """Return the treatment in words, cell line and end."""
    done = settings.treatment
    kept = [
        str(dose).replace("=", " ").replace("@", " at ")
        if dose.amount > 0 or dose.mode == "set"
        else f"no {dose.target}"
        for dose in done.doses
    ]
    rest = str(replace(done, doses=())).replace("--", "")
    more = [] if rest == "untreated" else [rest]
    return [*kept, *more, settings.context, f"to {settings.end}"]


def _image(figure: Any, words: str) -> html.Figure:
    """Return a picture of Matplotlib as an element, on white as on paper."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor="white")
    code = base64.b64encode(buffer.getvalue()).decode()
    return html.Figure(
        [
            html.Img(src=f"data:image/png;base64,{code}", alt=words),
            html.Figcaption(words),
        ]
    )


def _summary(frame: pd.DataFrame) -> html.Div:
    """Return the summary of an assay as a table: mean, SD, ratio, p of each group."""
    keys = [name for name in ("protein", "quadrant", "sample") if name in frame]
    numbers = [n for n in ("mean", "sd", "relative", "p") if n in frame]
    titles = {"sd": "SD", "relative": "times the control"}
    head = [titles.get(name, name) for name in (*keys, *numbers)]
    rows = []
    for row in frame.to_dict("records"):
        cells: list[Any] = [html.Td(str(row[name])) for name in keys]
        for name in numbers:
            value = float(row[name])
            text = f"{value:.3g}" if np.isfinite(value) else "–"
            cells.append(html.Td(text, className="figure"))
        rows.append(html.Tr(cells))
    tests = sorted({str(text) for text in frame.get("test", ()) if str(text)})
    note = f"Test: {'; '.join(tests)}." if tests else ""
    return html.Div(
        [
            html.Table(
                [
                    html.Thead(html.Tr([html.Th(word, scope="col") for word in head])),
                    html.Tbody(rows),
                ],
                className="plain",
            ),
            html.P(note, className="hint"),
        ],
        className="summary",
    )


def _table(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the numbers of a model as rows of text, which the browser writes.

    Some thousand elements of a table would take the page seconds, rows take none.

    Returns
    -------
    `rows` : name, value, unit, status, source of each number, texts
    `sensitivities` : of each number, None for none; left out where none is asked for
    """
    columns = (frame["id"], frame["value"], frame["unit"], frame["status"])
    rows = [
        [str(name), f"{float(value):.6g}", str(unit), str(status), str(source)]
        for name, value, unit, status, source in zip(
            *columns, frame["source"], strict=True
        )
    ]
    found: dict[str, Any] = {"rows": rows}
    sizes = frame["log_derivative"].to_numpy(dtype=float)
    if np.isfinite(sizes).any() and np.nanmax(np.abs(sizes)) > 0:
        found["sensitivities"] = [
            float(f"{v:.3g}") if np.isfinite(v) else None for v in sizes
        ]
    return found


# ------------------------------------------------------------------------------- files
def saved(
    explorer: Explorer,
    view: str,
    record: Mapping[str, Any],
    look: Mapping[str, Any],
    what: str,
) -> tuple[Any, Any]:
    """Return a file to download, or a sentence where there is none."""
    from dash import no_update

    try:
        question = Question.of(view, record, look)
        facts = explorer.facts(question.settings)
        if what == "study":
            text = recipe(view, question.settings, question.look, facts)
            if not text.has_study:
                raise InputError(text.study.replace("# ", "").replace("\n", " "))
            return dcc.send_string(text.study, "study.toml"), no_update
        job = explorer.ask("save", question, wait=120.0)
        if not job.done.is_set() or job.error:
            raise InputError(job.error or "The result is not there yet; save it later.")
        with explorer.draw, tempfile.TemporaryDirectory() as folder:
            path = _file(explorer, question, job.answer, what, Path(folder))
            return dcc.send_bytes(path.read_bytes(), path.name), no_update
    except Mir21simError as error:
        return no_update, _failed(sentence(error))


def _file(
    explorer: Explorer, question: Question, shown: Any, what: str, folder: Path
) -> Path:
    """Write the picture or the table of a view."""
    pairs = ("curves", "population")  # what is written, and what is drawn with it
    data = shown.data[0] if question.view in pairs else shown.data
    if question.view == "assay":
        return _assay_file(data, what, folder)
    if what == "picture":
        return plots.save(
            _picture(explorer, question, data), folder / f"{question.view}.svg"
        )
    if isinstance(data, pd.DataFrame):
        frame = data
    elif question.view in ("curves", "network", "population"):
        frame = result_frame(data)
    else:
        frame = data.to_dataframe().reset_index()
    note = str(getattr(data, "attrs", {}).get("summary", ""))
    return tables.write_csv(frame, folder / f"{question.view}.csv", note=note)


def _assay_file(data: Any, what: str, folder: Path) -> Path:
    """Write the picture of an assay, or all of its tables and files as an archive."""
    assay, reading = data
    if what == "picture":
        return plots.save(assay.plot(reading), folder / f"{assay.name}.svg")
    inside = folder / "files"
    inside.mkdir()
    assay.export(reading, inside)
    path = folder / f"{assay.name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(inside.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(inside).as_posix())
    return path


def _picture(explorer: Explorer, question: Question, data: Any) -> Any:
    """Return the picture of a view for print, as the command line draws it."""
    settings = question.settings
    if question.view == "curves":
        first = next((n for n in settings.observe if n in data), None)
        return plots.plot_sweep(data, first or str(next(iter(data.data_vars))))
    if question.view == "response":
        if "dead_end" in data:
            return plot_dish(data, question.look.response)
        return plots.plot_dose_response(data)
    if question.view == "network":
        model = explorer.models.load(settings.model, settings.context)
        return plot_network(model.network, model.info)
    if question.view == "parameters":
        raise InputError("A table has no picture; save it as CSV.")
    return death_plots.plot_population(
        data, data.attrs["death"], since=data.attrs["since"]
    )
