"""The page: settings at the left, one view at the right, words for both."""

from typing import Any

from dash import dcc, html

from mir21sim import __version__
from mir21sim.web.form import field, label
from mir21sim.web.views import ASSAYS

VIEWS = {
    "curves": "Curves",
    "response": "Dose–response",
    "population": "Population",
    "assay": "Assays",
    "network": "Network",
    "parameters": "Numbers",
}
"""View → its name on the page."""

RESPONSES = {
    "dead_end": "dead cells at the end",
    "peak": "peak of caspase-3/7 activity",
    "integrated": "integrated activity",
}

CURVE_RESPONSES = {
    "peak": "peak of the first quantity",
    "peak_time_h": "time of its peak",
    "area_h": "area under it",
}
"""Responses of the average cell, where cells do not die."""

LOOKS: dict[str, tuple[str, ...]] = {
    "curves": (),
    "response": ("target", "values", "response"),
    "population": (),
    "assay": ("assay", "proteins", "read_at"),
    "network": ("module", "at"),
    "parameters": ("of",),
}
"""View → its own controls, whose ids are `view-name`."""

GRAPHS = ("curves", "response", "population", "network")
"""Views whose picture is drawn by Plotly."""


def page(models: list[tuple[str, str]], first: str) -> html.Div:
    """Return the whole page."""
    return html.Div(
        [
            html.A("Skip to the result", href="#main", className="skip"),
            _stores(),
            html.Header(
                [
                    html.H1("mir21sim explorer"),
                    html.P(id="title", className="subtitle"),
                    html.Span(f"version {__version__}", className="version"),
                ]
            ),
            html.Div(id="banner", role="alert"),
            html.Div(
                [
                    _settings(models, first),
                    html.Main(
                        [_tabs(), *[_view(name) for name in VIEWS]],
                        id="main",
                        tabIndex="-1",
                    ),
                ],
                className="columns",
            ),
        ],
        className="page",
    )


def _stores() -> html.Div:
    return html.Div(
        [
            dcc.Store(id="settings"),
            *[dcc.Store(id=f"{name}-settings") for name in VIEWS],
            dcc.Store(id="earlier", data=[]),
            dcc.Store(id="tab-id"),
            dcc.Store(id="view", data="curves"),
            dcc.Store(id="form-of"),
            dcc.Store(id="upload"),
        ]
    )


# ---------------------------------------------------------------------------- settings
def _settings(models: list[tuple[str, str]], first: str) -> html.Aside:
    return html.Aside(
        html.Details(
            [
                html.Summary("Settings"),
                _block(
                    "Model",
                    html.Div(
                        [
                            label("Model", "model"),
                            dcc.Dropdown(
                                id="model",
                                options=[{"value": k, "label": v} for k, v in models],
                                value=first,
                                clearable=False,
                            ),
                        ],
                        className="field",
                    ),
                    html.Div(
                        [
                            label("Cell line", "context"),
                            dcc.Dropdown(id="context", clearable=False),
                        ],
                        className="field",
                    ),
                    html.Div(id="drop"),
                    html.P(id="upload-said", className="said", role="status"),
                ),
                _block(
                    "Doses", _choice("dose", "Substances"), html.Div(id="dose-rows")
                ),
                _block(
                    "Genes and proteins",
                    _choice("gene", "Knock down, over-express, clamp"),
                    html.Div(id="gene-rows"),
                ),
                _block(
                    "Numbers of the model",
                    _choice("number", "Parameters and initial amounts"),
                    html.Div(id="number-rows"),
                ),
                _block(
                    "Run",
                    html.Div(
                        [field("End", "end", "48 h"), field("Cells", "cells", "300")],
                        className="pair",
                    ),
                    html.Div(
                        [
                            field("CV between cells", "cv", "0.28"),
                            field("Seed", "seed", "0"),
                        ],
                        className="pair",
                    ),
                    html.Div(
                        [
                            label("Bands", "sets"),
                            dcc.Dropdown(
                                id="sets",
                                options=[
                                    {
                                        "value": "sets",
                                        "label": "the parameter sets",
                                    },
                                    {"value": "none", "label": "its own numbers alone"},
                                ],
                                value="sets",
                                clearable=False,
                            ),
                        ],
                        id="sets-box",
                        className="field",
                        hidden=True,
                    ),
                    field("More, as on the command line", "extra", ""),
                    html.P(
                        'For example --dose "TRAIL=9 ng/ml@24h/6hx3" --clamp PTEN=0.1x',
                        className="hint",
                    ),
                ),
            ],
            open=True,
            id="settings-box",
        ),
        **{"aria-label": "Settings"},
    )


