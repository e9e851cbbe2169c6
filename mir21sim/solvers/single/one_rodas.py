"""Single runs by Rodas5P in compiled code, as a method."""

import threading
import weakref
from typing import TYPE_CHECKING

from mir21sim._typing import FloatArray
from mir21sim.compiler.kernels import Kernels
from mir21sim.compiler.model import CompiledModel
from mir21sim.solvers.method import SINGLE, Method
from mir21sim.solvers.problem import Problem, Solution
from mir21sim.solvers.settings import Settings, Workers

if TYPE_CHECKING:
    from mir21sim.solvers.single.one_run import Functions
    from mir21sim.solvers.single.scale import Ended

_REMEMBERED = 64
"""Runs of a model whose tolerances are remembered."""


def supports(model: CompiledModel) -> str | None:
    """Return why the method cannot run a model, None where it can."""
    if model.kernels.backend != "numba":
        return f"the backend {model.kernels.backend} has no compiled kernels"
    if not model.state_names:
        return "the model has no state"
    if model.solver_fills:
        return model.solver_fills
    return None if model.one_kernels is not None else model.one_refusal


class _Memory:
    """Functions of a model, and tolerances that runs of it have found.

    A run that is made again begins with the tolerances with which it ended, so that its
    numbers are the same; the search for them is left out.
    """

    def __init__(self, functions: "Functions") -> None:
        self.functions = functions
        self._found: dict[tuple[object, ...], tuple[FloatArray, float]] = {}
        self._lock = threading.Lock()

    def get(self, key: tuple[object, ...]) -> tuple[FloatArray, float] | None:
        """Return the tolerances of a run and their growth, None where it is new."""
        return self._found.get(key)

    def put(self, key: tuple[object, ...], found: tuple[FloatArray, float]) -> None:
        """Remember the tolerances of a run, of the last ones only."""
        with self._lock:
            self._found[key] = found
            while len(self._found) > _REMEMBERED:
                del self._found[next(iter(self._found))]


_MEMORIES: "weakref.WeakKeyDictionary[Kernels, _Memory]" = weakref.WeakKeyDictionary()


def _memory(model: CompiledModel) -> _Memory:
    """Return the memory of a model, made at its first run."""
    found = _MEMORIES.get(model.kernels)
    if found is None:
        from mir21sim.solvers.single.one_run import Functions

        assert model.one_kernels is not None, model.one_refusal
        found = _Memory(Functions.of(model.kernels, model.one_kernels))
        _MEMORIES[model.kernels] = found
    return found


def one_run(
    model: CompiledModel,
    problem: Problem,
    run: int,
    settings: Settings,
    stop: threading.Event,
) -> "Ended":
    """Integrate one run; the tolerances of a run made before are known."""
    from mir21sim.solvers.single import scale
    from mir21sim.solvers.single.one_run import OneRun

    memory, key = _memory(model), _key(problem, run, settings)
    known = memory.get(key) if settings.adapts else None

    def make(chosen: Settings, growth: float) -> OneRun:
        return OneRun(
            memory.functions,
            model.kernels,
            problem,
            run,
            chosen,
            stop,
            growth=growth,
            keeps=settings.adapts and known is None,
        )

    if known is not None:
        return scale.attempt(make, settings, *known)
    ended = scale.integrate(make, problem, run, settings)
    if settings.adapts and not stop.is_set():  # a run that was cut short found too few
        memory.put(key, (ended.atol, ended.growth))
    return ended


def _key(problem: Problem, run: int, settings: Settings) -> tuple[object, ...]:
    """Return everything that the tolerances of a run depend on."""
    schedule, frozen = problem.schedule, problem.frozen
    return (
        problem.y0[run].tobytes(),
        problem.p[run].tobytes(),
        float(problem.times[0]),
        float(problem.times[-1]),
        schedule.time.tobytes(),
        schedule.state.tobytes(),
        schedule.kind.tobytes(),
        schedule.value[run].tobytes(),
        problem.amounts.tobytes(),
        b"" if frozen is None else frozen.tobytes(),
        settings.rtol,
        settings.max_step,
        settings.max_steps,
        settings.allow_negative,
    )


def _integrate(
    model: CompiledModel, problem: Problem, settings: Settings, workers: Workers
) -> tuple[Solution, bool]:
    from mir21sim.solvers.single.integrate import integrate_runs  # imports SciPy

    def work(run: int, stop: threading.Event) -> "Ended":
        return one_run(model, problem, run, settings, stop)

    return integrate_runs(problem, workers, work, by_scipy=False)


METHOD = Method(
    "Rodas5P-one", "KISAO:0000033", SINGLE, supports, _integrate
)  # Rosenbrock method
