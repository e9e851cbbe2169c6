"""The cache of kernels: one generation a network, and no damage that is fatal."""

import ast
import os
import pickle
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import pytest
import support
from support import reaction

from mir21sim import files
from mir21sim.compiler import build_kernels, cache, cache_folder, machine_code
from mir21sim.errors import CodegenError, SolverStatus
from mir21sim.simulation import steady_state as resting
from mir21sim.simulation.simulate import simulate
from mir21sim.simulation.sweep import sweep
from mir21sim.solvers.batch import driver, outputs
from mir21sim.solvers.single import reduction_compiled

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
NET = support.network({"A": 3.0}, {"k": 0.5}, [reaction("r1", "A ->", "k*A")])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a cache folder of this test's own."""
    monkeypatch.setenv("MIR21SIM_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def no_generator(monkeypatch):
    """Return a switch that makes every further generation fail."""

    def forbid():
        def fail(network):
            raise AssertionError(f"generated {network.id} again")

        monkeypatch.setattr(cache, "_generate", fail)

    return forbid


def slope(net=NET, backend="numpy"):
    """Return dA/dt at A = 3 through the cache."""
    module = cache.kernels(net, backend)
    out = np.full(1, np.nan)
    p = np.array([1.0, *(p.value for p in net.parameters)])
    module.kernels.rhs(0.0, np.array([3.0]), p, out)
    return out[0]


def module_file(folder):
    (path,) = folder.glob("m_*.py")
    return path


def is_cached(net=NET):
    return (cache.folder() / f"m_{cache.key(net)}.py").is_file()


def test_tests_do_not_touch_the_users_cache():
    assert cache.folder() == Path(os.environ["MIR21SIM_CACHE"])
    assert (
        "mir21sim-tests-" in str(cache.folder()) or "MIR21SIM_TEST_CACHE" in os.environ
    )


def test_the_second_load_generates_nothing(folder, no_generator):
    assert not is_cached()
    assert slope() == -1.5
    assert is_cached()
    no_generator()
    assert slope() == -1.5


def test_a_second_compilation_is_read_from_files(folder, monkeypatch):
    assert slope(backend="numba") == -1.5
    monkeypatch.setattr(numba.core.compiler, "compile_extra", None)
    assert slope(backend="numba") == -1.5


def changed_value(net):
    return replace(net, parameters=tuple(replace(p, value=2.0) for p in net.parameters))


def test_another_value_uses_the_same_kernels(folder, no_generator):
    slope()
    no_generator()
    assert slope(changed_value(NET)) == -6.0


@pytest.mark.parametrize(
    "change",
    [
        {"reactions": (reaction("r1", "A ->", "2*k*A"),)},
        {"reactions": (reaction("r1", "2 A ->", "k*A"),)},
        {"species": (replace(NET.species[0], only_amount=False),)},
        {"parameters": (replace(NET.parameters[0], id="j"), NET.parameters[0])},
    ],
    ids=["rate law", "stoichiometry", "meaning of a species", "order"],
)
def test_another_structure_has_kernels_of_its_own(folder, change):
    slope()
    other = replace(NET, **change)
    assert cache.key(other) != cache.key(NET)
    assert not is_cached(other)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: text.replace("y0", "p0", 1) + " ",
        lambda text: "\x00" * 100,
        lambda text: text.replace("k", "K", 1),
    ],
    ids=["truncated", "empty", "edited", "garbled", "seal broken"],
)
def test_a_damaged_module_is_replaced(folder, damage):
    slope()
    path = module_file(folder)
    whole = path.read_text()
    path.write_text(damage(whole))
    assert slope() == -1.5
    assert path.read_text() == whole


def test_a_module_that_is_no_text_is_replaced(folder):
    slope()
    module_file(folder).write_bytes(b"\xff\xfe\x00")
    assert slope() == -1.5


def flipped(data, bit):
    """Return bytes with one bit changed."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_no_flipped_bit_in_any_file_is_run(folder, monkeypatch):
    """Every file in turn, at places all over it."""
    assert slope(backend="numba") == -1.5
    model = support.compiled(NET, backend="numba")
    over, call = {"k": [0.5, 1.0]}, {"times": [0.0, 1.0], "observe": "A"}
    whole = sweep(model, over, **call)["A"].values
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {p.suffix for p in files} >= {".py", ".code", ".nbc"}
    loads = []
    monkeypatch.setattr(
        pickle, "loads", lambda data: loads.append(data) or _loads(data)
    )
    for path in files:
        good = path.read_bytes()
        for part in (0.0, 0.01, 0.3, 0.7, 0.9999) if good else ():
            path.write_bytes(flipped(good, int(part * 8 * len(good))))
            assert cache_folder.read(path) is None
        if good:
            path.write_bytes(good[: len(good) // 2])
            assert cache_folder.read(path) is None
    assert slope(backend="numba") == -1.5
    cache._load_lanes.cache_clear()
    again = sweep(support.compiled(NET, backend="numba"), over, **call)["A"].values
    assert np.array_equal(again, whole)
    assert loads == []
    assert all(cache_folder.read(p) is not None for p in folder.glob("[lm]_*.nbc"))


_loads = pickle.loads


def test_a_whole_file_under_another_name_is_not_run(folder):
    """As a copy that went wrong would leave it."""
    assert slope(backend="numba") == -1.5
    other = replace(NET, reactions=(reaction("r1", "A ->", "2*k*A"),))
    assert slope(other, backend="numba") == -3.0
    for suffix in (".code", ".nbc"):
        one, two = sorted(folder.glob(f"m_*{suffix}"))
        data = one.read_bytes()
        one.write_bytes(two.read_bytes())
        two.write_bytes(data)
    assert slope(backend="numba") == -1.5
    assert slope(other, backend="numba") == -3.0


def test_nothing_is_written_into_the_package_folder():
    """Machine code of the solvers lies in the cache folder too."""
    for kernel in (driver.drive, outputs._observe, reduction_compiled.spread):
        assert isinstance(kernel._cache, machine_code.SealedCache)
        assert kernel._cache.cache_path == str(cache.folder())
    texts = [p.read_text("utf-8") for p in machine_code.PACKAGE.rglob("*.py")]
    assert not [text for text in texts if "cache=True" in text or '"cache": ' in text]
    # With a signature a function is compiled in each process, unless it is kept.
    assert not [text for text in texts if "njit(\n    types." in text]


def test_machine_code_of_solvers_depends_on_all_of_its_sources():
    """Every module that a compiled function takes constants or functions from."""
    package = machine_code.PACKAGE
    known = {
        p for pattern in machine_code.SOLVER_SOURCES for p in package.glob(pattern)
    }
    users = [p for p in known if "machine_code.solver" in p.read_text(encoding="utf-8")]
    assert len(users) >= 2
    for path in users:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.ImportFrom) and "mir21sim." in node.module):
                continue
            home = package / node.module.removeprefix("mir21sim.").replace(".", "/")
            modules = {home.with_suffix(".py")}
            if home.is_dir():
                modules = {home / f"{alias.name}.py" for alias in node.names}
            assert modules - known <= {package / "_typing.py"}, path.name


def test_changed_sources_have_machine_code_of_their_own(tmp_path):
    path = tmp_path / "a.py"
    path.write_text("GROWN = 1e-12")
    first = machine_code.digest_of([path])
    path.write_text("GROWN = 1e-13")
    assert machine_code.digest_of([path]) != first


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
    simulate(model, times=[0.0, 1.0], observe="A")
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
    assert sorted(made) == ["jac", "rhs", "roots"]


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
