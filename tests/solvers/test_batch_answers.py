"""The batch solver against closed forms: doses, outputs, faded signals."""

import numpy as np
import pytest
import support
from batch_runs import (
    ATOL,
    PER_RUN,
    RTOL,
    TIMES,
    drive,
    each_method,
    solve,
    translated,
)
from support import reaction, scaled_error

from mir21sim.errors import SolverStatus

# ---------------------------------------------------------------------- closed forms
# The tolerance bounds the error of a step; those of a run add up.
BUDGET = {"Rodas5P": 10.0, "Rodas4": 10.0}


def species(model, problem, **how):
    """Return the first state of every run at the output times."""
    return drive(model, problem, rtol=RTOL, atol=ATOL, **how).states[:, :, 0]


def within(got, want, method="Rodas5P"):
    return scaled_error(got, want, rtol=RTOL, atol=ATOL) < BUDGET[method]


RATES = np.array([0.05, 0.1, 0.2, 0.5, 0.7, 1.0, 1.3, 2.0, 3.0])[:, np.newaxis]


@each_method
def test_decay_follows_its_closed_form_in_every_run(decay, method):
    got = species(decay, translated(decay, over={"k": RATES[:, 0]}), method=method)
    assert within(got, 100.0 * np.exp(-RATES * TIMES), method)


@each_method
def test_a_driven_model_follows_its_closed_form_in_every_run(driven, method):
    """dA/dt = 2·t·exp(−w·t): all of the slope is in the time."""
    got = species(driven, translated(driven, over={"w": RATES[:, 0]}), method=method)
    want = 1.0 + 2.0 * (1.0 - (1.0 + RATES * TIMES) * np.exp(-RATES * TIMES)) / RATES**2
    assert within(got, want, method)


@each_method
def test_binding_follows_its_closed_form_in_every_run(binding, method):
    problem = translated(binding, over={"kf": RATES[:, 0] / 50})
    c = drive(binding, problem, method=method).states[:, :, 2]
    curves = [
        support.binding_closed_form(TIMES, 100.0, 60.0, k, 0.3)
        for k in RATES[:, 0] / 50
    ]
    assert within(c, np.stack(curves), method)


@pytest.fixture(scope="module")
def ruled():
    """Rules on rules, a rate rule and the time."""
    net = support.network(
        {"A": 10.0, "B": 2.0},
        {"k": 0.3, "K": 4.0, "w": 1.0, "X": 1.0},
        [reaction("use", "A -> B", "k*free*exp(-w*time/K)")],
        rules={"free": "A/(1 + load)", "load": "B/K", "both": "free + load"},
        rate_rules={"X": "X*cos(w*time)"},
    )
    return support.compiled(net)


@each_method
def test_a_rate_rule_follows_its_closed_form(ruled, method):
    """dX/dt = X·cos t, so X = exp(sin t)."""
    x = ruled.state_names.index("X")
    got = drive(ruled, translated(ruled), method=method).states[0, :, x]
    assert within(got, np.exp(np.sin(TIMES)), method)


@each_method
def test_chains_of_rules_follow_scipy(ruled, method):
    problem = translated(ruled, over={"K": [1.0, 2.0, 4.0]})
    got = drive(ruled, problem, method=method).states
    want = solve(ruled, problem, method="LSODA", rtol=1e-11, atol=1e-11).values
    assert scaled_error(got, want, rtol=RTOL, atol=ATOL) < BUDGET[method]


# ----------------------------------------------------------------------------- doses
def after(dose_times, amounts, t, k=0.5, start=100.0):
    """Return A(t) under decay with jumps, the jump at t included."""
    since = np.asarray(t)[:, np.newaxis] - np.asarray(dose_times)
    jumps = np.where(since >= 0, np.asarray(amounts) * np.exp(-k * since), 0.0)
    return start * np.exp(-k * np.asarray(t)) + jumps.sum(axis=1)


DOSES = {
    "one bolus": ("A=40 molecule@3.3h", [3.3]),
    "at the start": ("A=40 molecule@0h", [0.0]),
    "at the end": ("A=40 molecule@8h", [8.0]),
    "at an output time": ("A=40 molecule@4h", [4.0]),
    "a series": ("A=40 molecule@1h/1.7hx4", [1.0, 2.7, 4.4, 6.1]),
    "a series beyond the end": ("A=40 molecule@1h/4hx9", [1.0, 5.0]),
}


