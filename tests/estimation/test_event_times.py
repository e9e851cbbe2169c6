"""Event times that are estimated: exact gradients by the jump rule."""

import numpy as np
import pytest
from petab_texts import PARAMETERS, PROBLEM

from mir21sim.estimation.engine import Engine
from mir21sim.estimation.objective import Objective
from mir21sim.estimation.petab_read import read_petab
from mir21sim.model.convert import convert

pytest.importorskip("petab")
pytestmark = pytest.mark.filterwarnings("ignore")  # of petab and pandas

NUMBERS = {"k": 0.5, "s": 6.0, "t_on": 1.3, "t_off": 2.75}
BODIES = {
    "a condition": "A' = piecewise(s, (time >= t_on) && (time < t_off), 0) - k*A;",
    "events": "rate = 0; A' = rate - k*A;"
    " at (time >= t_on): rate = s; at (time >= t_off): rate = 0;",
}
TRUE = np.array([0.0, 0.0, 2.04, 3.36, 2.45, 1.49])


@pytest.fixture(scope="module", params=BODIES)
def objective(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("moments")
    numbers = "; ".join(f"{name} = {value}" for name, value in NUMBERS.items())
    body = BODIES[request.param]
    text = f"model moments\n A = 0.1; {numbers}; {body}\nend\n"
    (folder / "m.ant").write_text(text)
    convert(folder / "m.ant", folder / "m.xml")
    rows = "".join(
        f"{name}\tlog10\t1e-2\t1e2\t{value}\t1\n" for name, value in NUMBERS.items()
    )
    files = {
        "p.yaml": PROBLEM,
        "par.tsv": PARAMETERS + rows,
        "cond.tsv": "conditionId\nonly\n",
        "obs.tsv": "observableId\tobservableFormula\tnoiseFormula\nA_seen\tA\t0.1\n",
        "meas.tsv": "observableId\tsimulationConditionId\ttime\tmeasurement\n"
        + "".join(
            f"A_seen\tonly\t{time}\t{value}\n"
            for time, value in zip((0.5, 1.0, 1.8, 2.3, 3.1, 4.1), TRUE, strict=True)
        ),
    }
    for name, content in files.items():
        (folder / name).write_text(content)
    problem = read_petab(folder / "p.yaml")
    return Objective(problem, Engine.of(problem.model, rtol=1e-9))


def test_the_gradient_is_exact(objective):
    engine = objective.runs.engine
    assert engine.exact
    assert engine.gradient_way == "exact tangents of the steps taken"
    x, step = objective.problem.nominal + 0.01, 1e-4
    found = objective(x)
    for k in range(len(x)):
        moved = step * (np.arange(len(x)) == k)
        ends = [objective(x + s * moved, slopes=False).value for s in (-2, -1, 1, 2)]
        expected = (ends[0] - 8 * ends[1] + 8 * ends[2] - ends[3]) / (12 * step)
        assert found.gradient[k] == pytest.approx(expected, rel=1e-6)
    assert np.abs(found.gradient).min() > 1.0


def test_the_gradient_alone_is_the_same(objective):
    x = objective.problem.nominal + 0.01
    whole, alone = objective(x), objective(x, hessian=False)
    np.testing.assert_allclose(alone.gradient, whole.gradient, rtol=1e-11)
