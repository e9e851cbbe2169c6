"""Sweeps in parts by executors: pools that die, refuse, cancel or stay silent."""

import subprocess
import sys
import threading
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from typing import ClassVar

import pytest
from chunk_cases import CALL, OBSERVE, OVER, ROOT, posix_only, same

import mir21sim as ms
from mir21sim.errors import ModelWarning
from mir21sim.simulation import chunks as parts


@pytest.fixture(scope="module")
def model():
    return ms.load(ROOT / "examples" / "caspase_switch.xml")


@pytest.fixture(scope="module")
def whole(model):
    return ms.sweep(model, OVER, observe=OBSERVE, **CALL)


def test_given_executor_gives_the_same_bits_and_stays_open(model, whole):
    with ThreadPoolExecutor(2) as pool:
        made = ms.sweep(
            model, OVER, observe=OBSERVE, options=ms.Options(executor=pool), **CALL
        )
        assert pool.submit(int, "7").result() == 7
    assert same(made, whole)


class DyingExecutor(ThreadPoolExecutor):
    """Runs one part, then breaks as a process pool with a killed worker does."""

    def submit(self, *arguments, **named):
        if not getattr(self, "used", False):
            self.used = True
            return super().submit(*arguments, **named)
        future = Future()
        future.set_exception(BrokenExecutor("a worker died"))
        return future


def test_parts_of_dead_workers_are_run_again_here(model, whole):
    with (
        DyingExecutor(1) as pool,
        pytest.warns(ModelWarning, match=r"BrokenExecutor.*2 parts"),
    ):
        made = ms.sweep(
            model, OVER, observe=OBSERVE, options=ms.Options(executor=pool), **CALL
        )
    assert same(made, whole)


class Refusing(ThreadPoolExecutor):
    """Takes one part and no more, as a pool that breaks while parts are sent."""

    def submit(self, *arguments, **named):
        if getattr(self, "used", False):
            raise BrokenExecutor("a worker died")
        self.used = True
        return super().submit(*arguments, **named)


class Silent(ThreadPoolExecutor):
    """Never answers, as a pool whose process died while it held a lock."""

    class Dead:
        @staticmethod
        def is_alive():
            return False

    _processes: ClassVar = {1: Dead}

    def submit(self, *arguments, **named):
        return Future()


class Locked(Silent):
    """Never takes a second part, as a pool that died while parts were written to it."""

    def submit(self, *arguments, **named):
        if getattr(self, "used", False):
            threading.Event().wait()
        self.used = True
        return Future()


class Cancelling(ThreadPoolExecutor):
    """Gives its work up, as a cluster that is shut down."""

    def submit(self, *arguments, **named):
        future = Future()
        future.cancel()
        return future


@pytest.mark.parametrize(
    ("pool", "told"),
    [
        (Refusing, r"BrokenExecutor: a worker died.*2 parts"),
        (Silent, r"a process died.*3 parts"),
        (Locked, r"a process died.*3 parts"),
        (Cancelling, r"CancelledError.*3 parts"),
    ],
)
def test_whatever_a_pool_leaves_is_run_here(pool, told, model, whole, monkeypatch):
    monkeypatch.setattr(parts, "_LOOK_S", 0.01)
    with pool(1) as executor, pytest.warns(ModelWarning, match=told):
        made = ms.sweep(
            model, OVER, observe=OBSERVE, options=ms.Options(executor=executor), **CALL
        )
    assert same(made, whole)


POOL = """
import os, signal, sys, threading, time, warnings
from concurrent.futures import ProcessPoolExecutor
import multiprocessing
import numpy as np
import mir21sim as ms

def main():
    warnings.simplefilter("ignore")
    model = ms.load(sys.argv[1])
    over = {"k_bind": np.geomspace(2e-7, 2e-5, 1500)}
    call = dict(end="6 h", points=13, observe=["CASP3_active"],
                doses="CASP8_active=100 molecule@1h")
    whole = ms.sweep(model, over, **call)
    same = 0
    for delay in map(float, sys.argv[2:]):
        pool = ProcessPoolExecutor(2, multiprocessing.get_context("spawn"))
        first = pool.submit(os.getpid).result()
        threading.Timer(delay, os.kill, (first, signal.SIGKILL)).start()
        made = ms.sweep(model, over, options=ms.Options(executor=pool), **call)
        same += np.array_equal(made.CASP3_active.values, whole.CASP3_active.values)
        for process in (pool._processes or {}).values():
            process.kill()  # `shutdown` may wait for a lock of the pool for ever
    print("RESULT", same, flush=True)
    os._exit(0)

if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
@posix_only
def test_a_process_pool_with_a_killed_worker_loses_nothing(tmp_path):
    script = tmp_path / "pool.py"
    script.write_text(POOL)
    model = ROOT / "examples" / "caspase_switch.xml"
    done = subprocess.run(
        [sys.executable, str(script), str(model), "0", "0.1"],
        capture_output=True,
        text=True,
        timeout=150,
        check=True,
    )
    assert "RESULT 2" in done.stdout


def test_parts_are_counted_once(model):
    seen = []
    with ThreadPoolExecutor(2) as pool:
        options = ms.Options(
            executor=pool, progress=lambda done, total: seen.append((done, total))
        )
        ms.sweep(model, OVER, observe=OBSERVE, options=options, **CALL)
    assert seen[-1] == (300, 300)
    assert sorted({done for done, _ in seen}) == [done for done, _ in seen]


def test_part_sizes_bound_what_an_interruption_costs():
    assert parts.part_size("Rodas5P", 2) == 256
    assert parts.part_size("LSODA", 2) == 8


CLUSTER = """
import os, signal, sys
import numpy as np
import mir21sim as ms
from dask.distributed import Client, LocalCluster

def main():
    model = ms.load(sys.argv[1])
    over = {"k_bind": np.geomspace(2e-7, 2e-5, 4000)}
    call = dict(end="6 h", points=13, observe=["CASP3_active"],
                doses="CASP8_active=100 molecule@1h")
    whole = ms.sweep(model, over, **call)
    options = dict(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        killed, counts = [], []
        def kill_one(done, total):
            counts.append(done)
            if done and not killed:
                killed.append(next(iter(client.run(os.getpid).values())))
                os.kill(killed[0], signal.SIGKILL)
        made = ms.sweep(model, over, options=ms.Options(
            executor=client, progress=kill_one), **call)
    same = np.array_equal(made.CASP3_active.values, whole.CASP3_active.values)
    print("RESULT", len(killed), same, counts[-1], len(counts) == len(set(counts)))

if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kills a worker by SIGKILL")
def test_cluster_with_a_killed_worker_loses_and_doubles_nothing(tmp_path):
    pytest.importorskip("distributed", reason="the extra `dask` is not installed")
    script = tmp_path / "cluster.py"
    script.write_text(CLUSTER)
    model = ROOT / "examples" / "caspase_switch.xml"
    done = subprocess.run(
        [sys.executable, str(script), str(model)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=150,
        check=True,
        cwd=tmp_path,
    )
    assert "RESULT 1 True 4000 True" in done.stdout
