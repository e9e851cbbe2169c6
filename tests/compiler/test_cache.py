"""Generated code in the cache: found again, made anew where damaged."""

import ast
import os
import pickle
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import compiled_modules
import numba
import numpy as np
import pytest
import support
from cache_cases import NET, module_file, slope
from support import reaction

from mir21sim.compiler import cache, cache_folder, machine_code
from mir21sim.compiler.version import PACKAGE
from mir21sim.simulation.sweep import sweep
from mir21sim.solvers.batch import driver, outputs
from mir21sim.solvers.single import reduction_compiled


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


def is_cached(net=NET):
    return (cache.folder() / f"m_{cache.key(net)}.py").is_file()


def test_tests_do_not_touch_the_users_cache():
    assert cache.folder() == Path(os.environ["MIR21SIM_CACHE"])
    assert (
        "mir21sim-tests-" in str(cache.folder()) or "MIR21SIM_TEST_CACHE" in os.environ
    )


def test_every_compiled_function_of_the_solvers_is_compiled_before_the_tests():
    """Else each worker of a whole run compiles it for itself."""
    listed = [name for half in compiled_modules.HALVES for name in half]
    compiling = {
        "mir21sim." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for path in PACKAGE.rglob("*.py")
        if re.search(
            r"^@(machine_code\.)?solver\(", path.read_text("utf-8"), re.MULTILINE
        )
    }
    assert sorted(listed) == sorted(compiling)


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


REGISTRY = """
import sys

import numpy as np
from numba.core.typing.typeof import typeof_impl

import mir21sim as ms

model = ms.load(sys.argv[1])
assert model.lane_kernels is not None
known = len(typeof_impl.registry)
ms.sweep(model, {"k_bind": np.linspace(1e-6, 9e-6, 16)}, end=1, points=3)
print(known, len(typeof_impl.registry))
"""


def test_threads_of_a_sweep_add_no_types_to_the_registry_of_numba():
    """Another thread may go through the registry at that moment, and fail."""
    model = Path(__file__).parents[2] / "examples" / "caspase_switch.xml"
    command = [sys.executable, "-c", REGISTRY, str(model)]
    subprocess.run(command, check=True, capture_output=True)  # fills the cache
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    before, after = done.stdout.split()
    assert before == after
