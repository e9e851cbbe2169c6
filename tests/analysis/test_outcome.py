"""Outcomes in words, of cells whose fate is known."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import beta

from mir21sim.analysis.outcome import outcome_lines, share_interval

TIMES = np.linspace(0.0, 10.0, 101)


def result_of(deaths, dims=("cell",), **coordinates):
    curves = (np.asarray(deaths, float)[..., np.newaxis] <= TIMES).astype(float)
    curves[np.isnan(np.asarray(deaths, float))] = np.nan
    return xr.Dataset({"PS": ((*dims, "time"), curves)}, {"time": TIMES, **coordinates})


def test_the_average_cell():
    def line(death):
        return outcome_lines(result_of(death, ()), "PS")

    assert line(4.0) == ["The average cell dies 4 h after the start."]
    assert line(np.inf) == ["The average cell is alive 10 h after the start."]
    assert "before the time counted from" in line(0.0)[0]
    assert "stopped before" in line(np.nan)[0]


def test_a_dish_is_counted_with_its_interval():
    (line,) = outcome_lines(result_of([2.0] * 89 + [np.inf] * 11), "PS")
    assert line.startswith("89 of 100 cells dead by 10 h after the start (82 to 94 %, ")
    assert line.endswith("half of them by 2 h.")
    (line,) = outcome_lines(result_of([np.inf] * 9 + [np.nan]), "PS")
    assert line.startswith("No cell dead by 10 h")
    assert "1 left out" in line


def test_a_sweep_has_a_line_for_its_ends():
    deaths = [[np.inf] * 4, [3.0] * 4, [2.0] * 4]
    result = result_of(deaths, ("drug", "cell"), drug=[0.0, 1.0, 10.0])
    result["drug"].attrs["units"] = "nM"
    first, last = outcome_lines(result, "PS")
    assert first.startswith("drug 0 nM: no cell dead")
    assert last.startswith("drug 10 nM: 4 of 4 cells dead")


def test_a_result_without_the_quantity_has_no_outcome():
    assert outcome_lines(result_of([2.0]), "MOMP_fraction") == []


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 10), (10, 10), (150, 300)])
def test_the_interval_is_that_of_jeffreys(hits, n):
    low, high = share_interval(hits, n)
    posterior = beta(hits + 0.5, n - hits + 0.5)
    assert low == (0.0 if hits == 0 else pytest.approx(posterior.ppf(0.025)))
    assert high == (1.0 if hits == n else pytest.approx(posterior.ppf(0.975)))


def test_cells_of_several_parameter_sets_have_no_interval_of_drawing():
    died = xr.DataArray([[0.0, 1.0], [0.0, 0.0]], dims=("cell", "time"))
    result = xr.Dataset({"PS_exposed": died, "status": ("cell", [0, 0])})
    result = result.assign_coords(time=[0.0, 8.0], parameter_set=("cell", [3, 7]))
    (line,) = outcome_lines(result, "PS_exposed")
    assert "of 2 parameter sets, whose spread the bands show" in line
    assert "interval of drawing" not in line
