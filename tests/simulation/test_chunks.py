"""Sweeps in parts: stopped and resumed, shared out, dead workers, full disks."""

import errno
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import mir21sim as ms
from mir21sim.errors import FailedRunsWarning, InputError, ModelWarning
from mir21sim.simulation import checkpoint as partial
from mir21sim.simulation import chunks as parts
from mir21sim.simulation import dataset as results

ROOT = Path(__file__).parents[2]
OVER = {"k_bind": np.geomspace(2e-7, 2e-5, 300)}
CALL = {"end": "6 h", "points": 13, "doses": "CASP8_active=100 molecule@1h"}
OBSERVE = ["CASP3_active", "[XIAP]", "activate_3"]


@pytest.fixture(scope="module")
def model():
    return ms.load(ROOT / "examples" / "caspase_switch.xml")


@pytest.fixture(scope="module")
def whole(model):
    return ms.sweep(model, OVER, observe=OBSERVE, **CALL)


def same(a, b):
    return all(np.array_equal(a[name].values, b[name].values) for name in OBSERVE)


def stop_after(n_done):
    def progress(done, _total):
        if done >= n_done:
            raise KeyboardInterrupt

    return progress


@pytest.fixture
def stopped(model, tmp_path):
    """The file of a sweep that was interrupted after its first part."""
    path = tmp_path / "sweep.nc"
    options = ms.Options(progress=stop_after(100), n_jobs=1)
    with pytest.warns(
        FailedRunsWarning, match="128 of 300 runs are finished.*--resume"
    ):
        ms.sweep(model, OVER, observe=OBSERVE, output=path, options=options, **CALL)
    return path


def test_interrupted_sweep_keeps_what_is_finished(stopped, whole):
    kept = results.read(stopped)
    done = kept["status"].values == 0
    assert done.sum() == 128
    assert np.array_equal(
        kept["CASP3_active"].values[done], whole["CASP3_active"].values[done]
    )
    assert np.isnan(kept["CASP3_active"].values[~done]).all()


def test_resumed_sweep_does_the_rest_only_and_ends_with_the_same_bits(
    model, stopped, whole
):
    seen = []
    options = ms.Options(progress=lambda done, total: seen.append(done), n_jobs=1)
    again = ms.sweep(
        model,
        OVER,
        observe=OBSERVE,
        output=stopped,
        resume=True,
        options=options,
        **CALL,
    )
    assert seen[0] == 128
    assert seen[-1] == 300
    assert same(again, whole)
    assert same(results.read(stopped), whole)
    assert not partial.folder_for(stopped).exists()


def test_unfinished_sweep_is_not_thrown_away_unasked(model, stopped):
    with pytest.raises(InputError, match=r"sweep\.nc\.partial.*--resume"):
        ms.sweep(model, OVER, observe=OBSERVE, output=stopped, **CALL)


def test_another_sweep_is_not_taken_for_the_same(model, stopped):
    other = {"k_bind": np.geomspace(2e-7, 1e-5, 300)}
    with pytest.raises(InputError, match=r"another sweep \(other over\)"):
        ms.sweep(
            model,
            other,
            observe=OBSERVE,
            output=stopped,
            resume=True,
            options=ms.Options(n_jobs=1),
            **CALL,
        )


def test_damaged_plan_is_one_sentence(model, stopped):
    (partial.folder_for(stopped) / "plan.json").write_text("{")
    with pytest.raises(InputError, match=r"plan\.json.*damaged"):
        ms.sweep(model, OVER, observe=OBSERVE, output=stopped, resume=True, **CALL)


def test_resume_needs_an_output(model):
    with pytest.raises(InputError, match="`resume` needs the `output`"):
        ms.sweep(model, OVER, resume=True, **CALL)


def test_full_disk_is_an_error_before_the_work(model, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(partial, "_reserve", full)
    with pytest.raises(InputError, match=r"a\.nc\.partial.*No space left"):
        ms.sweep(model, OVER, observe=OBSERVE, output=tmp_path / "a.nc", **CALL)


def test_finished_sweep_leaves_only_its_file(model, tmp_path, whole):
    made = ms.sweep(model, OVER, observe=OBSERVE, output=tmp_path / "a.nc", **CALL)
    assert same(made, whole)
    assert [p.name for p in tmp_path.iterdir()] == ["a.nc"]


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
    with DyingExecutor(1) as pool, pytest.warns(ModelWarning, match="2 parts"):
        made = ms.sweep(
            model, OVER, observe=OBSERVE, options=ms.Options(executor=pool), **CALL
        )
    assert same(made, whole)


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
            executor=client.get_executor(), progress=kill_one), **call)
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


def command(*arguments):
    return [sys.executable, "-m", "mir21sim.cli", "sweep", *arguments]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to a process")
def test_ctrl_c_on_the_command_line_keeps_and_resumes(tmp_path):
    model = str(ROOT / "examples" / "caspase_switch.xml")
    arguments = [
        *[model, "--over", "k_bind=log:2e-7:2e-5:1200", "--method", "LSODA"],
        *["--observe", "CASP3_active", "-o", str(tmp_path / "s.nc")],
    ]
    marks = tmp_path / "s.nc.partial" / "done"
    running = subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job ignores SIGINT and would pass that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if marks.is_file() and marks.read_bytes().strip(b"\0"):
            break
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Interrupted" in err
    kept = int((results.read(tmp_path / "s.nc")["status"] == 0).sum())
    assert 0 < kept < 1200
    short = subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=60, check=False
    )
    assert short.returncode == 2
    assert "--resume" in short.stderr
    again = subprocess.run(
        command(*arguments, "--resume"), capture_output=True, timeout=120, check=True
    )
    assert again.returncode == 0
    assert not marks.exists()
    assert (results.read(tmp_path / "s.nc")["status"] == 0).all()
