"""One run at a time: closed forms, doses, step control."""

import numpy as np
import pytest
import support
from single_runs import METHODS, TIMES, each_method
from support import integrate, pairs, scaled_error

from mir21sim.compiler import load as library
from mir21sim.errors import SolverStatus
from mir21sim.simulation.simulate import simulate

RTOL, ATOL = 1e-7, 1e-7

# The tolerance bounds the error of one step. Over a run the errors add up: least in
# Radau, whose estimate is two orders below its solution, most in BDF, whose order
# changes with the step size: it alone needs more than 10 tolerances.
BUDGET = {"LSODA": 5.0, "BDF": 15.0, "Radau": 1.0}


def closed_decay(t, model):
    return 100.0 * np.exp(-0.5 * t)


def closed_birth_death(t, model):
    return 50.0 + (5.0 - 50.0) * np.exp(-0.4 * t)


def closed_driven(t, model):
    return 1.0 + 2.0 * (1.0 - (1.0 + t) * np.exp(-t))


CLOSED = {
    "decay": closed_decay,
    "birth_death": closed_birth_death,
    "driven": closed_driven,
}


@each_method
@pytest.mark.parametrize("name", CLOSED)
def test_a_linear_model_follows_its_closed_form(name, method, request):
    model = request.getfixturevalue(name)
    got = integrate(model, TIMES, method=method, rtol=RTOL, atol=ATOL).values[0, :, 0]
    want = CLOSED[name](TIMES, model)
    assert scaled_error(got, want, rtol=RTOL, atol=ATOL) < BUDGET[method]


@each_method
def test_binding_follows_its_closed_form(binding, method):
    got = integrate(binding, TIMES, method=method, rtol=RTOL, atol=ATOL).values[0]
    c = support.binding_closed_form(TIMES, 100.0, 60.0, 0.01, 0.3)
    want = np.stack([100.0 - c, 60.0 - c, c], axis=1)
    assert scaled_error(got, want, rtol=RTOL, atol=ATOL) < BUDGET[method]


@each_method
def test_saturated_turnover_meets_its_implicit_solution(hill, method):
    """The time to fall from S0 to S is known: (S0 − S + K^n ∫ S^-n) / Vmax."""
    got = integrate(hill, TIMES[:6], method=method, rtol=RTOL, atol=ATOL).values[0]
    s, s0, vmax, k, n = got[:, 0], 10.0, 3.0, 2.0, 2.5
    power = (s ** (1 - n) - s0 ** (1 - n)) / (n - 1)
    time = (s0 - s + k**n * power) / vmax
    rate = vmax * s**n / (k**n + s**n)  # turns an error in time into one in S
    error = np.abs(time - TIMES[:6]) * rate
    assert np.max(error / (ATOL + RTOL * s)) < BUDGET[method]


# ---------------------------------------------------------------------------- doses
def after(dose_times, amounts, t, k=0.5, start=100.0):
    """Return A(t) under decay with jumps, the jump at t included."""
    t = np.asarray(t)[:, np.newaxis]
    since = t - np.asarray(dose_times)
    return start * np.exp(-k * t[:, 0]) + np.where(
        since >= 0, np.asarray(amounts) * np.exp(-k * since), 0.0
    ).sum(axis=1)


DOSES = {
    "one bolus": ("A=40 molecule@3.3h", [3.3], [40.0]),
    "at the start": ("A=40 molecule@0h", [0.0], [40.0]),
    "at the end": ("A=40 molecule@8h", [8.0], [40.0]),
    "at an output time": ("A=40 molecule@4h", [4.0], [40.0]),
    "a series": ("A=40 molecule@1h/1.7hx4", [1.0, 2.7, 4.4, 6.1], [40.0] * 4),
    "a series beyond the end": ("A=40 molecule@1h/4hx9", [1.0, 5.0], [40.0] * 2),
}


@each_method
@pytest.mark.parametrize("case", DOSES)
def test_a_bolus_adds_at_its_time_and_shows_there(decay, method, case):
    text, times, amounts = DOSES[case]
    got = integrate(decay, TIMES, method=method, rtol=RTOL, atol=ATOL, doses=[text])
    want = after(times, amounts, TIMES)
    assert scaled_error(got.values[0, :, 0], want, rtol=RTOL, atol=ATOL) < 15


def test_equal_times_act_in_the_order_given(decay):
    both = ["A=10 molecule@2h", "A=wash@2h"]
    first = integrate(decay, [0.0, 2.0, 3.0], doses=both).values[0, :, 0]
    second = integrate(decay, [0.0, 2.0, 3.0], doses=both[::-1]).values[0, :, 0]
    assert first[1] == 0.0
    assert second[1] == 10.0


@each_method
def test_an_infusion_adds_at_a_constant_rate_between_its_ends(decay, method):
    dose = ["A=60 molecule@2h:3h"]
    got = integrate(decay, TIMES, method=method, rtol=RTOL, atol=ATOL, doses=dose)
    level = 60.0 / 3.0 / 0.5
    during = np.clip(TIMES - 2.0, 0.0, 3.0)
    since_end = np.clip(TIMES - 5.0, 0.0, None)
    infused = level * (1 - np.exp(-0.5 * during)) * np.exp(-0.5 * since_end)
    want = closed_decay(TIMES, decay) + infused
    assert scaled_error(got.values[0, :, 0], want, rtol=RTOL, atol=ATOL) < 15


