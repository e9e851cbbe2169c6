"""The built wheel carries the models and works from another folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOAD_ALL = """
import mir21sim, pathlib
from mir21sim.compiler.load import load
from mir21sim.model import files
home = pathlib.Path(mir21sim.__file__).parent
assert files.models_folder() == home / "model" / "shipped", files.models_folder()
for name in files.shipped():
    for context in (*files.contexts(name), files.BASE):
        load(name, context, backend="numpy")
print(home, *files.shipped())
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A wheel built from this tree, unpacked into an otherwise empty folder."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", str(ROOT), "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = folder.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    target = folder / "site"
    subprocess.run(
        [*pip, "install", "--no-deps", "--target", str(target), str(wheel)], check=True
    )
    return target


@pytest.mark.slow
def test_every_model_loads_from_the_wheel(installed, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LOAD_ALL],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    home, *models = done.stdout.split()
    assert Path(home) == installed / "mir21sim"
    assert {"mir21_core", "mir21_apoptosis", "earm_1_3", "earm2_m1a"} <= set(models)


@pytest.mark.slow
def test_the_wheel_has_every_file_of_the_models(installed):
    shipped = {p.relative_to(ROOT / "models") for p in (ROOT / "models").rglob("*.*")}
    inside = installed / "mir21sim" / "model" / "shipped"
    assert shipped == {p.relative_to(inside) for p in inside.rglob("*.*")}
    assert (installed / "mir21sim" / "py.typed").is_file()


def test_the_wheel_carries_what_studies_are_made_with(installed):
    names = {path.name for path in (installed / "mir21sim" / "studies").iterdir()}
    assert {"example.toml", "report.html", "study.schema.json"} <= names
