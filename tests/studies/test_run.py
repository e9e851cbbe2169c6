"""Runs of a study: overwriting, stopping and resuming."""

import shutil

import pytest
from small_study import changed, files_of, written

from mir21sim.assays import experiment
from mir21sim.assays.plate import PlateAssay
from mir21sim.errors import InputError, ModelError
from mir21sim.simulation.checkpoint import folder_for
from mir21sim.studies import command as study
from mir21sim.studies import parse as read
from mir21sim.studies import run


def test_the_same_seed_gives_the_same_bytes(done, tmp_path):
    study.run_study(written(tmp_path), tmp_path / "again", backend="numpy")
    one, two = files_of(done), files_of(tmp_path / "again")
    told_when = {"report.html", "provenance.json"}
    assert {k: v for k, v in one.items() if k not in told_when} == {
        k: v for k, v in two.items() if k not in told_when
    }


def test_results_are_not_replaced_unasked(done, tmp_path):
    before = files_of(done)
    with pytest.raises(InputError, match=r"holds results already.*--overwrite"):
        study.run_study(written(tmp_path), done, backend="numpy")
    assert files_of(done) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not lose")
    with pytest.raises(InputError, match="not the results of a study"):
        study.run_study(
            written(tmp_path), tmp_path / "mine", overwrite=True, backend="numpy"
        )
    assert (tmp_path / "mine" / "thesis.txt").is_file()
    with pytest.raises(InputError, match="is a file"):
        run.check_folder(tmp_path / "s.toml")


def test_overwriting_replaces_the_whole_folder(done, tmp_path):
    path = written(tmp_path)
    shutil.copytree(done, tmp_path / "r")
    (tmp_path / "r" / "stale.csv").write_text("old")
    study.run_study(path, tmp_path / "r", overwrite=True, backend="numpy")
    assert not (tmp_path / "r" / "stale.csv").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r", "s.toml"]


class Stopping:
    """A solver of dishes that counts them and stops at one, as asked."""

    def __init__(self, monkeypatch, at=None, error=KeyboardInterrupt):
        self.seen, self.at, self.error = [], at, error
        self.dish = experiment._dish
        monkeypatch.setattr(experiment, "_dish", self)

    def __call__(self, model, cells, sample, *others, **options):
        if len(self.seen) == self.at:
            raise self.error
        self.seen.append(sample.name)
        return self.dish(model, cells, sample, *others, **options)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_a_stopped_study_goes_on_and_ends_with_the_same_bytes(
    done, tmp_path, monkeypatch, stop
):
    path = written(tmp_path)
    with monkeypatch.context() as patch:
        Stopping(patch, at=2, error=stop)
        with pytest.raises(stop):
            study.run_study(path, tmp_path / "r", backend="numpy")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.partial", "s.toml"]
    with monkeypatch.context() as patch:
        rest = Stopping(patch)
        with pytest.raises(InputError, match=r"r\.partial` holds an unfin.*--resume"):
            study.run_study(path, tmp_path / "r", backend="numpy")
        told = []
        study.run_study(
            path,
            tmp_path / "r",
            backend="numpy",
            resume=True,
            progress=lambda cells, total: told.append((cells, total)),
        )
    assert rest.seen == ["anti"]  # the two dishes before it are not run again
    assert told[0] == (12, 36)
    assert told[-1] == (36, 36)
    one, two = files_of(done), files_of(tmp_path / "r")
    told_when = {"report.html", "provenance.json"}
    assert {k: v for k, v in one.items() if k not in told_when} == {
        k: v for k, v in two.items() if k not in told_when
    }
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r", "s.toml"]


