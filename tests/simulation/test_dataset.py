"""Result files: round trip, damage, and running again."""

import numpy as np
import pytest
import xarray as xr

import mir21sim as ms
from mir21sim.errors import InputError, ModelError
from mir21sim.simulation import dataset as results


@pytest.fixture(scope="module")
def model():
    return ms.load("earm_1_3", backend="numpy")


@pytest.fixture(scope="module")
def swept(model):
    return ms.sweep(
        model, {"XIAP": [1e4, 1e5], "L": [0, 10, 50]}, "1 h", points=7, observe=["C8"]
    )


@pytest.fixture
def saved(model, swept, tmp_path):
    return results.save(swept, tmp_path / "deep" / "sweep.nc", model.source)


def test_dimensions_are_the_swept_names_then_time(swept):
    assert swept["C8"].dims == ("XIAP", "L", "time")
    assert swept["status"].dims == ("XIAP", "L")
    assert swept["time"].attrs["units"] == "h"
    assert swept["L"].attrs["units"] == "ng/ml"


def test_off_diagonal_run_equals_a_single_run(model, swept):
    single = ms.simulate(
        model,
        "1 h",
        points=7,
        observe="C8",
        doses="L=50 ng/ml@0h",
        initials={"XIAP": 1e4},
    )
    same = swept["C8"].sel(XIAP=1e4, L=50).values
    assert np.array_equal(same, single["C8"].values)


def test_results_of_equal_plans_share_no_numbers_and_no_labels(model):
    first, second = (
        ms.simulate(model, "1 h", points=3, observe="C8", initials={"XIAP": start})
        for start in (1e4, 1e5)
    )
    kept = second.copy(deep=True)
    first["C8"].values[:] = 0.0
    first["C8"].attrs["units"] = first.attrs["title"] = "other"
    first["time"].attrs["units"] = "other"
    assert second.identical(kept)
    assert second["C8"].attrs["units"] == "molecule"
    assert not np.array_equal(first["C8"], second["C8"])


def test_a_saved_result_reads_back_identical(swept, saved):
    back = results.read(saved)
    assert np.array_equal(back["C8"].values, swept["C8"].values)
    assert back["C8"].attrs["units"] == "molecule"
    assert back.attrs["model_sha256"] == swept.attrs["model_sha256"]


def test_rerun_gives_the_same_numbers(saved):
    again, difference = ms.rerun(saved)
    assert difference == 0.0
    assert again["C8"].shape == (2, 3, 7)


def test_rerun_notices_a_changed_number(saved, tmp_path, model, swept):
    forged = swept.copy(deep=True)
    forged["C8"][1, 1, 3] *= 1.5
    path = results.save(forged, tmp_path / "forged.nc", model.source)
    assert ms.rerun(path)[1] == pytest.approx(1 / 3, rel=1e-6)


def test_rerun_refuses_a_changed_model(tmp_path, model, swept):
    source = dict(model.source)
    source["sbml"] = source["sbml"].replace('value="4e-07"', 'value="5e-07"', 1)
    assert source["sbml"] != model.source["sbml"]
    path = results.save(swept, tmp_path / "changed.nc", source)
    with pytest.raises(ModelError, match="SHA-256"):
        ms.rerun(path)


def test_truncated_file_is_one_sentence(saved):
    data = saved.read_bytes()
    saved.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"sweep.nc.*damaged"):
        results.read(saved)


def test_file_of_another_program_is_refused(tmp_path):
    path = tmp_path / "other.nc"
    xr.Dataset({"x": 1.0}).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(InputError, match="not a mir21sim result"):
        results.read(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.nc.*does not exist"):
        results.read(tmp_path / "none.nc")


def test_wrong_suffix_and_unwritable_place_are_refused(tmp_path, model, swept):
    with pytest.raises(InputError, match=r"`a\.txt` must end in \.nc"):
        results.save(swept, tmp_path / "a.txt", model.source)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        results.save(swept, tmp_path / "file" / "a.nc", model.source)


def test_failed_save_leaves_no_part_behind(tmp_path, swept):
    with pytest.raises(Exception, match=r"."):
        results.save(swept.assign(bad=((), object())), tmp_path / "a.nc", {})
    assert list(tmp_path.iterdir()) == []


def test_what_a_user_writes_into_a_result_is_not_in_the_next_one(model):
    def run():
        result = ms.simulate(model, "1 h", points=7, observe=["C8"])
        del result.attrs["created"]  # the moment at which it was made
        return result

    first, untouched = run(), run()
    first["time"].attrs["units"] = "d"
    first["C8"].attrs["units"] = "kg"
    first["C8"].values[:] = 0.0
    first["extra"] = first["C8"] + 1.0
    assert run().identical(untouched)


def test_numbers_added_to_a_result_are_those_that_xarray_assigns(swept):
    words = {"units": "1", "long_name": "number of the run"}
    number = np.arange(6.0).reshape(2, 3)
    made = results.extended(swept, {"n": (number, words)}, {"features": "some"})
    expected = swept.assign(n=(("XIAP", "L"), number, words))
    assert made.identical(expected.assign_attrs(features="some"))
    assert "n" not in swept


def test_the_provenance_is_json_with_the_times_of_the_run(model):
    for points in (3, 4):
        result = ms.simulate(model, "1 h", points=points, observe=["C8"])
        record = results.provenance(result)
        assert record["times_h"] == result["time"].values.tolist()
        assert record["observe"] == ["C8"]
