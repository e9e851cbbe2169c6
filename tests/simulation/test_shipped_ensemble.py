"""The parameter sets that are shipped with a model."""

from dataclasses import replace

import numpy as np
import pytest

import mir21sim as ms
from mir21sim.errors import InputError
from mir21sim.simulation import ensemble


@pytest.fixture(scope="module")
def shipped():
    return ensemble.Ensemble.load(ensemble.shipped_path("mir21_apoptosis"))


@pytest.mark.parametrize("line", ms.contexts("mir21_apoptosis"))
def test_it_belongs_to_every_line_as_it_is(shipped, line):
    shipped.check(ms.load("mir21_apoptosis", line, backend="numpy"))


def test_it_has_many_sets_of_factors_about_one(shipped):
    assert len(shipped) >= 500
    assert shipped.relative
    middle = np.median(np.log(shipped.values), axis=0)
    assert np.abs(middle).max() < 1.5


def test_another_version_is_refused_with_both(shipped):
    model = ms.load("mir21_apoptosis", "HeLa", backend="numpy")
    other = replace(model, digest="0" * 64)
    with pytest.raises(InputError, match=rf"{model.digest[:12]}.*000000000000"):
        shipped.check(other)


def test_another_model_is_refused(shipped):
    with pytest.raises(InputError, match="belongs to the model `mir21_apoptosis`"):
        shipped.check(ms.load("mir21_core", "HeLa", backend="numpy"))


def test_a_file_keeps_the_factors(shipped, tmp_path):
    again = ensemble.Ensemble.load(shipped.save(tmp_path / "e.nc"))
    assert again.names == shipped.names
    assert again.values == pytest.approx(shipped.values, rel=1e-3)
