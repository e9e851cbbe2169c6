"""Every view: its picture, the code it shows, and a sentence where it fails."""

import shlex

import numpy as np
import pandas as pd
import pytest
from commands import run
from web_pages import LOOKS, MODEL, ran, record, told, words

import mir21sim as ms
from mir21sim.web import views
from mir21sim.web.answers import answer
from mir21sim.web.explorer import Explorer, Question
from mir21sim.web.layout import VIEWS
from mir21sim.web.models import Models
from mir21sim.web.settings import Settings


@pytest.fixture(scope="module")
def explorer():
    made = Explorer(Models(MODEL))
    yield made
    made.models.close()


def by_hand(**more):
    return {
        "doses": ["anti_miR21=100 nM@0h", "TRAIL=200 ng/ml@24h"],
        "perturb": ms.Perturbations(clamp={"PTEN": "0.5x"}),
        "parameters": {"K_sites": 90.0},
        **more,
    }


@pytest.fixture(scope="module")
def model():
    return ms.load(MODEL, "MCF-7")


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_answers_with_sentences_a_picture_and_code(view, explorer):
    found = told(explorer, view)
    assert found.picture is not None, words(found.said)
    assert words(found.said)
    assert "error" not in str(found.said)
    assert MODEL in found.code.command or view == "assay"
    assert found.code.has_study
    for code in (found.code.command, found.code.study):
        assert "TRAIL=200 ng/ml@24h" in code or code == found.code.command
    assert "miR21_mimic" not in found.code.python  # its amount is 0


def test_curves_are_those_of_simulate(explorer, model):
    found = told(explorer, "curves")
    result = ms.simulate(
        model, "30 h", points=241, observe=["CASP3_active"], **by_hand()
    )
    (drawn,) = [t for t in found.picture["data"] if t["yaxis"] == "y"]
    assert drawn["y"] == pytest.approx(result["CASP3_active"].values, rel=1e-5)


def test_earlier_settings_are_ghosts_behind_the_curve_of_now(explorer):
    old = [record(doses=[]), record(doses=[["TRAIL", "5 ng/ml", "1 h"]])]
    found = told(explorer, "curves", earlier=old)
    names = [t["name"] for t in found.picture["data"] if t["yaxis"] == "y"]
    assert names == ["before", "TRAIL 5 ng/ml at 1h", "now"]


def test_population_and_its_sentence_are_those_of_the_library(explorer, model):
    found = told(explorer, "population")
    result = ms.simulate_population(
        model, ms.Population(6, seed=3), "30 h", observe="MOMP_fraction", **by_hand()
    )
    died = ms.death_times(result, "MOMP_fraction", since=24).values
    dead = int(np.isfinite(died[died > 0]).sum())
    said = words(found.said)
    assert f"{dead} of 6 cells dead" in said or (dead == 0 and "no cell dead" in said)
    assert found.picture["data"][0]["y"][-1] == pytest.approx(100 * dead / 6, abs=1e-3)


def test_the_curve_of_the_page_its_command_and_its_lines_agree(
    explorer, tmp_path, monkeypatch, capsys
):
    found = told(explorer, "curves")
    drawn = next(t for t in found.picture["data"] if t["yaxis"] == "y")
    monkeypatch.chdir(tmp_path)
    assert run(*shlex.split(found.code.command.replace("\\\n", ""))[1:]) == 0
    by_command = pd.read_csv("curves.csv", comment="#")["CASP3_active"]
    ran(found.code.python)
    by_lines = pd.read_csv("curves.csv", comment="#")["CASP3_active"]
    assert drawn["y"] == pytest.approx(by_command, rel=1e-5)
    assert drawn["y"] == pytest.approx(by_lines, rel=1e-5)
    first = words(found.said).split(".")[0]
    assert first in capsys.readouterr().out  # the outcome, in the same words


@pytest.mark.parametrize("view", ["response", "population", "network", "parameters"])
def test_the_code_of_each_view_runs(view, explorer, tmp_path, monkeypatch, capsys):
    found = told(explorer, view)
    monkeypatch.chdir(tmp_path)
    assert run(*shlex.split(found.code.command.replace("\\\n", ""))[1:]) == 0
    if view in ("response", "population"):
        outcome = words(found.said[-1 if view == "population" else 0])
        assert outcome.strip().rstrip(".") in capsys.readouterr().out
    ran(found.code.python)


