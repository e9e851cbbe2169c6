"""Every view: its picture, the code it shows, and a sentence where it fails."""

import re
import shlex

import numpy as np
import pandas as pd
import pytest
from commands import run
from web_pages import LOOKS, MODEL, explorer_of, ran, record, told, words

import mir21sim as ms
from mir21sim.units import rounded
from mir21sim.web import views
from mir21sim.web.answers import _waiting, answer
from mir21sim.web.explorer import Question
from mir21sim.web.layout import VIEWS
from mir21sim.web.settings import Settings
from mir21sim.web.work import Job


@pytest.fixture(scope="module")
def explorer():
    made = explorer_of(MODEL)
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


def rows_of(numbers):
    """Return head and rows of a table of elements, as texts."""
    head, body = numbers.children
    return words(head), [[words(c) for c in row.children] for row in body.children]


def test_the_table_of_curves_has_the_values_that_are_drawn(explorer):
    old = [record(doses=[["TRAIL", "5 ng/ml", "1 h"]])]
    found = told(explorer, "curves", earlier=old)
    drawn = next(t for t in found.picture["data"] if t["name"] == "now")
    head, rows = rows_of(found.numbers)
    assert head.startswith("time (h) Active caspase-3 (molecules per cell)")
    assert "Active caspase-3 (molecules per cell): from 0 to" in found.caption
    assert len(rows) == 13
    for k, at in ((0, 0), (6, 120), (-1, -1)):
        assert rows[k][:2] == [rounded(drawn["x"][at]), rounded(drawn["y"][at])]
    assert "Grey: earlier settings (TRAIL 5 ng/ml at 1h)." in found.caption
    top = max(drawn["y"])
    assert f"largest {rounded(top)} at" in found.caption


def test_a_curve_that_stays_is_said_to_stay(explorer):
    found = told(explorer, "curves", record(doses=[], observe=["PTEN_total"]))
    assert re.search(r"\(molecules per cell\): \d+ throughout\.", found.caption)


def test_the_table_of_a_response_has_every_dose_and_its_band(explorer):
    found = told(explorer, "response")
    drawn = next(t for t in found.picture["data"] if "customdata" in t)
    head, rows = rows_of(found.numbers)
    assert "TRAIL (ng/ml)" in head
    assert [row[0] for row in rows] == ["0", "10", "1000"]
    assert [row[1] for row in rows] == [rounded(y) for y in drawn["y"]]
    assert all(len(row) == 4 for row in rows)
    assert "Dose 0 stands apart" in found.caption
    marks = [n["text"] for n in found.picture["layout"]["annotations"]]
    assert marks == ["//"]


def test_the_table_of_a_population_ends_at_the_share_that_is_drawn(explorer):
    found = told(explorer, "population")
    share = next(t for t in found.picture["data"] if "fill" not in t)
    _, rows = rows_of(found.numbers)
    assert rows[0][:2] == ["0", "0"]
    assert rows[-1][:2] == ["6", rounded(share["y"][-1])]
    assert "resamplings of the cells" in found.caption


def test_the_table_of_a_network_names_species_and_arrows_with_units(explorer):
    found = told(explorer, "network")
    _, rows = rows_of(found.numbers)
    by_name = dict(rows)
    assert "molecule" in by_name["PTEN"]
    assert any("→" in name for name in by_name)
    assert "The widest: " in found.caption


def test_long_work_says_how_long_it_has_taken():
    job = Job("key")
    assert _waiting(job).doing == "Working …"
    job.started -= 100
    assert "100 s …" in _waiting(job).doing
    assert "compiled once" in _waiting(job).doing
    job.tell(5, 300)
    assert _waiting(job).doing == "5 of 300 runs, 100 s"


def test_population_and_its_sentence_are_those_of_the_library(explorer, model):
    found = told(explorer, "population")
    result = ms.simulate_population(
        model, ms.Population(6, seed=3), "30 h", observe="MOMP_fraction", **by_hand()
    )
    died = ms.death_times(result, "MOMP_fraction", since=24).values
    dead = int(np.isfinite(died[died > 0]).sum())
    said = words(found.said)
    assert f"{dead} of 6 cells dead" in said or (dead == 0 and "no cell dead" in said)
    share = next(t for t in found.picture["data"] if "fill" not in t)
    assert share["y"][-1] == pytest.approx(100 * dead / 6, abs=1e-3)


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


def run_commands(code):
    """Run the commands of a view, one a line."""
    for line in code.command.replace("\\\n", "").splitlines():
        assert run(*shlex.split(line)[1:]) == 0


@pytest.mark.parametrize("observe", [["CASP3_active"], []])
def test_the_response_of_the_page_its_command_and_its_lines_agree(
    observe, explorer, tmp_path, monkeypatch, capsys
):
    """Of dishes, and of the average cell (`cells` 1)."""
    given = record() if not observe else record(cells="1", observe=observe)
    look = LOOKS["response"] | ({"response": "peak"} if observe else {})
    found = told(explorer, "response", given, look)
    drawn = next(t for t in found.picture["data"] if "customdata" in t)
    monkeypatch.chdir(tmp_path)
    run_commands(found.code)
    assert words(found.said[0]).strip().rstrip(".") in capsys.readouterr().out
    names = ran(found.code.python)
    assert drawn["customdata"] == [0, 10, 1000]
    made = (
        names["features"]["peak"].squeeze() if observe else names["dishes"]["dead_end"]
    )
    assert drawn["y"] == pytest.approx(made.values, rel=2e-4)  # of rtol 1e-4
    table = pd.read_csv("response.csv", comment="#")
    if observe:
        last = table[table["TRAIL"] == 1000]["CASP3_active"]
        assert last.max() == pytest.approx(drawn["y"][-1], rel=0.2)  # on the grid
    else:
        end = table[(table["TRAIL"] == 1000) & (table["time"] == 30)]
        dead = 100 * (end["MOMP_fraction"] > 0.5).mean()
        assert dead == pytest.approx(drawn["y"][-1], abs=20)  # some died before TRAIL