def _block(title: str, *children: Any) -> html.Section:
    return html.Section([html.H2(title), *children], className="block")


def _choice(kind: str, words: str) -> html.Div:
    return html.Div(
        [
            label(words, f"{kind}-names"),
            dcc.Dropdown(id=f"{kind}-names", multi=True, closeOnSelect=True),
        ],
        className="field",
    )


# ------------------------------------------------------------------------------- views
def _tabs() -> html.Div:
    return html.Div(
        [
            html.Button(
                words,
                id=f"tab-{name}",
                role="tab",
                className="view-tab",
                **{
                    "aria-controls": f"panel-{name}",
                    "aria-selected": "true" if name == "curves" else "false",
                },
            )
            for name, words in VIEWS.items()
        ],
        role="tablist",
        className="tabs",
        **{"aria-label": "Views"},
    )


def _view(name: str) -> html.Section:
    picture: Any
    if name in GRAPHS:
        picture = dcc.Graph(
            id=f"{name}-picture",
            figure={
                "data": [],
                "layout": {
                    "height": 260,
                    "xaxis": {"visible": False},
                    "yaxis": {"visible": False},
                },
            },
            config={"displaylogo": False, "displayModeBar": False},
            responsive=True,
            style={"height": "260px"},
        )
    elif name == "parameters":  # a table that the browser writes from its rows
        picture = [
            dcc.Store(id=f"{name}-picture"),
            html.Div(id=f"{name}-table", className="scroll", tabIndex="0"),
        ]
    else:
        picture = html.Div(id=f"{name}-picture", className="drawn")
    return html.Section(
        [
            html.H2(VIEWS[name], className="hidden"),
            html.Div(_CONTROLS[name](), className="view-controls"),
            html.Div(id=f"{name}-said", className="said", **{"aria-live": "polite"}),
            _waiting(name),
            html.Div(
                picture,
                className="card",
                id=f"{name}-card",
                role="group",
                **{"aria-label": f"{VIEWS[name]}: {_KIND.get(name, 'picture')}"},
                **({"aria-describedby": f"{name}-caption"} if name in GRAPHS else {}),
            ),
            *(_about(name) if name in GRAPHS else ()),
            _saving(name),
            _code(name),
            dcc.Store(id=f"{name}-again"),
            dcc.Store(id=f"{name}-tick"),
            dcc.Download(id=f"{name}-file"),
        ],
        id=f"panel-{name}",
        role="tabpanel",
        className="panel",
        hidden=name != "curves",
        **{"aria-labelledby": f"tab-{name}"},
    )


def _about(name: str) -> list[Any]:
    """Return the places of a picture's caption and of the table of its values."""
    return [
        html.P(id=f"{name}-caption", className="caption"),
        html.Details(
            [
                html.Summary("The values of the picture, as a table"),
                html.Div(id=f"{name}-numbers", className="scroll", tabIndex="0"),
            ],
            className="card",
        ),
    ]


_KIND = {"parameters": "table"}
"""View → its contents, where that is no picture."""


def _waiting(name: str) -> html.Div:
    return html.Div(
        [
            html.Progress(id=f"{name}-bar", max="100", **{"aria-label": "Progress"}),
            html.Span(id=f"{name}-doing"),
            html.Button("Stop", id=f"{name}-stop", className="small"),
        ],
        id=f"{name}-wait",
        className="waiting",
        hidden=True,
        role="status",
    )


