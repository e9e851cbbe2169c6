"""The cache of kernels: one generation a network, and no damage that is fatal."""

import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import support
from support import reaction

from mir21sim.compiler import build_kernels, cache
from mir21sim.errors import CodegenError, SolverStatus
from mir21sim.simulation import steady_state as resting
from mir21sim.simulation.simulate import simulate
from mir21sim.simulation.sweep import sweep

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
    assert "mir21sim-tests-" in str(cache.folder())


def test_the_second_load_generates_nothing(folder, no_generator):
    assert not is_cached()
    assert slope() == -1.5
    assert is_cached()
    no_generator()
    assert slope() == -1.5


def test_a_second_compilation_is_read_from_numbas_files(folder, monkeypatch):
    assert slope(backend="numba") == -1.5
    index = {p: p.stat().st_mtime_ns for p in folder.rglob("*.nbi")}
    assert index
    assert slope(backend="numba") == -1.5
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*.nbi")} == index


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


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("rubbish", [b"", b"rubbish" * 50], ids=["empty", "garbled"])
def test_damaged_files_of_numba_are_replaced(folder, suffix, rubbish):
    assert slope(backend="numba") == -1.5
    found = list(folder.rglob(f"*{suffix}"))
    assert found
    for path in found:
        path.write_bytes(rubbish)
    assert slope(backend="numba") == -1.5


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_damaged_bytecode_is_replaced(folder, backend, monkeypatch):
    """Python trusts a file with the right 16 bytes of header."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert slope(backend=backend) == -1.5
    (path,) = folder.rglob("*.pyc")
    path.write_bytes(path.read_bytes()[:40])
    assert slope(backend=backend) == -1.5


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("MIR21SIM_CACHE", str(blocked / "inside"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert slope() == -1.5
    assert cache.folder() == tmp_path / f"mir21sim-{os.getpid()}"
    assert blocked.read_text() == "not a folder"


def test_clearing_counts_models_and_leaves_nothing(folder):
    slope()
    slope(replace(NET, reactions=(reaction("r1", "A ->", "2*k*A"),)))
    assert cache.clear() == 2
    assert not folder.exists()
    assert slope() == -1.5


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
    """Once more than once, as a damaged cache could be the reason."""
    tries = []

    def fail(module, text, name):
        tries.append(name)
        raise CodegenError("no code")

    monkeypatch.setattr(build_kernels, "compile_kernel", fail)
    kernels = cache.kernels(NET, "numba").kernels
    with pytest.raises(CodegenError, match="no code"):
        _ = kernels.rhs
    assert tries == ["rhs", "rhs"]


# ------------------------------------------------------------------- resting states
def rest(model):
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


def test_that_there_is_no_resting_state_is_found_once(folder, monkeypatch):
    net = support.network({"A": 1.0}, {"s": 5.0}, [reaction("birth", "-> A", "s")])
    model = support.compiled(net)
    y, p = model.y0[np.newaxis], model.p0[np.newaxis]
    first = resting.resting_states(model, y, p)
    monkeypatch.setattr(resting, "settle", None)
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
