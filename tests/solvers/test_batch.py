"""The batch solver: company, doses, outputs, failures, second tries, resting states."""

import dataclasses
import time
import warnings

import numpy as np
import pytest
import support
from hypothesis import given, settings
from hypothesis import strategies as st
from support import reaction, scaled_error

from mir21sim.compiler import load as library
from mir21sim.compiler.cache import lane_kernels
from mir21sim.errors import FailedRunsWarning, SolverStatus
from mir21sim.simulation import steady_state as resting
from mir21sim.simulation.options import Options, absolute_tolerances
from mir21sim.simulation.plan import Plan, checked_times
from mir21sim.simulation.simulate import simulate
from mir21sim.simulation.sweep import sweep
from mir21sim.simulation.translate import translate
from mir21sim.simulation.treatment import Treatment
from mir21sim.solvers import solve as solving
from mir21sim.solvers.batch import control
from mir21sim.solvers.batch import integrate as batch
from mir21sim.solvers.batch.rodas4 import RODAS4
from mir21sim.solvers.batch.rodas5p import RODAS5P
from mir21sim.solvers.methods import NAMES
from mir21sim.solvers.settings import Settings, Workers

TABLEAUX = {t.name: t for t in (RODAS5P, RODAS4)}
METHODS = tuple(TABLEAUX)
RTOL, ATOL = 1e-7, 1e-7
TIMES = np.linspace(0.0, 8.0, 17)

each_method = pytest.mark.parametrize("method", METHODS)


def translated(model, times=TIMES, *, over=None, doses=(), observe=None):
    """Return the runs of a sweep, their arrays free to be changed."""
    names = model.state_names
    plan = Plan.of(
        model,
        Treatment.of(list(doses)),
        checked_times(times),
        observe=observe or [f"[{s}]" if s in (over or ()) else s for s in names],
        over={
            name: (np.atleast_1d(values).astype(float), "molecule" * (name == "A"))
            for name, values in (over or {}).items()
        },
    )
    problem = translate(model, plan).problem
    return dataclasses.replace(problem, y0=np.array(problem.y0), p=np.array(problem.p))


def how_to(model, method, rtol=RTOL, atol=ATOL, **limits):
    atols = absolute_tolerances(model, rtol, atol)
    return Settings(method, rtol, atols, **limits)


def solve(model, problem, *, method="Rodas5P", n_jobs=1, **accuracy):
    """Return the results as a user gets them: what was selected, failures retried."""
    results, _ = solving.solve(
        model, problem, how_to(model, method, **accuracy), Workers(n_jobs)
    )
    return results


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Driven:
    """All states at all times, (run, time, state), and the results beside them."""

    states: np.ndarray
    results: object


def drive(model, problem, *, method="Rodas5P", n_jobs=1, progress=None, **accuracy):
    """Run the batch solver alone: no observables, no second try."""
    states = np.full((len(problem), len(problem.times), len(model.y0)), np.nan)

    def keep(first, last, found, results):
        states[first:last] = found

    results, _ = batch.integrate_runs(
        lane_kernels(model.network),
        problem,
        how_to(model, method, **accuracy),
        tableau=TABLEAUX[method],
        need=np.arange(len(model.y0)),
        keep=keep,
        n_jobs=n_jobs,
        progress=progress,
    )
    return Driven(states, results)


PER_RUN = ("status", "t_end", "y_end", "n_steps", "n_rejected")


def assert_same(one, other, which=slice(None), *, others=slice(None)):
    """Assert that runs `which` of one are runs `others` of the other, bit for bit."""
    np.testing.assert_array_equal(one.states[which], other.states[others])
    for name in PER_RUN:
        np.testing.assert_array_equal(
            getattr(one.results, name)[which],
            getattr(other.results, name)[others],
            err_msg=name,
        )


def some(problem, which):
    return solving.subset(problem, np.asarray(which, dtype=np.int64))


