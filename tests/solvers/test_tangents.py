"""Tangents of batch runs against closed forms and central differences."""

import numpy as np
import pytest
import support

from mir21sim.solvers.problem import Problem, Schedule, Selection
from mir21sim.solvers.sensitivities import Seeds, solve_tangents
from mir21sim.solvers.settings import Settings


def states_of(model):
    """Select every state and every rule variable."""
    n, n_rule = len(model.state_names), len(model.assigned_names)
    source = np.repeat([0, 1], [n, n_rule])
    index = np.concatenate([np.arange(n), np.arange(n_rule)])
    none = np.full(n + n_rule, -1)
    return Selection(source, index, 0 * none, none, np.ones(n + n_rule))


def problem_of(model, times, schedule=None, y0=None, p=None):
    y0 = np.atleast_2d(model.y0 if y0 is None else y0)
    p = np.atleast_2d(model.p0 if p is None else p)
    empty = np.zeros(0, np.int64)
    none = Schedule(np.zeros(0), empty, empty, np.zeros((len(y0), 0)))
    amounts = np.zeros(y0.shape[1], bool)
    return Problem(
        y0, p, np.asarray(times, float), schedule or none, states_of(model), amounts
    )


def settings_for(model, rtol=1e-9, method="Rodas5P"):
    return Settings(method, rtol, np.array(model.atol) * rtol / 1e-6)


def unit_columns(size):
    return np.eye(size)


@pytest.mark.parametrize("method", ["Rodas5P", "Rodas4"])
def test_tangents_of_decay_are_those_of_the_exponential(method):
    decay = support.compiled(support.DECAY, "numba")
    times = np.linspace(0.0, 3.0, 7)
    problem = problem_of(decay, times)
    k = decay.param_names.index("k")
    columns = np.zeros((2, len(decay.p0)))
    columns[0, k] = 1.0
    starts = np.array([[0.0], [1.0]])
    found = solve_tangents(
        decay,
        problem,
        settings_for(decay, method=method),
        Seeds.of(problem, p=columns, y0=starts),
    )
    y = decay.y0[0] * np.exp(-decay.p0[k] * times)
    np.testing.assert_allclose(found.tangents[0, :, 0, 0], -times * y, rtol=1e-8)
    np.testing.assert_allclose(
        found.tangents[0, :, 0, 1], np.exp(-decay.p0[k] * times), rtol=1e-8
    )
    assert found.reasons == ("",)
