"""Derivatives of every shipped model: both ways, and central differences."""

import functools

import numpy as np
import pytest
from derivative_checks import (
    default_problem,
    errors_of_differences,
    errors_of_ways,
)

from mir21sim.compiler.load import load
from mir21sim.model import files as model_files
from mir21sim.solvers.sensitivities import Seeds
from mir21sim.solvers.settings import Settings

NAMES = sorted(model_files.shipped())
HOURS = {"earm_1_3": 8.0, "earm2_m1a": 8.0}
BLOCK = 24
"""Columns of one call, in the test of every number."""


@functools.cache
def case(name):
    """Return a model with its default treatment at nine times."""
    model = load(name)
    end = HOURS.get(name, 48.0) * model.border.per_time
    return model, default_problem(model, end, 9)


def tight(model, rtol):
    atol = np.array(model.atol) * (rtol / 1e-6)
    return Settings("Rodas5P", rtol, atol, max_steps=100_000)


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_along_random_directions(name):
    # Every parameter, start value and dose moves in each direction, by 10 % or so.
    model, problem = case(name)
    rng = np.random.default_rng(0)

    def relative(values):
        return 0.1 * rng.standard_normal((2, len(values))) * values

    seeds = Seeds.of(
        problem,
        p=relative(model.p0),
        y0=relative(model.y0),
        dose=relative(problem.schedule.value[0]),
    )
    plain, fine = tight(model, 1e-6), tight(model, 1e-10)
    assert (errors_of_ways(model, problem, plain, seeds)[0] <= 1e-12).all()
    assert (errors_of_differences(model, problem, fine, seeds) <= 1e-6).all()


@pytest.mark.suite
@pytest.mark.parametrize("name", NAMES)
def test_derivatives_by_every_number(name, request):
    if not request.config.getoption("--suite"):
        pytest.skip("give --suite for every number of every model, which takes minutes")
    model, problem = case(name)
    values = np.concatenate([model.p0, model.y0])
    wrong = {}
    names = [*model.param_names, *model.state_names]
    for first in range(0, len(values), BLOCK):
        rows = np.arange(first, min(first + BLOCK, len(values)))
        rows = rows[values[rows] != 0]
        whole = np.zeros((len(rows), len(values)))
        whole[np.arange(len(rows)), rows] = values[rows]
        p, y0 = np.split(whole, [len(model.p0)], axis=1)
        seeds = Seeds.of(problem, p=p, y0=y0)
        ways, _ = errors_of_ways(model, problem, tight(model, 1e-6), seeds)
        far = errors_of_differences(model, problem, tight(model, 1e-11), seeds)
        # Differences of small effects are mostly noise of the runs: it falls as the
        # step grows and as the tolerance shrinks, which a wrong tangent would not.
        again = np.flatnonzero(far > 1e-6)
        if again.size:
            some = Seeds.of(problem, p=p[again], y0=y0[again])
            finest = tight(model, 1e-13)
            far[again] = errors_of_differences(model, problem, finest, some, step=8e-3)
        for k, row in enumerate(rows):
            if ways[k] > 1e-12 or far[k] > 1e-6:
                wrong[names[row]] = ways[k], far[k]
    assert not wrong
