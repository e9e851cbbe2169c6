"""The batch solver: failures of one run, other runs beside it, time limits."""

import dataclasses
import time

import numpy as np
import pytest
from batch_runs import (
    BAD,
    PER_RUN,
    TIMES,
    Driven,
    drive,
    each_method,
    some,
    spoilt,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from mir21sim.errors import SolverStatus
from mir21sim.solvers.batch import integrate as batch


def assert_same(one, other, which=slice(None), *, others=slice(None)):
    """Assert that runs `which` of one are runs `others` of the other, bit for bit."""
    np.testing.assert_array_equal(one.states[which], other.states[others])
    for name in PER_RUN:
        np.testing.assert_array_equal(
            getattr(one.results, name)[which],
            getattr(other.results, name)[others],
            err_msg=name,
        )


# ------------------------------------------------------- a population with bad cells
LIMIT = {"max_steps": 1000}


@pytest.fixture(scope="module")
def alone(faulty, cells):
    """Every cell by itself."""
    each = [drive(faulty, some(cells, [run]), **LIMIT) for run in range(len(cells))]
    results = dataclasses.replace(
        each[0].results,
        **{n: np.concatenate([getattr(e.results, n) for e in each]) for n in PER_RUN},
    )
    return Driven(np.concatenate([e.states for e in each]), results)


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
    """The key is pressed when the first chunk is done, while the other hangs.

    What ended in that chunk is kept, the endless run counts as not run.
    """
    monkeypatch.setattr(batch, "CHUNK", 8)

    def press(done, total):
        time.sleep(0.2)  # the other has begun
        raise KeyboardInterrupt

    problem = spoilt(faulty, some(cells, np.arange(16)), {12: "endless"})
    limit = ENDLESS | {"timeout": 600.0}
    done = drive(faulty, problem, n_jobs=2, progress=press, **limit)
    status = done.results.status
    assert status[12] == SolverStatus.NOT_RUN
    assert np.isnan(done.states[12]).all()
    assert np.isnan(done.results.t_end[12])
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
    assert batch._Watch(np.inf).every_s == 0.5


def test_without_a_limit_runs_take_what_they_need(faulty, cells, alone):
    done = drive(faulty, cells, timeout=np.inf)
    assert_same(done, alone)


def test_progress_counts_up_to_all_runs(faulty, cells, monkeypatch):
    monkeypatch.setattr(batch, "CHUNK", 16)
    seen = []
    drive(faulty, cells, n_jobs=2, progress=lambda *c: seen.append(c), **LIMIT)
    assert seen == sorted(seen)
    assert seen[-1] == (100, 100)
