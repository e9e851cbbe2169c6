"""Orders and errors that the Rosenbrock tableaus reach in runs."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import scipy.integrate
import support
from tableau_runs import TABLEAUX, each_method

from mir21sim.compiler import load as library
from mir21sim.compiler.cache import lane_kernels
from mir21sim.errors import SolverStatus
from mir21sim.solvers.batch import integrate as batch
from mir21sim.solvers.problem import Problem, Schedule, Selection
from mir21sim.solvers.settings import Settings


# ---------------------------------------------------------------- running the driver
def problem(start, slopes):
    """Return a model of y' = f(t, y) whose states are no amounts: rate rules."""
    net = support.network({}, start, [], rate_rules=slopes, name="ode")
    return support.compiled(net)


def runs_of(model, times, *, stops=()):
    """Return one run of a model that keeps nothing; at `stops` a dose adds nothing."""
    none = np.empty(0, np.int64)
    where = np.zeros(len(stops), np.int64)
    doses = Schedule(np.asarray(stops, float), where, where, np.zeros((1, len(stops))))
    return Problem(
        y0=model.y0[np.newaxis].copy(),
        p=model.p0[np.newaxis].copy(),
        times=np.asarray(times, float),
        schedule=doses,
        selection=Selection(none, none, none, none, np.empty(0)),
        amounts=np.zeros(len(model.y0), bool),
    )


def drive(model, problem, rtol, atol, *, name="Rodas5P"):
    """Return the states of the first run at the output times, and the work."""
    found = []
    settings = Settings(name, rtol, np.zeros(len(model.y0)) + atol)
    results, _ = batch.integrate_runs(
        lane_kernels(model.network),
        problem,
        settings,
        tableau=TABLEAUX[name],
        need=np.arange(len(model.y0)),
        keep=lambda first, last, states, results: found.append(states[0]),
    )
    return found[0], results


# -------------------------------------------------------------------- observed order
@pytest.fixture(scope="module")
def curved():
    """A nonlinear problem that is driven by the time: A = 2 + sin t, B = 1 + exp(−t).

    `Z` rests and makes the first step of a stretch as long as the stretch, see below.
    """
    return problem(
        {"A": 2.0, "B": 2.0, "Z": 1.0, "w": 1.0},
        {
            "A": "w*cos(w*time) - A*(B - 1 - exp(-w*time))",
            "B": "B*B*(A - 2 - sin(w*time)) - w*exp(-w*time)",
            "Z": "0*Z",
        },
    )


def curve(t):
    return np.stack([2 + np.sin(t), 1 + np.exp(-t), np.ones_like(t)], axis=1)


def errors_at(model, name, n_step):
    """Return the largest errors at the ends of equal steps, and within them.

    Empty doses cut the time into equal stretches. A stretch begins with a hundredth of
    (size of the state)/(size of its slope), in units of the tolerances: those of A and
    B are so loose and that of Z is so tight that one step fills the stretch.
    """
    grid = np.linspace(0.0, 2.0, n_step + 1)
    times = np.union1d(grid, np.linspace(0.0, 2.0, 401))
    problem = runs_of(model, times, stops=grid[1:-1])
    y, results = drive(model, problem, 1e-10, np.array([10.0, 10.0, 1e-10]), name=name)
    assert results.n_steps[0] == n_step
    assert results.n_rejected[0] == 0
    error = np.abs(y - curve(times)).max(axis=1)
    return error[np.isin(times, grid)].max(), error.max()


# Rodas4's errors fall faster than h⁴ where steps are long: its h⁵ terms are large here.
WINDOW = {"Rodas5P": (12, 16, 24, 32, 48, 64), "Rodas4": (64, 96, 128, 192, 256, 384)}


@pytest.mark.parametrize("place", ["at the ends of steps", "within the steps"])
@each_method
def test_the_observed_order_is_the_promised_one(curved, name, place):
    """All errors are above 1e-12: rounding is below 1e-14."""
    column = int(place == "within the steps")
    errors = [errors_at(curved, name, n)[column] for n in WINDOW[name]]
    slope = np.polyfit(np.log(WINDOW[name]), np.log(errors), 1)[0]
    assert min(errors) > 1e-12
    assert -slope == pytest.approx(TABLEAUX[name].order, abs=0.2)


# -------------------------------------------------------------------- achieved error
@dataclass(frozen=True)
class StiffProblem:
    """A stiff problem twice, as rate rules and as a function, with its endpoint.

    ``floor`` is what an amount counts at least in a relative error.
    """

    start: dict
    slopes: dict
    function: object
    times: np.ndarray
    floor: tuple
    end: tuple


