"""The packs of SBML cases, judged: nothing wrong, and what is refused is listed.

The packs are no part of this repository: they are looked for in the folder that
``$MIR21SIM_SUITES`` names, or in ``../shared/suites``. By default every tenth case of
the SBML Test Suite is run; ``pytest --suite`` runs all of them.
"""

import csv
import importlib.util
import os
import sys
import tarfile
from pathlib import Path

import pytest
import sbml_adapter

HERE = Path(__file__).parent
SUITES = Path(
    os.environ.get("MIR21SIM_SUITES") or HERE.parents[1] / "shared" / "suites"
)
PACKS = ("sbml_open", "biomodels_open")
TRAPS = {"BIOMD0000000424": "fast reaction", "BIOMD0000000841": "delay"}
EVERY = 10

pytestmark = [
    pytest.mark.suite,
    pytest.mark.skipif(
        not all((SUITES / f"{name}.tar.xz").is_file() for name in PACKS),
        reason=f"no packs of SBML cases in {SUITES}; set MIR21SIM_SUITES",
    ),
]


@pytest.fixture(scope="module")
def judge():
    spec = importlib.util.spec_from_file_location(
        "sbml_judge", SUITES / "sbml_judge.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packs")
    for name in PACKS:
        with tarfile.open(SUITES / f"{name}.tar.xz") as archive:
            archive.extractall(folder, filter="data")
    return folder


def refused():
    """Return the cases that are refused: id to the feature that the message names."""
    with (HERE / "sbml_refused.tsv").open(encoding="utf-8", newline="") as file:
        return {
            row["id"]: row["feature"] for row in csv.DictReader(file, delimiter="\t")
        }


def judged(judge, cases, timeout):
    return judge.run(cases, sbml_adapter.simulate, timeout=timeout, jobs=2)


def failures(verdicts, known=()):
    return {
        name: f"{verdict.status}: {verdict.detail}"
        for name, verdict in verdicts.items()
        if verdict.status != "pass"
        and not (verdict.status == "unsupported" and name in known)
    }


def time_courses(judge, folder):
    return [c for c in judge.discover(folder) if c.test_type == "TimeCourse"]


def test_sbml_cases_pass_or_are_refused_by_name(judge, packs, request, capsys):
    cases = time_courses(judge, packs / "sbml_open")
    known = refused()
    assert known.keys() <= {case.id for case in cases}
    if not request.config.getoption("--suite"):
        cases = cases[::EVERY]
    verdicts = judged(judge, cases, 60.0)
    assert failures(verdicts, known) == {}
    listed = {case.id for case in cases} & known.keys()
    declined = {n for n, verdict in verdicts.items() if verdict.status == "unsupported"}
    assert declined == listed, "a listed case is no longer refused: strike it out"
    for name in declined:
        assert known[name] in verdicts[name].detail, name
    weak = {c.id for c in cases if judge.accepts(c, "first row repeated")}
    for label, some in (("all", {c.id for c in cases}), ("without weak", None)):
        counted = (some or {c.id for c in cases} - weak) & verdicts.keys()
        passed = sum(verdicts[name].status == "pass" for name in counted)
        with capsys.disabled():  # a figure to read, not only to hold
            print(  # noqa: T201
                f"\nSBML cases, {label}: {passed} of {len(counted)} pass", end=""
            )
        assert passed >= 0.95 * len(counted)


def test_biomodels_follow_their_reference_tables(judge, packs):
    cases = time_courses(judge, packs / "biomodels_open")
    assert len(cases) == 27
    assert failures(judged(judge, cases, 300.0)) == {}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_model_that_cannot_be_meant_is_refused(packs, trap):
    (path,) = (packs / "biomodels_open" / "traps").rglob(f"{trap}*.xml")
    with pytest.raises(NotImplementedError, match=TRAPS[trap]):
        sbml_adapter.load(path)
