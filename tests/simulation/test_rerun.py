"""A repeated run is equal only where every number is."""

import math

import numpy as np
import pytest
import xarray as xr

from mir21sim.simulation.rerun import largest_difference


def result(values=(1.0, 2.0, math.nan), times=(0.0, 1.0, 2.0), status=0):
    return xr.Dataset(
        {"A": ("time", np.array(values)), "status": ((), status)},
        {"time": np.array(times), "context": "HeLa"},
    )


def difference(old):
    return largest_difference(old, result(), ("A",))


def test_equal_results_do_not_differ():
    assert difference(result()) == 0.0


def test_the_largest_relative_difference_is_found():
    assert difference(result((1.0, 2.5, math.nan))) == pytest.approx(0.2)


@pytest.mark.parametrize(
    "old",
    [
        result((math.inf, 2.0, math.nan)),
        result((1.0, -math.inf, math.nan)),
        result((1.0, math.nan, math.nan)),
        result((1.0, 2.0, 3.0)),
        result((math.inf,) * 3),
        result().assign_coords(context="A549"),
        result().drop_vars("status"),
        result(status=3),
    ],
    ids=["inf", "-inf", "nan", "no nan", "all inf", "line", "no status", "status"],
)
def test_a_number_that_was_changed_is_never_taken_as_equal(old):
    assert difference(old) == math.inf


def test_changed_times_are_a_difference():
    assert difference(result(times=(0.0, 1.0, 4.0))) == pytest.approx(0.5)
