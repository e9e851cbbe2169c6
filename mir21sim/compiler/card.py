"""A model, or another record, in a few lines: as text, and as HTML for notebooks."""

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mir21sim.compiler.model import CompiledModel

MOST_NAMES = 8
"""Names that a line lists before it counts the others."""


def card_rows(model: "CompiledModel") -> dict[str, str]:
    """Return size, inputs, observables, protocol and cell line of a model."""
    info = model.info
    return {
        "cell line": (model.context or "base")
        + (", a sketch" if model.chosen_numbers else ""),
        "size": f"{len(model.state_names)} states, {len(model.rate_names)} reactions, "
        f"{len(model.param_names)} parameters",
        "inputs": _listed(tuple(info.inputs)),
        "observables": _listed(tuple(info.observables)),
        "protocol": f"{', '.join(info.doses) or 'no dose'}; to {info.end_h:g} "
        f"{model.border.time_unit}",
    }


def text_card(model: "CompiledModel") -> str:
    """Return the card of a model as text, at most 88 columns wide."""
    return text_rows(f"CompiledModel {model.id}", card_rows(model))


def html_card(model: "CompiledModel") -> str:
    """Return the card of a model as an HTML table."""
    title = model.info.title if model.info.title != model.id else ""
    return html_rows(model.id, title, card_rows(model))


def text_rows(title: str, rows: Mapping[str, str]) -> str:
    """Return a title and one line for each row."""
    width = max(12, *map(len, rows))
    lines = [f"  {key:{width}s} {value}" for key, value in rows.items()]
    return "\n".join([f"<{title}>", *lines])


def html_rows(title: str, subtitle: str, rows: Mapping[str, str]) -> str:
    """Return a title and a table of the rows as HTML, with all text escaped."""
    body = "".join(
        f"<tr><th style='text-align:left'>{html.escape(key)}</th>"
        f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
        for key, value in rows.items()
    )
    return (
        f"<div><b>{html.escape(title)}</b> {html.escape(subtitle)}"
        f"<table>{body}</table></div>"
    )


def _listed(names: tuple[str, ...]) -> str:
    """Return the first names, and the number of the others."""
    if not names:
        return "none"
    text, shown = "", 0
    for name in names[:MOST_NAMES]:
        if text and len(text) + len(name) > 48:
            break
        text += f", {name}" if text else name
        shown += 1
    left = len(names) - shown
    return f"{text} and {left} more" if left else text
