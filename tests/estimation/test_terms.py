"""Likelihood terms beside the curves: values, derivatives, refusals."""

import math

import fit_cases
import numpy as np
import pytest

import mir21sim as ms
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.estimation import terms
from mir21sim.estimation.engine import Engine
from mir21sim.estimation.objective import Objective

pytest.importorskip("petab")

BOUNDS = {"k1": (0.01, 10.0), "k2": (0.01, 10.0)}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return fit_cases.load(tmp_path_factory.mktemp("model"))


def objective(model, *given):
    problem = ms.Problem(model, fit_cases.data(), {"signal": "B"}, BOUNDS, terms=given)
    return Objective(problem, Engine.of(model, rtol=1e-9))


def added(model, term, x):
    """Return the value that a term adds to the objective."""
    return (
        objective(model, term)(x, slopes=False).value
        - objective(model)(x, slopes=False).value
    )


X = np.log10([0.45, 0.25, 0.1])
TERMS = {
    "death": terms.DeathTime("B", 3.0, 1.0, 0.2, end=4.0),
    "curve": terms.NormalisedCurve("B", (1.0, 3.0, 6.0), (0.8, 1.1, 0.7), 0.1, 2.0),
    "dose": terms.ThresholdDose(
        "B", 12.0, "A={}@0", (2.0, 5.0, 10.0, 20.0, 40.0), 20.0, 0.3, end=3.0
    ),
}


def test_the_time_of_a_crossing_is_that_of_the_closed_form(model):
    found = added(model, TERMS["death"], X)
    low, high = 0.0, 2.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        up = fit_cases.amount_b(middle, 0.45, 0.25) < 3.0
        low, high = (middle, high) if up else (low, middle)
    wanted = 0.5 * ((low - 1.0) / 0.2) ** 2 + math.log(0.2 * math.sqrt(2 * math.pi))
    assert found == pytest.approx(wanted, rel=1e-5)


def test_a_normalised_curve_is_that_of_the_closed_form(model):
    term = TERMS["curve"]
    g = fit_cases.amount_b(np.array(term.times), 0.45, 0.25)
    r = (g / fit_cases.amount_b(2.0, 0.45, 0.25) - np.array(term.values)) / 0.1
    wanted = 0.5 * np.sum(r**2) + 3 * math.log(0.1 * math.sqrt(2 * math.pi))
    assert added(model, term, X) == pytest.approx(wanted, rel=1e-5)


def test_a_threshold_dose_is_that_of_the_closed_form(model):
    per = fit_cases.amount_b(3.0, 0.45, 0.25, a=1.0)
    place = math.log(12.0 / per - 10.0)  # 10 are there already
    wanted = 0.5 * ((place - math.log(20.0)) / 0.3) ** 2
    wanted += math.log(0.3 * math.sqrt(2 * math.pi))
    assert added(model, TERMS["dose"], X) == pytest.approx(wanted, abs=0.02)


@pytest.mark.parametrize("name", TERMS)
def test_the_gradient_of_a_term_equals_differences(model, name):
    made = objective(model, TERMS[name])
    gradient = made(X).gradient
    for k in range(2):
        step = np.zeros(3)
        step[k] = 1e-4
        ends = [made(X + s * step, slopes=False).value for s in (-1, 1)]
        assert gradient[k] == pytest.approx((ends[1] - ends[0]) / 2e-4, rel=1e-4)


def test_a_cell_that_does_not_die_has_no_likelihood(model):
    term = terms.DeathTime("B", 300.0, 1.0, 0.2, end=4.0)
    found = objective(model, term)(X)
    assert found.reason == "a likelihood term has no value"


def traces(*rows):
    """Return traces with one parameter, which shifts them in time by its amount."""
    time = np.linspace(0.0, 10.0, 41)
    value = np.array([1.0 / (1.0 + np.exp(-(time - t))) for t in rows])
    slope = -(value * (1.0 - value))[:, :, np.newaxis]  # d/d(shift)
    return terms.Traces(time, value, slope)