def _saving(name: str) -> html.Div:
    buttons = [
        ("picture", "Save picture"),
        ("csv", "Save table (CSV)"),
        ("study", "Save study"),
    ]
    return html.Div(
        [
            html.Button(
                words,
                id=f"{name}-save-{what}",
                className="small",
                hidden=what == "picture" and name in _KIND,
            )
            for what, words in buttons
        ],
        className="saving",
    )


def _code(name: str) -> html.Details:
    kinds = (("command", "Command line"), ("python", "Python"), ("study", "Study file"))
    return html.Details(
        [
            html.Summary("Show me the code"),
            *[
                html.Div(
                    [
                        html.Div(
                            [
                                html.H3(words),
                                html.Button(
                                    "Copy",
                                    className="small copy",
                                    **{
                                        "data-copies": f"{name}-{kind}",
                                        "aria-label": f"Copy: {words}",
                                    },
                                ),
                            ],
                            className="code-head",
                        ),
                        html.Pre(html.Code(id=f"{name}-{kind}"), tabIndex="0"),
                    ],
                    className="code",
                )
                for kind, words in kinds
            ],
        ],
        className="card",
    )


def _curves_controls() -> list[Any]:
    return [
        html.Div(
            [
                label("Quantities", "observe"),
                dcc.Dropdown(id="observe", multi=True),
            ],
            className="field wide",
        ),
        html.Button("Forget earlier curves", id="forget", className="small"),
    ]


def _response_controls() -> list[Any]:
    return [
        html.Div(
            [
                label("Dose or number that is varied", "response-target"),
                dcc.Dropdown(id="response-target", clearable=False),
            ],
            className="field",
        ),
        field("Amounts", "response-values", "0,log:1:1000:7"),
        html.Div(
            [
                label("Response", "response-response"),
                dcc.Dropdown(
                    id="response-response",
                    options=[{"value": k, "label": v} for k, v in RESPONSES.items()],
                    value="dead_end",
                    clearable=False,
                ),
            ],
            className="field",
        ),
        html.P(
            "Amounts: numbers with commas between; log:1:1000:7 is seven amounts from "
            "1 to 1000, each larger by the same factor, lin: has equal steps.",
            className="hint whole",
        ),
    ]


def _assay_controls() -> list[Any]:
    return [
        html.Div(
            [
                label("Assay", "assay-assay"),
                dcc.Dropdown(
                    id="assay-assay",
                    options=[{"value": k, "label": v} for k, v in ASSAYS.items()],
                    value="western",
                    clearable=False,
                ),
            ],
            className="field",
        ),
        html.Div(
            [
                label("Proteins of the blot", "assay-proteins"),
                dcc.Dropdown(id="assay-proteins", multi=True),
            ],
            className="field wide",
        ),
        field("Read at (empty: the end)", "assay-read_at", ""),
    ]


def _network_controls() -> list[Any]:
    return [
        html.Div(
            [
                label("Module", "network-module"),
                dcc.Dropdown(
                    id="network-module", clearable=True, placeholder="all modules"
                ),
            ],
            className="field wide",
        ),
        html.Div(
            [
                label("Time, as a share of the run", "network-at"),
                dcc.Input(
                    id="network-at",
                    type="range",
                    min=0,
                    max=1,
                    step=0.01,
                    value=1,
                    className="slider",
                ),
            ],
            className="field wide",
        ),
    ]


def _parameters_controls() -> list[Any]:
    return [
        html.Div(
            [
                label("Sensitivity of", "parameters-of"),
                dcc.Dropdown(id="parameters-of", clearable=True),
            ],
            className="field wide",
        ),
        html.Div(
            [
                label("Find", "find"),
                dcc.Input(
                    id="find", type="search", value="", placeholder="name or source"
                ),
            ],
            className="field",
        ),
    ]


_CONTROLS = {
    "curves": _curves_controls,
    "response": _response_controls,
    "population": list,
    "assay": _assay_controls,
    "network": _network_controls,
    "parameters": _parameters_controls,
}
