"""Derivatives of curves, features and resting states, from Python."""

from dataclasses import replace

import numpy as np
import pytest
import support
from support import event, reaction

from mir21sim.compiler.load import load
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.simulation.options import Options
from mir21sim.simulation.perturbations import Perturbations
from mir21sim.simulation.sensitivity import sensitivities

TIGHT = Options(rtol=1e-9, equilibrate=False)
FEATURES = [
    "peak(B)", "peak_time(B)", "area(B)", "final(B)", "crossing(B, 10)", "t_half(B)",
]  # fmt: skip


@pytest.fixture(scope="module")
def chain():
    """A -> B -> nothing: B has a maximum of closed form."""
    net = support.network(
        {"A": 100.0, "B": 0.0},
        {"a": 2.0, "b": 0.5, "unused": 3.0},
        [reaction("turn", "A -> B", "a*A"), reaction("fall", "B ->", "b*B")],
    )
    return support.compiled(net, "numba")


def test_the_maximum_of_a_chain_has_its_closed_form(chain):
    found = sensitivities(chain, FEATURES, ["a", "b"], end=10.0, options=TIGHT)
    a, b = 2.0, 0.5
    top = np.log(a / b) / (a - b)
    value = 100.0 * a / (a - b) * (np.exp(-b * top) - np.exp(-a * top))
    assert float(found["value"].sel(feature="peak_time(B)")) == pytest.approx(top)
    assert float(found["value"].sel(feature="peak(B)")) == pytest.approx(value)
    step = 1e-6
    expected = {}
    for name, (da, db) in {"a": (step, 0.0), "b": (0.0, step)}.items():
        side = [
            np.log((a + s * da) / (b + s * db)) / (a + s * da - b - s * db)
            for s in (1, -1)
        ]
        expected[name] = (side[0] - side[1]) / (2 * step)
    made = found["derivative"].sel(feature="peak_time(B)")
    assert made.sel(number="a") == pytest.approx(expected["a"], rel=1e-6)
    assert made.sel(number="b") == pytest.approx(expected["b"], rel=1e-6)


@pytest.mark.parametrize("feature", FEATURES)
def test_features_equal_central_differences(chain, feature):
    found = sensitivities(chain, feature, ["a", "b"], end=10.0, options=TIGHT)
    for name in ("a", "b"):
        value, step = {"a": 2.0, "b": 0.5}[name], 1e-4
        sides = [
            float(
                sensitivities(
                    chain,
                    feature,
                    name,
                    end=10.0,
                    parameters={name: value * (1 + s * step)},
                    options=TIGHT,
                )["value"][0]
            )
            for s in (1, -1)
        ]
        expected = (sides[0] - sides[1]) / (2 * step * value)
        made = float(found["derivative"].sel(number=name)[0])
        assert made == pytest.approx(expected, rel=2e-6)


def test_features_do_not_depend_on_the_output_times(chain):
    few = sensitivities(chain, FEATURES, "a", end=10.0, points=2, options=TIGHT)
    many = sensitivities(chain, FEATURES, "a", end=10.0, points=301, options=TIGHT)
    np.testing.assert_array_equal(few["value"], many["value"])
    np.testing.assert_allclose(few["derivative"], many["derivative"], rtol=1e-12)


def test_curves_have_both_derivatives(chain):
    found = sensitivities(chain, "A", ["a", "A"], end=3.0, points=4, options=TIGHT)
    t = found["time"].values
    left = 100.0 * np.exp(-2.0 * t)
    np.testing.assert_allclose(found["d_A"].sel(number="a"), -t * left, rtol=1e-7)
    np.testing.assert_allclose(found["dlog_A"].sel(number="a"), -2.0 * t, rtol=1e-7)
    np.testing.assert_allclose(found["dlog_A"].sel(number="A"), 1.0, rtol=1e-7)


def test_a_number_without_effect_is_named(chain):
    found = sensitivities(chain, "peak(B)", end=10.0, options=TIGHT)
    assert found["effect"].sel(number="unused").item() == "none"
    assert (found["derivative"].sel(number="unused") == 0).all()
    assert found["effect"].sel(number="a").item() == "yes"


def test_a_level_that_is_never_passed_is_nan_with_the_reason(chain):
    found = sensitivities(chain, "crossing(B, 1000)", "a", end=10.0, options=TIGHT)
    assert np.isnan(found["value"]).all()
    assert np.isnan(found["derivative"]).all()
    assert "never passes 1000: it stays between 0 and" in str(found["note"].values[0])


def test_doses_are_numbers_too(chain):
    found = sensitivities(
        chain, "area(B)", "dose(A)", end=10.0, doses=["A=50 molecule@1h"], options=TIGHT
    )
    grown = sensitivities(
        chain, "area(B)", "a", end=10.0, doses=["A=50.5 molecule@1h"], options=TIGHT
    )
    plain = sensitivities(
        chain, "area(B)", "a", end=10.0, doses=["A=49.5 molecule@1h"], options=TIGHT
    )
    expected = float(grown["value"][0] - plain["value"][0])
    assert float(found["derivative"][0, 0]) == pytest.approx(expected, rel=1e-6)


