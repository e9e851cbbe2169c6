"""The packs of SBML cases, judged: none is wrong, and each refusal is listed.

The packs are those of ``packs``. By default every tenth case of
the SBML Test Suite is run; ``pytest --suite`` runs all of them. The judge runs in a
process of its own, with one thread for linear algebra: two simulators side by side
would else wait for each other.
"""

import csv
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sbml_adapter
import support
from packs import SUITES

HERE = Path(__file__).parents[1]
JUDGE = SUITES / "sbml_judge.py"
PACKS = ("sbml_open", "biomodels_open")
TRAPS = {"BIOMD0000000424": "fast reaction"}
EVERY = 10

pytestmark = [
    pytest.mark.suite,
    pytest.mark.slow,
    pytest.mark.skipif(
        not all((SUITES / f"{name}.tar.xz").is_file() for name in PACKS),
        reason=f"no packs of SBML cases in {SUITES}; set MIR21SIM_SUITES",
    ),
]


@pytest.fixture(scope="module")
def judge():
    """Return the judge as a module, to find the cases and to know the weak ones."""
    spec = importlib.util.spec_from_file_location("sbml_judge", JUDGE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packs")
    for name in PACKS:
        support.unpack(SUITES / f"{name}.tar.xz", folder)
    return folder


def refused():
    """Return the cases that are refused: id to the feature that the message names."""
    with (HERE / "data" / "sbml_refused.tsv").open(
        encoding="utf-8", newline=""
    ) as file:
        return {
            row["id"]: row["feature"] for row in csv.DictReader(file, delimiter="\t")
        }


def verdicts(pack, cases, folder, timeout):
    """Judge cases by `sbml_adapter` and return {id: verdict}."""
    ids, report = folder / "ids.txt", folder / "report.json"
    ids.write_text("\n".join(case.id for case in cases), encoding="utf-8")
    arguments = ["--ids", ids, "--timeout", timeout, "--jobs", 2, "--json", report]
    paths = [str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, JUDGE, pack, "sbml_adapter:simulate", *map(str, arguments)],
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(report.read_text(encoding="utf-8"))["cases"]


def failures(found, known=()):
    """Return the cases that neither passed nor were refused as listed."""
    return {
        name: f"{verdict['status']}: {verdict['detail']}"
        for name, verdict in found.items()
        if verdict["status"] != "pass"
        and not (verdict["status"] == "unsupported" and name in known)
    }


def time_courses(judge, folder):
    return [case for case in judge.discover(folder) if case.test_type == "TimeCourse"]


def test_sbml_cases_pass_or_are_refused_by_name(
    judge, packs, request, tmp_path, capsys
):
    cases = time_courses(judge, packs / "sbml_open")
    known = refused()
    assert known.keys() <= {case.id for case in cases}
    if not request.config.getoption("--suite"):
        cases = cases[::EVERY]
    found = verdicts(packs / "sbml_open", cases, tmp_path, 120)
    assert failures(found, known) == {}
    declined = {n for n, verdict in found.items() if verdict["status"] == "unsupported"}
    listed = {case.id for case in cases} & known.keys()
    assert declined == listed, "a case on the list is no longer refused: strike it out"
    for name in declined:
        assert known[name] in found[name]["detail"], name
    weak = {case.id for case in cases if judge.accepts(case, "first row repeated")}
    for label, some in (("all", found), ("that can fail", found.keys() - weak)):
        passed = sum(found[name]["status"] == "pass" for name in some)
        with capsys.disabled():  # a figure to read, not only to hold
            print(f"\nSBML cases, {label}: {passed} of {len(some)} pass")  # noqa: T201
        assert passed >= 0.95 * len(some)


def test_biomodels_follow_their_reference_tables(judge, packs, tmp_path):
    cases = time_courses(judge, packs / "biomodels_open")
    assert len(cases) == 27
    assert failures(verdicts(packs / "biomodels_open", cases, tmp_path, 300)) == {}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_model_that_cannot_be_meant_is_refused(packs, trap):
    (path,) = (packs / "biomodels_open" / "traps").rglob(f"{trap}*.xml")
    with pytest.raises(NotImplementedError, match=TRAPS[trap]):
        sbml_adapter.load(path)