# ------------------------------------------------------- a population with bad cells
FAULTY = support.network(
    {"A": 10.0, "B": 5.0, "C": 0.0},
    {"k": 0.3, "K": 1.0, "f": 0.2, "r": 0.5, "z": 0.0, "b": 0.0, "w": 1.0},
    [
        reaction("bind", "A + B -> C", "f*A*B - r*C"),
        reaction("divide", "A -> B", "k*A/K"),
        reaction("wave", "-> B", "k*(1 + sin(w*time))"),
        reaction("loss", "C ->", "k*C + z"),
        reaction("burst", "A -> 2 A", "b*A*A"),
    ],
    name="faulty",
)
BAD = {  # what makes a run fail, and how: a start value or a parameter, its value
    "nan": ("B", np.nan, SolverStatus.NON_FINITE),
    "infinite": ("A", np.inf, SolverStatus.NON_FINITE),
    "negative": ("A", -5.0, SolverStatus.NEGATIVE),
    "divides": ("K", 0.0, SolverStatus.NON_FINITE),
    "empties": ("z", 50.0, SolverStatus.NEGATIVE),
    "bursts": ("b", 100.0, None),
    "endless": ("w", 1e6, SolverStatus.MAX_STEPS),
    "overflows": ("k", 1e300, None),
}
LIMIT = {"max_steps": 1000}


@pytest.fixture(scope="module")
def faulty():
    return support.compiled(FAULTY)


@pytest.fixture(scope="module")
def cells(faulty):
    """100 cells with their own start values and parameters, one dose each."""
    dose = ["A=0 molecule@3.3h", "B=2 molecule@5h:1h"]
    problem = translated(faulty, over={"A": np.linspace(1.0, 20.0, 100)}, doses=dose)
    rng = np.random.default_rng(7)
    problem.y0[...] *= rng.lognormal(0.0, 0.5, problem.y0.shape)
    problem.p[...] *= rng.lognormal(0.0, 0.5, problem.p.shape)
    return problem


@pytest.fixture(scope="module")
def alone(faulty, cells):
    """Every cell by itself."""
    each = [drive(faulty, some(cells, [run]), **LIMIT) for run in range(len(cells))]
    results = dataclasses.replace(
        each[0].results,
        **{n: np.concatenate([getattr(e.results, n) for e in each]) for n in PER_RUN},
    )
    return Driven(np.concatenate([e.states for e in each]), results)


def spoilt(model, problem, bad):
    """Return the runs with some made to fail: {run: key of BAD}."""
    problem = some(problem, np.arange(len(problem)))
    for run, kind in bad.items():
        name, number, _ = BAD[kind]
        if name in model.state_names:
            problem.y0[run, model.state_names.index(name)] = number
        else:
            problem.p[run, model.param_names.index(name)] = number
    return problem


def test_the_cells_differ_and_are_all_well(alone):
    assert (alone.results.status == SolverStatus.OK).all()
    assert len({*alone.results.n_steps.tolist()}) > 10
    assert len(np.unique(alone.states[:, -1, 0])) == 100


# ------------------------------------------------- nothing depends on the company
@pytest.mark.parametrize("n_jobs", [1, 2, 3])
def test_a_cell_among_100_is_the_cell_alone_to_the_bit(faulty, cells, alone, n_jobs):
    assert_same(drive(faulty, cells, n_jobs=n_jobs, **LIMIT), alone)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9])
def test_any_number_of_cells_is_what_they_are_alone(faulty, cells, alone, count):
    few = drive(faulty, some(cells, np.arange(count)), n_jobs=2, **LIMIT)
    assert few.states.shape == (count, len(TIMES), 3)
    assert_same(few, alone, others=slice(count))


@pytest.mark.parametrize("chunk", [1, 8, 11, 16, 1000])
def test_no_bit_depends_on_the_chunk(faulty, cells, alone, monkeypatch, chunk):
    monkeypatch.setattr(batch, "CHUNK", chunk)
    assert_same(drive(faulty, cells, n_jobs=2, **LIMIT), alone)


@settings(max_examples=15)
@given(order=st.permutations(range(24)), n_jobs=st.integers(1, 3))
def test_no_bit_depends_on_the_order(faulty, cells, alone, order, n_jobs):
    mixed = drive(faulty, some(cells, order), n_jobs=n_jobs, **LIMIT)
    assert_same(mixed, alone, others=np.array(order))


