"""Results as tables for other programs."""

import numpy as np
import pandas as pd
import pytest

import mir21sim as ms
from mir21sim.analysis.export import export, save, wide_table
from mir21sim.errors import InputError
from mir21sim.simulation import dataset


@pytest.fixture(scope="module")
def model():
    return ms.load("earm_1_3", backend="numpy")


@pytest.fixture(scope="module")
def result(model):
    return ms.sweep(
        model, {"L": [0, 10]}, 1.0, points=3, observe=["CASP8_active", "[XIAP]"]
    )


def test_a_wide_csv_has_a_row_a_time_and_a_column_a_run(result, tmp_path):
    path = export(result, tmp_path / "w.csv", observe=["[XIAP]"])
    table = pd.read_csv(path)
    assert table.columns.tolist() == ["time [h]", "L = 0 ng/ml", "L = 10 ng/ml"]
    np.testing.assert_allclose(
        table["L = 10 ng/ml"], result["[XIAP]"].sel(L=10), rtol=1e-12
    )


def test_a_long_csv_has_a_column_a_quantity(result, tmp_path):
    table = pd.read_csv(export(result, tmp_path / "l.csv", layout="long"))
    assert table.columns.tolist() == ["L", "time", "CASP8_active", "[XIAP]"]
    assert len(table) == 6


def test_a_workbook_has_a_sheet_a_quantity_and_says_what_was_run(result, tmp_path):
    sheets = pd.read_excel(export(result, tmp_path / "b.xlsx"), sheet_name=None)
    assert list(sheets) == ["about", "CASP8_active", "_XIAP_"]
    assert sheets["about"]["value"][0] == result.attrs["summary"]
    np.testing.assert_allclose(
        sheets["CASP8_active"]["L = 0 ng/ml"], result["CASP8_active"].sel(L=0)
    )


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({}, "wide CSV holds one quantity, got 2"),
        ({"observe": ["XIAP"]}, "XIAP"),
        ({"layout": "tall"}, "Unknown layout `tall`"),
    ],
)
def test_what_cannot_be_exported_is_said(result, tmp_path, how, message):
    with pytest.raises(InputError, match=message):
        export(result, tmp_path / "x.csv", **how)


def test_saved_results_open_and_run_again_without_the_model_at_hand(result, tmp_path):
    path = save(result, tmp_path / "r.nc")
    assert ms.open(path)["CASP8_active"].equals(dataset.read(path)["CASP8_active"])
    assert ms.rerun(path)[1] == 0.0


def test_a_result_of_an_unknown_model_asks_for_it(result, tmp_path):
    with pytest.raises(InputError, match="give the model"):
        save(result.assign_attrs(model_sha256="0"), tmp_path / "r.nc")


def test_unlike_cells_are_mean_sd_and_n(model):
    cells = ms.Population(4, seed=1)
    result = ms.simulate_population(
        model, cells, 1.0, observe="CASP8_active", over={"L": [0, 10]}
    )
    table = wide_table(result, "CASP8_active")
    assert table.columns[1] == "L = 0 ng/ml, mean"
    assert table.columns[-1] == "L = 10 ng/ml, n"
    dish = result["CASP8_active"].sel(L=10)
    np.testing.assert_allclose(table["L = 10 ng/ml, mean"], dish.mean("cell"))
    np.testing.assert_allclose(table["L = 10 ng/ml, SD"], dish.std("cell", ddof=1))
    assert (table["L = 10 ng/ml, n"] == 4).all()