def test_only_the_study_that_was_stopped_goes_on(tmp_path, monkeypatch):
    folder = tmp_path / "r"
    with monkeypatch.context() as patch:
        Stopping(patch, at=1)
        with pytest.raises(KeyboardInterrupt):
            study.run_study(written(tmp_path), folder, backend="numpy")
    for old, new, other in (
        ("seed = 3", "seed = 4", "population"),
        ("50 nM", "60 nM", "samples"),
        ('"6 h", 12', '"6 h", 12, 18', "times"),
        ('["PTEN", "PDCD4"]', '["PTEN"]', "quantities"),
    ):
        path = written(tmp_path, changed(old, new))
        with pytest.raises(InputError, match=rf"another study \(other {other}\)"):
            study.run_study(path, folder, backend="numpy", resume=True)
    # How assays read does not decide the cells.
    path = written(tmp_path, changed("seed = 3", 'seed = 3\ntest = "none"'))
    with monkeypatch.context() as patch:
        rest = Stopping(patch)
        study.run_study(path, folder, backend="numpy", resume=True)
        assert rest.seen == ["mimic", "anti"]


def test_a_damaged_dish_is_run_again(tmp_path, monkeypatch, done):
    path, folder = written(tmp_path), tmp_path / "r"
    with monkeypatch.context() as patch:
        Stopping(patch, at=2)
        with pytest.raises(KeyboardInterrupt):
            study.run_study(path, folder, backend="numpy")
    dish = folder_for(folder) / "000001.npz"
    dish.write_bytes(dish.read_bytes()[:-1] + b"\x55")
    with monkeypatch.context() as patch:
        rest = Stopping(patch)
        study.run_study(path, folder, backend="numpy", resume=True)
        assert rest.seen == ["mimic", "anti"]
    assert (folder / run.CELLS).is_file()


def test_starting_anew_uses_no_old_dish(tmp_path, monkeypatch):
    path, folder = written(tmp_path), tmp_path / "r"
    with monkeypatch.context() as patch:
        Stopping(patch, at=2)
        with pytest.raises(KeyboardInterrupt):
            study.run_study(path, folder, backend="numpy")
    with monkeypatch.context() as patch:
        whole = Stopping(patch)
        study.run_study(path, folder, backend="numpy", overwrite=True)
        assert whole.seen == ["control", "mimic", "anti"]


def test_a_stop_before_the_first_dish_leaves_nothing(tmp_path, monkeypatch):
    path = written(tmp_path)
    Stopping(monkeypatch, at=0)
    with pytest.raises(KeyboardInterrupt):
        study.run_study(path, tmp_path / "r", backend="numpy")
    assert [p.name for p in tmp_path.iterdir()] == ["s.toml"]


def test_an_error_after_the_cells_leaves_old_results_and_the_dishes(
    done, tmp_path, monkeypatch
):
    path = written(tmp_path)
    shutil.copytree(done, tmp_path / "r")
    before = files_of(tmp_path / "r")

    def stopped(*_, **__):
        raise RuntimeError

    monkeypatch.setattr(study.report, "render", stopped)
    with pytest.raises(RuntimeError):
        study.run_study(path, tmp_path / "r", overwrite=True, backend="numpy")
    assert files_of(tmp_path / "r") == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r", "r.partial", "s.toml"]


def test_progress_counts_the_cells_of_all_dishes(tmp_path):
    seen = []
    planned = read.plan(written(tmp_path), backend="numpy")
    run.run(planned, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (36, 36)  # 3 samples of 3 dishes of 4 cells


def test_what_an_assay_cannot_read_is_told_by_line_and_costs_no_dish(
    tmp_path, monkeypatch
):
    def nothing(*_, **__):
        raise InputError("The gates leave no cells of `control`.")

    path, folder = written(tmp_path), tmp_path / "r"
    with monkeypatch.context() as patch:
        patch.setattr(PlateAssay, "read", nothing)
        with pytest.raises(ModelError, match=r"s\.toml, line 26: The gates leave no"):
            study.run_study(path, folder, backend="numpy")
    rest = Stopping(monkeypatch)
    study.run_study(path, folder, backend="numpy", resume=True)
    assert rest.seen == []
    assert (folder / run.REPORT).is_file()