@each_method
def test_equal_cells_are_equal_in_every_lane(faulty, cells, method):
    same = drive(faulty, some(cells, [4] * 19), method=method, **LIMIT)
    assert_same(same, same, others=np.zeros(19, np.int64))


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_cell_changes_no_bit_of_the_others(faulty, cells, alone, kind):
    """Its lane is taken over by good ones afterwards."""
    bad = [3, 17, 18, 60]
    good = np.setdiff1d(np.arange(100), bad)
    problem = spoilt(faulty, cells, dict.fromkeys(bad, kind))
    done = drive(faulty, problem, n_jobs=2, **LIMIT)
    assert_same(done, alone, good, others=good)
    assert (done.results.status[bad] != SolverStatus.OK).all()


@pytest.mark.parametrize("kind", [k for k, (_, _, status) in BAD.items() if status])
def test_a_bad_cell_has_the_status_that_says_why(faulty, cells, kind):
    problem = spoilt(faulty, some(cells, [0, 1]), {1: kind})
    done = drive(faulty, problem, **LIMIT)
    assert list(done.results.status) == [SolverStatus.OK, BAD[kind][2]]


@settings(max_examples=15)
@given(
    order=st.permutations(range(24)),
    bad=st.dictionaries(st.integers(0, 23), st.sampled_from(list(BAD)), max_size=12),
    n_jobs=st.integers(1, 3),
)
def test_good_cells_stay_the_same_in_any_bad_company(
    faulty, cells, alone, order, bad, n_jobs
):
    problem = spoilt(faulty, some(cells, order), bad)
    done = drive(faulty, problem, n_jobs=n_jobs, **LIMIT)
    good = np.array([k for k in range(24) if k not in bad], dtype=np.int64)
    assert_same(done, alone, good, others=np.array(order)[good])


def test_a_failed_cell_keeps_what_it_reached_and_is_nan_after(faulty, cells):
    problem = spoilt(faulty, some(cells, [0]), {0: "bursts"})
    problem = dataclasses.replace(problem, times=np.linspace(0.0, 1e-2, len(TIMES)))
    done = drive(faulty, problem, **LIMIT)
    reached = np.isfinite(done.states[0]).all(axis=1)
    assert done.results.status[0] != SolverStatus.OK
    assert (reached == (problem.times <= done.results.t_end[0])).all()
    assert 1 < reached.sum() < len(TIMES)
    assert np.isnan(done.states[0, ~reached]).all()


def test_one_stiff_cell_does_not_slow_the_others(faulty, cells):
    """A thousand easy cells take the steps that they take without it."""
    many = some(cells, np.arange(1000) % 100)
    problem = spoilt(faulty, many, {})
    problem.p[500, faulty.param_names.index("w")] = 300.0
    quiet, done = (
        drive(faulty, r, n_jobs=2, **LIMIT | {"max_steps": 50_000})
        for r in (many, problem)
    )
    easy = np.arange(1000) != 500
    assert_same(done, quiet, easy, others=easy)
    assert (done.results.status == SolverStatus.OK).all()
    assert done.results.n_steps[500] > 20 * done.results.n_steps[easy].max()


# ---------------------------------------------------------------------- out of time
ENDLESS = {"max_steps": 10**9, "timeout": 1.0}
"""At a rate that turns a million times an hour there are minutes of steps to do."""


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_endless_run_ends_by_the_clock_and_changes_no_bit(
    faulty, cells, alone, n_jobs
):
    bad = [3, 60]
    good = np.setdiff1d(np.arange(100), bad)
    problem = spoilt(faulty, cells, dict.fromkeys(bad, "endless"))
    done = drive(faulty, problem, n_jobs=n_jobs, **ENDLESS)
    assert_same(done, alone, good, others=good)
    found = done.results
    assert (found.status[bad] == SolverStatus.TIMEOUT).all()
    assert (found.n_steps[bad] > 1000).all()
    assert ((found.t_end[bad] > 0) & (found.t_end[bad] < TIMES[-1])).all()
    for run in bad:
        reached = np.isfinite(done.states[run]).all(axis=1)
        assert (reached == (problem.times <= found.t_end[run])).all()


