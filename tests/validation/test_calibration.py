"""The calibration of the shipped model: its problem, and mistakes in it."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mir21sim.errors import InputError, ModelError, SolverStatus
from mir21sim.model import files
from mir21sim.validation import row_runs
from mir21sim.validation.calibration import (
    UNLIKE,
    average_cells_die,
    live,
    unlike_cells,
)
from mir21sim.validation.calibration_problem import write_problem
from mir21sim.validation.calibration_reader import read_calibration

pytest.importorskip("petab")

FOLDER = files.models_folder() / "mir21_apoptosis.petab"


@pytest.fixture
def problem(tmp_path):
    """Return a copy of the problem, and a function that changes one of its tables."""
    models = tmp_path / "models"
    shutil.copytree(FOLDER, models / FOLDER.name)
    shutil.copytree(files.models_folder() / "validation", models / "validation")

    def change(name, old, new):
        path = models / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return models / FOLDER.name / "problem.yaml"

    return change


def test_the_shipped_problem_is_that_of_the_model(tmp_path):
    made = write_problem("mir21_apoptosis", tmp_path / "problem")
    for name in ("parameters.tsv", "rows.tsv", "lines.tsv", "measurements.tsv"):
        there = (FOLDER / name).read_text(encoding="utf-8")
        assert (made.parent / name).read_text(encoding="utf-8") == there, name


def test_rows_and_numbers_are_read():
    found = read_calibration(FOLDER / "problem.yaml")
    assert all(row.use == "fit" for row in found.rows)
    assert "NEUR" in found.left_out
    assert len(found.names) == len(found.sd) == len(found.statuses)
    assert "HeLa" in found.lines


def test_a_draw_is_left_out_where_an_average_cell_survives_a_lethal_dose():
    """Numbers as they are, or a thousandth of the synthesis of caspase-8."""
    read = read_calibration(FOLDER / "problem.yaml")
    assert "MCF-7" in read.dies
    problem = replace(read, dies=("HeLa", "MCF-7"))
    z = np.zeros((2, len(problem.names)))
    place = problem.names.index("k_syn_CASP8")
    z[1, place] = np.log(1e-3) / problem.sd[place]
    assert average_cells_die(problem, z).tolist() == [True, False]


def test_a_test_row_in_a_fit_is_refused(problem):
    path = problem(
        "mir21_apoptosis.petab/rows.tsv", "COPY-Bid\tyes", "ALB-TD-1000\tyes"
    )
    with pytest.raises(InputError, match="`ALB-TD-1000` has the use `test`"):
        read_calibration(path)


def test_a_row_that_is_not_listed_is_named(problem):
    path = problem("mir21_apoptosis.petab/rows.tsv", "COPY-Bid\tyes\t\n", "")
    with pytest.raises(InputError, match="`COPY-Bid` has the use `fit`"):
        read_calibration(path)


def test_a_row_left_out_needs_a_reason(problem):
    path = problem("mir21_apoptosis.petab/rows.tsv", "COPY-Bid\tyes", "COPY-Bid\tno")
    with pytest.raises(InputError, match="without a reason"):
        read_calibration(path)


def test_a_prior_that_excludes_the_value_is_refused(problem):
    name = "mir21_apoptosis.petab/parameters.tsv"
    line = next(
        row
        for row in (FOLDER / "parameters.tsv").read_text("utf-8").splitlines()
        if row.startswith("k_tx_miR21\t")
    )
    prior = line.split("\t")[-1]
    path = problem(name, line, line.replace(prior, f"9.0;{prior.split(';')[1]}"))
    with pytest.raises(InputError, match="prior of `k_tx_miR21` excludes its value"):
        read_calibration(path)


def test_a_file_without_the_extension_is_refused(tmp_path):
    path = Path(tmp_path / "problem.yaml")
    path.write_text("format_version: 2.0.0\n", encoding="utf-8")
    with pytest.raises(InputError, match="no extension `mir21sim`"):
        read_calibration(path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (",fit,", ",,", "`COPY-Bid` has no use; give one of fit, test, context"),
        (",molecule,", ",,", "`COPY-Bid` has no unit; give one of molecule, "),
        (",fit,", ",fitted,", "use must be fit, test or context, got `fitted`"),
        (",molecule,", ",molecules,", "unknown unit `molecules`"),
    ],
)
def test_rows_without_use_or_unit_are_refused(problem, old, new, words):
    name = "validation/observations.csv"
    text = (files.models_folder() / name).read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith("COPY-Bid,"))
    with pytest.raises(ModelError, match=rf"observations.csv, line \d+: {words}"):
        read_calibration(problem(name, row, row.replace(old, new, 1)))


def test_cells_without_a_result_are_counted_and_do_not_count_as_living(monkeypatch):
    problem = replace(read_calibration(FOLDER / "problem.yaml"), lines=("MCF-7",))
    draws, solve = np.zeros((2, len(problem.names))), row_runs.solve

    def solve_all_but_two(model, runs, settings, workers):
        solution, interrupted = solve(model, runs, settings, workers)
        solution.status[UNLIKE : UNLIKE + 2] = SolverStatus.MAX_STEPS
        return solution, interrupted

    monkeypatch.setattr(row_runs, "solve", solve_all_but_two)
    dead, failed = unlike_cells(problem, draws)
    assert dead.tolist() == [[0], [0]]
    assert failed.tolist() == [[0], [2]]  # the second draw lost its first two cells
    assert live(dead + failed).tolist() == [True, False]
