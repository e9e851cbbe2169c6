"""The Dash app: the page, and the functions that answer its controls."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from dash import (
    ALL,
    MATCH,
    ClientsideFunction,
    Dash,
    Input,
    Output,
    State,
    ctx,
    no_update,
)
from dash.exceptions import PreventUpdate
from flask import Response, jsonify, request

from mir21sim.errors import Mir21simError
from mir21sim.model.formats.guard import MAX_BYTES
from mir21sim.web import form
from mir21sim.web.answers import Told, answer, saved
from mir21sim.web.explorer import Explorer
from mir21sim.web.layout import (
    CURVE_RESPONSES,
    GRAPHS,
    LOOKS,
    RESPONSES,
    VIEWS,
    page,
)
from mir21sim.web.models import too_large
from mir21sim.web.network_figure import MOST_SHOWN
from mir21sim.web.work import sentence

MOST_UPLOAD = MAX_BYTES + 1
"""Bytes of an upload that are taken from the line."""


def make_app(explorer: Explorer) -> Dash:
    """Return the app of an explorer; nothing of it is loaded from elsewhere."""
    app = Dash(
        "mir21sim",
        title="mir21sim explorer",
        update_title=None,
        serve_locally=True,
        assets_folder=_assets(),
        suppress_callback_exceptions=True,
        add_log_handler=False,
    )
    app.layout = page(explorer.models.choices(), explorer.models.first)
    _form(app, explorer)
    _gather(app)
    for name in VIEWS:
        _view(app, explorer, name)
    _upload(app, explorer)
    return app


def _assets() -> str:
    from pathlib import Path

    return str(Path(__file__).parent / "assets")


# -------------------------------------------------------------------------------- form
def _form(app: Dash, explorer: Explorer) -> None:
    """Let the controls follow the model, and the rows the names that are chosen."""

    @app.callback(
        output={
            "title": Output("title", "children"),
            "context_options": Output("context", "options"),
            "context": Output("context", "value"),
            "names": [Output(f"{kind}-names", "value") for kind in _KINDS],
            "name_options": [Output(f"{kind}-names", "options") for kind in _KINDS],
            "rows": [Output(f"{kind}-rows", "children") for kind in _KINDS],
            "observe_options": Output("observe", "options"),
            "observe": Output("observe", "value"),
            "end": Output("end", "value"),
            "target_options": Output("response-target", "options"),
            "target": Output("response-target", "value"),
            "values": Output("response-values", "value"),
            "response_options": Output("response-response", "options"),
            "response": Output("response-response", "value"),
            "protein_options": Output("assay-proteins", "options"),
            "proteins": Output("assay-proteins", "value"),
            "module_options": Output("network-module", "options"),
            "module": Output("network-module", "value"),
            "of_options": Output("parameters-of", "options"),
            "of": Output("parameters-of", "value"),
            "form_of": Output("form-of", "data"),
            "said": Output("upload-said", "children"),
            "sets_hidden": Output("sets-box", "hidden"),
        },
        inputs={
            "model": Input("model", "value"),
            "context": Input("context", "value"),
            "names": [Input(f"{kind}-names", "value") for kind in _KINDS],
        },
        state={
            "record": State("settings", "data"),
            "shown_for": State("form-of", "data"),
        },
    )
    def fill(
        *,
        model: str,
        context: str | None,
        names: Sequence[Sequence[str] | None],
        record: Mapping[str, Any] | None,
        shown_for: Sequence[str] | None,
    ) -> dict[str, Any]:
        return filled(
            explorer, (model, context), names, record=record, shown_for=shown_for
        )


_KINDS = ("dose", "gene", "number")


def filled(
    explorer: Explorer,
    chosen_model: tuple[str, str | None],
    names: Sequence[Sequence[str] | None],
    *,
    record: Mapping[str, Any] | None = None,
    shown_for: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Return the controls of a model, with the values that were typed kept.

    Parameters
    ----------
    chosen_model : model and cell line
    names : doses, genes and numbers that have a row
    record : the settings so far
    shown_for : model and cell line that the controls were for, None at first
    """
    model, context = chosen_model
    is_new = not shown_for or shown_for[0] != model
    found: dict[str, Any] = dict.fromkeys(_SINGLE, no_update)
    found |= {key: [no_update] * len(_KINDS) for key in ("names", "name_options")}
    first = is_new and model == explorer.models.first
    asked = explorer.models.first_context if first else "" if is_new else context or ""
    try:
        facts = explorer.models.facts(model, asked)
    except Mir21simError as error:
        return found | {"rows": [no_update] * 3, "said": sentence(error)}
    kept = _kept(record) if not is_new else ({}, {}, {})
    chosen = [list(n or ()) for n in names]
    if is_new:
        chosen = [list(facts.doses), [], []]
        found |= _of_model(facts)
        found["names"] = chosen
        found["name_options"] = [
            [{"value": k, "label": _label(facts, k)} for k in facts.targets],
            [{"value": k, "label": k} for k in facts.genes],
            [{"value": k, "label": k} for k in facts.numbers],
        ]
    found["rows"] = [
        form.dose_rows(facts, chosen[0], kept[0]),
        form.gene_rows(facts, chosen[1], kept[1]),
        form.number_rows(facts, [n for n in chosen[2] if n in facts.numbers], kept[2]),
    ]
    found["form_of"] = [model, facts.context]
    found["sets_hidden"] = not facts.has_sets
    return found


