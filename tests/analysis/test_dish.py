"""Dishes of cells whose activity and time of death are known."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import LineCollection

from mir21sim.analysis.cell_means import RESAMPLES
from mir21sim.analysis.dish import dish
from mir21sim.analysis.dish_plot import WIDTHS, plot_dish
from mir21sim.errors import InputError, UnknownNameError

TIMES = np.linspace(0.0, 10.0, 101)
DOSES = np.array([0.0, 1.0, 10.0, 100.0])


def cells_of(deaths, doses=DOSES):
    """Return cells that have one unit of each caspase from their death on."""
    deaths = np.asarray(deaths, float)
    past = (deaths[..., np.newaxis] <= TIMES).astype(float)
    names = ("dose", "cell", "time")
    data = dict.fromkeys(("CASP3_active", "CASP7_active", "PS"), (names, past))
    result = xr.Dataset(data, {"dose": doses, "time": ("time", TIMES, {"units": "h"})})
    result["CASP3_active"].attrs["units"] = "molecule"
    result["dose"].attrs.update(units="nM", long_name="drug")
    return result


def quarter_by_dose(n=40):
    """Return deaths at 5 h of 0, 1/4, 1/2 and 3/4 of the cells."""
    cells = np.arange(n) / n
    return np.array(
        [np.where(cells < share, 5.0, np.inf) for share in np.arange(4) / 4]
    )


def both(result, **given):
    return dish(result, ["CASP3_active", "CASP7_active"], "PS", **given)


def test_means_are_over_the_cells_of_a_dish():
    found = both(cells_of(quarter_by_dose()))
    np.testing.assert_allclose(found["dead_end"], [0, 25, 50, 75])
    np.testing.assert_allclose(found["peak"], [0.0, 0.5, 1.0, 1.5])
    np.testing.assert_allclose(found["integrated"], 5.05 * found["peak"], rtol=1e-12)
    assert found["activity"].sel(after=4.9, method="nearest").max() == 0
    assert found["integrated"].attrs["units"] == "molecule h"


def test_the_band_is_that_of_drawing_cells():
    """The share of dead cells among n has the standard deviation of a binomial."""
    found = both(cells_of(quarter_by_dose(400)))
    width = (found["dead_end_high"] - found["dead_end_low"]).values
    share = np.arange(4) / 4
    expected = 2 * 1.96 * 100 * np.sqrt(share * (1 - share) / 400)
    np.testing.assert_allclose(width, expected, rtol=4 / np.sqrt(RESAMPLES))
    assert (found["dead_end_low"] <= found["dead_end"]).all()
    assert (found["dead_end"] <= found["dead_end_high"]).all()


def test_a_cell_without_a_result_is_left_out_and_counted():
    result = cells_of(quarter_by_dose())
    result["CASP3_active"][1, 0, 50:] = np.nan
    found = both(result)
    assert found["left_out"].values.tolist() == [0, 1, 0, 0]
    assert np.isfinite(found["activity"]).all()
    np.testing.assert_allclose(found["dead_end"][1], 100 * 9 / 39)


def test_times_are_counted_from_the_stimulus_and_dead_cells_left_out():
    deaths = np.array([[2.0, 6.0, np.inf, np.inf]])
    found = both(cells_of(deaths, [1.0]), since="4 h")
    assert float(found["after"][0]) == pytest.approx(0.0)
    np.testing.assert_allclose(found["dead_end"], [100 / 3])
    np.testing.assert_allclose(found["activity"][0, 0], 0.5)  # of the cell dead before


def test_the_same_result_gives_the_same_band():
    result = cells_of(quarter_by_dose())
    xr.testing.assert_identical(both(result), both(result))


def test_one_dish_has_no_swept_dose():
    found = both(cells_of(quarter_by_dose()).isel(dose=2, drop=True))
    assert found["dead_end"].item() == 50
    with pytest.raises(InputError, match="needs one swept dose"):
        plot_dish(found)


def test_what_is_missing_is_named():
    result = cells_of(quarter_by_dose())
    with pytest.raises(InputError, match=r"lacks CASP6_active.*`observe`"):
        dish(result, ["CASP6_active"], "PS")
    with pytest.raises(InputError, match="dimension `cell`"):
        both(result.isel(cell=0, drop=True))


def test_two_swept_doses_are_a_surface():
    one = cells_of(quarter_by_dose())
    two = xr.concat(
        [one, one.isel(dose=[3, 3, 3, 3]).assign_coords(dose=DOSES)], "other"
    )
    found = both(two.assign_coords(other=[0.0, 5.0]))
    assert found["dead_end"].sel(other=5.0).values.tolist() == [75] * 4
    with pytest.raises(InputError, match="one swept dose, got other, dose"):
        plot_dish(found)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_picture_has_the_width_of_a_column(width):
    figure = plot_dish(both(cells_of(quarter_by_dose())), "peak", width=width)
    assert figure.get_size_inches()[0] == WIDTHS[width]
    axes = figure.axes[:3]
    assert len(axes[0].lines) == len(DOSES)
    assert axes[2].get_xscale() == "log"
    assert "drug (nM)" in axes[2].get_xlabel()
    with pytest.raises(UnknownNameError, match="response"):
        plot_dish(both(cells_of(quarter_by_dose())), "peek")


def test_the_change_of_dead_cells_is_that_of_the_same_cells():
    """Two of four cells die at the dose alone; one dies at both."""
    t = np.linspace(0.0, 8.0, 9)
    die = np.array([[2.0, 99, 99, 99], [2.0, 3.0, 4.0, 99]])[:, :, np.newaxis]
    dims = ("anti_miR21", "cell", "time")
    result = xr.Dataset(
        {
            "A": (dims, 1.0 * (t >= die), {"units": "molecule"}),
            "PS_exposed": (dims, 1.0 * (t >= die)),
        },
        {"anti_miR21": ("anti_miR21", [0.0, 1.0], {"units": "nM"}), "time": t},
    )
    found = dish(result, ["A"], "PS_exposed")
    assert found["dead_change"].values.tolist() == [0.0, 50.0]
    assert found["dead_change"].attrs["units"] == "percentage points"
    # No band at the lowest dose: the same cells minus themselves.
    assert float(found["dead_change_high"][0]) == 0.0
    assert 0.0 <= float(found["dead_change_low"][1]) < 50.0


def test_the_untreated_dish_has_the_whole_band_of_the_treated_ones():
    """Two sets of four cells, untreated: all of one die, none of the other."""
    dead = [[1.0] * 4 + [99.0] * 4] * len(DOSES)
    sets = cells_of(dead).assign_coords(parameter_set=("cell", [0] * 4 + [1] * 4))
    found = both(sets)
    response = plot_dish(found).axes[2]
    bars = [c for c in response.collections if isinstance(c, LineCollection)]
    heights = sorted(np.ptp(bar.get_segments()[0][:, 1]) for bar in bars)
    untreated = found.isel(dose=0)
    whole = float(untreated["dead_end_high"] - untreated["dead_end_low"])
    inner = float(untreated["dead_end_high50"] - untreated["dead_end_low50"])
    assert heights == pytest.approx([inner, whole])
    assert whole == pytest.approx(95.0)
