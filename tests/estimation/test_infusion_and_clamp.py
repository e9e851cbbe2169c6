"""Infusions and held species in a fit: the same curves as in a simulation."""

import numpy as np
import pandas as pd
import pytest

import mir21sim as ms
from mir21sim.errors import InputError, UnsupportedFeatureError
from mir21sim.estimation.conditions import periods
from mir21sim.estimation.engine import Engine
from mir21sim.estimation.objective import Objective
from mir21sim.estimation.petab_write import write_petab
from mir21sim.simulation.treatment import Treatment

TIMES = np.array([0.0, 0.5, 1.0, 1.5, 2.5, 4.0, 6.0])
OBSERVED = ("CASP3_active", "CASP8_active")
CASES = {
    "infusion": {"doses": "TRAIL=50 ng/ml@1h:2h"},
    "two infusions and a dose": {
        "doses": ["TRAIL=30 ng/ml@0.5h:2h", "TRAIL=20 ng/ml@1h:4h", "TRAIL=5 ng/ml@0h"]
    },
    "series": {"doses": "TRAIL=20 ng/ml@0h:1h/2hx2"},
    "held at a share of rest": {
        "doses": "TRAIL=50 ng/ml@0h",
        "perturb": ms.Perturbations(clamp={"XIAP": "0.2x"}),
    },
    "held at a number": {
        "doses": "TRAIL=50 ng/ml@0h",
        "perturb": ms.Perturbations(clamp={"XIAP": 500.0}),
    },
}


@pytest.fixture(scope="module")
def model():
    return ms.load("mir21_core", "HeLa")


def objective(model, given, rtol=1e-9):
    options = ms.Options(rtol=1e-10)
    run = ms.simulate(model, times=TIMES, observe=OBSERVED, options=options, **given)
    table = pd.DataFrame({"time": TIMES} | {n: run[n].values for n in OBSERVED})
    problem = ms.Problem(
        model, table, {n: n for n in OBSERVED}, ["k_DISC", "k_CASP8_CASP3"], **given
    )
    made = Objective(problem, Engine.of(model, rtol=rtol), priors=False)
    return made, np.concatenate([run[n].values for n in OBSERVED])


@pytest.mark.parametrize("case", CASES)
def test_the_curves_are_those_of_a_simulation(model, case):
    made, _ = objective(model, CASES[case])
    fit, reason = made.fit(made.problem.nominal)
    assert not reason
    size = np.abs(fit.simulated).max()
    np.testing.assert_allclose(
        fit.simulated, made.problem.data.value, rtol=1e-6, atol=1e-6 * size
    )


@pytest.mark.parametrize(
    "case", ["two infusions and a dose", "held at a share of rest"]
)
def test_the_gradient_equals_differences(model, case):
    made, _ = objective(model, CASES[case])
    x, step = made.problem.nominal + 0.02, 1e-4
    found = made(x).gradient
    for k in range(2):
        moved = step * (np.arange(len(x)) == k)
        ends = [made(x + s * moved, slopes=False).value for s in (-1, 1)]
        assert found[k] == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=1e-4)


def test_rates_add_up_while_infusions_overlap(model):
    given = Treatment.parse('--dose "TRAIL=2@0h:2h" --dose "TRAIL=1@1h:2h"')
    first, second, third, last = periods(model, given, rests=False)
    assert [p.start for p in (first, second, third, last)] == [0, 3600, 7200, 10800]
    rates = [dict(p.rates).get("TRAIL", 0.0) for p in (first, second, third, last)]
    assert rates[1] == pytest.approx(rates[0] + rates[2])
    assert rates[0] == pytest.approx(2 * rates[2])
    assert rates[3] == 0.0


def test_a_dose_of_a_held_species_is_refused(model):
    given = Treatment.parse('--dose "TRAIL=2@0h" --clamp TRAIL=1')
    with pytest.raises(InputError, match="`TRAIL` is clamped and also dosed"):
        periods(model, given, rests=False)


def test_petab_refuses_them_by_name(model, tmp_path):
    made, _ = objective(model, CASES["infusion"])
    with pytest.raises(UnsupportedFeatureError, match="`TRAIL` is infused or held"):
        write_petab(made.problem, tmp_path)
