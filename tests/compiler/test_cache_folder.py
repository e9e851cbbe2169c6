"""The cache folder: whose it is, first use, resting states."""

import os
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import support
from cache_cases import NET, module_file, slope
from support import reaction

from mir21sim import files
from mir21sim.compiler import build_kernels, cache, cache_folder
from mir21sim.errors import CodegenError, SolverStatus
from mir21sim.simulation import steady_state as resting
from mir21sim.simulation.options import Options
from mir21sim.simulation.simulate import simulate
from mir21sim.simulation.sweep import sweep

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a cache folder of this test's own."""
    monkeypatch.setenv("MIR21SIM_CACHE", str(tmp_path))
    return tmp_path


# ------------------------------------------------------------------- whose folder
def test_a_cache_that_cannot_be_made_is_no_error(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("MIR21SIM_CACHE", str(blocked / "inside"))
    assert slope() == -1.5
    assert "mir21sim-" in cache.folder().name
    assert blocked.read_text() == "not a folder"


def test_a_new_cache_is_private(tmp_path, monkeypatch):
    monkeypatch.setenv("MIR21SIM_CACHE", str(tmp_path / "new"))
    old = os.umask(0)
    try:
        assert slope() == -1.5
    finally:
        os.umask(old)
    assert cache.folder() == tmp_path / "new"
    assert stat.S_IMODE(cache.folder().stat().st_mode) == 0o700
    for path in cache.folder().rglob("*.py"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def by_another(path):
    os.chown(path, 12345, 12345)


def open_to_all(path):
    path.chmod(0o777)


def by_a_link(path):
    path.rename(path.with_name("real"))
    path.symlink_to(path.with_name("real"))


@posix_only
@pytest.mark.parametrize("plant", [by_another, open_to_all, by_a_link])
def test_a_planted_folder_is_not_used(plant, tmp_path, monkeypatch):
    if plant is by_another and os.geteuid() != 0:
        pytest.skip("only the superuser can give a file away")
    home = tmp_path / "cache"
    monkeypatch.setenv("MIR21SIM_CACHE", str(home))
    slope()
    planted = (home / f"m_{cache.key(NET)}.py").read_bytes()
    plant(home)
    assert str(home) in cache_folder.problem()
    assert cache.folder() != home
    assert stat.S_IMODE(cache.folder().lstat().st_mode) == 0o700
    assert slope() == -1.5
    assert (home / f"m_{cache.key(NET)}.py").read_bytes() == planted
    assert cache.folder() == cache.folder()


@posix_only
def test_a_file_that_others_can_write_is_not_run(folder):
    slope()
    path = module_file(folder)
    path.chmod(0o666)
    assert cache_folder.read(path) is None
    assert slope() == -1.5
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_without_a_home_the_cache_is_a_temporary_folder(monkeypatch):
    monkeypatch.delenv("MIR21SIM_CACHE")
    monkeypatch.setattr(
        cache_folder.platformdirs, "user_cache_dir", lambda _: "~/.cache/mir21sim"
    )
    assert cache_folder.problem() == "`~/.cache/mir21sim` is in no home folder"
    assert cache.folder().is_absolute()
    assert not Path("~").exists()
    assert slope() == -1.5


def test_without_any_folder_code_is_kept_in_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(
        cache_folder, "_temporary", lambda: Path(os.devnull) / "mir21sim"
    )
    (tmp_path / "file").touch()
    monkeypatch.setenv("MIR21SIM_CACHE", str(tmp_path / "file"))
    assert slope(backend="numba") == -1.5
    model = support.compiled(NET, backend="numba")
    assert sweep(model, {"k": [0.5]}, times=[0.0, 1.0], observe="A").sizes["k"] == 1


@posix_only
@pytest.mark.parametrize("room", [0, 1000])
def test_a_full_disk_under_the_cache_is_no_error(folder, small_files, room):
    with small_files(room):
        assert slope(backend="numba") == -1.5
        model = support.compiled(NET, backend="numba")
        sweep(model, {"k": [0.5]}, times=[0.0, 1.0], observe="A")
    assert not list(folder.rglob("*.part"))
    assert all(cache_folder.read(p) is not None for p in folder.glob("*.nbc"))


def test_temporary_files_of_dead_processes_are_deleted(folder):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    part = folder / f".m_x.py.{files.machine()}-{dead.pid}-0.part"
    part.touch()
    cache_folder._tidy.cache_clear()
    assert cache.folder() == folder
    assert not part.exists()


def test_clearing_counts_models_and_leaves_nothing(folder):
    slope()
    slope(replace(NET, reactions=(reaction("r1", "A ->", "2*k*A"),)))
    assert cache.clear() == 2
    assert not folder.exists()
    assert slope() == -1.5


def test_clearing_keeps_what_others_put_there(folder):
    slope()
    (folder / "mine").mkdir()
    (folder / "mine" / "m_thesis.py").touch()
    (folder / "thesis.txt").touch()
    assert cache.clear() == 1
    assert {p.name for p in folder.iterdir()} == {"mine", "thesis.txt"}


def test_an_unknown_backend_is_refused_by_name():
    with pytest.raises(ValueError, match=r"`backend`.*got `fortran`"):
        cache.kernels(NET, "fortran")


# -------------------------------------------------------------------- on first use
@pytest.fixture
def made(folder, monkeypatch):
    """Return the list of kernels compiled, or read from Numba's files, from now on."""
    names, compiled = [], build_kernels.compile_kernel

    def noted(module, text, name):
        names.append(name)
        time.sleep(0.05)  # another thread has the time to ask for it too
        return compiled(module, text, name)

    monkeypatch.setattr(build_kernels, "compile_kernel", noted)
    return names


def test_loading_compiles_nothing(made):
    kernels = cache.kernels(NET, "numba").kernels
    assert (kernels.n_state, kernels.n_rate, kernels.events) == (1, 1, None)
    assert made == []


def test_a_kernel_is_compiled_once_for_all_threads(made):
    kernels = cache.kernels(NET, "numba").kernels
    start = threading.Barrier(8)

    def ask(_):
        start.wait()
        return kernels.rhs

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert made == ["rhs"]
    assert all(kernel is kernels.rhs for kernel in found)


def test_a_batch_of_runs_needs_no_kernel_of_scipys(made):
    model = support.compiled(NET, backend="numba")
    result = sweep(model, {"k": [0.5, 1.0]}, times=[0.0, 1.0], observe="A")
    assert result.attrs["method"] == "Rodas5P"
    assert made == []


def test_a_single_run_compiles_what_it_integrates_and_no_more(made):
    model = support.compiled(NET, backend="numba")
    options = Options(method="LSODA")
    simulate(model, times=[0.0, 1.0], observe="A", options=options)
    assert sorted(made) == ["jac", "rhs"]


def test_roots_are_compiled_where_events_are_watched(made):
    again = support.event("again", "A < low", "A = top")
    net = support.network(
        {"A": 3.0},
        {"k": 0.5, "low": 1.0, "top": 3.0},
        [reaction("r1", "A ->", "k*A")],
        events=[again],
    )
    model = support.compiled(net, backend="numba", unit_policy="ignore")
    assert made == []
    simulate(model, times=[0.0, 4.0], observe="A")
    assert sorted(made) == ["roots_by_address"]


def test_what_cannot_be_compiled_is_told_when_it_is_asked_for(folder, monkeypatch):
    tries = []

    def fail(module, text, name):
        tries.append(name)
        raise CodegenError("no code")

    monkeypatch.setattr(build_kernels, "compile_kernel", fail)
    kernels = cache.kernels(NET, "numba").kernels
    with pytest.raises(CodegenError, match="no code"):
        _ = kernels.rhs
    assert tries == ["rhs"]


# ------------------------------------------------------------------- resting states
def rest(model):
    resting._IN_MEMORY.clear()  # as in a new process
    states, _ = resting.resting_states(
        model, model.y0[np.newaxis], model.p0[np.newaxis]
    )
    return states[0, 0]


@pytest.fixture
def resting_file(folder, birth_death):
    rest(birth_death)
    (path,) = Path(folder, "resting").iterdir()
    return path


def test_a_resting_state_is_found_once(resting_file, birth_death, monkeypatch):
    monkeypatch.setattr(resting, "settle", None)
    assert rest(birth_death) == pytest.approx(50.0, rel=1e-12)


def test_a_process_reads_a_resting_state_once(resting_file, birth_death):
    rest(birth_death)
    resting_file.unlink()
    states, _ = resting.resting_states(
        birth_death, birth_death.y0[np.newaxis], birth_death.p0[np.newaxis]
    )
    assert states[0, 0] == pytest.approx(50.0, rel=1e-12)
    assert not resting_file.exists()


def test_that_there_is_no_resting_state_is_found_once(folder, monkeypatch):
    net = support.network({"A": 1.0}, {"s": 5.0}, [reaction("birth", "-> A", "s")])
    model = support.compiled(net)
    y, p = model.y0[np.newaxis], model.p0[np.newaxis]
    first = resting.resting_states(model, y, p)
    monkeypatch.setattr(resting, "settle", None)
    resting._IN_MEMORY.clear()
    for states, status in (first, resting.resting_states(model, y, p)):
        assert np.isnan(states).all()
        assert status.tolist() == [SolverStatus.NO_RESTING_STATE]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-3],
        lambda data: b"",
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: data + data[-8:],
    ],
    ids=["truncated", "empty", "one bit", "too long"],
)
def test_a_damaged_resting_state_is_found_again(resting_file, birth_death, damage):
    whole = resting_file.read_bytes()
    resting_file.write_bytes(damage(whole))
    assert rest(birth_death) == pytest.approx(50.0, rel=1e-12)
    assert resting_file.read_bytes() == whole
