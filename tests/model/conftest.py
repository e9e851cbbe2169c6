"""Fixtures that load and run small SBML documents."""

import pytest
from sbml_text import TIMES, document

import mir21sim as ms


@pytest.fixture
def load(tmp_path):
    def from_text(text, **options):
        path = tmp_path / "m.xml"
        path.write_text(text, encoding="utf-8")
        options = {"backend": "numpy", "unit_policy": "ignore"} | options
        return ms.load(path, **options)

    return from_text


@pytest.fixture
def run(load):
    """Return a function that simulates a document for 2 h, {name: values}."""

    def simulate(*names, method=None, backend="numpy", **parts):
        result = ms.simulate(
            load(document(**parts), backend=backend),
            times=TIMES,
            observe=names,
            options=ms.Options(rtol=1e-10, method=method, allow_negative=True),
        )
        return {name: result[name].values for name in names}

    return simulate
