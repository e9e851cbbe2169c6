"""The stiff integrators of SciPy as methods: one line each."""

from functools import partial

from mir21sim.compiler.model import CompiledModel
from mir21sim.solvers.method import SINGLE, Method
from mir21sim.solvers.problem import Problem, Solution
from mir21sim.solvers.settings import Settings, Workers


def _integrate(
    solver: str,
    model: CompiledModel,
    problem: Problem,
    settings: Settings,
    workers: Workers,
) -> tuple[Solution, bool]:
    from mir21sim.solvers.single.integrate import integrate_by_scipy  # imports SciPy

    return integrate_by_scipy(model.kernels, problem, settings, solver, workers)


def supports(model: CompiledModel) -> str | None:
    """Return why SciPy cannot run a model, None where it can."""
    return model.solver_fills or None


def _scipy_method(name: str, kisao: str) -> Method:
    """Return the method of a class of ``scipy.integrate``."""
    return Method(name, kisao, SINGLE, supports, partial(_integrate, name))


LSODA = _scipy_method("LSODA", "KISAO:0000088")
BDF = _scipy_method("BDF", "KISAO:0000288")
RADAU = _scipy_method("Radau", "KISAO:0000304")
