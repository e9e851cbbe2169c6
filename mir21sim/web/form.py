"""The controls of a model: rows of doses, genes and numbers, sliders with fields."""

from collections.abc import Mapping, Sequence
from typing import Any

from dash import dcc, html

from mir21sim.web.models import Facts
from mir21sim.web.settings import ACTIONS

RANGES: dict[str, tuple[float, float]] = {
    "nM": (0.1, 1000.0),
    "ng/ml": (0.1, 1000.0),
    "uM": (0.01, 100.0),
    "µM": (0.01, 100.0),
    "pM": (1.0, 1e5),
    "molecule": (10.0, 1e6),
}
"""Unit of a dose → the lowest and highest amount of its slider, beside 0."""


def part(kind: str, name: str, what: str) -> dict[str, str]:
    """Return the id of one control of a row."""
    return {"kind": kind, "name": name, "part": what}


def html_id(given: Mapping[str, str]) -> str:
    """Return an id as the page writes it, for labels."""
    inside = ",".join(f'"{key}":"{given[key]}"' for key in sorted(given))
    return "{" + inside + "}"


def label(text: str, target: Any, title: str = "") -> html.Label:
    """Return a label of a control."""
    own = target if isinstance(target, str) else html_id(target)
    return html.Label(text, htmlFor=own, title=title or None)


def field(text: str, identity: Any, value: str, **more: Any) -> html.Div:
    """Return a text field with its label above."""
    return html.Div(
        [
            label(text, identity),
            dcc.Input(
                id=identity, value=value, type="text", debounce=True, autoComplete="off"
            ),
        ],
        className="field",
        **more,
    )


def dose_rows(
    facts: Facts, names: Sequence[str], kept: Mapping[str, tuple[str, str]]
) -> list[Any]:
    """Return a row for each dose: slider, amount with unit, time."""
    rows = []
    for name in names:
        unit = facts.inputs[name].unit if name in facts.inputs else ""
        start = (f"0 {unit}".strip(), "0" if facts.is_guest else "0 h")
        amount, time = kept.get(name) or facts.doses.get(name) or start
        title = facts.inputs[name].label if name in facts.inputs else name
        rows.append(_row("dose", name, title or name, amount, "", time=time))
    return rows


def gene_rows(
    facts: Facts, names: Sequence[str], kept: Mapping[str, tuple[str, str]]
) -> list[Any]:
    """Return a row for each gene: its change, slider, value."""
    rows = []
    for name in names:
        actions = facts.genes.get(name, ("clamp",))
        action, value = kept.get(name, (actions[0], ""))
        choice = dcc.Dropdown(
            id=part("gene", name, "action"),
            options=[{"label": ACTIONS[a], "value": a} for a in actions],
            value=action if action in actions else actions[0],
            clearable=False,
            searchable=False,
        )
        rows.append(_row("gene", name, name, value, "", choice=choice))
    return rows


def number_rows(
    facts: Facts, names: Sequence[str], kept: Mapping[str, str]
) -> list[Any]:
    """Return a row for each parameter or initial amount: slider about its value."""
    rows = []
    for name in names:
        option, base, unit = facts.numbers[name]
        words = f"{name}" + (f" ({unit})" if unit and unit != "1" else "")
        shown = kept.get(name) or ("" if base is None else f"{base:.6g}")
        rows.append(
            _row("number", name, words, shown, "" if base is None else f"{base:.9g}")
        )
        rows.append(dcc.Store(id=part("number", name, "option"), data=option))
    return rows


def _row(
    kind: str,
    name: str,
    title: str,
    value: str,
    base: str,
    *,
    time: str | None = None,
    choice: Any = None,
) -> html.Div:
    """Return one row of the form."""
    slider, entry = part(kind, name, "range"), part(kind, name, "value")
    cells: list[Any] = [
        html.Div(
            [label(title, slider), *([] if choice is None else [choice])],
            className="row-head",
        ),
        dcc.Input(
            id=slider,
            type="range",
            min=0,
            max=100,
            step=1,
            value=0 if kind != "number" else 50,
            className="slider",
        ),
        html.Div(
            [
                html.Label(
                    f"Value of {title}", htmlFor=html_id(entry), className="hidden"
                ),
                dcc.Input(
                    id=entry,
                    type="text",
                    value=value,
                    debounce=True,
                    autoComplete="off",
                ),
            ],
            className="row-value",
        ),
        dcc.Store(id=part(kind, name, "base"), data=base),
        *(
            [dcc.Input(id=part(kind, name, "action"), type="hidden", value=kind)]
            if choice is None
            else []
        ),
    ]
    if time is not None:
        at = part(kind, name, "time")
        cells.append(
            html.Div(
                [
                    html.Label(
                        [
                            "at",
                            html.Span(
                                f" which time {title} is given", className="hidden"
                            ),
                        ],
                        htmlFor=html_id(at),
                    ),
                    dcc.Input(
                        id=at,
                        type="text",
                        value=time,
                        debounce=True,
                        autoComplete="off",
                    ),
                ],
                className="row-time",
            )
        )
    return html.Div(cells, className=f"row row-{kind}")
