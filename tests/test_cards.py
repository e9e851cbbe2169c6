"""Records as text and as HTML for notebooks."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from small_study import SMALL

import mir21sim as ms
from mir21sim.errors import InputError


@pytest.fixture(scope="module")
def model():
    return ms.load("earm_1_3", backend="numpy")


def test_a_problem_says_its_size(model):
    data = pd.DataFrame({"time": [0.1, 0.2], "CASP8_active": [1.0, 2.0]})
    name = model.param_names[0]
    problem = ms.Problem(model, data, ["CASP8_active"], [name], priors=None)
    assert "2 rows in 1 experiments" in repr(problem)
    assert f"2 ({name}, sd_CASP8_active)" in repr(problem)
    assert "<table>" in problem._repr_html_()


def test_a_verification_shows_its_checks(model):
    found = ms.verify(model, "10 min", points=3, tools=[])
    assert len(repr(found).splitlines()) == len(found.checks) + 1
    assert "agrees" in found._repr_html_()


def test_a_study_escapes_its_texts(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(SMALL, encoding="utf-8")
    planned = ms.read_study(path)
    assert "dishes" in repr(planned)
    assert "Mimic &amp; &lt;anti-miR-21&gt;" in planned._repr_html_()
    assert "<anti" not in planned._repr_html_()


def test_a_study_that_was_run_shows_its_dishes_and_the_summary_of_each_assay(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(SMALL, encoding="utf-8")
    found = ms.run_study(ms.read_study(path))
    assert "control, mimic, anti" in repr(found)
    assert "36, 0 of them failed" in repr(found)  # 3 dishes, 3 replicates of 4 cells
    shown = found._repr_html_()
    assert shown.count("<table") == 3  # the card, the blot, the plate
    assert "PDCD4" in shown
    assert "Mimic &amp; &lt;anti-miR-21&gt;" in shown
    assert "<anti" not in shown


def test_titles_and_names_of_a_stranger_are_escaped(model):
    hostile = "<img src=x onerror=alert(1)>"
    named = replace(model, info=replace(model.info, title=hostile))
    data = pd.DataFrame({"time": [0.1], "CASP8_active": [1.0]})
    problem = ms.Problem(
        model, data, ["CASP8_active"], [model.param_names[0]], priors=None
    )
    for shown in (named, replace(problem, id=hostile)):
        card = shown._repr_html_()
        assert "<img" not in card
        assert "&lt;img src=x" in card


def test_an_ensemble_takes_lists():
    draws = ms.Ensemble(("k",), [[1], [2]])
    assert draws.values.dtype == np.float64
    assert len(draws) == 2


def test_curves_of_a_dish_are_exported(tmp_path):
    after = ("after", [0.0, 1.0], {"units": "h"})
    dose = ("dose", [0.0, 5.0], {"units": "nM"})
    curves = (("dose", "after"), [[0.0, 1.0], [2.0, 3.0]])
    dish = xr.Dataset({"dead": curves}, {"after": after, "dose": dose})
    table = pd.read_csv(ms.export(dish, tmp_path / "dead.csv"))
    assert table.columns.tolist() == ["time [h]", "dose = 0 nM", "dose = 5 nM"]


def test_a_table_without_curves_is_no_export(tmp_path):
    features = xr.Dataset({"peak": ("dose", [1.0])})
    with pytest.raises(InputError, match="curves over `time`"):
        ms.export(features, tmp_path / "a.csv")
