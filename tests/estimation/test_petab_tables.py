"""Faults in the tables of a PEtab problem: one sentence with file, line or name."""

import pytest
from petab_texts import PARAMETERS, PROBLEM

from mir21sim.errors import InputError, UnsupportedFeatureError
from mir21sim.estimation.engine import Engine
from mir21sim.estimation.objective import Objective
from mir21sim.estimation.petab_check import check
from mir21sim.estimation.petab_read import read_petab
from mir21sim.model.convert import convert

pytest.importorskip("petab")
pytestmark = pytest.mark.filterwarnings("ignore")  # of petab and pandas

ANTIMONY = """
model decay
  species A; A = 1; k = 0.5; s = 1
  r := s*k
  A -> ; r*A
end
"""
FILES = {
    "p.yaml": PROBLEM,
    "par.tsv": PARAMETERS + "k\tlog10\t0.01\t10\t0.5\t1\nsd\tlin\t0\t1\t0.1\t0\n",
    "cond.tsv": "conditionId\ts\nc1\t1\nc2\t2\n",
    "obs.tsv": "observableId\tobservableFormula\tnoiseFormula\no\tA\t"
    "noiseParameter1_o\n",
    "meas.tsv": "observableId\tsimulationConditionId\ttime\tmeasurement\t"
    "noiseParameters\no\tc1\t1\t0.6\tsd\no\tc2\t1\t0.4\tsd\n",
}


@pytest.fixture(scope="module")
def sbml(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "decay.ant"
    path.write_text(ANTIMONY)
    return convert(path, path.with_suffix(".xml")).read_text()


@pytest.fixture
def problem(tmp_path, sbml):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "m.xml").write_text(sbml)
    return tmp_path / "p.yaml"


def evaluated(path):
    read = read_petab(path, "numpy")
    return Objective(read, Engine.of(read.model))


def test_the_problem_itself_has_no_fault(problem):
    found, remarks = check(problem, "numpy")
    assert found is not None
    assert not [r for r in remarks if r.severity != "note"]


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("meas.tsv", "\tmeasurement", "\tmesurement", "no column `measurement`"),
        ("meas.tsv", "\t0.6\t", "\tabc\t", "got `abc` (line 2"),
        ("meas.tsv", "c2\t1\t", "c2\tlater\t", "got `later` (line 3"),
        ("meas.tsv", "c2\t", "c7\t", "Unknown condition `c7`"),
        ("meas.tsv", "0.4\tsd", "0.4\tsx", "formula of data row 2: `sx`"),
        ("par.tsv", "0.5\t1", "half\t1", "got `half` (line 2"),
        ("par.tsv", "0.5\t1", "0.5\tyes", "`estimate` must be 0 or 1, got `yes`"),
        ("par.tsv", "log10", "log2", "The scale of `k` is `log2`"),
        ("par.tsv", "0.01\t10", "20\t10", "bounds of `k` are 20 and 10"),
        ("par.tsv", "0.01\t10", "-1\t10", "lower bound of `k` is -1"),
        ("par.tsv", "0.5\t1", "-0.5\t1", "nominal value of `k` is -0.5"),
        ("par.tsv", "sd\t", "k\t", "`k` stands twice"),
        ("cond.tsv", "c2", "c1", "`c1` stands twice"),
        ("cond.tsv", "\ts\n", "\tr\n", "a rule of the model defines it"),
        ("cond.tsv", "c2\t2", "c2\tzz", "formula of `s`: `zz`"),
        ("obs.tsv", "\tA\t", "\tA+*A\t", "is not a formula"),
        ("obs.tsv", "\tA\t", "\tB\t", "Unknown name in a formula `B`"),
        ("obs.tsv", FILES["obs.tsv"], "", "is empty"),
        ("meas.tsv", FILES["meas.tsv"].partition("\n")[2], "", "no data rows"),
        ("par.tsv", FILES["par.tsv"], "a,b\n1,2\n", "separated by tabs"),
        ("p.yaml", "  observable_files: [obs.tsv]\n", "", "names no observable table"),
        ("p.yaml", "cond.tsv", "nope.tsv", "nope.tsv` does not exist"),
        ("p.yaml", "format_version: 1\n", "", "needs the line `format_version"),
        ("p.yaml", "problems:", "problems: [", "is not a PEtab problem"),
    ],
)
def test_a_fault_is_named_in_one_line(problem, file, old, new, words):
    path = problem.parent / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises((InputError, UnsupportedFeatureError)) as caught:
        evaluated(problem)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


FILES_2 = {
    "p.yaml": "format_version: 2.0.0\nparameter_files: [par.tsv]\n"
    "model_files: {m: {location: m.xml, language: sbml}}\n"
    "measurement_files: [meas.tsv]\nobservable_files: [obs.tsv]\n"
    "condition_files: [cond.tsv]\nexperiment_files: [exp.tsv]\n",
    "par.tsv": "parameterId\tlowerBound\tupperBound\tnominalValue\testimate\n"
    "k\t0.01\t10\t0.5\ttrue\n",
    "cond.tsv": "conditionId\ttargetId\ttargetValue\nc1\ts\t1\nc2\ts\t2\n",
    "exp.tsv": "experimentId\ttime\tconditionId\ne1\t0\tc1\ne2\t0\tc2\n",
    "obs.tsv": "observableId\tobservableFormula\tnoiseFormula\tnoiseDistribution\n"
    "o\tA\t0.1\tnormal\n",
    "meas.tsv": "observableId\texperimentId\ttime\tmeasurement\no\te1\t1\t0.6\n"
    "o\te2\t1\t0.4\n",
}


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("meas.tsv", "0.6", "abc", "got `abc` (line 2"),
        ("meas.tsv", "e2", "e7", "Unknown experiment `e7`"),
        ("exp.tsv", "c2", "c7", "Unknown condition `c7`"),
        ("exp.tsv", "0\tc2", "now\tc2", "got `now` (line 3"),
        ("cond.tsv", "c2\ts", "c2\tr", "a rule of the model defines it"),
        ("cond.tsv", "s\t2", "s\t2+*", "`targetValue`: Error parsing '2+*'"),
        ("par.tsv", "true", "maybe", "`estimate` must be true or false"),
        ("par.tsv", "0.01\t", "20\t", "bounds of `k` are 20 and 10"),
        ("obs.tsv", "normal", "gauss", "(got `gauss`)"),
        ("p.yaml", "language: sbml", "language: pysb", "`language: pysb`"),
    ],
)
def test_a_fault_of_version_2_is_named_in_one_line(problem, file, old, new, words):
    for name, text in FILES_2.items():
        (problem.parent / name).write_text(text)
    assert evaluated(problem).n_free == 1
    path = problem.parent / file
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises((InputError, UnsupportedFeatureError)) as caught:
        evaluated(problem)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(problem):
    (problem.parent / "meas.tsv").unlink()
    found, (remark,) = check(problem, "numpy")
    assert found is None
    assert "measurement table" in remark.message
