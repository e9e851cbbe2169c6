"""Exposure to an oligonucleotide, against one and two compartments in closed form."""

import numpy as np
import pytest
import xarray as xr

from mir21sim.analysis.exposure import exposure, exposure_records, plot_exposure
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
