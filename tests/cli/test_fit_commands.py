"""The commands ``mir21sim fit …`` from files to files."""

import json

import fit_cases
import numpy as np
import pytest
from commands import run, sentence

import mir21sim as ms

pytest.importorskip("petab")

MODEL = """
model decay
  species A, B; A = 10; B = 0; k1 = 0.5; k2 = 0.2;
  J1: A => B; k1*A;
  J2: B => ; k2*B;
end
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    (folder / "decay.ant").write_text(MODEL)
    table = fit_cases.data()
    table.to_csv(folder / "plate.csv", sep=";", decimal=",", index=False)
    return folder


def fit(folder, *more):
    return run(
        *("fit", str(folder / "plate.csv"), "--model", str(folder / "decay.ant")),
        *("--estimate", "k1,k2", "--observe", "signal=B", "--starts", "1", "--quiet"),
        *("-o", str(folder / "out"), "--draws", "20", *more),
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_plate_with_decimal_commas_is_fitted(folder, capsys):
    assert fit(folder, "--petab", str(folder / "petab")) == 0
    out = capsys.readouterr().out
    assert "Of 3 combinations of parameters, the data alone hold 3" in out
    made = {path.name for path in (folder / "out").iterdir()}
    assert made >= {
        *("parameters.csv", "result.json", "evaluations.log", "ensemble.nc"),
        *("waterfall.png", "parameters.png", "fit.png"),
    }
    draws = ms.Ensemble.load(folder / "out" / "ensemble.nc")
    assert np.median(draws.values[:, 0]) == pytest.approx(0.5, rel=0.1)
    # The same command again reads everything from the log.
    assert fit(folder) == 0
    text = capsys.readouterr().out
    count = next(line for line in text.splitlines() if "evaluations" in line)
    assert count.split()[0] == count.split()[2].strip("(")
    # The written problem is clean and has the likelihood of its own file.
    assert run("fit", "check", str(folder / "petab" / "problem.yaml")) == 0
    assert "error" not in capsys.readouterr().out
    assert run("fit", "llh", str(folder / "petab" / "problem.yaml")) == 0
    assert "log-likelihood" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fit", "check", "nowhere.yaml"), "does not exist"),
        (("fit", "nowhere.csv"), "does not exist"),
    ],
)
def test_a_missing_file_is_one_sentence(folder, capsys, arguments, message):
    more = ("--model", str(folder / "decay.ant"), "--estimate", "k1", "--observe", "B")
    given = arguments if arguments[1] == "check" else (*arguments, *more)
    assert run(*given) == 2
    assert message in sentence(capsys)


def test_fits_are_compared_from_their_folders(tmp_path, capsys):
    for name, llh in (("a", -10.0), ("b", -14.0)):
        (tmp_path / name).mkdir()
        record = {"parameters": 2, "data": 20, "log_likelihood": llh, "data_sha256": ""}
        text = json.dumps({"comparison": record})
        (tmp_path / name / "result.json").write_text(text)
    assert run("fit", "compare", str(tmp_path / "b"), str(tmp_path / "a")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert str(tmp_path / "a") in lines[1]
    assert " 24 " in lines[1]  # AIC = 2·2 + 2·10
    assert run("fit", "compare", str(tmp_path / "a"), str(tmp_path)) == 2
    assert "holds no finished fit" in sentence(capsys)


def test_a_file_that_is_no_problem_is_one_sentence(tmp_path, capsys):
    path = tmp_path / "x.yaml"
    path.write_text("hello: 1\n")
    assert run("fit", "check", str(path)) == 2
    assert "is not a PEtab problem" in sentence(capsys)