def test_a_sweep_that_is_interrupted_does_not_wait_for_an_endless_run(
    faulty, cells, monkeypatch
):
    """The key is pressed when the first chunk is done, while the other hangs."""
    monkeypatch.setattr(batch, "CHUNK", 8)

    def press(done, total):
        time.sleep(0.2)  # the other has begun
        raise KeyboardInterrupt

    problem = spoilt(faulty, some(cells, np.arange(16)), {12: "endless"})
    limit = ENDLESS | {"timeout": 0.5}
    done = drive(faulty, problem, n_jobs=2, progress=press, **limit)
    status = done.results.status
    assert status[12] == SolverStatus.TIMEOUT
    assert (np.delete(status, 12) == SolverStatus.OK).all()


def test_a_run_is_as_old_as_its_own_start_and_not_as_the_sweep(monkeypatch):
    """The first has its time from the first look on, the second from its own start."""
    clock = iter([0.0, 5.0, 9.0, 12.0, 16.0])
    monkeypatch.setattr(batch.time, "monotonic", lambda: next(clock))
    watch, halted = batch._Watch(10.0), []
    with watch.over(3) as chunk:
        for look in range(5):
            chunk.begun[:2] |= [look >= 0, look >= 1]
            watch.look()
            halted.append(chunk.halt.tolist())
    no, first, both = [False] * 3, [True, False, False], [True, True, False]
    assert halted == [no, no, no, first, both]


def test_the_clock_is_looked_at_in_time(monkeypatch):
    assert batch._Watch(600.0).every_s == 0.5
    assert batch._Watch(1.0).every_s == 0.05
    assert batch._Watch(1e-9).every_s == 1e-3
    assert batch._Watch(np.inf).every_s is None


def test_without_a_limit_runs_take_what_they_need(faulty, cells, alone):
    done = drive(faulty, cells, timeout=np.inf)
    assert_same(done, alone)


def test_progress_counts_up_to_all_runs(faulty, cells, monkeypatch):
    monkeypatch.setattr(batch, "CHUNK", 16)
    seen = []
    drive(faulty, cells, n_jobs=2, progress=lambda *c: seen.append(c), **LIMIT)
    assert seen == sorted(seen)
    assert seen[-1] == (100, 100)


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


# --------------------------------------------------------------------- second tries
@pytest.fixture(scope="module")
def retried(driven):
    """Of two runs the first takes Rodas4 254 steps and Radau 210; it may take 230."""
    problem = translated(driven, over={"k": [2.0, 0.0]})
    accuracy = {"rtol": 1e-9, "atol": 1e-9, "max_steps": 230}
    return {
        "alone": drive(driven, problem, method="Rodas4", **accuracy).results,
        "Rodas4": solve(driven, problem, method="Rodas4", **accuracy),
        "Radau": solve(driven, problem, method="Radau", **accuracy),
    }


def test_a_failed_run_has_a_second_try_by_radau(retried):
    first, both = retried["alone"], retried["Rodas4"]
    assert list(first.status) == [SolverStatus.MAX_STEPS, SolverStatus.OK]
    assert list(both.status) == [SolverStatus.OK, SolverStatus.OK]
    assert [NAMES[m] for m in both.method] == ["Radau", "Rodas4"]
    want = 1.0 + 2.0 * (1.0 - (1.0 + TIMES) * np.exp(-TIMES))
    assert scaled_error(both.values[0, :, 0], want, rtol=1e-9, atol=1e-9) < 10


@pytest.mark.parametrize("name", ["n_steps", "n_rejected", "n_rhs", "n_jac", "t_end"])
def test_the_work_of_a_second_try_is_that_of_radau(retried, name):
    radau, both = getattr(retried["Radau"], name), getattr(retried["Rodas4"], name)
    assert both[0] == radau[0]


def test_a_negative_amount_is_not_tried_again(faulty):
    results = solve(faulty, translated(faulty, over={"z": [50.0]}))
    assert results.status[0] == SolverStatus.NEGATIVE
    assert NAMES[results.method[0]] == "Rodas5P"


