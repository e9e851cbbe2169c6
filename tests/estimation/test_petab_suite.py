"""The PEtab test suite and the benchmark problems, from ``$MIR21SIM_SUITES``.

The packs are no part of the project; without them these tests are skipped. All three
measures of every case must hold, to 1e-3 and to 1e-5 of the value.
"""

import csv
import warnings

import numpy as np
import pytest
from packs import PETAB_BENCHMARKS, unpacked

from mir21sim.estimation import petab_read
from mir21sim.estimation.engine import Engine
from mir21sim.estimation.objective import Objective

yaml = pytest.importorskip("yaml")
pytest.importorskip("petab")
pytestmark = [
    pytest.mark.suite,
    pytest.mark.filterwarnings("ignore"),  # of petab and pandas
]

V1 = [f"v1.0.0/{k:04d}" for k in range(1, 21)]
V2 = [f"v2.0.0/{k:04d}" for k in range(1, 33) if k != 19]
COMPILED = {"v1.0.0/0009", "v1.0.0/0018", "v2.0.0/0016", "v2.0.0/0022"}
"""Cases that run by the compiled solvers; the others need no compiling."""


@pytest.fixture(scope="session")
def cases(tmp_path_factory):
    return unpacked("petab_cases", tmp_path_factory.mktemp("petab"))


def read(case, cases):
    number = case.partition("/")[2]
    folder = cases / case.replace("/", "/sbml/")
    backend = "numba" if case in COMPILED else "numpy"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        problem = petab_read.read_petab(folder / f"_{number}.yaml", backend)
    solution = yaml.safe_load((folder / f"_{number}_solution.yaml").read_text())
    with (folder / solution["simulation_files"][0]).open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return problem, solution, np.array([float(row["simulation"]) for row in rows])


def near(got, wanted):
    return abs(got - wanted) <= min(1e-3, 1e-5 * abs(wanted) + 1e-9) or (
        abs(got - wanted) <= 1e-5 * abs(wanted)
    )


@pytest.mark.parametrize("case", V1 + V2)
def test_case_of_the_petab_suite(case, cases):
    problem, solution, simulated = read(case, cases)
    objective = Objective(problem, Engine.of(problem.model, rtol=1e-8))
    fit, reason = objective.fit(problem.nominal)
    assert not reason
    assert near(fit.chi2, solution["chi2"])
    assert near(fit.llh, solution["llh"])
    np.testing.assert_allclose(fit.simulated, simulated, rtol=1e-5, atol=1e-8)
    for name, wanted in solution.get("log_prior", {}).items():
        parameter = next(p for p in problem.parameters if p.id == name)
        assert parameter.prior.terms(parameter.value)[0] == pytest.approx(wanted)


@pytest.mark.parametrize("case", ["v1.0.0/0010", "v1.0.0/0018", "v2.0.0/0016"])
def test_gradient_of_a_case_equals_differences(case, cases):
    problem, *_ = read(case, cases)
    objective = Objective(problem, Engine.of(problem.model, rtol=1e-10))
    x = problem.nominal * 1.05 + 0.01
    found = objective(x).gradient
    step = 1e-4
    for k, part in enumerate(found):
        moved = np.zeros(len(x))
        moved[k] = step
        ends = [objective(x + s * moved, slopes=False).value for s in (-1, 1)]
        assert part == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=1e-4)


@pytest.mark.parametrize("name", PETAB_BENCHMARKS)
def test_objective_of_a_benchmark(name, tmp_path, request):
    if name != PETAB_BENCHMARKS[0] and not request.config.getoption("--suite"):
        pytest.skip("give --suite to run all benchmark problems")
    folder = unpacked("benchmark_petab", tmp_path)
    with (folder / "OBJECTIVE.tsv").open() as file:
        rows = {row["problem"]: row for row in csv.DictReader(file, delimiter="\t")}
    wanted = float(rows[name]["llh (roadrunner 2.10.0, our evaluation)"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        problem = petab_read.read_petab(folder / name / f"{name}.yaml")
    objective = Objective(problem, Engine.of(problem.model, rtol=1e-8), priors=False)
    fit, reason = objective.fit(problem.nominal)
    assert not reason
    assert fit.llh == pytest.approx(wanted, rel=1e-6)