def _robertson(t, y):
    a, b, c = y
    return [
        -0.04 * a + 1e4 * b * c,
        0.04 * a - 1e4 * b * c - 3e7 * b * b,
        3e7 * b * b,
    ]


def _hires(t, y):
    y1, y2, y3, y4, y5, y6, y7, y8 = y
    return [
        -1.71 * y1 + 0.43 * y2 + 8.32 * y3 + 0.0007,
        1.71 * y1 - 8.75 * y2,
        -10.03 * y3 + 0.43 * y4 + 0.035 * y5,
        8.32 * y2 + 1.71 * y3 - 1.12 * y4,
        -1.745 * y5 + 0.43 * y6 + 0.43 * y7,
        -280 * y6 * y8 + 0.69 * y4 + 1.71 * y5 - 0.43 * y6 + 0.69 * y7,
        280 * y6 * y8 - 1.81 * y7,
        -280 * y6 * y8 + 1.81 * y7,
    ]


def _oregonator(t, y):
    x, y_, z = y
    return [
        77.27 * (y_ + x * (1 - 8.375e-6 * x - y_)),
        (z - (1 + x) * y_) / 77.27,
        0.161 * (x - z),
    ]


def _van_der_pol(t, y):
    return [y[1], ((1 - y[0] ** 2) * y[1] - y[0]) * 1e6]


# Endpoints: Mazzia and Magherini, Test Set for IVP Solvers 2.4 (2008), HIRES, OREGO and
# VDPOL (time in units of µ, so that 1/ε = µ² = 1e6); for Robertson it has t = 1e11.
PROBLEMS = {
    "robertson": StiffProblem(
        {"A": 1.0, "B": 0.0, "C": 0.0},
        {
            "A": "-0.04*A + 1e4*B*C",
            "B": "0.04*A - 1e4*B*C - 3e7*B*B",
            "C": "3e7*B*B",
        },
        _robertson,
        np.concatenate([[0.0], np.geomspace(1e-2, 1e5, 15)]),
        (1e-2, 1e-7, 1e-2),
        (),
    ),
    "hires": StiffProblem(
        {f"y{i}": {1: 1.0, 8: 0.0057}.get(i, 0.0) for i in range(1, 9)},
        {
            "y1": "-1.71*y1 + 0.43*y2 + 8.32*y3 + 0.0007",
            "y2": "1.71*y1 - 8.75*y2",
            "y3": "-10.03*y3 + 0.43*y4 + 0.035*y5",
            "y4": "8.32*y2 + 1.71*y3 - 1.12*y4",
            "y5": "-1.745*y5 + 0.43*y6 + 0.43*y7",
            "y6": "-280*y6*y8 + 0.69*y4 + 1.71*y5 - 0.43*y6 + 0.69*y7",
            "y7": "280*y6*y8 - 1.81*y7",
            "y8": "1.81*y7 - 280*y6*y8",
        },
        _hires,
        np.concatenate([[0.0], np.geomspace(0.1, 321.8122, 15)]),
        (1e-3,) * 8,
        (
            0.7371312573325668e-3, 0.1442485726316185e-3, 0.5888729740967575e-4,
            0.1175651343283149e-2, 0.2386356198831331e-2, 0.6238968252742796e-2,
            0.2849998395185769e-2, 0.2850001604814231e-2,
        ),
    ),
    "oregonator": StiffProblem(
        {"X": 1.0, "Y": 2.0, "Z": 3.0},
        {
            "X": "77.27*(Y + X*(1 - 8.375e-6*X - Y))",
            "Y": "(Z - (1 + X)*Y)/77.27",
            "Z": "0.161*(X - Z)",
        },
        _oregonator,
        np.linspace(0.0, 360.0, 13),
        (1.0,) * 3,
        (0.1000814870318523e1, 0.1228178521549917e4, 0.1320554942846706e3),
    ),
    "van_der_pol": StiffProblem(
        {"U": 2.0, "V": 0.0},
        {"U": "V", "V": "((1 - U*U)*V - U)*1e6"},
        _van_der_pol,
        np.linspace(0.0, 2.0, 11),
        (1.0,) * 2,
        (0.1706167732170483e1, -0.8928097010247975),
    ),
}  # fmt: skip
TOLERANCES = [1e-4, 1e-6, 1e-8]
each_tolerance = pytest.mark.parametrize("rtol", TOLERANCES)


@cache
def model_of(which):
    if which.startswith("earm"):
        return library.load(which)
    return problem(PROBLEMS[which].start, PROBLEMS[which].slopes)