def test_the_study_and_the_lines_of_an_assay_give_the_densities_of_the_page(
    explorer, tmp_path, monkeypatch, capsys
):
    found = told(explorer, "assay")
    question = Question.of("assay", record(), LOOKS["assay"])
    _, reading = explorer.ask("", question, wait=60).answer.data
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.toml").write_text(found.code.study, encoding="utf-8")
    assert run(*shlex.split(found.code.command)[1:]) == 0
    table = pd.read_csv(next(tmp_path.rglob("western/summary.csv")), comment="#")
    assert table["mean"].to_numpy() == pytest.approx(
        reading.summary["mean"].to_numpy(), rel=1e-6
    )
    again = ran(found.code.python)["reading"].summary["mean"].to_numpy()
    assert again == pytest.approx(reading.summary["mean"].to_numpy(), rel=1e-12)


def test_the_untreated_dish_of_an_assay_is_run_once(explorer):
    told(explorer, "assay")
    other = record(doses=[["TRAIL", "77 ng/ml", "24 h"]])
    before = len(explorer.cache)
    told(explorer, "assay", other)
    assert len(explorer.cache) == before + 2  # one dish, and the reading


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"doses": [["TRIAL", "5 ng/ml", "0 h"]]}, "TRAIL"),
        ({"doses": [["TRAIL", "5 parsecs", "0 h"]]}, "parsecs"),
        ({"doses": [["TRAIL", "a lot", "0 h"]]}, "must be a number"),
        ({"doses": [["TRAIL", "-5 ng/ml", "0 h"]]}, "negative"),
        ({"genes": [["PTEN", "knockdown", "0.5"]]}, "PTEN"),
        ({"numbers": [["K_sites", "--set", "many"]]}, "must be a number"),
        ({"extra": "--import os"}, "--import"),
        ({"end": "-4 h"}, "-4"),
        ({"observe": ["CASP33_active"]}, "CASP3_active"),
        ({"cells": "1e9"}, "cells must be 1 to"),
        ({"cv": "nan"}, "CV between cells"),
        ({"model": "/etc/passwd"}, "Unknown model"),
        ({"model": "upload:0123"}, "drop it on the page again"),
        ({"context": "HeLLa"}, "HeLa"),
    ],
)
def test_bad_settings_are_one_sentence(changes, sentence, explorer):
    view = "population" if {"cells", "cv"} & set(changes) else "curves"
    found = told(explorer, view, record(**changes))
    (said,) = found.said
    assert said.className == "error"
    assert sentence in words(said)
    assert "Internal" not in words(said)


def test_a_model_that_fails_at_a_setting_says_so_and_goes_on(explorer, tmp_path):
    explodes = (
        "model explodes\n  S = 1; k = 0;\n  S' = k*S^2;\n"  # infinite at 1/k
        "end\n"
    )
    pytest.importorskip("antimony")
    key = explorer.models.put("explodes.ant", explodes.encode())
    bare = record(model=key, context="", end="5", doses=[], genes=[], observe=["S"])
    fine = told(explorer, "curves", bare | {"numbers": []})
    assert fine.picture["data"][0]["y"][-1] == pytest.approx(1.0)
    bad = told(explorer, "curves", bare | {"numbers": [["k", "--set", "1"]]})
    assert bad.said[0].className == "error"
    assert "explodes" in words(bad.said)
    again = told(explorer, "curves", bare | {"numbers": [["k", "--set", "0.1"]]})
    assert again.picture["data"][0]["y"][-1] == pytest.approx(2.0, rel=1e-3)
    assert not again.code.has_study
    assert "has no quantity" in again.code.study
    with_cells = told(explorer, "population", bare | {"numbers": []})
    assert "No quantity of explodes" in words(with_cells.said)


def test_bands_of_parameter_sets_follow_the_curves(explorer, monkeypatch):
    sets = ms.Ensemble(("K_sites",), np.linspace(50, 150, 9)[:, np.newaxis])
    monkeypatch.setattr(views, "shipped", lambda model: sets)
    given = record(numbers=[])
    first = told(explorer, "curves", given)
    assert first.later
    for _ in range(600):
        found = answer(explorer, "curves", given, {}, again=True)
        if not found.later:
            break
    filled = [t for t in found.picture["data"] if t.get("fill") == "toself"]
    assert len(filled) == 4, words(found.said)  # two bands in each of two panels
    assert "9 parameter sets" in words(found.said)
    assert "trust" in words(found.said)


def test_equal_settings_have_one_key_and_other_ones_another():
    keys = {
        Settings.of(record(**changes)).key()
        for changes in ({}, {"end": "31 h"}, {"seed": 4}, {"genes": []}, {"doses": []})
    }
    assert len(keys) == 5
    assert Settings.of(record()).key() in keys
