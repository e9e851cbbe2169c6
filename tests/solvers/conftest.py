"""A population with its own start values, for the tests of the batch solver."""

import numpy as np
import pytest
import support
from batch_runs import FAULTY, translated


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
