"""Sweeps in parts: stopped and resumed, shared out, dead workers, full disks."""

import errno
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from chunk_cases import CALL, OBSERVE, OVER, ROOT, posix_only, same

import mir21sim as ms
from mir21sim.errors import FailedRunsWarning, InputError
from mir21sim.simulation import checkpoint as partial
from mir21sim.simulation import dataset as results
from mir21sim.simulation import lock
from mir21sim.simulation.lock import FolderLock


@pytest.fixture(scope="module")
def model():
    return ms.load(ROOT / "examples" / "caspase_switch.xml")


@pytest.fixture(scope="module")
def whole(model):
    return ms.sweep(model, OVER, observe=OBSERVE, **CALL)


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


def resume(model, path, **options):
    """Return the resumed sweep, and the numbers of runs done as it went on."""
    seen = []
    options = ms.Options(progress=lambda done, _: seen.append(done), **options)
    made = ms.sweep(
        model, OVER, observe=OBSERVE, output=path, resume=True, options=options, **CALL
    )
    return made, seen


@pytest.mark.parametrize("bit", [3, 77, 4001, 100_001])
@pytest.mark.parametrize("name", ["plan.json", "runs-000000000-000000128.npz"])
def test_no_damaged_bit_of_a_partial_folder_is_believed(
    model, stopped, whole, name, bit
):
    path = partial.folder_for(stopped) / name
    data = bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    path.write_bytes(data)
    again, seen = resume(model, stopped, n_jobs=1)
    assert seen[0] == (128 if name == "plan.json" else 0)
    assert same(again, whole)


def test_parts_of_another_sweep_are_not_used_when_the_plan_is_damaged(model, stopped):
    (partial.folder_for(stopped) / "plan.json").write_text("{")
    other = {"k_bind": np.geomspace(2e-7, 1e-5, 300)}
    with pytest.raises(InputError, match=r"plan\.json` is damaged and no part .* this"):
        ms.sweep(model, other, observe=OBSERVE, output=stopped, resume=True, **CALL)


def test_a_truncated_part_is_run_again(model, stopped, whole):
    (part,) = partial.folder_for(stopped).glob("*.npz")
    part.write_bytes(part.read_bytes()[:1000])
    again, seen = resume(model, stopped)
    assert seen[0] == 0
    assert same(again, whole)


@pytest.mark.parametrize("n_jobs", [2, 3])
def test_a_sweep_is_resumed_with_other_numbers_of_jobs(model, stopped, whole, n_jobs):
    again, seen = resume(model, stopped, n_jobs=n_jobs)
    assert seen[0] == 128
    assert same(again, whole)


def test_a_sweep_is_resumed_where_libraries_differ(model, stopped, whole, monkeypatch):
    """As on another machine; another version of this package is another sweep."""
    from mir21sim.simulation import provenance

    real = provenance.version_of
    monkeypatch.setattr(
        provenance, "version_of", lambda p: "9" if p != "mir21sim" else real(p)
    )
    again, seen = resume(model, stopped, n_jobs=1)
    assert seen[0] == 128
    assert same(again, whole)


def test_parts_of_another_version_are_not_mixed(model, stopped, monkeypatch):
    from mir21sim.simulation import provenance

    real = provenance.version_of
    monkeypatch.setattr(
        provenance, "version_of", lambda p: "9" if p == "mir21sim" else real(p)
    )
    own = re.escape(real("mir21sim"))
    with pytest.raises(InputError, match=f"begun by mir21sim {own}, and this is 9"):
        resume(model, stopped, n_jobs=1)


def test_only_the_gaps_are_run(model, stopped, whole, tmp_path):
    """Parts of any size, anywhere."""
    folder = partial.folder_for(stopped)
    kept = tmp_path / "kept"
    folder.rename(kept)
    options = ms.Options(progress=stop_after(290), n_jobs=1)
    ms.sweep(model, OVER, observe=OBSERVE, output=stopped, options=options, **CALL)
    _, middle, last = sorted(folder.glob("*.npz"))
    assert last.name == "runs-000000256-000000300.npz"
    middle.unlink()
    again, seen = resume(model, stopped, n_jobs=1)
    assert seen == [172, 300]
    assert same(again, whole)


# ------------------------------------------------------------------ two processes
HOLDER = """
import sys, time
from pathlib import Path
from mir21sim.simulation.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(120)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that works in the folder of unfinished results of `b.nc`."""
    running = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "b.nc.partial")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout.readline() == "held\n"
    yield running
    running.kill()
    running.communicate()


