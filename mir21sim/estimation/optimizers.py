"""Minimising an objective from one start: fides with exact gradients, or SciPy."""

import logging
import math
from typing import Any, Protocol

import numpy as np
import scipy.optimize
import scipy.stats.qmc

from mir21sim._typing import FloatArray
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.estimation.evaluations import (
    LoggedObjective,
)
from mir21sim.estimation.objective import Evaluation
from mir21sim.solvers.blas_threads import one_blas_thread

OPTIMIZERS = ("fides", "scipy")


def chosen_optimizer(name: str | None) -> str:
    """Return the optimiser to use."""
    if name is not None and name not in OPTIMIZERS:
        raise UnknownNameError("optimizer", name, OPTIMIZERS)
    if name == "scipy":
        return name
    try:
        import fides
        import pypesto  # noqa: F401 - the extra is asked for as a whole
    except ImportError as error:
        if name is None:
            return "scipy"
        raise InputError(
            "The optimizer `fides` needs the extra `fit` "
            '(pip install "mir21sim[fit]"); `scipy` needs nothing more.'
        ) from error
    logging.getLogger(fides.__name__).setLevel(logging.ERROR)
    return "fides"


@one_blas_thread()
def minimize(
    logged: LoggedObjective,
    first: FloatArray,
    iterations: int,
    *,
    fixed: int | None = None,
    optimizer: str | None = None,
) -> tuple[FloatArray, float, str]:
    """Minimise from one point, with one parameter held where it is fixed."""
    run = _by_fides if chosen_optimizer(optimizer) == "fides" else _by_scipy
    if fixed is None:
        return run(logged, first, iterations)
    if len(first) == 1:
        return first, logged(first).value, "nothing is left to fit"
    return run(_Held(logged, first, fixed), np.delete(first, fixed), iterations)


class _Bounded(Protocol):
    """An objective within bounds."""

    def __call__(self, x: FloatArray, *, hessian: bool = True) -> Evaluation: ...

    @property
    def bounds(self) -> tuple[FloatArray, FloatArray]: ...

    def whole(self, x: FloatArray) -> FloatArray: ...


class _Held:
    """An objective in which one parameter is held."""

    def __init__(self, logged: LoggedObjective, x: FloatArray, fixed: int) -> None:
        self.logged, self.x, self.fixed = logged, np.array(x), fixed

    @property
    def bounds(self) -> tuple[FloatArray, FloatArray]:
        lower, upper = self.logged.bounds
        return np.delete(lower, self.fixed), np.delete(upper, self.fixed)

    def whole(self, x: FloatArray) -> FloatArray:
        return np.asarray(np.insert(x, self.fixed, self.x[self.fixed]), float)

    def __call__(self, x: FloatArray, *, hessian: bool = True) -> Evaluation:
        found = self.logged(self.whole(x), hessian=hessian)
        assert found.gradient is not None
        kept = np.delete(np.arange(len(self.x)), self.fixed)
        whole = found.hessian
        bent = None if whole is None else whole[np.ix_(kept, kept)]
        return Evaluation(found.value, found.gradient[kept], bent, found.reason)


def _by_fides(
    logged: _Bounded, first: FloatArray, iterations: int
) -> tuple[FloatArray, float, str]:
    """Minimise from one start by pyPESTO and fides."""
    import pypesto
    import pypesto.optimize

    lower, upper = logged.bounds

    def function(x: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        found = logged(x)
        assert found.gradient is not None
        assert found.hessian is not None
        return found.value, found.gradient, found.hessian

    described = pypesto.Problem(
        pypesto.Objective(fun=function, grad=True, hess=True),
        lb=lower,
        ub=upper,
        x_guesses=[first],
    )
    made = pypesto.optimize.FidesOptimizer(
        verbose=logging.ERROR, options={"maxiter": iterations, "fatol": 1e-6}
    )
    result = pypesto.optimize.minimize(
        described,
        optimizer=made,
        n_starts=1,
        progress_bar=False,
        history_options=pypesto.HistoryOptions(trace_record=False),
    ).optimize_result.list[0]
    x = result.x if result.x is not None else first
    return (
        logged.whole(np.array(x, float)),
        _value(result.fval),
        str(result.message or ""),
    )


def _value(found: Any) -> float:
    return math.inf if found is None or not math.isfinite(found) else float(found)


def _by_scipy(
    logged: _Bounded, first: FloatArray, iterations: int
) -> tuple[FloatArray, float, str]:
    """Minimise from one start by L-BFGS-B."""
    lower, upper = logged.bounds
    worst = [1e10]

    def function(x: FloatArray) -> tuple[float, FloatArray]:
        found = logged(x, hessian=False)
        if not found.ok or found.gradient is None:
            return 10.0 * abs(worst[0]), np.zeros(len(x))
        worst[0] = max(found.value, 1.0)
        return found.value, found.gradient

    found = scipy.optimize.minimize(
        function,
        first,
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(lower, upper, strict=True)),
        options={"maxiter": iterations},
    )
    x = np.array(found.x, float)
    return logged.whole(x), logged(x, hessian=False).value, str(found.message)
