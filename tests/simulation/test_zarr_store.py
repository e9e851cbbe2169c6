"""Results as zarr folders: the same numbers, one move, and strangers' folders."""

import json
import sys

import numpy as np
import pytest

import mir21sim as ms
from mir21sim.errors import InputError
from mir21sim.simulation import dataset, zarr_store
from mir21sim.simulation.checkpoint import PartialResults, folder_for

pytest.importorskip("zarr", reason="the extra `zarr` is not installed")

OVER = {"L": [0, 10, 50]}
CALL = {"end": "1h", "points": 7, "observe": ["C8", "[XIAP]"]}


@pytest.fixture(scope="module")
def model():
    return ms.load("earm_1_3", backend="numpy")


@pytest.fixture(scope="module")
def result(model):
    return ms.sweep(model, OVER, **CALL)


@pytest.fixture
def folder(result, model, tmp_path):
    return ms.save(result, tmp_path / "r.zarr", model)


def test_a_folder_gives_back_the_result_and_its_model(folder, result, model):
    found = ms.open(folder)
    assert set(found.variables) == set(result.variables)
    for name, variable in result.variables.items():
        np.testing.assert_array_equal(found[name].values, variable.values)
        assert found[name].attrs.get("units") == variable.attrs.get("units")
    assert found.attrs["provenance"] == result.attrs["provenance"]
    assert dataset.read_source(folder) == dict(model.source)


def test_a_sweep_into_a_folder_can_be_run_again(model, result, tmp_path):
    path = tmp_path / "s.zarr"
    made = ms.sweep(model, OVER, output=path, **CALL)
    np.testing.assert_array_equal(made["C8"].values, result["C8"].values)
    assert ms.rerun(path)[1] == 0.0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.zarr"]


def test_a_stopped_sweep_goes_on_and_replaces_the_folder(model, tmp_path):
    path, many = tmp_path / "s.zarr", {"L": np.linspace(0, 50, 20)}
    whole = ms.sweep(model, many, **CALL)

    def stop(done, _):
        if done >= 8:
            raise KeyboardInterrupt

    options = ms.Options(progress=stop)
    with pytest.warns(ms.errors.FailedRunsWarning, match="runs are finished and kept"):
        ms.sweep(model, many, output=path, options=options, **CALL)
    assert folder_for(path).is_dir()
    made = ms.sweep(model, many, output=path, resume=True, **CALL)
    np.testing.assert_array_equal(made["C8"].values, whole["C8"].values)
    assert not folder_for(path).exists()


def test_numbers_of_a_running_sweep_lie_on_the_disk(model, tmp_path, monkeypatch):
    seen = []

    def keep(self, runs):
        seen.append(self.results.values)
        return kept(self, runs)

    kept = PartialResults.keep
    monkeypatch.setattr(PartialResults, "keep", keep)
    ms.sweep(model, OVER, output=tmp_path / "s.zarr", **CALL)
    ms.sweep(model, OVER, output=tmp_path / "s.nc", **CALL)
    assert [isinstance(values, np.memmap) for values in seen] == [True, False]


def edited(folder, name, **changes):
    """Change the metadata of one array."""
    place = folder / name / "zarr.json"
    about = json.loads(place.read_text())
    place.write_text(json.dumps(about | changes))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: edited(f, "C8", data_type="string"), "type 'string', not numbers"),
        (lambda f: edited(f, "C8", codecs=[{"name": "numcodecs.pickle"}]), "pickle"),
        (lambda f: edited(f, "C8", codecs={"name": "bytes"}), "codec"),
        (lambda f: edited(f, "C8", shape=[10**9, 10**6]), "GiB of numbers, which"),
        (lambda f: edited(f, "C8", shape=[3, -7]), r"shape \[3, -7\]"),
        (lambda f: edited(f, "C8", zarr_format=2), "not of zarr format 3"),
        (lambda f: edited(f, "C8", storage_transformers=[1]), "storage transformers"),
        (lambda f: edited(f, ".", consolidated_metadata={"a": 1}), "consolidated"),
        (lambda f: (f / "C8" / "zarr.json").write_text("{"), "is not JSON"),
        (lambda f: (f / "C8" / ".zarray").write_text("{}"), "zarr format 2"),
        (lambda f: (f / "zarr.json").unlink(), "no zarr.json"),
        (lambda f: (f / "x").symlink_to("/"), "is a link"),
        (lambda f: edited(f, "status", shape=[4]), "cannot be read|conflicting sizes"),
        (
            lambda f: edited(f, "message", attributes={"mir21sim_texts": "[]"}),
            "points beyond its texts",
        ),
    ],
)
def test_a_strangers_folder_is_refused_in_one_sentence(folder, change, said):
    change(folder)
    with pytest.raises(InputError, match=said):
        ms.open(folder)


def test_a_folder_that_is_no_result_is_not_replaced(result, model, tmp_path):
    own = tmp_path / "mine.zarr"
    own.mkdir()
    (own / "thesis.txt").write_text("years")
    with pytest.raises(InputError, match="is no zarr folder"):
        ms.save(result, own, model)
    assert (own / "thesis.txt").read_text() == "years"
    with pytest.raises(InputError, match="does not exist"):
        ms.open(tmp_path / "none.zarr")


def test_without_zarr_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(InputError, match=r'pip install "mir21sim\[zarr\]"'):
        zarr_store.check_place(tmp_path / "a.zarr")
