"""A run as a COMBINE archive: other tools read it, run it and get the same numbers."""

import importlib.util
import io
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import support

import mir21sim as ms
from mir21sim.errors import InputError, ModelError
from mir21sim.simulation.options import Options

OBSERVED = ["CASP3_a", "[PTEN]", "PTEN_total", "K_AGO2"]
DOSES = ["anti_miR21=100 nM@0h", "TRAIL=50 ng/ml@12h"]


@pytest.fixture(scope="module")
def model():
    return ms.load("mir21_core", "MCF-7", backend="numpy")


@pytest.fixture(scope="module")
def result(model):
    return ms.simulate(
        model, "24 h", points=49, doses=DOSES, observe=OBSERVED,
        options=Options(method="BDF", rtol=1e-9),
    )  # fmt: skip


@pytest.fixture(scope="module")
def files(model, result, tmp_path_factory):
    path = ms.save_archive(result, model, tmp_path_factory.mktemp("a") / "run.omex")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()}


def told(files, folder):
    """Return the experiment of an archive as libSEDML reads it."""
    if importlib.util.find_spec("libsedml") is None:
        pytest.skip("libSEDML reads SED-ML; extra `dev`")
    path = folder / "simulation.sedml"
    path.write_text(files["simulation.sedml"], encoding="utf-8")
    reader = str(Path(__file__).parents[1] / "data" / "read_sedml.py")
    done = subprocess.run(
        [sys.executable, reader, str(path)], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert found["errors"] == 0
    return found


@pytest.fixture(scope="module")
def sedml(files, tmp_path_factory):
    return told(files, tmp_path_factory.mktemp("s"))


def test_the_manifest_lists_what_is_there(files):
    entries = ET.fromstring(files["manifest.xml"])
    listed = {entry.get("location").removeprefix("./") for entry in entries}
    assert listed - {"."} == set(files)
    assert [e.get("location") for e in entries if e.get("master") == "true"] == [
        "./simulation.sedml"
    ]


def test_the_table_is_the_result(files, result):
    table = pd.read_csv(io.StringIO(files["result.csv"]))
    np.testing.assert_array_equal(table["CASP3_a"], result["CASP3_a"])


def test_an_archive_of_a_result_is_always_the_same(model, result, tmp_path):
    paths = [ms.save_archive(result, model, tmp_path / f"{i}.omex") for i in "ab"]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_the_experiment_says_times_method_and_tolerances(sedml):
    assert (sedml["start"], sedml["end"], sedml["steps"]) == (0.0, 24 * 3600.0, 48)
    assert sedml["algorithm"] == "KISAO:0000288"
    assert sedml["settings"]["KISAO:0000209"] == 1e-9
    assert sedml["outputs"] == 2


def run_as_told(sedml, files):
    """Run an archive by libRoadRunner, knowing nothing but what is in it."""
    roadrunner = pytest.importorskip("roadrunner", reason="runs it; extra `bench`")
    roadrunner.Logger.setLevel(roadrunner.Logger.LOG_FATAL)
    runner = roadrunner.RoadRunner(files[sedml["source"]])
    integrator = runner.getIntegrator()
    integrator.setValue("relative_tolerance", sedml["settings"]["KISAO:0000209"])
    integrator.setValue("absolute_tolerance", sedml["settings"]["KISAO:0000211"])
    integrator.setValue("maximum_num_steps", 1_000_000)
    ids = {
        name: target.split("'")[1] if "'" in target else "time"
        for generator in sedml["generators"].values()
        for name, target in generator["variables"].items()
    }
    table = runner.simulate(
        sedml["start"], sedml["end"], sedml["steps"] + 1, list(ids.values())
    )
    return reports(sedml, dict(zip(ids, np.array(table).T, strict=True)))


def reports(sedml, columns):
    """Return the values of the data generators, by label of the report."""
    found = {}
    for label, key in sedml["report"].items():
        formula = support.expr(sedml["generators"][key]["formula"])
        rows = zip(*columns.values(), strict=True)
        envs = (dict(zip(columns, row, strict=True)) for row in rows)
        found[label] = np.array([support.value(formula, env).real for env in envs])
    return found


def test_another_tool_that_runs_the_archive_gets_the_same_numbers(sedml, files, result):
    got = run_as_told(sedml, files)
    np.testing.assert_allclose(got["time"], result["time"], rtol=1e-12)
    for name in OBSERVED:
        wanted = result[name].values
        np.testing.assert_allclose(
            got[name], wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max(), err_msg=name
        )


def test_concentrations_and_rates_have_their_formula(tmp_path):
    net = support.network(
        {"A": 8.0}, {"k": 0.5}, [support.reaction("r1", "A ->", "k*A")], size=2.0
    )
    net = replace(
        net, species=tuple(replace(s, only_amount=False) for s in net.species)
    )
    small = support.compiled(net)
    result = ms.simulate(small, 2.0, points=5, observe=["A", "[A]", "r1", "k", "cell"])
    path = ms.save_archive(result, small, tmp_path / "run.omex")
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    sedml = told(files, tmp_path)
    columns = {
        "v_A": result["A"].values / 2.0,  # in SBML its id is a concentration
        "v_cell": np.full(5, 2.0), "v_k": np.full(5, 0.5),
        "v_r1": result["r1"].values, "t": np.linspace(0.0, 2.0, 5),
    }  # fmt: skip
    got = reports(sedml, columns)
    for name in ("time", "A", "[A]", "r1", "k", "cell"):
        np.testing.assert_allclose(got[name], result[name], rtol=1e-12, err_msg=name)


# ------------------------------------------------------------------------- bad input
def test_a_sweep_is_refused(model, tmp_path):
    swept = ms.sweep(
        model, {"K_AGO2": [10.0, 20.0]}, "1 h", points=3, observe=["PTEN"], doses=[]
    )
    with pytest.raises(InputError, match="holds one run, not a sweep"):
        ms.save_archive(swept, model, tmp_path / "run.omex")


def test_another_model_is_refused(result, tmp_path):
    with pytest.raises(ModelError, match="made with another model"):
        ms.save_archive(result, support.compiled(support.DECAY), tmp_path / "run.omex")


def test_unequal_times_are_refused(tmp_path):
    small = support.compiled(support.DECAY)
    result = ms.simulate(small, times=[0.0, 1.0, 3.0])
    with pytest.raises(InputError, match="equally spaced"):
        ms.save_archive(result, small, tmp_path / "run.omex")


def test_another_ending_is_refused(model, result, tmp_path):
    with pytest.raises(InputError, match=r"must end in \.omex"):
        ms.save_archive(result, model, tmp_path / "run.zip")
