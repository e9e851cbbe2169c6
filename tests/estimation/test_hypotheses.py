"""Models compared on the same data."""

import fit_cases
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import mir21sim as ms
from mir21sim.errors import InputError
from mir21sim.estimation.hypotheses import compare_fits, part_most, verdicts

pytest.importorskip("petab")


@pytest.fixture(scope="module")
def fits(tmp_path_factory):
    """Two variants: both rates free, and one of them as in the file."""
    model = fit_cases.load(tmp_path_factory.mktemp("model"))
    wrong = fit_cases.data()
    bounds = {"k1": (0.01, 10.0), "k2": (0.01, 10.0)}
    made = {}
    for name, free, fixed in (
        ("true", bounds, {}),
        ("no decay", {"k1": bounds["k1"]}, {"k2": 0.0}),
    ):
        problem = ms.Problem(model, wrong, {"signal": "B"}, free, parameters=fixed)
        made[name] = ms.fit(problem, 1, optimizer="scipy", iterations=40)
    return made


def test_the_model_behind_the_data_has_the_weight(fits):
    table = compare_fits(fits).set_index("model")
    assert table.index[0] == "true"
    assert table.loc["true", "weight"] > 0.99
    assert table["weight"].sum() == pytest.approx(1.0)
    row = table.loc["no decay"]
    assert row["AIC"] == pytest.approx(2 * 2 - 2 * row["log_likelihood"])
    assert row["BIC"] == pytest.approx(2 * np.log(12) - 2 * row["log_likelihood"])


def test_one_model_cannot_be_compared(fits):
    with pytest.raises(InputError, match="two fits or more"):
        compare_fits({"true": fits["true"]})


def test_other_data_are_refused(fits, tmp_path):
    model = fit_cases.load(tmp_path)
    problem = ms.Problem(
        model, fit_cases.data(seed=7), {"signal": "B"}, {"k1": (0.01, 10.0)}
    )
    other = ms.fit(problem, 1, optimizer="scipy", iterations=3)
    with pytest.raises(InputError, match="`other` was fitted to other data"):
        compare_fits({"true": fits["true"], "other": other})


def test_the_dose_and_time_at_which_models_part():
    time, dose = np.array([0.0, 1.0, 2.0]), np.array([1.0, 10.0])
    grid = {"dose": dose, "time": time}
    a = xr.DataArray([[0, 1, 2], [0, 5, 9]], coords=grid, dims=("dose", "time"))
    b = xr.DataArray([[0, 1, 2], [0, 5, 3]], coords=grid, dims=("dose", "time"))
    found = part_most({"a": xr.Dataset({"C": a}), "b": xr.Dataset({"C": b})}, "C")
    assert found[0].place == {"dose": 10.0, "time": 2.0}
    assert found[0].values == {"a": 9.0, "b": 3.0}
    assert found[0].gap == pytest.approx(6 / 9)
    assert str(found[0]) == "`C` at dose 10, time 2: a 9, b 3"


def test_a_difference_too_small_to_measure_does_not_count():
    time = np.array([0.0, 1.0])
    a = xr.DataArray([1e-9, 10.0], coords={"time": time}, dims="time")
    b = xr.DataArray([0.0, 9.0], coords={"time": time}, dims="time")
    pair = {"a": xr.Dataset({"C": a}), "b": xr.Dataset({"C": b})}
    assert part_most(pair, "C", floor=1.0, number=1)[0].place == {"time": 1.0}
    assert part_most(pair, "C", number=1)[0].place == {"time": 0.0}


def test_a_difference_in_the_criterion_is_told_in_words():
    table = pd.DataFrame({"model": list("abcd"), "AICc": [1.0, 2.0, 8.0, 30.0]})
    first, *others = verdicts(table)
    assert first == "`a` has the lowest AICc"
    for line, words in zip(
        others, ("do not tell it", "not ruled out", "speak against it"), strict=True
    ):
        assert words in line
