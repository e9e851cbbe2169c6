"""Starts whose runs are integrated in one call take the paths that they take alone."""

import threading

import fit_cases
import numpy as np
import pytest

import mir21sim as ms
from mir21sim.errors import InputError
from mir21sim.estimation import together
from mir21sim.estimation.engine import Engine
from mir21sim.estimation.objective import Objective


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    model = fit_cases.load(tmp_path_factory.mktemp("model"), "numba")
    return ms.Problem(
        model, fit_cases.data(), {"signal": "B"},
        {"k1": (0.05, 5.0), "k2": (0.02, 2.0)}, priors=None, equilibrate=False,
    )  # fmt: skip


def counted(monkeypatch, most):
    """Let at most some starts run at a time; return the sizes of all batches."""
    sizes = []
    plain = Engine.run

    def run(self, batch, times, keep):
        sizes.append(len(batch))
        return plain(self, batch, times, keep)

    monkeypatch.setattr(Engine, "run", run)
    monkeypatch.setattr(together, "MOST", most)
    return sizes


@pytest.mark.parametrize("analytic", [False, True])
def test_every_start_takes_the_same_path_to_the_last_bit(
    problem, monkeypatch, analytic
):
    made = {}
    for most in (1, 5):
        with monkeypatch.context() as patch:
            sizes = counted(patch, most)
            found = ms.fit(problem, 5, optimizer="scipy", analytic=analytic)
        made[most] = found, sizes
        assert max(sizes) == most
    alone, joined = made[1][0], made[5][0]
    for a, b in zip(alone.starts, joined.starts, strict=True):
        assert a.x.tobytes() == b.x.tobytes()
        assert a.n_evaluations == b.n_evaluations
    assert len(made[5][1]) < 0.7 * len(made[1][1])


def test_an_error_of_one_start_ends_the_fit(problem, monkeypatch):
    n_before = threading.active_count()

    def broken(self, *arguments, **options):
        if threading.current_thread() is not threading.main_thread():
            raise InputError("no value in a start")
        return plain(self, *arguments, **options)

    plain = Objective.__call__
    monkeypatch.setattr(Objective, "__call__", broken)
    with pytest.raises(InputError, match="no value in a start"):
        ms.fit(problem, 3, optimizer="scipy")
    assert threading.active_count() == n_before


def test_an_error_of_the_solver_reaches_the_fit(problem, monkeypatch):
    calls = []
    plain = Engine.run

    def broken(self, batch, times, keep):
        calls.append(len(batch))
        if len(calls) > 6:
            raise InputError("the solver broke")
        return plain(self, batch, times, keep)

    monkeypatch.setattr(Engine, "run", broken)
    with pytest.raises(InputError, match="the solver broke"):
        ms.fit(problem, 3, optimizer="scipy")


def test_runs_of_other_times_are_integrated_apart(problem):
    objective = Objective(problem, Engine.of(problem.model))
    x = problem.nominal
    shared = together.SharedEngine.sharing(objective.engine)
    pair = [Objective(problem, shared), Objective(problem, shared)]
    pair[1].runs.levels[0][0].times.add(0.77)
    values = {}

    def job(k):
        values[k] = pair[k](x).value

    together.run_together(shared.meeting, [lambda: job(0), lambda: job(1)], print)
    np.testing.assert_array_equal([values[0], values[1]], [objective(x).value] * 2)
