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


@pytest.mark.parametrize(
    "perturb",
    [
        ms.Perturbations(no_site=("PDCD4", "PTEN")),
        ms.Perturbations(clamp={"PTEN": "0.1x"}),
        ms.Perturbations(knockdown={"XIAP": 0.8}, overexpress={"BCL2": 3.0}),
    ],
    ids=["no_site", "clamp", "synthesis"],
)
def test_every_set_takes_a_perturbation(shipped, perturb):
    model = ms.load("mir21_apoptosis", "HeLa")
    few = replace(shipped, values=shipped.values[:3])
    case = {"doses": (), "observe": "PDCD4", "perturb": perturb}
    drawn = ms.simulate(model, "2 h", ensemble=few, **case)
    dish = ms.simulate_population(model, ms.Population(8), "2 h", ensemble=few, **case)
    assert np.isfinite(drawn["PDCD4"].values).all()
    assert np.isfinite(dish["PDCD4"].values).all()


def test_sets_do_not_give_back_a_missing_site(shipped):
    model = ms.load("mir21_apoptosis", "HeLa")
    few = replace(shipped, values=shipped.values[:3])
    case = {"doses": (), "observe": "PDCD4", "ensemble": few}
    free = ms.simulate(
        model, "1 h", perturb=ms.Perturbations(no_site=("PDCD4",)), **case
    )
    held = ms.simulate(model, "1 h", **case)
    assert (free["PDCD4"].values > held["PDCD4"].values).all()
    ratio = free["PDCD4"].values / held["PDCD4"].values
    assert np.ptp(ratio, axis=1).max() < 1e-3