def test_infusions_that_touch_keep_one_rate(decay):
    dose = ["A=20 molecule@0h:2h/2hx4"]
    got = integrate(decay, TIMES, rtol=RTOL, atol=ATOL, doses=dose).values[0, :, 0]
    want = 20.0 + (100.0 - 20.0) * np.exp(-0.5 * TIMES)
    assert scaled_error(got, want, rtol=RTOL, atol=ATOL) < 15


@pytest.mark.parametrize("at", [0.0, 3.3, 4.0, 8.0])
def test_a_washout_empties_exactly_at_its_time(decay, at):
    times = np.union1d(TIMES, [at])
    got = integrate(decay, times, doses=[f"A=wash@{at}h"]).values[0, :, 0]
    assert (got[times >= at] == 0.0).all()
    assert (got[times < at] > 1.0).all()


def test_a_dose_at_a_rounded_output_time_shows_there(decay):
    """The 7th of 11 times up to 6 h is the double next below 3.6."""
    times = np.linspace(0.0, 6.0, 11)
    assert times[6] == np.nextafter(3.6, 0.0)
    result = simulate(decay, "6 h", points=11, doses="A=40 molecule@3.6h")
    want = after([3.6], [40.0], times + 1e-12)
    assert result["A"].values == pytest.approx(want, rel=1e-4)


def test_a_dose_of_nothing_changes_no_number(decay):
    plain = integrate(decay, TIMES).values
    dosed = integrate(decay, TIMES, doses=["A=0 molecule@8h"]).values
    np.testing.assert_array_equal(plain, dosed)


def test_doses_in_nM_go_through_the_volume(decay):
    """1 nM in 1 pL is 602.2 molecules."""
    got = integrate(decay, [0.0, 1.0], doses=["A=1 nM@0h"]).values[0, 0, 0]
    assert got == pytest.approx(100.0 + 602.214076, rel=1e-12)


# --------------------------------------------------------------------- step control
@each_method
def test_output_times_never_touch_the_steps(binding, method):
    few = integrate(binding, np.linspace(0, 8, 11), method=method).results
    many = integrate(binding, np.linspace(0, 8, 1001), method=method).results
    for work in ("n_steps", "n_rhs", "n_jac"):
        assert getattr(few, work)[0] == getattr(many, work)[0]
    np.testing.assert_array_equal(few.y_end, many.y_end)


@each_method
def test_dense_output_is_as_good_as_the_steps(binding, method):
    times = np.linspace(0, 8, 1001)
    got = integrate(binding, times, method=method, rtol=RTOL, atol=ATOL).values[0, :, 2]
    want = support.binding_closed_form(times, 100.0, 60.0, 0.01, 0.3)
    assert scaled_error(got, want, rtol=RTOL, atol=ATOL) < BUDGET[method]


@pytest.mark.parametrize(
    ("method", "n_steps", "n_rhs"),
    [("LSODA", 600, 900), ("BDF", 400, 1100), ("Radau", 230, 1800)],
)
def test_robertson_takes_no_more_work_than_it_should(robertson, method, n_steps, n_rhs):
    done = integrate(robertson, [0.0, 1e5], method=method, rtol=1e-6, atol=1e-10)
    assert done.results.status[0] == SolverStatus.OK
    assert 20 < done.results.n_steps[0] < n_steps
    assert done.results.n_rhs[0] < n_rhs


@pytest.fixture(scope="module")
def robertson_runs(robertson):
    times = np.concatenate([[0.0], np.geomspace(1e-2, 1e5, 15)])
    return {
        m: integrate(robertson, times, method=m, rtol=1e-7, atol=1e-12).values[0]
        for m in METHODS
    }


@pytest.mark.parametrize(("one", "other"), pairs(METHODS))
def test_methods_agree_on_robertson(robertson_runs, one, other):
    a, b = robertson_runs[one], robertson_runs[other]
    assert scaled_error(a, b, rtol=1e-6, atol=1e-11) < 3
    np.testing.assert_allclose(a.sum(axis=1), 1.0, rtol=1e-9)


@pytest.fixture(scope="module")
def earm_runs():
    model = library.load("earm_1_3", backend="numpy")
    times = np.linspace(0.0, 5.0, 11)
    problem = {
        m: integrate(model, times, method=m, rtol=1e-6, atol=1e-3).values[0]
        for m in METHODS
    }
    return problem | {
        "reference": integrate(
            model, times, method="Radau", rtol=1e-10, atol=1e-6
        ).values[0]
    }


@each_method
def test_methods_agree_on_earm(earm_runs, method):
    """Measured in 10 tolerances; an error before MOMP shifts the whole switch."""
    got, want = earm_runs[method], earm_runs["reference"]
    assert scaled_error(got, want, rtol=1e-5, atol=1e-2) < 10


@pytest.mark.parametrize(
    ("starts", "want"),
    [
        ([1e6, 1e-3, 2e4, 0.0], [1e-5, 1e-6, 1e-6, 1e-6]),
        ([1.0, 1e-3, 1.0, 0.0], [1e-9, 1e-9, 1e-9, 1e-9]),  # few molecules in all
    ],
    ids=["cell", "unit"],
)
def test_tolerances_follow_the_scale_down_to_a_millionth_of_a_molecule(starts, want):
    species = dict(zip("ABCD", starts, strict=True))
    model = support.compiled(support.network(species, {}, []))
    np.testing.assert_allclose(model.atol, want, rtol=1e-12)
