"""Morris and Sobol over ranges, against closed forms."""

import numpy as np
import pytest
import support
from support import reaction

from mir21sim.errors import InputError
from mir21sim.simulation.global_sensitivity import (
    global_sensitivities,
    ranges_of,
)
from mir21sim.simulation.options import Options

pytest.importorskip("SALib")
OPTIONS = Options(equilibrate=False, rtol=1e-6)


@pytest.fixture(scope="module")
def growth():
    """A rises by the sum of two rates: A(1) = s + q, B by none of them."""
    net = support.network(
        {"A": 0.0, "B": 5.0},
        {"s": 2.0, "q": 1.0, "unused": 1.0},
        [reaction("first", "-> A", "s"), reaction("second", "-> A", "q")],
    )
    return support.compiled(net, "numba", unit_policy="ignore")


def test_sobol_gives_the_shares_of_the_variance(growth):
    """Of log-uniform s on (1, 4) and q on (1, 2), the variances are known."""
    ranges = {"s": (1.0, 4.0), "q": (1.0, 2.0), "unused": (1.0, 3.0)}
    found = global_sensitivities(
        growth, "final(A)", ranges, method="sobol", n=512, end=1.0, options=OPTIONS
    )

    def variance(low, high):
        span = np.log(high / low)
        mean = (high - low) / span
        return (high**2 - low**2) / (2 * span) - mean**2

    parts = np.array([variance(1, 4), variance(1, 2), 0.0])
    np.testing.assert_allclose(found["S1"][0], parts / parts.sum(), atol=0.03)
    np.testing.assert_allclose(found["ST"][0], parts / parts.sum(), atol=0.03)
    assert int(found["n_failed"][0]) == 0
    assert int(found["n_used"][0]) == 512 * 5


def test_morris_finds_the_number_without_effect(growth):
    ranges = {"s": (1.0, 4.0), "q": (1.0, 2.0), "unused": (1.0, 3.0)}
    found = global_sensitivities(
        growth, ["final(A)"], ranges, n=8, end=1.0, options=OPTIONS
    )
    size = found["mu_star"].sel(feature="final(A)")
    assert float(size.sel(number="unused")) < 1e-9
    assert float(size.sel(number="s")) > float(size.sel(number="q")) > 0.5
    again = global_sensitivities(
        growth, ["final(A)"], ranges, n=8, end=1.0, options=OPTIONS
    )
    np.testing.assert_array_equal(found["mu_star"], again["mu_star"])


def test_runs_without_the_feature_are_left_out_and_counted(growth):
    ranges = {"s": (1.0, 4.0), "q": (1.0, 2.0)}
    found = global_sensitivities(
        growth, "crossing(A, 2.6)", ranges, method="sobol", n=64, end=1.0,
        options=OPTIONS,
    )  # fmt: skip
    failed, used = int(found["n_failed"][0]), int(found["n_used"][0])
    assert failed > 0
    assert used % 4 == 0
    assert 0 < used < found.attrs["n_runs"] - failed + 1
    assert np.isfinite(found["ST"]).all()


@pytest.mark.parametrize(
    ("of", "ranges", "options", "message"),
    [
        ("A", {"s": (1, 2), "q": (1, 2)}, {}, "must name features"),
        ("final(A)", {"s": (1, 2)}, {}, "ranges of 2 numbers or more"),
        ("final(A)", {"s": (2, 1), "q": (1, 2)}, {}, "`s` must go up, got 2 to 1"),
        ("final(A)", {"s": (1, 2), "q": (1, 2)}, {"method": "x"}, "morris or sobol"),
        ("final(A)", {"s": (1, 2), "q": (1, 2)}, {"n": 1}, "`n` must be 2 or more"),
        ("final(A)", {"s": (1, 2), "qq": (1, 2)}, {}, "qq"),
        ("crossing(A, 99)", {"s": (1, 2), "q": (1, 2)}, {}, "too few are left"),
    ],
)
def test_bad_input_is_one_sentence(growth, of, ranges, options, message):
    with pytest.raises(InputError, match=message):
        global_sensitivities(growth, of, ranges, end=1.0, **({"n": 4} | options))


def test_ranges_are_a_factor_around_the_value(growth):
    assert ranges_of(growth, ["s"], 4.0) == {"s": (0.5, 8.0)}
    assert set(ranges_of(growth)) == {"s", "q", "unused"}
    with pytest.raises(InputError, match="`A` is 0: give its range, A=LOW:HIGH"):
        ranges_of(growth, ["A"])


def test_a_feature_that_never_changes_is_nothing_to_rank(growth):
    ranges = {"s": (1.0, 4.0), "q": (1.0, 2.0)}
    with pytest.raises(InputError, match=r"`final\(B\)` is 5 in all runs"):
        global_sensitivities(growth, "final(B)", ranges, n=4, end=1.0, options=OPTIONS)


def test_features_of_the_solver_count_from_the_reference_time(growth):
    ranges = {"s": (1.0, 4.0), "q": (1.0, 2.0)}
    # A = (s + q) t, so peak 2 (s + q), and area from 1 to 2 of 1.5 (s + q).
    made = [
        global_sensitivities(
            growth, of, ranges, n=8, end=2.0, since=1.0, options=OPTIONS
        )["mu_star"].values[0]
        for of in ("peak(A)", "area(A)")
    ]
    assert made[0][0] > made[0][1] > 0
    np.testing.assert_allclose(made[1], 0.75 * made[0], rtol=1e-4)