def test_start_values_that_are_formulas_follow(chain):
    net = support.network(
        {"A": 100.0, "B": 0.0},
        {"a": 2.0, "scale": 30.0},
        [reaction("turn", "A -> B", "a*A")],
        starts={"A": "scale*a"},
    )
    model = support.compiled(net, "numba", unit_policy="ignore")
    found = sensitivities(model, "rest(A)", ["a", "scale"], end=1.0, options=TIGHT)
    np.testing.assert_allclose(found["derivative"][0], [30.0, 2.0], rtol=1e-10)
    kept = sensitivities(
        model, "rest(A)", "a", end=1.0, initials={"A": 7.0}, options=TIGHT
    )
    assert float(kept["derivative"][0, 0]) == 0.0
    with pytest.raises(InputError, match="has a formula for its start value"):
        sensitivities(model, "rest(A)", "A", end=1.0, options=TIGHT)


@pytest.mark.parametrize("clamp", [None, "0.5x"])
def test_runs_from_rest_equal_central_differences(clamp):
    model = load("mir21_core")
    perturb = Perturbations(clamp={"PTEN": clamp}) if clamp else None
    options = Options(rtol=1e-9)
    asked = ["rest(CASP3)", "final(pAKT)", "PARP1_c"]
    names = ["k_deg_CASP3", "k_deg_BCL2"]
    run = {
        "end": 6.0, "points": 3, "perturb": perturb, "options": options,
        "doses": ["TRAIL=50 ng/ml@1h"],
    }  # fmt: skip
    found = sensitivities(model, asked, names, **run)
    assert found.attrs["derivatives"] == "tangents"
    for name in names:
        value = float(found["nominal"].sel(number=name))
        sides = [
            sensitivities(model, asked, name, parameters={name: value * (1 + s)}, **run)
            for s in (2e-4, -2e-4)
        ]
        expected = (sides[0]["value"] - sides[1]["value"]) / 4e-4 / value
        made = found["derivative"].sel(number=name)
        noise = 1e-6 * abs(found["value"].values) / value  # of the differences
        assert (abs(made - expected) <= 3e-6 * abs(expected) + noise).all()
        curve = (sides[0]["PARP1_c"] - sides[1]["PARP1_c"]) / 4e-4 / value
        scale = max(abs(curve).max().item(), abs(found["PARP1_c"]).max() / value)
        np.testing.assert_allclose(
            found["d_PARP1_c"].sel(number=name), curve, atol=3e-6 * scale
        )


def test_a_model_with_events_has_differences_and_says_so():
    net = support.network(
        {"A": 100.0, "B": 0.0},
        {"a": 2.0},
        [reaction("turn", "A -> B", "a*A")],
        events=[event("refill", "A < 20", "A = 80")],
    )
    model = support.compiled(net, "numba", unit_policy="ignore")
    found = sensitivities(
        model, ["final(B)", "A"], "a", end=1.0, points=3, options=Options()
    )
    assert found.attrs["derivatives"] == "differences"
    assert found.attrs["method"] == "Rodas5P-one"
    event_time = np.log(5.0) / 2.0
    left = 80.0 * np.exp(-2.0 * (1.0 - event_time))
    # Raising `a` moves the event earlier: A(1) = 80·exp(−a + ln 5).
    assert float(found["d_A"][0, -1]) == pytest.approx(-left, rel=1e-5)


@pytest.mark.parametrize(
    ("of", "by", "error", "message"),
    [
        ("peek(B)", "a", UnknownNameError, "Unknown feature `peek`.*peak"),
        ("peak(C)", "a", InputError, "`C`"),
        ("peak(B)", "aa", UnknownNameError, "Unknown number `aa`"),
        ("crossing(B)", "a", InputError, r"must read `crossing\(NAME, LEVEL\)`"),
        ("crossing(B, x)", "a", InputError, "must be a number, got `x`"),
        ([], "a", InputError, "must name a quantity"),
        ("B", [], InputError, "must name a parameter"),
        ("B", "dose(B)", UnknownNameError, "Unknown number"),
    ],
)
def test_bad_input_is_one_sentence(chain, of, by, error, message):
    with pytest.raises(error, match=message):
        sensitivities(chain, of, by, end=1.0, options=TIGHT)


def test_the_reference_time_is_within_the_run(chain):
    with pytest.raises(InputError, match="`since` must be from 0 to below 1 h, got 2"):
        sensitivities(chain, "peak(B)", "a", end=1.0, since=2.0, options=TIGHT)


def test_features_count_from_the_reference_time(chain):
    whole = sensitivities(chain, "peak_time(B)", "a", end=10.0, options=TIGHT)
    late = sensitivities(
        chain, ["peak_time(B)", "peak(B)"], "a", end=10.0, since=0.5, options=TIGHT
    )
    assert float(late["value"][0]) == pytest.approx(float(whole["value"][0]) - 0.5)
    after = replace(TIGHT)
    past = sensitivities(chain, "peak_time(B)", "a", end=10.0, since=5.0, options=after)
    assert float(past["value"][0]) == 0.0
    assert "at an end of the run" in str(past["note"].values[0])