@each_method
@pytest.mark.parametrize("case", DOSES)
def test_a_bolus_adds_at_its_time_and_shows_there(decay, method, case):
    text, times = DOSES[case]
    got = species(decay, translated(decay, doses=[text]), method=method)[0]
    assert within(got, after(times, [40.0] * len(times), TIMES), method)


@each_method
def test_every_run_has_doses_of_its_own(decay, method):
    amounts = np.linspace(0.0, 80.0, 9)
    problem = translated(decay, over={"A": amounts}, doses=["A=0 molecule@1h/2.5hx3"])
    want = np.stack([after([1.0, 3.5, 6.0], [a] * 3, TIMES) for a in amounts])
    assert within(species(decay, problem, method=method), want, method)


def test_a_dose_time_shows_the_state_after_the_dose(decay):
    a = species(decay, translated(decay, [0.0, 4.0], doses=["A=40 molecule@4h"]))[0]
    assert a[1] == pytest.approx(100.0 * np.exp(-2.0) + 40.0, rel=1e-7)


@pytest.mark.parametrize("at", [0.0, 3.3, 4.0, 8.0])
def test_a_washout_empties_exactly_at_its_time(decay, at):
    times = np.union1d(TIMES, [at])
    a = species(decay, translated(decay, times, doses=[f"A=wash@{at}h"]))[0]
    assert (a[times >= at] == 0.0).all()
    assert (a[times < at] > 1.0).all()


def test_equal_times_act_in_the_order_given(decay):
    both = ["A=10 molecule@2h", "A=wash@2h"]
    first, second = (
        species(decay, translated(decay, [0.0, 2.0, 3.0], doses=doses))[0, 1]
        for doses in (both, both[::-1])
    )
    assert (first, second) == (0.0, 10.0)


@each_method
def test_an_infusion_adds_at_a_constant_rate_between_its_ends(decay, method):
    problem = translated(decay, doses=["A=60 molecule@2h:3h"])
    during, since_end = np.clip(TIMES - 2, 0, 3), np.clip(TIMES - 5, 0, None)
    infused = 40.0 * (1 - np.exp(-0.5 * during)) * np.exp(-0.5 * since_end)
    want = 100.0 * np.exp(-0.5 * TIMES) + infused
    assert within(species(decay, problem, method=method)[0], want, method)


def test_infusions_that_touch_keep_one_rate(decay):
    problem = translated(decay, doses=["A=20 molecule@0h:2h/2hx4"])
    want = 20.0 + 80.0 * np.exp(-0.5 * TIMES)
    assert within(species(decay, problem)[0], want)


def test_a_lane_forgets_the_infusion_of_the_run_before(decay):
    """Swept amounts: the last runs have none, in lanes that had large ones."""
    amounts = np.repeat([60.0, 0.0], [8, 16])
    problem = translated(decay, over={"A": amounts}, doses=["A=0 molecule@7h:3h"])
    got = species(decay, problem)
    np.testing.assert_array_equal(got[8:], got[[8] * 16])
    assert within(got[8], 100.0 * np.exp(-0.5 * TIMES))


PROTOCOLS = {
    "bolus": ["B=40 molecule@1.1h/2hx3"],
    "washout": ["A=wash@2.2h", "A=30 molecule@5h"],
    "infusion": ["A=60 molecule@2h:3h", "B=10 molecule@4h"],
    "overlapping infusions": ["A=60 molecule@1h:4h", "A=20 molecule@3h:4h"],
}


@each_method
@pytest.mark.parametrize("case", PROTOCOLS)
def test_doses_into_a_nonlinear_model_are_those_of_scipy(binding, method, case):
    problem = translated(
        binding, over={"kf": [0.003, 0.01, 0.1]}, doses=PROTOCOLS[case]
    )
    got = drive(binding, problem, method=method).states
    want = solve(binding, problem, method="LSODA", rtol=1e-11, atol=1e-11).values
    assert scaled_error(got, want, rtol=RTOL, atol=ATOL) < BUDGET[method]


# ------------------------------------------------------------------------ output
@each_method
def test_output_times_never_touch_the_steps(binding, method):
    few, many = (
        drive(binding, translated(binding, np.linspace(0, 8, n)), method=method).results
        for n in (2, 1001)
    )
    for name in PER_RUN:
        np.testing.assert_array_equal(getattr(few, name), getattr(many, name))