def test_the_deaths_of_the_page_its_command_and_its_lines_agree(
    explorer, tmp_path, monkeypatch, capsys
):
    found = told(explorer, "population")
    monkeypatch.chdir(tmp_path)
    run_commands(found.code)
    printed = capsys.readouterr().out
    counted = [words(line) for line in found.said if " die within " in words(line)]
    assert len(counted) == 1
    assert counted[0] in printed
    names = ran(found.code.python)
    died, (low, *_) = names["died"].values, found.picture["data"]
    share = next(t for t in found.picture["data"] if "fill" not in t)
    dead = 100 * np.isfinite(died[died > 0]).mean()
    assert share["y"][-1] == pytest.approx(dead, abs=1e-4)
    n = len(names["dishes"]["after"])
    assert low["y"][:n] == pytest.approx(names["dishes"]["dead_low"].values, abs=1e-3)
    table = pd.read_csv("cells.csv", comment="#")
    last = table[table["time"] == table["time"].max()]
    assert (last["MOMP_fraction"] > 0.5).sum() == (np.isfinite(died)).sum()


def test_the_amounts_of_the_network_its_command_and_its_lines_agree(
    explorer, tmp_path, monkeypatch, capsys
):
    found = told(explorer, "network")
    nodes = found.picture["data"][0]
    drawn = dict(text.rsplit("<br>", 1) for text in nodes["text"])
    monkeypatch.chdir(tmp_path)
    run_commands(found.code)
    assert (tmp_path / "network.svg").stat().st_size > 1000
    ran(found.code.python)
    shown = capsys.readouterr().out
    table = pd.read_csv("network.csv", comment="#")
    middle = table.iloc[round(0.5 * (len(table) - 1))]
    assert len(drawn) > 20
    for label, amount in drawn.items():
        name = label.replace("<br>", "")
        assert middle[name] == pytest.approx(float(amount), rel=6e-3, abs=1e-9)
        assert name in shown


@pytest.mark.parametrize("of", ["", "peak(CASP3_active)"])
def test_the_numbers_of_the_page_its_command_and_its_lines_agree(
    of, explorer, tmp_path, monkeypatch, capsys
):
    found = told(explorer, "parameters", look={"of": of})
    monkeypatch.chdir(tmp_path)
    run_commands(found.code)
    printed = capsys.readouterr().out
    names = ran(found.code.python)
    rows = {row[0]: row for row in found.picture["rows"]}
    if not of:
        frame = names["model"].parameters
        assert list(rows) == [str(name) for name in frame.index]
        assert rows["K_sites"][3] in printed
        return
    sizes = dict(zip(rows, found.picture["sensitivities"], strict=True))
    made = names["result"]["log_derivative"].squeeze()
    top = list(rows)[:5]
    for name in top:
        assert sizes[name] == pytest.approx(float(made.sel(number=name)), rel=6e-3)
        assert name in printed


@pytest.mark.parametrize("view", ["curves", "response", "population", "network"])
def test_the_study_of_each_view_has_its_treatment(view, explorer, tmp_path):
    """One text for all views; its numbers are compared in the view of assays."""
    found = told(explorer, view)
    path = tmp_path / "study.toml"
    path.write_text(found.code.study, encoding="utf-8")
    assert run("study", "check", str(path)) == 0
    assert 'doses = ["anti_miR21=100 nM@0h", "TRAIL=200 ng/ml@24h"]' in found.code.study


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


@pytest.mark.filterwarnings("ignore::mir21sim.errors.FailedRunsWarning")
@pytest.mark.parametrize("view", ["curves", "population", "response", "network"])
@pytest.mark.parametrize("value", ["1e300", "1e-300", "0"])
def test_an_extreme_setting_is_an_answer_or_a_sentence_and_the_next_is_drawn(
    view, value, explorer
):
    found = told(explorer, view, record(numbers=[["k_DISC", "--set", value]]))
    assert "Internal" not in words(found.said)
    assert words(found.said)
    assert (found.picture is None) == ("error" in str(found.said))
    assert told(explorer, view).picture is not None


@pytest.mark.filterwarnings("ignore::mir21sim.errors.FailedRunsWarning")
@pytest.mark.parametrize(
    ("view", "where"), [("population", "No cell could"), ("response", "TRAIL 10, 1000")]
)
def test_dishes_whose_cells_all_fail_are_no_dead_cells(view, where, explorer):
    found = told(explorer, view, record(numbers=[["k_DISC", "--set", "1e300"]]))
    assert found.said[0].className == "error"
    assert where in words(found.said)
    assert "became infinite" in words(found.said)
    assert "nan" not in words(found.said)


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
