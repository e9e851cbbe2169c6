"""Derivatives of the runs of the PEtab benchmark problems, from ``$MIR21SIM_SUITES``.

The packs are no part of the project; without them these tests are skipped.
"""

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
from derivative_checks import errors_of_differences, errors_of_ways
from packs import PETAB_BENCHMARKS, unpacked

from mir21sim.estimation import petab_read
from mir21sim.estimation.engine import Engine
from mir21sim.estimation.objective import Objective
from mir21sim.solvers import sensitivities
from mir21sim.solvers.sensitivities import Seeds

pytest.importorskip("petab")
pytestmark = [pytest.mark.suite, pytest.mark.filterwarnings("ignore")]

CALLS = 2
"""Calls of the solver, of each problem, that are looked at."""

TIGHT = 1e-12


def solver_calls(folder, name, monkeypatch):
    """Return what one gradient of a problem asks the solver for."""
    calls, plain = [], sensitivities.solve_tangents

    def noted(model, problem, settings, seeds, workers=None):
        calls.append((model, problem, settings, seeds))
        return plain(model, problem, settings, seeds, workers)

    monkeypatch.setattr(sensitivities, "solve_tangents", noted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        problem = petab_read.read_petab(folder / name / f"{name}.yaml")
    objective = Objective(problem, Engine.of(problem.model, rtol=1e-5), priors=False)
    objective(problem.nominal)
    monkeypatch.undo()
    return calls


def unlike_runs(problem, seeds, count=2):
    """Return some runs of a problem, the first and those farthest from it."""
    far = np.abs(problem.p - problem.p[0]).sum(axis=1)
    far = far + np.abs(problem.y0 - problem.y0[0]).sum(axis=1)
    rows = np.unique([0, *np.argsort(-far)[: count - 1]])
    some = replace(
        problem,
        y0=problem.y0[rows],
        p=problem.p[rows],
        schedule=replace(problem.schedule, value=problem.schedule.value[rows]),
    )
    parts = [seeds.p[rows], seeds.y0[rows], seeds.dose[rows], seeds.dose_time[rows]]
    # A step along a column is to change no number by more than its own size.
    share = np.zeros(seeds.n_column)
    for value, change in ((some.p, parts[0]), (some.y0, parts[1])):
        ratio = np.abs(change) / np.where(value == 0, np.inf, abs(value))[:, np.newaxis]
        share = np.maximum(share, ratio.max(axis=(0, 2)))
    factor = np.where(share > 0, 1.0 / np.where(share > 0, share, 1.0), 1.0)
    return some, Seeds(*(part * factor[:, np.newaxis] for part in parts))


@pytest.mark.parametrize("name", PETAB_BENCHMARKS)
def test_derivatives_of_a_benchmark(name, tmp_path, request, monkeypatch):
    if name != PETAB_BENCHMARKS[0] and not request.config.getoption("--suite"):
        pytest.skip("give --suite to run all benchmark problems")
    folder = unpacked("benchmark_petab", tmp_path)
    calls = solver_calls(folder, name, monkeypatch)
    assert calls
    for call in calls[:: max(1, len(calls) // CALLS)][:CALLS]:
        model, whole, settings, columns = call
        problem, seeds = unlike_runs(whole, columns)
        atol = settings.atol * (TIGHT / settings.rtol)
        tight = replace(settings, rtol=TIGHT, atol=atol, timeout=math.inf)
        # Fujita adds rates of 1e7 up to changes of 1e-5: some digits are rounding.
        ways, rounding = errors_of_ways(model, problem, settings, seeds)
        assert (ways <= np.maximum(1e-12, 3.0 * rounding)).all()
        assert name == "Fujita_SciSignal2010" or (ways <= 1e-12).all()
        found = errors_of_differences(model, problem, tight, seeds)
        assert (found <= 1e-6).all()
