"""What a study predicts over parameter sets, beside its replicates."""

import numpy as np
import pandas as pd
import pytest

import mir21sim as ms
from mir21sim.analysis.set_bands import of_halves
from mir21sim.assays.prediction import with_prediction
from mir21sim.errors import InputError
from mir21sim.studies import command, report

STUDY = """
model = "mir21_core"
context = "HeLa"
times = [24]
replicates = 2
[population]
cells = 4
[[samples]]
name = "control"
[[samples]]
name = "anti-miR-21"
doses = ["anti_miR21=100 nM@0h"]
[[assays]]
kind = "western"
proteins = ["PTEN"]
"""


def written(folder):
    path = folder / "s.toml"
    path.write_text(STUDY)
    return path


def sets_of(first):
    """Return a function that gives three sets, which differ in one number."""

    def choose(model):
        own = model.p0[model.param_names.index("k_deg_PTEN")]
        return ms.Ensemble(("k_deg_PTEN",), own * np.array([[first], [1.0], [2.0]]))

    return choose


def test_the_variance_of_the_numbers_is_left_when_that_of_cells_is_taken_out():
    """1,000 sets with sd 2 between them, and halves of cells with sd 3 about each."""
    rng = np.random.default_rng(5)
    sets = 10 + 2 * rng.standard_normal(1000)
    halves = sets + 3 * rng.standard_normal((2, 1000))
    middle, drawn = of_halves(*halves[..., np.newaxis])
    assert middle[0] == pytest.approx(10, abs=0.3)
    assert drawn.std(ddof=1) == pytest.approx(2, rel=0.08)
    assert halves.mean(axis=0).std(ddof=1) > 2.7  # what it was before


def test_sets_that_could_not_be_read_are_left_out_and_one_alone_has_no_band():
    read = np.array([[1.0, np.nan], [2.0, np.nan], [3.0, 1.0]])
    middle, drawn = of_halves(read, read)
    assert middle[0] == pytest.approx(2.0)
    assert drawn[:, 0] == pytest.approx([1.0, 2.0, 3.0])
    assert np.isnan(middle[1])
    assert np.isnan(drawn[:, 1]).all()


@pytest.fixture(scope="module")
def predicted(tmp_path_factory):
    """The small study over three sets that differ in one number; study and folder."""
    folder = tmp_path_factory.mktemp("predicted")
    done = command.run_study(written(folder), folder / "results", choose=sets_of(0.5))
    return done, folder


def test_replicates_stay_those_of_the_models_own_numbers(predicted, tmp_path):
    made, folder = predicted
    command.run_study(written(tmp_path), tmp_path / "results")
    raw = "results/western/raw.csv"
    assert (folder / raw).read_bytes() == (tmp_path / raw).read_bytes()
    assert made.prediction.n_sets == 3


def test_each_reading_has_a_band_that_holds_its_mean(predicted):
    made, folder = predicted
    for read in made.reads:
        found = read.predicted
        assert len(found) == len(read.reading.summary)
        assert (found["low"] <= found["mean"] + 1e-12).all()
        assert (found["mean"] <= found["high"] + 1e-12).all()
        table = pd.read_csv(folder / "results" / read.table.title / "predicted.csv")
        assert list(table["mean"]) == pytest.approx(list(found["mean"]))


def test_page_and_terminal_say_what_is_imitated_and_what_is_predicted(predicted):
    made, folder = predicted
    page = (folder / "results" / "report.html").read_text()
    assert "predicted (95 %)" in page
    assert "imitate a measurement" in page
    text = command.study_text(made)
    assert "predicted: mean (95 %) over 3 parameter sets, without noise." in text
    tables = [line for line in text.splitlines() if "  " in line]
    assert max(map(len, tables)) <= 80


def test_a_prediction_of_other_groups_is_refused():
    summary = pd.DataFrame({"sample": ["a", "b"], "mean": [1.0, 2.0], "sd": [0.1, 0.1]})
    found = pd.DataFrame({"sample": ["a", "c"], "mean": 1.0, "low": 0.0, "high": 2.0})
    with pytest.raises(InputError, match="other groups"):
        with_prediction(summary, found)


def test_a_study_that_stopped_is_not_resumed_with_other_sets(tmp_path, monkeypatch):
    path, folder = written(tmp_path), tmp_path / "r"

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("mir21sim.studies.run.predicted_reading", stop)

    with pytest.raises(KeyboardInterrupt):
        command.run_study(path, folder, choose=sets_of(0.5))
    with pytest.raises(InputError, match="ensemble"):
        command.run_study(path, folder, choose=sets_of(0.6), resume=True)


def test_short_tables_drop_what_is_alike_in_all_groups(predicted):
    made, _ = predicted
    for read in made.reads:
        table = report.short_table(read)
        assert "n" not in table.titles
        assert table.titles[-1] in ("predicted (95 %)", "of control", "p")