@cache
def solution(which, rtol, tighter=1.0):
    """Return the states by SciPy's Radau, for EARM on our scalar kernels."""
    if which.startswith("earm"):
        how = {"method": "Radau", "rtol": rtol, "atol": rtol * tighter}
        return support.integrate(model_of(which), EARM_HOURS, **how).values[0]
    p = PROBLEMS[which]
    span, start = (p.times[0], p.times[-1]), list(p.start.values())
    atol = tighter * rtol * np.array(p.floor)
    return scipy.integrate.solve_ivp(
        p.function, span, start, method="Radau", rtol=rtol, atol=atol, t_eval=p.times
    ).y.T


EARM_HOURS = np.linspace(0.0, 20_000.0 / 3600.0, 21)


def reference(which):
    if which.startswith("earm"):
        return solution(which, 1e-11, 100.0)  # amounts are thousands
    return solution(which, 1e-11, 0.1)


def floor(which):
    return np.array(PROBLEMS[which].floor) if which in PROBLEMS else 1.0


@cache
def solved(which, rtol, name):
    """Return the states by our method, and its work."""
    model = model_of(which)
    if which in PROBLEMS:
        times = PROBLEMS[which].times
    else:
        times = EARM_HOURS * (3600.0 / model.seconds_per_time)
    y, results = drive(
        model, runs_of(model, times), rtol, rtol * floor(which), name=name
    )
    assert results.status[0] == SolverStatus.OK
    return y, results


def error(which, rtol, y):
    """Return the largest abs(y − ref)/(floor + abs(ref)) in units of rtol."""
    return support.scaled_error(
        y, reference(which), rtol=rtol, atol=rtol * floor(which)
    )


@pytest.mark.parametrize("which", ["hires", "oregonator", "van_der_pol"])
def test_the_reference_meets_the_published_endpoint(which):
    np.testing.assert_allclose(reference(which)[-1], PROBLEMS[which].end, rtol=1e-11)


# The bound is that of the steps, not of the run. Between two jumps of van der Pol an
# error in time grows a thousandfold; EARM 2 switches all at once, and its 74 species
# share one norm, in which one of them may be off by 9 tolerances.
BUDGET = {
    "robertson": 20, "hires": 20, "oregonator": 10, "van_der_pol": 30,
    "earm_1_3": 20, "earm2_m1a": 40,
}  # fmt: skip


@each_tolerance
@each_method
@pytest.mark.parametrize("which", BUDGET)
def test_the_achieved_error_follows_the_tolerance(which, name, rtol):
    assert error(which, rtol, solved(which, rtol, name)[0]) < BUDGET[which]


@each_tolerance
@pytest.mark.parametrize(
    "which", [n for n in BUDGET if n not in ("robertson", "hires")]
)
def test_the_error_is_at_most_three_times_that_of_radau(which, rtol):
    """SciPy's estimate is two orders below its solution, so it is often better."""
    ours = error(which, rtol, solved(which, rtol, "Rodas5P")[0])
    theirs = error(which, rtol, solution(which, rtol))
    assert ours / theirs < 3


# Steps and rejected steps at 1e-6, a fifth above what was measured.
WORK = {
    ("robertson", "Rodas5P"): (245, 5), ("robertson", "Rodas4"): (500, 5),
    ("hires", "Rodas5P"): (440, 10), ("hires", "Rodas4"): (920, 5),
    ("oregonator", "Rodas5P"): (1900, 15), ("oregonator", "Rodas4"): (3800, 15),
    ("van_der_pol", "Rodas5P"): (1600, 20), ("van_der_pol", "Rodas4"): (3400, 15),
    ("earm_1_3", "Rodas5P"): (1270, 6), ("earm_1_3", "Rodas4"): (3100, 5),
    ("earm2_m1a", "Rodas5P"): (1080, 6), ("earm2_m1a", "Rodas4"): (3030, 5),
}  # fmt: skip


@pytest.mark.parametrize(("which", "name"), WORK)
def test_no_more_work_than_it_should_take(which, name):
    results = solved(which, 1e-6, name)[1]
    n_steps, n_rejected = WORK[which, name]
    assert n_steps / 2 < results.n_steps[0] <= n_steps
    assert results.n_rejected[0] <= n_rejected


def test_a_looser_tolerance_takes_less_work_than_a_tighter_one():
    counts = [solved("hires", rtol, "Rodas5P")[1].n_steps[0] for rtol in TOLERANCES]
    assert counts == sorted(counts)
    # Order 5: a hundredth of the error is 100^(1/5) = 2.5 times the steps.
    assert counts[2] / counts[1] < 2 * 100 ** (1 / 5)
