"""A model in a few lines, and its numbers as a table."""

import mir21sim as ms
from mir21sim.model.sources import STATUSES


def test_a_model_prints_in_a_few_lines():
    text = repr(ms.load("mir21_apoptosis", "HeLa", backend="numpy"))
    assert len(text.splitlines()) <= 8
    assert max(map(len, text.splitlines())) <= 80
    assert "HeLa" in text
    assert "TRAIL" in text


def test_a_notebook_shows_a_card_without_open_markup():
    card = ms.load("earm_1_3", backend="numpy")._repr_html_()
    assert card.count("<tr>") == card.count("</tr>") == 5
    assert "EARM 1.3" in card


def test_parameters_are_a_table_with_unit_status_and_source():
    table = ms.load("mir21_core", "HeLa", backend="numpy").parameters
    assert {"value", "unit", "status", "source"} <= set(table.columns)
    assert set(table["status"]) <= set(STATUSES)
    assert (table["from"] == "HeLa").any()