def test_a_second_try_changes_no_bit_of_the_others(faulty, cells):
    few = some(cells, np.arange(12))
    problem = spoilt(faulty, few, {5: "divides"})
    good = np.arange(12) != 5
    np.testing.assert_array_equal(
        solve(faulty, problem).values[good], solve(faulty, few).values[good]
    )


# --------------------------------------------------- a factorisation without digits
@pytest.fixture(scope="module")
def hidden():
    """A hidden constraint, y + 2z = 0, held by a pivot that long steps make tiny.

    x has no slope of its own, so W starts with 1/(hγ), under and beside which stand P
    and 2P. All three states are coupled: the order of elimination is that of the names,
    and the first pivot leaves the others 1/(hγ) + 1 + P²hγ and the like, in which all
    digits of what decides drown.
    """
    net = support.network(
        {},
        {"x": 0.0, "y": 0.0, "z": 0.0, "P": 1.0, "w": 1.0},
        [],
        rate_rules={
            "x": "P*y + 2*P*z",
            "y": "0 - P*x - y + z + sin(w*time)",
            "z": "0 - 2*P*x - y - 2*z + cos(w*time)",
        },
        name="hidden",
    )
    return support.compiled(net)


def hidden_y(t):
    """Return y for P → ∞: y = 2s, z = −s, 5 ds/dt = −6 s + 2 sin t − cos t."""
    a, b = 2 * (1.2 * 0.4 - 0.2) / 2.44, 2 * (-0.4 - 1.2 * 0.2) / 2.44
    return a * np.sin(t) + b * np.cos(t) - b * np.exp(-1.2 * t)


HUGE = np.array([1e8, 1e9, 1e10, 1e11, 1e12])


def test_elimination_without_pivots_can_lose_all_digits(hidden):
    """At the steps that the accuracy alone would allow, 1/(hγ) = 30."""
    kernels, hg, lanes = lane_kernels(hidden.network), 30.0, batch.LANES
    p, zero = np.ones((kernels.n_param, lanes)), np.zeros((3, lanes))
    p[hidden.param_names.index("P"), : len(HUGE)] = HUGE
    a, w = np.zeros((kernels.n_a, lanes)), np.zeros((kernels.n_w, lanes))
    out = np.tile([[0.0], [1.0], [0.0]], lanes)
    kernels.matrix(np.zeros((1, lanes)), zero, p, a, w, np.full((3, lanes), hg))
    kernels.solve(w, out)
    matrix = [[[hg, -q, -2 * q], [q, hg + 1, -1], [2 * q, 1, hg + 2]] for q in HUGE]
    want = [np.linalg.solve(m, [0.0, 1.0, 0.0])[1] for m in np.array(matrix)]
    error = np.abs(out[1, : len(HUGE)] / want - 1.0)
    assert (error[2:] > 0.5).all()
    assert (a[-1, : len(HUGE)][error > 1e-3] < control.GROWN).all()
    assert a[-1, -1] > 0.01  # of a lane with P = 1


@pytest.mark.parametrize("rtol", [1e-4, 1e-6])
@each_method
def test_a_step_with_lost_digits_is_refused(hidden, method, rtol):
    """Steps get shorter until the digits suffice; a run is right or has failed.

    Judged by the estimate of the error alone, some would be 50 tolerances off.
    """
    problem = translated(hidden, over={"P": HUGE})
    done = drive(hidden, problem, method=method, rtol=rtol, atol=rtol, max_steps=30_000)
    assert done.results.status[:2].tolist() == [SolverStatus.OK] * 2
    assert done.results.status[3:].tolist() == [SolverStatus.MAX_STEPS] * 2
    found = done.states[:, :, hidden.state_names.index("y")]
    want = np.where(np.isfinite(found), hidden_y(TIMES), np.nan)
    assert np.nanmax(np.abs(found - want) / (rtol + rtol * np.abs(want))) < 1.0
    assert (done.results.n_rejected[1:] > 20).all()