def test_cells_with_a_known_level_share_their_draws():
    term = terms.CellDeathTimes(
        "B", 0.5, "X", (4.0, 6.0), (1.0, 2.0), (False, True), 0.5, draws=2
    )
    made = term.contribution(traces(4.2, 5.0, 5.5, 7.0))
    seen = np.mean([math.exp(-0.5 * ((t - 4) / 0.5) ** 2) for t in (4.2, 5.0)])
    seen /= 0.5 * math.sqrt(2 * math.pi)
    alive = np.mean([0.5 * math.erfc(-(t - 6) / 0.5 / math.sqrt(2)) for t in (5.5, 7)])
    seen = term.strays / term.end + (1 - term.strays) * seen
    alive = term.strays + (1 - term.strays) * alive
    assert made.nll == pytest.approx(-math.log(seen) - math.log(alive), rel=1e-4)
    step = 1e-5
    ends = [
        term.contribution(traces(*(t + s for t in (4.2, 5.0, 5.5, 7.0)))).nll
        for s in (-step, step)
    ]
    assert made.gradient[0] == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=1e-3)


def test_a_draw_that_does_not_die_counts_for_a_censored_cell_alone():
    never = terms.Traces(
        np.linspace(0, 10, 41), np.zeros((1, 41)), np.zeros((1, 41, 1))
    )
    for censored, wanted in ((True, 0.0), (False, math.inf)):
        term = terms.CellDeathTimes(
            "B", 0.5, "X", (4.0,), (1.0,), (censored,), 0.5, draws=1, strays=0.0
        )
        assert term.contribution(never).nll == wanted


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"end": 6.0}, "`end` must be 4 widths after the last time"),
        ({"strays": 1.0}, "share from 0 to below 1, got 1"),
        ({"times": (math.nan, 6.0)}, "got NaN"),
        ({"levels": (1.0,)}, "one entry per cell, got 2, 1 and 2"),
        ({"width": 0.0}, "width of a term must be positive, got 0"),
    ],
)
def test_cells_that_cannot_be_read_are_refused(given, match):
    cells = {"times": (4.0, 6.0), "levels": (1.0, 2.0), "censored": (False, True)}
    with pytest.raises(InputError, match=match):
        terms.CellDeathTimes("B", 0.5, "X", **({"width": 0.5} | cells | given))


def test_the_share_of_dead_cells_is_binomial():
    term = terms.ShareDead("B", 0.5, 0.1, 10.0, dead=6, counted=8, cells=2)
    made = term.contribution(traces(9.0, 10.1))
    u = [(v - 0.5) / 0.1 for v in (1 / (1 + math.exp(-1.0)), 1 / (1 + math.exp(0.1)))]
    p = np.mean([0.5 * math.erfc(-v / math.sqrt(2)) for v in u])
    assert made.nll == pytest.approx(-6 * math.log(p) - 2 * math.log(1 - p), rel=1e-9)
    step = 1e-6
    ends = [term.contribution(traces(9.0 + s, 10.1 + s)).nll for s in (-step, step)]
    assert made.gradient[0] == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=1e-5)


def test_the_conditions_of_cells_are_the_same_at_every_call():
    model = ms.load("mir21_core", backend="numpy")
    groups = terms.varied(model)
    protein = next(iter(groups))
    term = terms.CellDeathTimes(
        "PARP_cleaved_fraction", 0.5, protein, (1.0,), (2.0,), (False,), 0.5, draws=3
    )
    first, second = term.conditions(model), term.conditions(model)
    assert first == second
    assert len(first) == 3
    for condition in first:
        assert dict(condition.factors)[groups[protein][0]] == 2.0


def test_a_protein_that_does_not_differ_is_refused():
    model = ms.load("mir21_core", backend="numpy")
    term = terms.CellDeathTimes("B", 0.5, "BCLX2", (1.0,), (1.0,), (False,), 0.5)
    with pytest.raises(UnknownNameError, match="protein that differs `BCLX2`"):
        term.conditions(model)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: terms.DeathTime("B", 1.0, 1.0, 0.0), "sd of a term must be positive"),
        (
            lambda: terms.ShareDead("B", 1.0, 0.1, 1.0, dead=9, counted=8),
            "must be 0 to `counted`, got 9 of 8",
        ),
        (
            lambda: terms.NormalisedCurve("B", (1.0,), (), 0.1, 1.0),
            "as many values as times",
        ),
        (
            lambda: terms.ThresholdDose("B", 1.0, "A={}", (2.0, 1.0), 1.0, 0.1),
            "four positive amounts or more, ascending",
        ),
    ],
)
def test_a_term_with_bad_numbers_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