@each_method
def test_output_between_steps_is_as_good_as_the_steps(binding, method):
    times = np.linspace(0.0, 8.0, 1001)
    done = drive(binding, translated(binding, times), method=method)
    want = support.binding_closed_form(times, 100.0, 60.0, 0.01, 0.3)
    assert done.results.n_steps[0] < 300
    assert within(done.states[0, :, 2], want, method)


@pytest.fixture(scope="module")
def chosen(ruled):
    """The same quantities by both engines, at three speeds of the clock."""
    names = ["A", "[A]", "X", "free", "load", "both", "use", "K", "d X/dt"]
    problem = translated(ruled, over={"w": [0.5, 1.0, 2.0]}, observe=names)
    return names, {
        method: solve(ruled, problem, method=method, rtol=1e-9, atol=1e-9).values
        for method in ("Rodas5P", "Radau")
    }


@pytest.mark.parametrize("k", range(9))
def test_states_rules_rates_and_parameters_are_those_of_scipy(chosen, k):
    names, values = chosen
    got, want = values["Rodas5P"][:, :, k], values["Radau"][:, :, k]
    np.testing.assert_allclose(got[:, 0], want[:, 0], rtol=1e-15, err_msg=names[k])
    assert scaled_error(got, want, rtol=1e-9, atol=1e-9) < 20


def test_what_is_observed_belongs_to_one_moment(chosen):
    """free = A/(1 + load), both = free + load and d X/dt = X·cos(w·t) in every cell."""
    names, values = chosen
    at = dict(zip(names, np.moveaxis(values["Rodas5P"], 2, 0), strict=True))
    np.testing.assert_allclose(at["free"] * (1 + at["load"]), at["A"], rtol=1e-14)
    np.testing.assert_allclose(at["both"], at["free"] + at["load"], rtol=1e-14)
    slope = at["X"] * np.cos(np.outer([0.5, 1.0, 2.0], TIMES))
    np.testing.assert_allclose(at["d X/dt"], slope, rtol=1e-13)
    np.testing.assert_array_equal(at["K"], 4.0)


@pytest.mark.parametrize("name", ["B", "bind", "K", "[C]"])
def test_what_is_observed_is_nan_after_a_failure_and_finite_before(faulty, cells, name):
    problem = translated(faulty, observe=[name], over={"z": [50.0, 0.0]})
    for method in ("Rodas5P", "LSODA"):
        values = solve(faulty, problem, method=method).values[:, :, 0]
        assert np.isfinite(values[0, 0])
        assert np.isnan(values[0, 1:]).all()
        assert np.isfinite(values[1]).all()


# ------------------------------------------------------------------- faded signals
@pytest.fixture(scope="module")
def fading():
    """A signal that fades under a Hill function with exponents between integers."""
    net = support.network(
        {"S": 10.0, "P": 0.0, "Q": 0.0},
        {"k": 0.5, "V": 3.0, "K": 2.0, "n": 2.5, "m": 1.3},
        [
            reaction("fade", "S ->", "k*S"),
            reaction("make", "-> P", "V*S**n/(K**n + S**n)"),
            reaction("turn", "S -> Q", "V*S**m/(K**m + S**m)"),
            reaction("lose", "P ->", "k*P**1.5"),
        ],
    )
    return support.compiled(net)


@each_method
@pytest.mark.parametrize("n", [1.0, 1.7, 2.5, 4.0])
def test_a_signal_may_fade_under_a_hill_function(fading, method, n):
    problem = translated(fading, [0.0, 1.0, 1e3, 1e5], over={"n": [n], "m": [1.0, 1.3]})
    done = drive(fading, problem, method=method)
    assert (done.results.status == SolverStatus.OK).all()
    assert (np.abs(done.states[:, 3, 0]) < 1e-6).all()


@each_method
def test_a_signal_may_be_absent_from_the_start(fading, method):
    problem = translated(fading, [0.0, 100.0])
    problem.y0[:, 0] = 0.0
    done = drive(fading, problem, method=method)
    assert done.results.status[0] == SolverStatus.OK
    np.testing.assert_array_equal(done.states[0], 0.0)


def test_a_model_that_starts_at_nothing_leaves_it(birth_death):
    problem = translated(birth_death)
    problem.y0[...] = 0.0
    want = 50.0 * (1 - np.exp(-0.4 * TIMES))
    assert within(species(birth_death, problem)[0], want)
