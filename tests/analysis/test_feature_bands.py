"""Compared features and their differences, with bands."""

import numpy as np
import pytest
import xarray as xr

from mir21sim.analysis.comparison_plot import plot_comparison
from mir21sim.analysis.curves import compare
from mir21sim.analysis.feature_band_text import feature_band_text
from mir21sim.analysis.feature_bands import compare_bands
from mir21sim.analysis.plots import plot_dose_response
from mir21sim.errors import InputError, UnknownNameError

T = np.linspace(0.0, 10.0, 11)
DOSES = np.array([0.0, 1.0, 10.0])


def runs(heights, member="draw", **coords):
    """Return curves that rise to some heights, shape (n_member, n_dose)."""
    heights = np.asarray(heights, float)
    dims = (member, "drug")[: heights.ndim]
    over = {"drug": ("drug", DOSES, {"units": "nM"})} if heights.ndim > 1 else {}
    values = heights[..., np.newaxis] * T / T[-1]
    data = {"C": ((*dims, "time"), values, {"units": "molecule"})}
    time = ("time", T, {"units": "h"})
    return xr.Dataset(data, {"time": time, **over, **coords})


DRAWS = np.linspace(1.0, 3.0, 201)[:, np.newaxis] * np.array([10.0, 20.0, 40.0])


def test_draws_have_median_and_percentiles_and_paired_differences():
    found = compare_bands(runs(DRAWS), "C").isel(result=0)
    assert found["peak"].values == pytest.approx([20, 40, 80])
    assert found["peak_low"].values == pytest.approx(1.05 * np.array([10, 20, 40]))
    assert found["peak_high50"].values == pytest.approx(2.5 * np.array([10, 20, 40]))
    # What the draws share cancels: the change of a draw is 1 or 3 times its lowest.
    assert found["peak_change"].values[1:] == pytest.approx([20, 60])
    assert found["peak_change_low"].values[1:] == pytest.approx([10.5, 31.5])
    assert np.isnan(found["peak_change"][0])


def test_results_are_compared_at_the_same_doses_with_the_first():
    more = runs(DRAWS + 5.0)
    found = compare_bands({"a": runs(DRAWS), "b": more}, "C")
    change = found.sel(result="b")
    for end in ("", "_low", "_high"):
        assert change[f"peak_change{end}"].values == pytest.approx([5, 5, 5])
    assert found.attrs["change"] == "minus a, draw by draw"
    assert found.attrs["bands"] == ["median and 95 % of 201 draws of the ensemble"] * 2


def test_other_numbers_of_draws_are_subtracted_in_all_pairs():
    one, two = runs([[1.0] * 3, [3.0] * 3]), runs([[10.0] * 3] * 5)
    found = compare_bands({"one": one, "two": two}, "C").sel(result="two")
    assert found["peak_change"].values == pytest.approx([8, 8, 8])
    ends = float(found["peak_change_low"][0]), float(found["peak_change_high"][0])
    assert ends == pytest.approx((7, 9))
    assert found.attrs["change"] == "minus one, all pairs of draws"


def test_cells_have_the_mean_with_the_standard_error_of_resampling():
    heights = np.random.default_rng(1).normal(100.0, 10.0, (400, 1)) * np.ones(3)
    heights[:, 2] += 7.0
    found = compare_bands(runs(heights, "cell"), "C").isel(result=0)
    assert found["peak"].values == pytest.approx(heights.mean(axis=0))
    width = found["peak_high"] - found["peak_low"]
    expected = 2 * 1.96 * heights.std(axis=0) / 20
    assert width.values == pytest.approx(expected, rel=0.2)
    assert float(found["peak_change_low"][2]) == pytest.approx(7.0)


def test_cells_of_parameter_sets_have_the_band_of_the_sets():
    heights = np.repeat([[10.0] * 3, [20.0] * 3], 4, axis=0)
    sets = {"parameter_set": ("cell", [0] * 4 + [1] * 4)}
    found = compare_bands(runs(heights, "cell", **sets), "C").isel(result=0)
    assert float(found["peak"][0]) == pytest.approx(15)
    ends = float(found["peak_low"][0]), float(found["peak_high"][0])
    assert ends == pytest.approx((10.25, 19.75))
    assert "2 parameter sets" in found.attrs["bands"][0]


