"""Every public name has an example in its docstring; the doctests run them."""

import inspect

import pytest

import mir21sim as ms

NAMES = [name for name in ms.__all__ if not name.startswith("__")]


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_has_an_example(name):
    assert ">>> " in (inspect.getdoc(getattr(ms, name)) or "")


def test_the_reference_lists_every_public_name():
    from pathlib import Path

    page = Path(__file__).parents[1] / "docs" / "reference" / "api.md"
    listed = {line.strip() for line in page.read_text(encoding="utf-8").splitlines()}
    assert set(NAMES) <= listed