_SINGLE = (
    "title", "context_options", "context", "observe_options", "observe", "end",
    "target_options", "target", "values", "response_options", "response",
    "protein_options", "proteins", "module_options", "module", "of_options",
    "of", "form_of", "said", "sets_hidden",
)  # fmt: skip


def _of_model(facts: Any) -> dict[str, Any]:
    """Return the options and first values of the controls that a model decides."""
    targets = [*facts.inputs, *facts.numbers]
    last = list(facts.doses)[-1] if facts.doses else (targets[0] if targets else None)
    large = sum(map(len, facts.modules.values())) > MOST_SHOWN
    responses = RESPONSES if facts.death else CURVE_RESPONSES
    quantities = [{"value": k, "label": v} for k, v in facts.quantities.items()]
    features = [
        {"value": f"{word}({name})", "label": f"{word} of {facts.quantities[name]}"}
        for name in list(facts.quantities)[:40]
        for word in ("peak", "final")
    ]
    return {
        "title": facts.title,
        "context_options": [{"value": c, "label": c} for c in facts.contexts],
        "context": facts.context,
        "observe_options": quantities,
        "observe": list(facts.shown),
        "end": facts.end,
        "target_options": [{"value": t, "label": t} for t in targets],
        "target": last,
        "values": _amounts(facts, last),
        "response_options": [{"value": k, "label": v} for k, v in responses.items()],
        "response": next(iter(responses)),
        "protein_options": [{"value": p, "label": p} for p in facts.proteins],
        "proteins": list(facts.blot),
        "module_options": [{"value": m, "label": m} for m in facts.modules],
        "module": next(iter(facts.modules), None) if large else None,
        "of_options": features,
        "of": None,
        "said": "",
    }


def _label(facts: Any, name: str) -> str:
    return (facts.inputs[name].label or name) if name in facts.inputs else name


def _amounts(facts: Any, target: str | None) -> str:
    """Return the amounts of a first dose–response: a number about its own value."""
    base = facts.numbers.get(target, ("", None, ""))[1]
    if target in facts.inputs or not base or base < 0:
        return "0,log:1:1000:7"
    return f"log:{base / 10:.6g}:{base * 10:.6g}:9"


