"""Result files are read as xarray reads them, with work in proportion to their size."""

import h5py
import numpy as np
import pytest
import xarray as xr

from mir21sim.analysis.curves import quantity
from mir21sim.errors import InputError
from mir21sim.simulation import dataset, netcdf

ODD = xr.Dataset(
    {
        "B": (("dose", "time"), [[1.0, np.nan, np.inf], [4.0, 5.0, 6.0]]),
        "A": (
            "time",
            np.arange(3, dtype=np.float32),
            {"units": "nM", "levels": [1, 2]},
        ),
        "status": ("dose", np.array([0, 3])),
        "whole": ((), 7),
        "text": ((), np.array("β-actin", dtype=object)),
        "flags": ("dose", np.array([True, False])),
        "lone": ("no_coordinate", [1.0, 2.0]),
        "empty": ("none", np.zeros(0)),
    },
    {
        "dose": ("dose", [0.0, 5.0], {"units": "ng/ml"}),
        "line": ("dose", np.array(["MCF-7", "HeLa"], dtype=object)),
        "time": ("time", [0.0, 1.0, 2.0], {"units": "h"}),
    },
    {"Conventions": dataset.CONVENTIONS, "summary": "a run", "cells": np.int64(3)},
)


def by_xarray(path, group=None):
    with xr.open_dataset(
        path, engine="h5netcdf", group=group, decode_timedelta=False
    ) as opened:
        return opened.load()


def test_a_file_is_read_as_xarray_reads_it(tmp_path):
    path = dataset.save(ODD, tmp_path / "a.nc", {"toml": "id = 1\n"})
    found, expected = dataset.read(path), by_xarray(path)
    assert found.identical(expected)
    assert found.identical(ODD)
    assert list(found.data_vars) == list(expected.data_vars)
    assert dataset.read_source(path) == {"toml": "id = 1\n"}


def test_a_file_that_xarray_wrote_is_read(tmp_path):
    ODD.drop_vars("empty").to_netcdf(tmp_path / "b.nc", engine="h5netcdf")
    found, expected = dataset.read(tmp_path / "b.nc"), by_xarray(tmp_path / "b.nc")
    assert found.identical(expected)
    assert list(found.data_vars) == list(expected.data_vars)


def many(n):
    curves = {f"Q{k}": ("time", [1.0, 2.0], {"units": "nM"}) for k in range(n)}
    return xr.Dataset(
        curves, {"time": [0.0, 1.0]}, {"Conventions": dataset.CONVENTIONS}
    )


def test_look_ups_grow_with_the_number_of_variables(tmp_path, monkeypatch):
    asked = []
    address = netcdf._address
    monkeypatch.setattr(netcdf, "_address", lambda m: asked.append(m) or address(m))
    counts = []
    for n in (50, 200):
        path = dataset.save(many(n), tmp_path / f"{n}.nc", {})
        asked.clear()
        dataset.read(path)
        counts.append(len(asked))
    assert counts[1] < 4.2 * counts[0]


def test_a_quantity_is_taken_without_a_look_at_all_others(monkeypatch):
    result, taken = many(300), []
    own = xr.Dataset._construct_dataarray
    monkeypatch.setattr(
        xr.Dataset,
        "_construct_dataarray",
        lambda self, name: taken.append(name) or own(self, name),
    )
    assert quantity(result, "Q7").name == "Q7"
    with pytest.raises(InputError, match="quantity in the result `Z9`"):
        quantity(result, "Z9")
    assert taken == ["Q7"]


def test_more_numbers_than_the_file_holds_are_refused(tmp_path):
    path = tmp_path / "huge.nc"
    with h5py.File(path, "w") as file:
        file.create_dataset("A", (10**9,), "f8", chunks=(1000,))
    with pytest.raises(InputError, match=r"declares 7\.45 GiB of numbers"):
        dataset.read(path)


def test_links_to_other_files_are_not_followed(tmp_path):
    dataset.save(ODD, tmp_path / "other.nc", {})
    path = dataset.save(many(2), tmp_path / "a.nc", {})
    with h5py.File(path, "a") as file:
        file["stray"] = h5py.ExternalLink("other.nc", "/B")
    assert list(dataset.read(path).data_vars) == ["Q0", "Q1"]
