"""A cell line with nothing but choices is called a sketch by what uses it."""

import pytest

from mir21sim.compiler.load import load
from mir21sim.simulation.simulate import simulate
from mir21sim.simulation.summary import named_model


@pytest.mark.parametrize(("line", "sketch"), [("MCF-10A", True), ("HeLa", False)])
def test_the_summary_of_a_run_calls_a_line_of_choices_a_sketch(line, sketch):
    """Commands print the summary first; the base numbers are no line."""
    model = load("mir21_core", line, backend="numpy")
    said = simulate(model, 26.0, points=3).attrs["summary"].partition(";")[0]
    words = " (a sketch: its only own number is chosen)"
    assert said == f"mir21_core, {line}{words if sketch else ''}"
    assert (model.chosen_numbers > 0) is sketch


def test_the_numbers_of_the_model_file_are_no_sketch_of_a_line():
    """Without a context nothing is said."""
    assert load("mir21_core", "base", backend="numpy").chosen_numbers == 0


def test_more_numbers_are_counted():
    model = load("mir21_apoptosis", "HPNE", backend="numpy")
    assert model.chosen_numbers > 1
    words = f"(a sketch: all of its {model.chosen_numbers} numbers are chosen)"
    assert named_model(model).endswith(words)
