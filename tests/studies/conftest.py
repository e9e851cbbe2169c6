"""A study that is run once for all tests of this folder."""

import pytest
from small_study import written

from mir21sim.studies import command as study


@pytest.fixture(scope="session")
def done(tmp_path_factory):
    """The small study, run once; its folder."""
    folder = tmp_path_factory.mktemp("study")
    study.run_study(written(folder), folder / "results", backend="numpy")
    return folder / "results"
