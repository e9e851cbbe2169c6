"""A flag ends the runs of the thread that names it, and no others."""

import threading

import numpy as np
import pytest
import support
from batch_runs import FAULTY

from mir21sim.errors import SolverError
from mir21sim.simulation.options import Options
from mir21sim.simulation.simulate import simulate
from mir21sim.simulation.sweep import sweep
from mir21sim.solvers.interrupt import Stop, stopped_by

ENDLESS = {"max_steps": 10**9, "timeout": 600.0}
FAST = {"w": 1e6}
"""A rate that turns a million times an hour: a million hours never end."""


class Worker(threading.Thread):
    """A thread that works under a flag, and notes how its work ended."""

    def __init__(self, work, flag):
        super().__init__(daemon=True)
        self.work, self.flag, self.ended = work, flag, None

    def run(self):
        try:
            with stopped_by(self.flag):
                self.ended = self.work()
        except (KeyboardInterrupt, SolverError) as error:
            self.ended = error


@pytest.mark.parametrize("method", ["Rodas5P", "Rodas5P-one", "LSODA"])
def test_a_flag_ends_one_endless_run_and_not_the_runs_of_others(faulty, method):
    def work(end, **more):
        options = Options(method=method, **ENDLESS)
        chosen = {"points": 3, "observe": "A", "doses": [], "options": options}
        return lambda: simulate(faulty, end, **chosen, **more)["A"].values

    alone = work(2.0)()
    flag = threading.Event()
    endless = Worker(work(1e6, parameters=FAST), flag)
    other = Worker(work(2.0), threading.Event())
    endless.start()
    endless.join(0.3)
    assert endless.is_alive()
    flag.set()
    other.start()
    endless.join(20)
    other.join(60)
    assert isinstance(endless.ended, KeyboardInterrupt)
    np.testing.assert_array_equal(other.ended, alone)


def test_a_flag_ends_a_sweep_whose_runs_do_not_end(faulty):
    flag = threading.Event()
    options = Options(method="Rodas5P", n_jobs=2, **ENDLESS)

    def work():
        over, chosen = {"f": np.linspace(0.1, 0.2, 40)}, {"points": 3, "doses": []}
        changed = {"parameters": FAST, "on_failure": "raise"}
        return sweep(faulty, over, 1e6, options=options, **chosen, **changed)

    worker = Worker(work, flag)
    worker.start()
    worker.join(0.3)
    flag.set()
    worker.join(20)
    assert isinstance(worker.ended, SolverError)
    assert "Interrupted: 0 of 40 runs" in str(worker.ended)


def test_an_interrupted_run_leaves_no_tolerances_behind(faulty):
    """The same run, made whole after it, has the numbers of a fresh model."""

    def whole(model):
        options = Options(method="Rodas5P-one")
        return simulate(model, 2.0, points=3, doses=[], options=options)["A"]

    flag = threading.Event()
    flag.set()
    with stopped_by(flag), pytest.raises(KeyboardInterrupt):
        whole(faulty)
    fresh = support.compiled(FAULTY)
    np.testing.assert_array_equal(whole(faulty), whole(fresh))


def test_flags_are_those_of_their_thread_and_end_with_the_context():
    flag = threading.Event()
    with stopped_by(flag):
        named = Stop()
        with stopped_by(threading.Event()):
            inner = Stop()
    flag.set()
    assert named.is_set()
    assert not inner.is_set()
    assert not Stop().is_set()
    inner.set()
    assert inner.is_set()