def test_the_ec50_is_of_the_doses_with_the_interval_of_the_draws():
    doses = np.geomspace(0.1, 1000, 13)
    half = np.linspace(5.0, 15.0, 41)[:, np.newaxis]
    result = runs(np.ones((41, 3))).isel(drug=[0]).squeeze("drug", drop=True)
    heights = 100 * doses / (doses + half)
    values = heights[..., np.newaxis] * T / 10
    result = xr.Dataset(
        {"C": (("draw", "drug", "time"), values)},
        {"time": result["time"], "drug": ("drug", doses, {"units": "nM"})},
    )
    found = compare_bands(result, "C").isel(result=0)
    assert float(found["EC50"]) == pytest.approx(10.0, rel=0.01)
    ends = float(found["EC50_low"]), float(found["EC50_high"])
    assert ends == pytest.approx((5.25, 14.75), rel=0.03)
    each = compare(result, "C")  # the draws are no doses
    assert each["EC50"].dims == ("result", "draw")
    with pytest.raises(UnknownNameError, match="draw"):
        compare(result, "C", over="draw")


def test_failed_draws_and_curves_without_a_rise_are_counted():
    draws = DRAWS.copy()
    draws[0], draws[1] = np.nan, 0.0
    found = compare_bands(runs(draws), "C")
    note = "the run failed in 1 of 201, no rise in 1 of 201"
    assert found["note"].values.tolist() == [[note] * 3]
    text = feature_band_text(found)
    assert "In brackets: median and 95 % of 201 draws of the ensemble." in text
    assert "change: minus drug = 0 nM, draw by draw" in text


def test_a_single_curve_has_no_band_and_can_be_subtracted():
    single = runs(DRAWS).isel(draw=100, drop=True)
    found = compare_bands({"own": single, "draws": runs(DRAWS)}, "C")
    assert found.attrs["bands"][0] == ""
    text = feature_band_text(found)
    assert "own: a single curve, without a band." in text
    assert found["peak_change"].sel(result="draws").values == pytest.approx([0, 0, 0])


def test_results_without_a_common_dose_have_no_change():
    low, high = runs(DRAWS).isel(drug=[0, 1]), runs(DRAWS).isel(drug=[2])
    found = compare_bands({"low": low, "high": high}, "C")
    assert np.isnan(found["peak_change"]).all()
    assert found.attrs["change"] == "minus low, no swept value in common"
    assert "none" in feature_band_text(found)
    one = compare_bands({"low": low, "all": runs(DRAWS)}, "C").sel(result="all")
    assert one["peak_change"].values == pytest.approx([0, 0, np.nan], nan_ok=True)


def test_results_that_sweep_other_names_are_refused():
    with pytest.raises(InputError, match="must sweep the same names, got a: drug; b"):
        compare_bands({"a": runs(DRAWS), "b": runs(DRAWS[:, 0])}, "C")


def test_pictures_have_the_bands_and_the_change():
    both = {"a": runs(DRAWS[:, 0]), "b": runs(DRAWS[:, 0] + 5.0)}
    figure = plot_comparison(both, "C")
    left, right = figure.axes
    middle, *edges = [right.lines[k].get_ydata()[-1] for k in (3, 1, 2)]
    assert (middle, *edges) == pytest.approx((5, 5, 5))
    assert left.lines[2].get_ydata()[-1] == pytest.approx(20)
    assert right.get_title(loc="left") == "minus a"
    assert "201 draws" in figure.get_supxlabel()
    late = both["b"].assign_coords(time=T * 2)
    with pytest.raises(InputError, match="the same output times in all results"):
        plot_comparison({"a": both["a"], "b": late}, "C")
    ax = plot_dose_response(compare_bands(runs(DRAWS), "C"))
    ends = ax.collections[0].get_segments()[-1][:, 1]
    assert ends == pytest.approx([1.05 * 40, 2.95 * 40])
    title = ax.get_legend().get_title().get_text().replace("\n", " ")
    assert title.startswith("Points and bars: median and 50 % (thick) and 95 % (thin) ")
