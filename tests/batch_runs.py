"""Runs by the batch solver alone and with second tries, for its tests."""

import dataclasses

import numpy as np
import pytest
import support
from support import reaction

from mir21sim.compiler.cache import lane_kernels
from mir21sim.errors import SolverStatus
from mir21sim.simulation.options import absolute_tolerances
from mir21sim.simulation.plan import Plan, checked_times
from mir21sim.simulation.translate import translate
from mir21sim.simulation.treatment import Treatment
from mir21sim.solvers import solve as solving
from mir21sim.solvers.batch import integrate as batch
from mir21sim.solvers.batch.rodas4 import RODAS4
from mir21sim.solvers.batch.rodas5p import RODAS5P
from mir21sim.solvers.problem import subset
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
    """Return the results as a user gets them: selected, failures retried."""
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


def some(problem, which):
    return subset(problem, np.asarray(which, dtype=np.int64))


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
