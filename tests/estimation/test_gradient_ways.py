"""The gradient by the adjoint equals that by tangents, wherever it is possible."""

import numpy as np
import pytest
from petab_texts import PARAMETERS, PROBLEM

from mir21sim.estimation.curves import curves_of
from mir21sim.estimation.engine import Engine
from mir21sim.estimation.evaluations import EvaluationLog, LoggedObjective, run_digest
from mir21sim.estimation.objective import Objective
from mir21sim.estimation.petab_read import read_petab
from mir21sim.estimation.start_plan import StartPlan
from mir21sim.model.convert import convert

pytest.importorskip("petab")
pytestmark = pytest.mark.filterwarnings("ignore")  # of petab and pandas

ANTIMONY = """
model two_steps
  compartment c = 2; species A in c, B in c; A = 1; B = 0.5
  k0 = 0.3; k1 = 0.5; k2 = 0.2; u = 0
  B = k0
  in_: -> A; c*(k0 + u); step: A -> B; c*k1*A; out: B -> ; c*k2*B
end
"""
FILES = {
    "p.yaml": PROBLEM,
    "par.tsv": PARAMETERS
    + "".join(
        f"{name}\tlog10\t1e-3\t1e3\t{value}\t1\n"
        for name, value in {
            "k0": 0.3,
            "k1": 0.5,
            "k2": 0.2,
            "u_a": 1.5,
            "A_b": 3,
            "s": 2,
            "sd": 0.1,
        }.items()
    ),
    "cond.tsv": "conditionId\tu\tA\nrest\t0\t\na\tu_a\t\nb\t0.7\tA_b\n",
    "obs.tsv": "observableId\tobservableFormula\tobservableTransformation\t"
    "noiseFormula\nlogs\tobservableParameter1_logs*B + k0\tlog10\t"
    "noiseParameter1_logs\n"
    "sums\tA + B/k1\tlin\t0.1 + 0.1*B\n",
}
COLUMNS = (
    "observableId\tpreequilibrationConditionId\tsimulationConditionId\ttime\t"
    "measurement\tobservableParameters\tnoiseParameters\n"
)  # fmt: skip


def measured(before):
    rows = []
    for condition in ("a", "b"):
        for time in ("0", "0.5", "3", "3", "inf"):
            rows += [
                f"logs\t{before}\t{condition}\t{time}\t1.3\ts\tsd\n",
                f"sums\t{before}\t{condition}\t{time}\t2.1\t\t\n",
            ]
    return COLUMNS + "".join(rows)


@pytest.fixture(scope="module", params=["", "rest"], ids=["start", "rest before"])
def objective(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("petab")
    (folder / "m.ant").write_text(ANTIMONY)
    convert(folder / "m.ant", folder / "m.xml")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    (folder / "meas.tsv").write_text(measured(request.param))
    problem = read_petab(folder / "p.yaml")
    made = Objective(problem, Engine.of(problem.model, rtol=1e-8))
    made.reverse = True
    return made


def point(objective):
    return objective.problem.nominal + np.linspace(-0.1, 0.1, objective.n_free)


def test_the_adjoint_gives_the_gradient_of_the_tangents(objective):
    tangents = objective(point(objective))
    adjoint = objective(point(objective), hessian=False)
    assert adjoint.hessian is None
    assert adjoint.value == tangents.value
    np.testing.assert_allclose(adjoint.gradient, tangents.gradient, rtol=1e-11)


def test_the_gradient_equals_differences(objective):
    x, step = point(objective), 1e-4
    found = objective(x, hessian=False).gradient
    for k in range(len(x)):
        moved = step * (np.arange(len(x)) == k)
        ends = [objective(x + s * moved, slopes=False).value for s in (-1, 1)]
        assert found[k] == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=1e-4)


def test_the_cheaper_way_is_taken(objective):
    runs = objective.runs
    assert not runs.reverse_is_cheaper  # five columns of two runs
    many = np.arange(60)
    kept, runs.dynamic = runs.dynamic, many
    try:
        assert runs.reverse_is_cheaper
    finally:
        runs.dynamic = kept


def test_a_log_keeps_both_kinds_of_gradient(objective, tmp_path):
    x = point(objective)
    digest = run_digest(objective)
    log = EvaluationLog(tmp_path / "log", digest, objective.n_free)
    logged = LoggedObjective(objective, log)
    first, second = logged(x, hessian=False), logged(x)
    log.close()
    again = LoggedObjective(
        objective, EvaluationLog(tmp_path / "log", digest, objective.n_free)
    )
    np.testing.assert_array_equal(again(x, hessian=False).gradient, first.gradient)
    np.testing.assert_array_equal(again(x).hessian, second.hessian)
    assert again.n_new == 0
    again.log.close()


def test_the_band_of_a_curve_is_on_the_scale_of_its_noise(objective):
    curves = curves_of(objective, objective.problem.nominal)
    logs = [c for c in curves if c.observable == "logs"]
    assert all(c.logarithmic for c in logs)
    for curve in logs:
        np.testing.assert_allclose(curve.high / curve.line, 10**0.1)
        np.testing.assert_allclose(curve.line / curve.low, 10**0.1)
    assert [c.label for c in logs] == [
        f"{e.id}, s" for e in objective.problem.experiments
    ]
    sums = next(c for c in curves if c.observable == "sums")
    np.testing.assert_allclose(sums.high - sums.line, sums.line - sums.low)
    assert sums.line_time[0] == 0.0
    assert np.isfinite(sums.time).all()


def test_a_parameter_without_a_direction_moves_no_start(objective):
    runs, problem = objective.runs, objective.problem
    whole = runs._plan(0)
    values = runs.values.at(problem.natural(problem.nominal), slopes=True)
    expected = whole.at(values).p_slope
    assert expected[:, :-1].any()
    for left_out in range(len(runs.dynamic)):
        known = np.delete(runs.dynamic, left_out)
        fewer = StartPlan(whole.model, whole.targets, runs.values, whole.n, known)
        found = fewer.at(values).p_slope
        np.testing.assert_array_equal(found, np.delete(expected, left_out, axis=1))
