"""The public names: quick to import, all there, all documented, functions for good."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import mir21sim as ms

ROOT = Path(__file__).parents[1]
HEAVY = ("sympy", "numba", "matplotlib", "xarray", "scipy", "pint", "libsbml", "pandas")


def run_python(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_import_loads_nothing_heavy():
    loaded = run_python("import sys, mir21sim; print(*sys.modules)").split()
    assert not set(HEAVY) & set(loaded)


def test_command_line_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom mir21sim import cli\n"
        "try:\n    cli.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print('LOADED', *sys.modules)"
    )
    loaded = run_python(code).partition("LOADED")[2].split()
    assert not set(HEAVY) & set(loaded)


def test_cached_start_needs_no_sympy():
    code = (
        "import sys, mir21sim as ms; ms.load('earm_1_3'); print('sympy' in sys.modules)"
    )
    run_python(code)  # fills the cache where it is empty
    assert run_python(code) == "False"


def test_a_cached_simulate_loads_only_what_it_needs(tmp_path):
    """Of libraries: each of these takes 30 to 100 ms of a start of two seconds."""
    code = (
        "import sys\nfrom mir21sim import cli\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        "print('LOADED', *(name for name, module in sys.modules.items() if module))"
    )
    arguments = ["simulate", "mir21_apoptosis", "--end", "48h", "-o", "x.nc"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    told, _, loaded = done.stdout.partition("LOADED")
    assert "How far to trust it" in told  # runs of 300 unlike cells
    unwanted = {"dask", "matplotlib", "pint", "scipy.interpolate", "scipy.stats"}
    unwanted |= {f"mir21sim.solvers.batch.{n}" for n in ("step_features", "tangents")}
    assert unwanted & set(loaded.split()) == set()


@pytest.mark.parametrize("name", [n for n in ms.__all__ if n != "__version__"])
def test_public_names_are_documented(name):
    thing = getattr(ms, name)
    assert inspect.getdoc(thing)
    assert not inspect.ismodule(thing)


def test_functions_are_not_hidden_by_their_modules():
    code = (
        "import mir21sim.simulation.sweep, mir21sim.analysis.curves, mir21sim as ms\n"
        "from mir21sim.simulation.simulate import simulate\n"
        "print(callable(ms.sweep), callable(ms.compare), ms.simulate is simulate)"
    )
    assert run_python(code) == "True True True"


def test_unknown_attribute_is_named():
    with pytest.raises(AttributeError, match="simulat"):
        _ = ms.simulat


def test_one_version_everywhere():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {ms.__version__}\n" in citation
    assert f"## [{ms.__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")
