"""Exposure to an oligonucleotide, against one and two compartments in closed form."""

import numpy as np
import pytest
import xarray as xr

from mir21sim.analysis.exposure import (
    exposure,
    exposure_records,
    exposure_tables,
    plot_exposure,
)
from mir21sim.errors import InputError

TIMES = np.linspace(0.0, 48.0, 97)


def test_one_compartment():
    k = 0.2
    found = exposure(TIMES, 50.0 * np.exp(-k * TIMES))
    assert found.largest == 50.0
    assert found.largest_at_h == 0.0
    assert found.half_life_h == pytest.approx(np.log(2) / k, rel=1e-9)
    assert found.area == pytest.approx(50.0 * (1 - np.exp(-k * 48)) / k, rel=1e-9)


def test_uptake_then_loss():
    """Bateman's curve: t_max = ln(kₐ/k)/(kₐ − k), the slower rate ends it."""
    fast, slow = 0.8, 0.1
    curve = fast / (fast - slow) * (np.exp(-slow * TIMES) - np.exp(-fast * TIMES))
    found = exposure(TIMES, curve)
    expected = np.log(fast / slow) / (fast - slow)
    assert found.largest_at_h == pytest.approx(expected, abs=TIMES[1])
    assert found.half_life_h == pytest.approx(np.log(2) / slow, rel=1e-2)
    assert found.area == pytest.approx((1 - np.exp(-4.8)) / slow, rel=5e-3)


@pytest.mark.parametrize(
    "curve", [np.zeros(97), np.ones(97), TIMES, np.exp(-0.01 * TIMES)]
)
def test_a_curve_that_does_not_decline_has_no_half_life(curve):
    assert np.isnan(exposure(TIMES, curve).half_life_h)


def test_a_curve_that_stops_is_refused():
    with pytest.raises(InputError, match="1 amounts that are not finite"):
        exposure(TIMES[:3], np.array([1.0, np.nan, 0.0]))


def test_records_and_picture():
    def falling(k):
        return ("time", np.exp(-k * TIMES), {"units": "molecule"})

    result = xr.Dataset({"medium": falling(0.1), "free": falling(0.3)}, {"time": TIMES})
    first, second = exposure_records(result, ["medium", "free"])
    assert first["half_life_h"] == pytest.approx(3 * second["half_life_h"])
    left, right = plot_exposure(result, ["medium"], ["free"]).axes
    assert left.get_yscale() == "log"
    assert right.lines[0].get_ydata()[0] == 1.0
    with pytest.raises(InputError, match="lacks cytosol"):
        plot_exposure(result, ["cytosol"], [])


def drawn(rates):
    """Return a pool that falls from 1 at some rates, one a draw, and what it frees."""
    curves = np.exp(-np.outer(rates, TIMES))
    dims = ("draw", "time")
    data = {"medium": (dims, curves), "PTEN": (dims, np.outer(rates, 2 - curves[0]))}
    return xr.Dataset(data, {"time": TIMES})


def test_bands_are_those_of_the_draws():
    """Of 101 rates the ends of 95 % are the 3.5th and 98.5th, each in closed form."""
    rates = np.linspace(0.1, 0.3, 101)
    (record,) = exposure_records(drawn(rates), ["medium"])
    low, middle, high = np.percentile(np.log(2) / rates, (2.5, 50.0, 97.5))
    assert record["half_life_h"] == pytest.approx(middle, rel=1e-9)
    assert record["half_life_h_low"] == pytest.approx(low, rel=1e-9)
    assert record["half_life_h_high"] == pytest.approx(high, rel=1e-9)
    assert record["C_max_low"] == record["C_max_high"] == 1.0


def test_an_effect_is_relative_to_the_rest_of_its_own_draw():
    """Draws whose curves differ by a factor alone have no width."""
    figure = plot_exposure(drawn(np.linspace(0.1, 0.3, 5)), ["medium"], ["PTEN"])
    outer = figure.axes[1].collections[0].get_paths()[0].vertices[:, 1]
    assert outer.min() == pytest.approx(1.0)
    assert np.ptp(np.unique(outer.round(9))) == pytest.approx(
        np.exp(-0.1 * 0) - np.exp(-4.8)
    )
    (words,) = [t.get_text() for t in figure.texts if "Bands" in t.get_text()]
    assert words.startswith("Line: median. Bands: 50 and 95 % of 5 parameter sets")


def test_draws_that_failed_are_left_out():
    result = drawn(np.array([0.1, 0.2, 0.3]))
    result["medium"][2, 5:] = np.nan
    (record,) = exposure_records(result, ["medium"])
    assert record["half_life_h"] == pytest.approx(np.log(2) * (1 / 0.1 + 1 / 0.2) / 2)
    result["medium"][:] = np.nan
    with pytest.raises(InputError, match="No draw"):
        exposure_records(result, ["medium"])


def test_tables_with_bands_fit_into_a_line():
    from mir21sim.analysis import tables

    result = drawn(np.array([0.1, 0.2, 0.3])) * 1.234e8
    names = {"medium": "anti_miR21_miR21"}
    records = exposure_records(result.rename(names), ["anti_miR21_miR21"])
    for table in exposure_tables(records):
        lines = tables.lines_of(tables.text_table(table))
        assert max(map(len, lines)) <= 80
