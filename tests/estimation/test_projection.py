"""Scales, offsets and noise at their best values for given runs."""

import fit_cases
import numpy as np
import pytest

import mir21sim as ms
from mir21sim.estimation.engine import Engine
from mir21sim.estimation.objective import Objective
from mir21sim.estimation.projection import ProjectedObjective, projected

SCALES = {"signal": 3.0}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return fit_cases.load(tmp_path_factory.mktemp("model"), "numba")


def problem_of(model, noise="additive", **others):
    data = fit_cases.data(sd=0.05, scale=3.0)
    if noise == "log-normal":
        data["signal"] = np.abs(data["signal"]) + 0.01
    return ms.Problem(
        model, data, {"signal": "B"}, {"k1": (0.05, 5.0), "k2": (0.02, 2.0)},
        priors=None, noise=noise, scale=True, equilibrate=False, **others,
    )  # fmt: skip


def objectives(problem):
    whole = Objective(problem, Engine.of(problem.model, rtol=1e-7))
    found = projected(whole)
    assert isinstance(found, ProjectedObjective)
    return whole, found


def test_additive_noise_has_the_closed_form(model):
    problem = problem_of(model, offset=True)
    whole, found = objectives(problem)
    assert found.problem.names == ("k1", "k2")
    x = found.problem.nominal + 0.1
    full = found.completed(x)
    measured = problem.data.value
    simulated = fit_cases.amount_b(problem.data.time / problem.time_scale, *10.0**x)
    design = np.stack([simulated, np.ones_like(simulated)], axis=1)
    best, *_ = np.linalg.lstsq(design, measured, rcond=None)
    sd = np.sqrt(np.mean((measured - design @ best) ** 2))
    values = dict(zip(problem.names, problem.natural(full), strict=True))
    assert values["scale_signal"] == pytest.approx(best[0], rel=1e-5)
    assert values["offset_signal"] == pytest.approx(best[1], abs=1e-4)
    assert values["sd_signal"] == pytest.approx(sd, rel=1e-5)
    assert found(x).value == pytest.approx(whole(full).value, rel=1e-12)


@pytest.mark.parametrize("noise", ["additive", "multiplicative", "log-normal"])
def test_the_gradient_equals_differences(model, noise):
    _, found = objectives(problem_of(model, noise))
    x = found.problem.nominal + np.array([0.15, -0.1])
    made, step = found(x), 1e-4
    for k in range(2):
        unit = np.eye(2)[k] * step
        ends = [found(x + s * unit, slopes=False).value for s in (1, -1)]
        change = (ends[0] - ends[1]) / (2 * step)
        assert made.gradient[k] == pytest.approx(change, rel=1e-4, abs=1e-5)


def test_the_information_is_that_of_the_profile(model):
    whole, found = objectives(problem_of(model))
    result = ms.fit(found.whole.problem, 1, analytic=True, optimizer="scipy")
    best = result.x
    inverse = np.linalg.inv(whole(best).hessian)
    narrow = found(best[found.outer]).hessian
    np.testing.assert_allclose(
        np.linalg.inv(narrow), inverse[np.ix_(found.outer, found.outer)], rtol=1e-4
    )


@pytest.mark.parametrize("optimizer", ["scipy", "fides"])
def test_the_fit_finds_the_optimum_of_the_free_parameters(model, optimizer, tmp_path):
    pytest.importorskip("fides" if optimizer == "fides" else "scipy")
    problem = problem_of(model, offset=True)
    free = ms.fit(problem, 2, optimizer=optimizer)
    made = ms.fit(problem, 2, optimizer=optimizer, analytic=True, folder=tmp_path)
    assert made.best.value == pytest.approx(free.best.value, abs=1e-4)
    assert made.problem.names == problem.names
    for name, value in free.values.items():
        assert made.values[name] == pytest.approx(value, rel=0.02, abs=2e-3)
    again = ms.fit(problem, 2, optimizer=optimizer, analytic=True, folder=tmp_path)
    assert again.n_new == 0
    assert again.x.tobytes() == made.x.tobytes()
    beside = ms.fit(problem, 2, optimizer=optimizer, folder=tmp_path)
    assert beside.x.tobytes() == free.x.tobytes()


def test_a_scale_at_its_bound_stays_there(model):
    problem = problem_of(model)
    index = problem.names.index("scale_signal")
    whole = Objective(problem, Engine.of(problem.model))
    found = projected(whole)
    found.upper = found.upper.copy()
    place = found.inner.tolist().index(index)
    found.upper[place] = np.log10(2.0)
    found.start = np.minimum(found.start, found.upper)
    x = found.problem.nominal
    assert found.completed(x)[index] == np.log10(2.0)
    made, step = found(x), 1e-4
    ends = [found(x + s * np.array([step, 0.0])).value for s in (1, -1)]
    assert made.gradient[0] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4)