def _kept(
    record: Mapping[str, Any] | None,
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the values typed into the rows, by name."""
    given = record or {}
    return (
        {row[0]: (row[1], row[2]) for row in given.get("doses", ())},
        {row[0]: (row[1], row[2]) for row in given.get("genes", ())},
        {row[0]: row[2] for row in given.get("numbers", ())},
    )


def _gather(app: Dash) -> None:
    """Let the browser put all controls into one record, and keep the earlier ones."""
    parts = ("value", "time", "action", "option")
    app.clientside_callback(
        ClientsideFunction("explorer", "gather"),
        [
            *[
                Input(n, "value")
                for n in ("model", "context", "end", "cells", "cv", "seed")
            ],
            Input("extra", "value"),
            Input("sets", "value"),
            Input("observe", "value"),
            Input("form-of", "data"),
            *[
                Input({"kind": ALL, "name": ALL, "part": what}, "value")
                for what in parts[:3]
            ],
            Input({"kind": ALL, "name": ALL, "part": "option"}, "data"),
            Input("forget", "n_clicks"),
        ],
        [
            *[State({"kind": ALL, "name": ALL, "part": what}, "id") for what in parts],
        ],
    )
    app.clientside_callback(
        ClientsideFunction("explorer", "move"),
        [
            Output({"kind": MATCH, "name": MATCH, "part": "range"}, "value"),
            Output({"kind": MATCH, "name": MATCH, "part": "value"}, "value"),
        ],
        [
            Input({"kind": MATCH, "name": MATCH, "part": "range"}, "value"),
            Input({"kind": MATCH, "name": MATCH, "part": "value"}, "value"),
            Input({"kind": MATCH, "name": MATCH, "part": "action"}, "value"),
        ],
        [State({"kind": MATCH, "name": MATCH, "part": "base"}, "data")],
    )
    app.clientside_callback(
        ClientsideFunction("explorer", "uploaded"),
        [Output("model", "options"), Output("model", "value")],
        Input("upload", "data"),
        State("model", "options"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("explorer", "table"),
        Input("parameters-picture", "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("explorer", "show"),
        [Output("view", "data")]
        + [Output(f"panel-{name}", "hidden") for name in VIEWS]
        + [Output(f"tab-{name}", "aria-selected") for name in VIEWS],
        [Input(f"tab-{name}", "n_clicks") for name in VIEWS],
    )


# ------------------------------------------------------------------------------- views
def _view(app: Dash, explorer: Explorer, name: str) -> None:
    """Let one view answer to the settings and to its own controls."""
    look = {key: Input(f"{name}-{key}", "value") for key in LOOKS[name]}

    drawn = "figure" if name in GRAPHS else _PICTURES[name]
    about = {}
    if name in GRAPHS:
        about = {
            "style": Output(f"{name}-picture", "style"),
            "caption": Output(f"{name}-caption", "children"),
            "numbers": Output(f"{name}-numbers", "children"),
        }

    @app.callback(
        output={
            "picture": Output(f"{name}-picture", drawn),
            "said": Output(f"{name}-said", "children"),
            **about,
            "command": Output(f"{name}-command", "children"),
            "python": Output(f"{name}-python", "children"),
            "study": Output(f"{name}-study", "children"),
            "waits": Output(f"{name}-wait", "hidden"),
            "doing": Output(f"{name}-doing", "children"),
            "bar": Output(f"{name}-bar", "value"),
            "again": Output(f"{name}-again", "data"),
        },
        inputs={
            "record": Input(f"{name}-settings", "data"),
            "look": look,
            "tick": Input(f"{name}-tick", "data"),
            "stop": Input(f"{name}-stop", "n_clicks"),
        },
        state={
            "tab": State("tab-id", "data"),
            "earlier": State("earlier", "data"),
            "view": State("view", "data"),
            "model": State("model", "value"),
        },
        prevent_initial_call=True,
    )
    def show(
        *,
        record: Any,
        look: Any,
        tick: Any,
        stop: Any,
        tab: Any,
        earlier: Any,
        view: str,
        model: str,
    ) -> dict[str, Any]:
        if view != name or not record or record.get("model") != model:
            raise PreventUpdate
        stopped = ctx.triggered_id == f"{name}-stop"
        again = ctx.triggered_id == f"{name}-tick"
        told = answer(
            explorer,
            name,
            record,
            look,
            earlier=earlier,
            tab=str(tab)[:64],
            again=again,
            stop=stopped,
        )
        found = _outputs(told)
        if about:
            return found
        return {k: v for k, v in found.items() if k not in _OF_GRAPHS}

    app.clientside_callback(
        ClientsideFunction("explorer", "again"),
        Input(f"{name}-again", "data"),
        prevent_initial_call=True,
    )

    @app.callback(
        Output(f"{name}-file", "data"),
        Output(f"{name}-said", "children", allow_duplicate=True),
        [
            Input(f"{name}-save-{what}", "n_clicks")
            for what in ("picture", "csv", "study")
        ],
        [
            State("settings", "data"),
            *[State(f"{name}-{key}", "value") for key in LOOKS[name]],
        ],
        prevent_initial_call=True,
    )
    def save(*given: Any) -> tuple[Any, Any]:
        clicks, record, values = given[:3], given[3], given[4:]
        if not any(clicks) or not record:
            raise PreventUpdate
        what = str(ctx.triggered_id).rpartition("-")[2]
        asked = dict(zip(LOOKS[name], values, strict=True))
        return saved(explorer, name, record, asked, what)


_PICTURES = {"assay": "children", "parameters": "data"}
"""View without a graph → the property of its picture: elements, or rows of a table."""


_OF_GRAPHS = ("style", "caption", "numbers")
"""Outputs that only views with a graph have."""


def _outputs(told: Told) -> dict[str, Any]:
    """Return the values of the outputs of a view."""
    if told.waits:
        return {
            "picture": no_update,
            "said": no_update,
            "style": no_update,
            "caption": no_update,
            "numbers": no_update,
            "command": no_update,
            "python": no_update,
            "study": no_update,
            "waits": False,
            "doing": told.doing,
            "bar": told.share,
            "again": time.monotonic(),
        }
    return {
        "picture": no_update if told.picture is None else told.picture,
        "said": no_update if told.said is None else told.said,
        "style": _height(told.picture),
        "caption": no_update if told.caption is None else told.caption,
        "numbers": no_update if told.numbers is None else told.numbers,
        "command": told.code.command if told.code else no_update,
        "python": told.code.python if told.code else no_update,
        "study": told.code.study if told.code else no_update,
        "waits": True,
        "doing": "",
        "bar": no_update,
        "again": time.monotonic() if told.later else no_update,
    }


def _height(picture: Any) -> Any:
    """Return the style of a picture: as high as its figure asks."""
    if isinstance(picture, dict) and "layout" in picture:
        return {"height": f"{picture['layout']['height']}px"}
    return no_update


# ------------------------------------------------------------------------------ upload
def _upload(app: Dash, explorer: Explorer) -> None:
    """Let a file be dropped on the page; it comes as bytes, not through Dash."""

    @app.server.post("/upload")
    def upload() -> Response:
        size = request.content_length
        if size is None or size > MOST_UPLOAD:
            words = (
                "The size of the file is not known."
                if size is None
                else too_large(size)
            )
            return _reply({"error": words}, 413)
        name = str(request.args.get("name", ""))[:200]
        try:
            key = explorer.models.put(name, request.get_data(cache=False))
            facts = explorer.models.facts(key)
        except Exception as error:  # noqa: BLE001 - a stranger's file, as a sentence
            return _reply({"error": sentence(error)}, 400)
        return _reply({"key": key, "name": facts.name}, 200)


def _reply(words: Mapping[str, str], code: int) -> Response:
    answered = jsonify(words)
    answered.status_code = code
    return answered
