"""Measured curves as spreadsheets of several countries write them."""

import numpy as np
import pytest

from mir21sim.analysis.measured import read_measured

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
