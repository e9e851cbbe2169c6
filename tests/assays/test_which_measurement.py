"""Measurements ranked for a prediction: closed forms, treatments, bad input."""

import numpy as np
import pytest

import mir21sim as ms
from mir21sim.analysis.trust import uncertain_numbers
from mir21sim.assays.which_measurement import readouts
from mir21sim.errors import InputError, UnknownNameError

CASE = {"end": "4 h", "doses": "TRAIL=50 ng/ml@0h"}


@pytest.fixture(scope="module")
def model():
    return ms.load("mir21_core", "HeLa")


def test_measuring_the_prediction_itself_leaves_its_noise(model):
    found = ms.experiments(
        model,
        "final(CASP8_active)",
        measure={"CASP8_active": 0.5},
        times=[4.0],
        replicates=4,
        **CASE,
    )
    best = found.records[0]
    width = found.log_sd**2
    assert best["dose"] == "same doses"
    assert best["removed"] == pytest.approx(width / (width + 0.25**2), rel=1e-6)
    assert found.together[0] == (best["name"], pytest.approx(best["removed"]))


def test_the_width_is_that_of_the_exact_derivatives(model):
    numbers = uncertain_numbers(model)
    exact = ms.sensitivities(
        model, "final(CASP8_active)", list(numbers.names), points=121, **CASE
    )
    slopes = exact["log_derivative"].values[0]
    found = ms.experiments(
        model, "final(CASP8_active)", measure=["XIAP"], times=[2.0], **CASE
    )
    expected = np.sqrt(np.nansum((slopes * numbers.widths) ** 2))
    assert found.log_sd == pytest.approx(expected, rel=1e-6)


def test_doses_and_times_are_crossed_and_traces_left_out(model):
    found = ms.experiments(
        model,
        "peak(CASP8_active)",
        measure=["PTEN", "CASP3"],
        over={"TRAIL": "0,50"},
        times=[0.0, 2.0, 4.0],
        **CASE,
    )
    places = {(r["quantity"], r["time_h"], r["dose"]) for r in found.records}
    # At the start a blot is compared with itself.
    assert {time for _, time, _ in places} == {2.0, 4.0}
    assert {dose for _, _, dose in places} == {"TRAIL 0 ng/ml", "TRAIL 50 ng/ml"}
    assert "removes" in found.text()[1]


def test_draws_check_the_best(model):
    found = ms.experiments(
        model,
        "final(CASP8_active)",
        measure={"CASP8_active": 0.1},
        times=[4.0],
        draws=60,
        **CASE,
    )
    assert found.records[0]["by_weighting"] > 0.9


def test_draws_rank_all_candidates(model):
    found = ms.experiments(
        model,
        "final(CASP8_active)",
        measure={"CASP8_active": 0.1, "XIAP": 0.1, "CASP3": 2.0},
        times=[2.0, 4.0],
        draws=40,
        **CASE,
    )
    shares = [record["by_weighting"] for record in found.records]
    assert len(shares) > 5
    assert np.isfinite(shares).all()
    assert shares == sorted(shares, reverse=True)
    assert "weights of draws, which rank the candidates" in found.text()[1]


def test_every_readout_is_of_quantities_of_the_model(model):
    known = {*model.state_names, *model.assigned_names}
    found = readouts(model)
    assert all(known >= set(readout.binds) for readout in found.values())
    assert all(0 < readout.cv < 1 for readout in found.values())


@pytest.mark.parametrize(
    ("predict", "options", "said"),
    [
        ("CASP8_active", {}, r"such as `peak\(CASP8_active\)`"),
        ("peak(CASP8_active)", {"measure": ["PTENN"]}, "PTEN"),
        ("peak(CASP8_active)", {"measure": {"CASP": 0.1}}, "quantity"),
        ("peak(CASP8_active)", {"times": [9.0]}, "0 to 4 h, got 9"),
        ("peak(CASP8_active)", {"over": {"TRAIL": "lin:0:50:20"}}, "at most, got 20"),
        ("peak(CASP8_active)", {"replicates": 0}, "1 or more, got 0"),
        ("peak(TRAIL)", {"doses": []}, "no derivative"),
    ],
)
def test_what_cannot_be_ranked_says_why(model, predict, options, said):
    with pytest.raises((InputError, UnknownNameError), match=said):
        ms.experiments(model, predict, **{**CASE, **options})