def test_a_run_that_needs_pivots_gets_them_in_its_second_try(hidden):
    """SciPy's Radau factorises with pivots."""
    problem = translated(hidden, over={"P": HUGE[[0, 3]]}, observe=["y"])
    found = solve(hidden, problem, rtol=1e-6, atol=1e-6, max_steps=10_000)
    assert found.status.tolist() == [SolverStatus.OK] * 2
    assert [NAMES[k] for k in found.method] == ["Rodas5P", "Radau"]
    got = found.values[:, :, 0]
    assert scaled_error(got, hidden_y(TIMES), rtol=1e-6, atol=1e-6) < 5.0


@pytest.mark.parametrize("name", ["earm_1_3", "earm2_m1a", "mir21_apoptosis"])
def test_no_step_of_a_shipped_model_is_refused_for_its_factors(name):
    """At the start, where most changes, for steps of up to three years."""
    model = library.load(name)
    kernels, lanes = lane_kernels(model.network), batch.LANES
    per_h = np.geomspace(1e-8, 1e2, lanes) * model.seconds_per_time
    a, w = np.zeros((kernels.n_a, lanes)), np.zeros((kernels.n_w, lanes))
    y, p = (np.tile(v[:, np.newaxis], lanes) for v in (model.y0, model.p0))
    hg = np.tile(per_h, (kernels.n_state, 1))
    kernels.matrix(np.zeros((1, lanes)), y, p, a, w, hg)
    assert (a[-1] > 1e4 * control.GROWN).all()


# ----------------------------------------------------------- the way a user sees it
@pytest.fixture(scope="module")
def compiled():
    return support.compiled(FAULTY, backend="numba")


def test_the_batch_solver_is_what_sweeps_use(compiled):
    result = sweep(compiled, {"K": [1.0, 2.0]}, times=[0.0, 1.0])
    assert result.attrs["method"] == "Rodas5P"
    assert list(result["method"]) == ["Rodas5P", "Rodas5P"]
    assert (result["n_steps"] > 0).all()


@each_method
def test_a_sweep_over_two_names_is_laid_out_as_scipy_lays_it_out(compiled, method):
    over = {"K": [1.0, 2.0, 4.0], "f": [0.1, 0.2]}
    ours, theirs = (
        sweep(compiled, over, times=TIMES, options=Options(method=m, rtol=1e-8))
        for m in (method, "LSODA")
    )
    assert ours.sizes == theirs.sizes
    for name in ("A", "B", "C"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-6, atol=1e-6)


def test_one_run_without_any_override_can_be_run(compiled):
    """Its arrays are views of the model's, which nobody may write to."""
    ours, theirs = (
        simulate(compiled, times=TIMES, options=Options(method=m, rtol=1e-8))
        for m in ("Rodas5P", "LSODA")
    )
    np.testing.assert_allclose(ours["A"], theirs["A"], rtol=1e-6, atol=1e-6)


def test_one_run_of_a_swept_dose_can_be_run(compiled):
    result = sweep(compiled, {"A": [3.0]}, times=[0.0, 1.0], observe="C")
    assert list(result["status"]) == [SolverStatus.OK]


@pytest.mark.parametrize(
    ("name", "number", "words"),
    [
        ("K", 0.0, r"\(NON_FINITE\) at K = 0\. At 0 h, reaction `divide` \(rate inf\)"),
        (
            "z",
            50.0,
            r"\(NEGATIVE\) at z = 50\. At .* h, species `C` .* reaction `loss`",
        ),
        (
            "w",
            1e6,
            r"\(MAX_STEPS\) at w = 1e\+06\. At .* h, where reaction `\w+` chang",
        ),
    ],
    ids=["divides", "empties", "endless"],
)
def test_a_failure_is_told_with_run_values_time_and_reaction(
    compiled, name, number, words
):
    options = Options(max_steps=300)
    with pytest.warns(
        FailedRunsWarning, match=r"1 of 3 runs failed; first: run 1 " + words
    ) as caught:
        result = sweep(compiled, {name: [1.0, number, 2.0]}, 1.0, options=options)
    assert len(caught) == 1
    assert (result["status"] == SolverStatus.OK).values.tolist() == [True, False, True]
    assert np.isfinite(result["A"][[0, 2]]).all()
    assert np.isnan(result["A"][1, -1])


