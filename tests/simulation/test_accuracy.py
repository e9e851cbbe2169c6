"""The run of a sweep that is made again: which differences count."""

import numpy as np
import pytest

from mir21sim.simulation.accuracy import relative_difference


def test_a_difference_counts_in_shares_of_the_largest_value():
    one = np.array([[0.0, 5.0], [4.0, 5.0]])
    other = np.array([[0.0, 5.0], [8.0, 5.0]])
    assert relative_difference(one, other) == pytest.approx([0.5, 0.0])


def test_a_value_between_its_neighbours_is_no_excuse():
    """Few output times lie far apart: 0.5 is wrong although it was passed through."""
    one = np.array([[0.0], [0.0], [1.0]])
    other = np.array([[0.0], [0.5], [1.0]])
    assert relative_difference(one, other) == pytest.approx([0.5])


def test_noise_below_the_floor_is_nothing():
    one, other = np.array([[1e-12]]), np.array([[3e-12]])
    assert relative_difference(one, other)[0] > 0.6
    assert relative_difference(one, other, floor=1e-4)[0] < 1e-7


def test_a_run_without_a_number_differs():
    one, other = np.array([[np.nan]]), np.array([[1.0]])
    assert np.isinf(relative_difference(one, other)[0])
