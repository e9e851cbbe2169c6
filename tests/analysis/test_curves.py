"""Features and fits against curves whose features are known in closed form."""

import json

import numpy as np
import pytest
import xarray as xr

from mir21sim.analysis.curves import compare, curve_features, stimulus_time
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.simulation.stored_features import FEATURES

DOSES = np.array([0, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000.0])


def result(values, doses=DOSES, times=None, name="anti_miR21"):
    times = np.linspace(0, 48, values.shape[-1]) if times is None else times
    return xr.Dataset(
        {
            "C": ((name, "time"), values, {"units": "molecule"}),
            "status": (name, np.zeros(len(doses), int)),
        },
        coords={
            name: (name, doses, {"units": "nM", "long_name": "anti-miR-21"}),
            "time": ("time", times, {"units": "h"}),
        },
        attrs={"model_id": "toy", "context": ""},
    )


def test_ramp_has_its_closed_form_features():
    t = np.linspace(0, 10, 101)
    found = curve_features(t, np.clip(t - 2, 0, 4), since=0.0)  # 0, then to 4 at 6 h
    expected = {
        "baseline": 0.0,
        "peak": 4.0,
        "peak_time_h": 6.0,
        "lag_h": 2.4,
        "t_half_h": 4.0,
        "switch_time_h": 3.2,
        "max_rate_per_h": 1.0,
        "area_h": 8.0 + 16.0,
        "final_fraction": 1.0,
    }
    assert found == pytest.approx(expected)
    assert set(found) == set(FEATURES)


def test_logistic_switch_has_its_closed_form_times():
    t = np.linspace(0, 20, 20001)
    tau, half = 0.5, 9.0
    found = curve_features(t, 1 / (1 + np.exp(-(t - half) / tau)), since=0.0)
    assert found["t_half_h"] == pytest.approx(half, abs=2e-3)
    assert found["switch_time_h"] == pytest.approx(2 * np.log(9) * tau, abs=2e-3)
    assert found["max_rate_per_h"] == pytest.approx(1 / (4 * tau), rel=1e-3)


def test_times_count_from_the_reference_time():
    t = np.linspace(0, 10, 101)
    from_zero = curve_features(t, np.clip(t - 2, 0, 4), since=0.0)
    from_one = curve_features(t, np.clip(t - 2, 0, 4), since=1.0)
    assert from_one["t_half_h"] == pytest.approx(from_zero["t_half_h"] - 1.0)


def test_a_jump_at_the_reference_time_is_not_baseline():
    t = np.linspace(0, 10, 11)
    step = np.where(t > 5.5, 7.0, 1.0)
    assert curve_features(t, step, since=5.5)["baseline"] == 1.0


def test_flat_curve_has_no_times_but_an_area():
    found = curve_features(np.linspace(0, 10, 11), np.full(11, 3.0), since=0.0)
    assert np.isnan(found["t_half_h"])
    assert found["area_h"] == pytest.approx(30.0)


def test_failed_run_has_no_features():
    values = np.array([0.0, 1.0, np.nan, np.nan])
    found = curve_features(np.arange(4.0), values, since=0.0)
    assert all(np.isnan(v) for v in found.values())


def test_compare_puts_an_off_diagonal_value_in_its_place():
    curves = np.arange(10)[:, None] * np.linspace(0, 1, 49)[None, :]
    features = compare(result(curves), "C")
    assert features["peak"].sel(anti_miR21=10).item() == pytest.approx(5.0)
    assert features["peak"].attrs["units"] == "molecule"
    assert features["anti_miR21"].attrs["units"] == "nM"


def test_several_results_stand_side_by_side_even_with_other_doses():
    one = result(np.ones((10, 49)))
    two = result(np.full((3, 49), 2.0), doses=DOSES[:3])
    features = compare({"a": one, "b": two}, "C")
    assert features["peak"].sel(result="b", anti_miR21=0.1).item() == 2.0
    assert np.isnan(features["peak"].sel(result="b", anti_miR21=1000))


def test_different_swept_names_cannot_be_compared():
    other = result(np.ones((10, 49)), name="TRAIL")
    with pytest.raises(InputError, match=r"anti_miR21.*TRAIL"):
        compare([result(np.ones((10, 49))), other], "C")


def test_unknown_quantity_suggests_the_near_one():
    data = result(np.ones((10, 49))).rename(C="CASP3_active")
    with pytest.raises(UnknownNameError, match=r"CASP3_activ`.*`CASP3_active`"):
        compare(data, "CASP3_activ")


@pytest.mark.parametrize(
    ("doses", "swept", "want"),
    [
        ({"anti_miR21": 0.0, "TRAIL": 24.0}, (), 24.0),
        ({"anti_miR21": 0.0, "TRAIL": 24.0}, ("anti_miR21",), 24.0),
        ({"anti_miR21": 0.0, "TRAIL": 24.0}, ("TRAIL",), 0.0),
        ({"anti_miR21": 0.0, "TRAIL": 24.0}, ("TRAIL", "anti_miR21"), 24.0),
        ({"TRAIL": 24.0}, ("TRAIL",), 24.0),
        ({"TRAIL": 60.0}, (), None),
        ({}, (), None),
    ],
)
def test_curves_count_from_the_last_dose_that_is_not_swept(doses, swept, want):
    records = [{"target": name, "time": time} for name, time in doses.items()]
    swept_over = {name: [0.0, 1.0] for name in swept}
    one = xr.Dataset(
        coords={"time": [0.0, 48.0], **swept_over},
        attrs={"provenance": json.dumps({"doses": records})},
    )
    assert stimulus_time(one) == want


@pytest.mark.parametrize("since", ["50 h", -1, 48], ids=str)
def test_reference_time_outside_the_run_is_refused(since):
    with pytest.raises(InputError, match="`since` must lie in the run"):
        compare(result(np.ones((10, 49))), "C", since=since)


def test_unknown_response_and_dimension_are_named():
    data = result(np.ones((10, 49)))
    with pytest.raises(UnknownNameError, match=r"peek.*peak"):
        compare(data, "C", response="peek")
    with pytest.raises(UnknownNameError, match=r"TRIAL.*anti_miR21"):
        compare(data, "C", over="TRIAL")


@pytest.mark.parametrize("dim", [xr.Variable("line", ["MCF-7", "HeLa"]), "line"])
def test_labels_of_concatenated_results_come_from_the_coordinates(dim):
    one = result(np.ones((10, 49))).assign_attrs(model_id="m", context="MCF-7")
    two = result(np.full((10, 49), 2.0)).assign_attrs(model_id="m", context="HeLa")
    features = compare(xr.concat([one, two], dim, combine_attrs="override"), "C")
    words = (
        ("m, MCF-7", "m, HeLa")
        if isinstance(dim, xr.Variable)
        else ("m, line 1", "m, line 2")
    )
    assert tuple(features["result"].values) == words
    assert features["peak"].sel(result=words[1]).values == pytest.approx(2.0)
