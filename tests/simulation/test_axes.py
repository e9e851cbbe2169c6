"""Lists of values as people type them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mir21sim.errors import InputError
from mir21sim.simulation.axes import parse_values


@pytest.mark.parametrize(
    ("text", "values", "unit"),
    [
        ("3", [3], ""),
        ("0, 1 ,2.5", [0, 1, 2.5], ""),
        ("log:1:100:3", [1, 10, 100], ""),
        ("lin:0:10:3", [0, 5, 10], ""),
        ("lin:10:0:3", [10, 5, 0], ""),
        ("0,log:1:100:3 nM", [0, 1, 10, 100], "nM"),
        ("1,10 ng/ml", [1, 10], "ng/ml"),
        ("1,10µM", [1, 10], "µM"),
        ("log:1e-3:1e3:3", [1e-3, 1, 1e3], ""),
        ("log:5:9:1", [5], ""),
        ("-1,-2.5e-3", [-1, -0.0025], ""),
        ("1e3", [1000], ""),
        ("0,1e3", [0, 1000], ""),
        ("1,2E5 nM", [1, 2e5], "nM"),
    ],
)
def test_a_list_gives_values_and_the_unit_at_its_end(text, values, unit):
    got, got_unit = parse_values(text, "dose")
    np.testing.assert_allclose(got, values, rtol=1e-14)
    assert got_unit == unit


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "`dose` has no values"),
        (" , ", "`dose` has no values"),
        ("1,,2", "a value of `dose` must be a number"),
        ("nM", "a value of `dose` must be a number.*`nM`"),
        ("1,nan", "a value of `dose` must be finite, got `nan`"),
        ("1 nM,2 nM", "`dose`: write a comma list.*at the end"),
        ("log:1:2", "`dose`: a range reads log:FROM:TO:N.*`log:1:2`"),
        ("geo:1:2:3", "`dose`: a range reads.*`geo:1:2:3`"),
        ("log:0:1:3", "`dose`: the limits of `log:0:1:3` must be above 0"),
        ("log:1:-1:3", "`dose`: the limits of `log:1:-1:3` must be above 0"),
        ("lin:0:inf:3", "a limit of `dose` must be finite, got `inf`"),
        ("lin:0:1:0", "`dose`: N in `lin:0:1:0` must be a whole number from 1"),
        ("lin:0:1:2.5", "`dose`: N in `lin:0:1:2.5` must be a whole number"),
        ("lin:0:1:1000001", "`dose`: N in .* from 1 to 1000000"),
        ("log:1 nM:3 uM:3", "`dose`.*at the end"),
    ],
)
def test_a_bad_list_is_refused_by_name(text, words):
    with pytest.raises(InputError, match=words):
        parse_values(text, "dose")


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_every_list_of_floats_reads_back_exactly(values):
    got, unit = parse_values(",".join(map(repr, values)), "x")
    assert (got == values).all()
    assert unit == ""


@given(st.floats(1e-9, 1e9), st.floats(1e-9, 1e9), st.integers(2, 50))
def test_a_log_range_hits_both_ends_with_equal_ratios(first, last, count):
    got, _ = parse_values(f"log:{first!r}:{last!r}:{count}", "x")
    assert got.shape == (count,)
    np.testing.assert_allclose(got[[0, -1]], [first, last], rtol=1e-12)
    steps = np.diff(np.log(got))
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6, atol=1e-12)
