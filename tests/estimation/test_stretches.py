"""Tangents of models with conditions on time, from one turn to the next."""

import numpy as np
import pytest

import mir21sim as ms
from mir21sim.estimation.batches import Batch, Seeds, States
from mir21sim.estimation.stretches import (
    by_stretches,
    moments_of,
    turns_move,
    without_conditions,
)

TEXT = """
model turn
  x = 1; k = 0.5; te = 2; x' = piecewise(k, time < te, 2*k);
end
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("turn") / "turn.ant"
    path.write_text(TEXT)
    return ms.load(path, backend="numpy", unit_policy="ignore")


def batch(model, by):
    """Return two runs, which turn at 2 and at 3, with one direction each."""
    p = np.tile(model.p0, (2, 1))
    place = {name: model.param_names.index(name) for name in ("k", "te")}
    p[1, place["te"]] = 3.0
    seeds = np.zeros((2, 1, p.shape[1]))
    seeds[:, 0, place[by]] = 1.0
    start = np.tile(model.y0, (2, 1))
    return Batch(start, p, Seeds(np.zeros((2, 1, 1)), seeds, np.ones(1)))


def exact(model):
    """Return a run by the closed form: k before the turn and 2 k after it."""
    k, te = (model.param_names.index(name) for name in ("k", "te"))

    def run(some, times, keep):
        factor = np.where(0.5 * (times[0] + times[-1]) < some.p[:, te], 1.0, 2.0)
        gone = (times - times[0])[np.newaxis] * factor[:, np.newaxis]
        values = some.y0[:, :1] + gone * some.p[:, k, np.newaxis]
        slopes = some.seeds.y[:, 0] + gone * some.seeds.p[:, 0, k, np.newaxis]
        return States(
            values[:, :, np.newaxis],
            slopes[:, :, np.newaxis, np.newaxis],
            np.zeros(len(some), np.int64),
            1,
        )

    return run


def test_the_moments_of_every_run_are_known(model):
    found = moments_of(model, batch(model, "k"), np.array([0.0, 5.0]))
    assert np.nanmax(found, axis=1).tolist() == [2.0, 3.0]


def test_a_turn_that_depends_on_an_estimate_is_noticed(model):
    times = np.array([0.0, 5.0])
    assert turns_move(model, batch(model, "te"), times)
    assert not turns_move(model, batch(model, "k"), times)


def test_values_and_tangents_go_on_through_a_turn(model):
    times = np.array([0.0, 1.0, 2.0, 2.5, 5.0])
    found = by_stretches(model, exact(model), batch(model, "k"), times, np.array([0]))
    for run, te in enumerate((2.0, 3.0)):
        wanted = np.where(times < te, times, te + 2.0 * (times - te))
        np.testing.assert_allclose(found.values[run, :, 0], 1.0 + 0.5 * wanted)
        np.testing.assert_allclose(found.slopes[run, :, 0, 0], wanted, atol=1e-12)
    assert found.status.tolist() == [0, 0]


def test_a_model_with_events_is_left_alone(tmp_path):
    path = tmp_path / "event.ant"
    path.write_text("model e\n x = 1; x' = 1; at (time > 2): x = 0;\nend\n")
    event = ms.load(path, backend="numpy", unit_policy="ignore")
    assert without_conditions(event) is None
