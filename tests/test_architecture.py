"""Imports point downwards only; heavy libraries stay in their package."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "mir21sim"
LAYERS = (  # lowest first; a module imports from lower rows and from its own package
    {"errors", "_typing", "__version__"},
    {"units", "files"},
    {"model"},
    {"compiler"},
    {"solvers"},
    {"simulation"},
    {"analysis"},
    {"assays"},
    {"estimation"},
    {"studies", "validation"},
    {"web"},
    {"cli"},
    {"__main__"},
)
RANK = {name: rank for rank, row in enumerate(LAYERS) for name in row}
OWNERS = {  # third-party import -> the only places that may have it
    "sympy": {"compiler"},
    "libsbml": {"model"},
    "antimony": {"model"},
    "roadrunner": {"validation"},
    "COPASI": {"validation"},
    "numba": {"compiler", "solvers"},
    "threadpoolctl": {"solvers"},
    "pint": {"units", "model"},
    "matplotlib": {"analysis", "assays", "estimation", "validation"},
    "pandas": {
        "compiler",
        "analysis",
        "assays",
        "estimation",
        "validation",
        "simulation",
        "web",
    },
    "flowio": {"assays"},
    "typer": {"cli"},
    "rich": {"cli"},
    "platformdirs": {"compiler"},
    "petab": {"estimation"},
    "pypesto": {"estimation"},
    "fides": {"estimation"},
    "emcee": {"estimation"},
    "arviz": {"estimation"},
    "SALib": {"simulation"},
    "pydantic": {"studies", "simulation"},  # study files; records in result files
    "jinja2": {"studies"},
    "dash": {"web"},
    "flask": {"web"},
    "werkzeug": {"web"},
}
MOST_LINES = 500
"""Lines of a module; a longer one is split by its steps."""

MODULES = [p for p in ROOT.rglob("*.py") if p.parent != ROOT or p.stem != "__init__"]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            if node.module == "mir21sim":
                yield from (f"mir21sim.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    here = path.relative_to(ROOT).parts[0].removesuffix(".py")
    assert here in RANK, f"give {here} a row in LAYERS"
    for target in imports(path):
        top, _, rest = target.partition(".")
        if top == "mir21sim":
            there = rest.partition(".")[0]
            assert there, f"{path.name}: import modules, not the whole package"
            ok = there == here or RANK[there] < RANK[here]
            assert ok, f"{here} may not import {there}"
        assert here in OWNERS.get(top, {here}), f"{top} belongs to {OWNERS.get(top)}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_evaluates_text(path):
    called = {
        node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, (ast.Name, ast.Attribute))
    }
    forbidden = {"eval", "exec", "sympify", "parse_expr", "lambdify"}
    assert not called & forbidden


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_is_long(path):
    count = len(path.read_text(encoding="utf-8").splitlines())
    assert count <= MOST_LINES, f"{count} lines, at most {MOST_LINES}: split it"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_docstring_has_a_layer_number(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\bLayer \d", text), "the package is the layer"