@pytest.mark.parametrize("resume", [True, False])
def test_a_second_process_is_given_the_first_one(model, holder, tmp_path, resume):
    told = (
        rf"b\.nc\.partial` is in use by process {holder.pid} on \S+ since 20\S+; wait"
    )
    with pytest.raises(InputError, match=told) as caught:
        ms.sweep(
            model,
            OVER,
            observe=OBSERVE,
            output=tmp_path / "b.nc",
            resume=resume,
            **CALL,
        )
    assert "delete" not in str(caught.value)


def test_the_lock_of_a_killed_process_is_no_obstacle(model, holder, tmp_path, whole):
    holder.kill()
    holder.wait()
    assert (tmp_path / "b.nc.partial" / "lock").is_file()
    made = ms.sweep(model, OVER, observe=OBSERVE, output=tmp_path / "b.nc", **CALL)
    assert same(made, whole)
    assert not (tmp_path / "b.nc.partial").exists()


def test_a_process_locks_a_folder_once(tmp_path):
    first = FolderLock(tmp_path / "a")
    with pytest.raises(InputError, match="this one"):
        FolderLock(tmp_path / "a")
    first.release()
    second = FolderLock(tmp_path / "a")
    second.release()


def test_without_locks_of_the_system_the_process_must_live(tmp_path, monkeypatch):
    def unsupported(_):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(lock, "_lock", unsupported)
    held = FolderLock(tmp_path / "a")
    lock._held.clear()
    with pytest.raises(InputError, match=f"in use by process {os.getpid()}"):
        FolderLock(tmp_path / "a")
    record = tmp_path / "a" / "lock"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    record.write_text(record.read_text().replace(str(os.getpid()), str(dead.pid)))
    FolderLock(tmp_path / "a").release()
    held.release()


def test_a_sweep_that_fails_gives_its_folder_up(model, tmp_path):
    def fail(done, _total):
        if done:
            raise RuntimeError("of the caller")

    path = tmp_path / "c.nc"
    with pytest.raises(RuntimeError, match="of the caller"):
        ms.sweep(
            model,
            OVER,
            observe=OBSERVE,
            output=path,
            options=ms.Options(progress=fail, n_jobs=1),
            **CALL,
        )
    _, seen = resume(model, path, n_jobs=1)
    assert seen[0] == 128


def test_resume_needs_an_output(model):
    with pytest.raises(InputError, match="`resume` needs the `output`"):
        ms.sweep(model, OVER, resume=True, **CALL)


def test_full_disk_is_an_error_before_the_work(model, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(partial, "_reserve", full)
    with pytest.raises(InputError, match=r"a\.nc\.partial.*No space left"):
        ms.sweep(model, OVER, observe=OBSERVE, output=tmp_path / "a.nc", **CALL)


@posix_only
def test_a_disk_that_is_full_half_way_keeps_the_parts(
    model, tmp_path, whole, small_files, monkeypatch
):
    monkeypatch.setattr(partial, "_reserve", lambda path, size: path.touch())
    path, sizes = tmp_path / "a.nc", []
    write = partial.PartFolder._write

    def full(self, name, data):
        if name.startswith("runs-000000128"):
            with small_files(sizes[-1] // 2):
                return write(self, name, data)
        sizes.append(len(data))
        return write(self, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(partial.PartFolder, "_write", full)
        with pytest.raises(InputError, match=r"a\.nc\.partial.*File too large; make"):
            ms.sweep(
                model,
                OVER,
                observe=OBSERVE,
                output=path,
                options=ms.Options(n_jobs=1),
                **CALL,
            )
    assert not list(tmp_path.rglob("*.part"))
    again, seen = resume(model, path, n_jobs=1)
    assert seen[0] == 128
    assert same(again, whole)


def test_finished_sweep_leaves_only_its_file(model, tmp_path, whole):
    made = ms.sweep(model, OVER, observe=OBSERVE, output=tmp_path / "a.nc", **CALL)
    assert same(made, whole)
    assert [p.name for p in tmp_path.iterdir()] == ["a.nc"]


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
    folder = tmp_path / "s.nc.partial"
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
        if list(folder.glob("*.npz")):
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
    assert not folder.exists()
    assert (results.read(tmp_path / "s.nc")["status"] == 0).all()
