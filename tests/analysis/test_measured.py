"""Measured curves as spreadsheets of several countries write them."""

import numpy as np
import pytest
import xarray as xr

from mir21sim.analysis.measured import Measured, read_measured
from mir21sim.analysis.measured_scale import factor_of, scaled
from mir21sim.errors import InputError

LONG = "time_h,value,error,label\n0,1.5,0.1,a\n2,2.5,0.2,a\n0,3,0.1,b\n"


@pytest.mark.parametrize(
    "text",
    [
        LONG,
        LONG.replace(",", ";"),
        LONG.replace(",", "\t").replace(".", ","),
        LONG.replace(",", ";").replace(".", ","),
        "\ufeff" + LONG.replace(",", ";").replace(".", ","),
    ],
    ids=["comma", "semicolon", "tab", "decimal comma", "byte order mark"],
)
def test_separators_and_decimals(tmp_path, text):
    path = tmp_path / "m.csv"
    path.write_text(text, encoding="utf-8")
    first, second = read_measured(path)
    assert (first.label, second.label) == ("a", "b")
    assert np.array_equal(first.values, [1.5, 2.5])
    assert np.array_equal(first.errors, [0.1, 0.2])


def test_a_wide_table_has_a_curve_a_column(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("time_h;control;anti\n0;1,5;2\n4;;3,5\n", encoding="utf-8")
    control, anti = read_measured(path)
    assert (control.label, anti.label) == ("control", "anti")
    assert np.array_equal(control.values, [1.5])
    assert np.array_equal(anti.times_h, [0.0, 4.0])
    assert np.array_equal(anti.values, [2.0, 3.5])


@pytest.mark.parametrize(
    ("header", "hours"),
    [
        ("time", 30.0),
        ("Time (h)", 30.0),
        ("time [min]", 0.5),
        ("time_min", 0.5),
        ("t / s", 30.0 / 3600.0),
        ("hours", 30.0),
        ("Time (days)", 720.0),
    ],
)
def test_the_header_of_times_has_their_unit(tmp_path, header, hours):
    path = tmp_path / "m.csv"
    path.write_text(f"{header};control;anti\n30;1,5;2\n", encoding="utf-8")
    control, _ = read_measured(path)
    assert control.times_h == pytest.approx([hours])


def test_a_unit_that_is_none_of_time_is_refused(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("time (nM),value\n0,1\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"nm.*s, min, h, d"):
        read_measured(path)


TIMES = np.linspace(0.0, 4.0, 5)


def line(slope):
    """Return a result that grows in proportion to time."""
    return xr.Dataset({"A": ("time", slope * TIMES)}, {"time": TIMES})


def points(label="m", values=(3.0, 6.0, 100.0), errors=None):
    """Return points at 1, 2 and 9 h; the last is outside of the run."""
    errors = None if errors is None else np.array(errors)
    return Measured(label, np.array([1.0, 2.0, 9.0]), np.array(values), errors)


def test_least_squares_find_the_factor_of_points_within_the_run():
    inside = Measured("m", TIMES[1:3], np.array([3.0, 6.0]), None)
    assert factor_of([inside], {"run": line(12.0)}, "A", "auto") == pytest.approx(4.0)
    (made,) = scaled([points(errors=[1.0, 1.0, 1.0])], 4.0)
    assert made.label == "m × 4"
    assert np.array_equal(made.values, [12.0, 24.0, 400.0])
    assert np.array_equal(made.errors, [4.0, 4.0, 4.0])


def test_points_outside_of_the_run_do_not_count():
    found = factor_of([points()], {"run": line(12.0)}, "A", "auto")
    assert found == pytest.approx(4.0)


def test_errors_weigh_and_labels_choose_the_curve():
    results = {"a": line(1.0), "b": line(10.0)}
    curve = points("b", (10.0, 10.0, 0.0), (1.0, 0.5, 1.0))
    # Weights 1 and 4: (10·10 + 4·10·20) / (10² + 4·10²).
    assert factor_of([curve], results, "A", "auto") == pytest.approx(900 / 500)


@pytest.mark.parametrize(
    ("scale", "curve", "results", "message"),
    [
        ("-2", points(), {"a": line(1.0)}, "number above 0 or `auto`, got `-2`"),
        ("big", points(), {"a": line(1.0)}, "number above 0 or `auto`, got `big`"),
        ("auto", points(), {"a": line(1.0), "b": line(1.0)}, "`m` is the label of no"),
        ("auto", points(), {"a": line(0.0)}, "No scale above 0"),
        ("auto", points(errors=(0, 1, 1)), {"a": line(1.0)}, "errors must be above 0"),
        ("auto", points(), {"a": line(1.0).expand_dims(k=[1])}, "for each of k"),
    ],
)
def test_a_scale_that_cannot_be_is_refused(scale, curve, results, message):
    with pytest.raises(InputError, match=message):
        factor_of([curve], results, "A", scale)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("time_h,value\n0,1\n1,inf\n", "line 3: value must be a finite number"),
        ("time_h,value\n# as read\n0,1\n\nnan,2\n", "line 5: time_h must be a finite"),
        ("time_h,value,error\n0,1,-1\n", "line 2: error .* 0 or more, got `-1`"),
        ("time_h,a,b\n0,1,2\n1,2,x\n", "line 3: value must be a finite number"),
        ("time_h,value\n", "no row of numbers"),
    ],
)
def test_numbers_that_cannot_be_compared_are_refused_by_line(tmp_path, text, told):
    path = tmp_path / "m.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=told):
        read_measured(path)
