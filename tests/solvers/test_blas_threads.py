"""BLAS has one thread while models are integrated, and its own number afterwards."""

import threading

import numpy as np
import pytest
from threadpoolctl import OpenBLASController, ThreadpoolController

from mir21sim.simulation.options import Options
from mir21sim.simulation.steady_state import settle
from mir21sim.simulation.sweep import sweep
from mir21sim.solvers.blas_threads import one_blas_thread

LIBRARIES = (
    ThreadpoolController()
    .select(internal_api="openblas")
    .select(threading_layer="pthreads")
)


@pytest.fixture(autouse=True)
def two_threads():
    if not LIBRARIES.info():
        pytest.skip("no OpenBLAS here (macOS has Accelerate): nothing to hold")
    limit = LIBRARIES.limit(limits=2)
    OpenBLASController.clear_controlling_thread()  # any thread may set the number now
    yield
    limit.restore_original_limits()
    OpenBLASController.clear_controlling_thread()


def threads():
    return {library["num_threads"] for library in LIBRARIES.info()}


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_blas_has_one_thread_while_runs_are_integrated(decay, n_jobs):
    seen = []
    options = Options(
        "LSODA", n_jobs=n_jobs, progress=lambda *_: seen.append(threads())
    )
    sweep(decay, {"k": [1.0, 2.0]}, options=options)
    assert seen
    assert all(n == {1} for n in seen)
    assert threads() == {2}


def test_blas_has_one_thread_while_a_cell_settles(birth_death, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "mir21sim.simulation.steady_state.drift",
        lambda *_: seen.append(threads()) or 0.0,
    )
    settle(birth_death, birth_death.y0[np.newaxis], birth_death.p0[np.newaxis])
    assert seen
    assert all(n == {1} for n in seen)


def test_a_failure_gives_the_threads_back():
    with pytest.raises(ZeroDivisionError), one_blas_thread():
        raise ZeroDivisionError
    assert threads() == {2}


def test_the_last_of_two_integrations_gives_the_threads_back():
    inside, leave = threading.Event(), threading.Event()

    def second():
        with one_blas_thread():
            inside.set()
            leave.wait(10.0)

    other = threading.Thread(target=second)
    with one_blas_thread():
        other.start()
        assert inside.wait(10.0)
    assert threads() == {1}
    leave.set()
    other.join()
    assert threads() == {2}