def test_an_endless_run_is_masked_and_the_others_stay_the_same(compiled):
    options = Options(max_steps=300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FailedRunsWarning)
        mixed = sweep(compiled, {"w": [1.0, 1e6, 2.0]}, 1.0, options=options)
    good = sweep(compiled, {"w": [1.0, 2.0]}, 1.0, options=options)
    assert list(mixed["status"]) == [0, SolverStatus.MAX_STEPS, 0]
    assert list(mixed["method"]) == ["Rodas5P", "Radau", "Rodas5P"]
    np.testing.assert_array_equal(mixed["A"][[0, 2]], good["A"])


def test_a_run_out_of_time_is_told_with_its_values_and_not_tried_again(compiled):
    options = Options(max_steps=10**9, timeout=0.5)
    words = (
        r"1 of 3 runs failed; first: run 1 \(TIMEOUT\) at w = 1e\+09\. At .* h, "
        r"where reaction `\w+` changes `\w` fastest: The time allowed for one run "
        r"was used up; raise `timeout`"
    )
    with pytest.warns(FailedRunsWarning, match=words):
        mixed = sweep(compiled, {"w": [1.0, 1e9, 2.0]}, 1.0, options=options)
    good = sweep(compiled, {"w": [1.0, 2.0]}, 1.0)
    assert list(mixed["status"]) == [0, SolverStatus.TIMEOUT, 0]
    assert set(mixed["method"].values) == {"Rodas5P"}
    np.testing.assert_array_equal(mixed["A"][[0, 2]], good["A"])
    assert np.isnan(mixed["A"][1, -1])


@pytest.mark.parametrize("n_jobs", [None, 1, 2, 3])
def test_a_sweep_is_the_same_to_the_bit_with_any_threads(compiled, n_jobs):
    over = {"f": np.geomspace(0.01, 1.0, 20)}
    one, more = (
        sweep(compiled, over, 8.0, options=Options(n_jobs=n)) for n in (1, n_jobs)
    )
    np.testing.assert_array_equal(one["A"], more["A"])


def test_negative_amounts_may_be_allowed(compiled):
    options = Options(allow_negative=True)
    result = sweep(compiled, {"z": [50.0]}, 1.0, options=options)
    assert list(result["status"]) == [SolverStatus.OK]
    assert list(result["method"]) == ["Rodas5P"]
    assert float(result["C"][0, -1]) < -1.0


def test_a_model_without_species_needs_no_second_try():
    net = support.network({}, {"k": 2.0}, [], rules={"wave": "k*time"}, name="empty")
    model = support.compiled(net, backend="numba")
    over = {"k": [1.0, 2.0, 3.0]}
    result = sweep(model, over, times=[0.0, 1.0, 3.0], observe="wave")
    np.testing.assert_allclose(result["wave"], np.outer([1, 2, 3], [0.0, 1.0, 3.0]))
    assert "Radau" not in list(result["method"])


# ------------------------------------------------------------------- resting states
def rest(model, problem, method):
    states, status = resting.resting_states(model, problem.y0, problem.p, method)
    assert (status == SolverStatus.OK).all()
    return states


@each_method
@pytest.mark.parametrize("which", ["binding", "birth_death", "chain"])
def test_resting_states_are_those_of_bdf(which, method, request):
    model = request.getfixturevalue(which)
    name = model.param_names[-1]
    problem = translated(
        model, over={name: model.p0[-1] * np.array([0.5, 1.0, 1.0, 3.0])}
    )
    ours, theirs = rest(model, problem, method), rest(model, problem, "BDF")
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
    assert len(np.unique(ours, axis=0)) == 3


@pytest.mark.parametrize("which", ["mir21_core", "mir21_apoptosis"])
def test_resting_states_of_shipped_models_are_those_of_bdf(which):
    model = library.load(which, backend="numpy")
    problem = translated(model, [0.0, 1.0])
    ours, theirs = rest(model, problem, "Rodas5P"), rest(model, problem, "BDF")
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
