"""Tangents of models with conditions on time, from one turn to the next."""

from dataclasses import replace

import numpy as np
import pytest

import mir21sim as ms
from mir21sim.errors import SolverStatus
from mir21sim.estimation.batches import Batch, Seeds, States
from mir21sim.estimation.engine import Engine
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


def test_one_estimate_of_many_that_moves_a_turn_is_noticed(model):
    times, one = np.array([0.0, 5.0]), batch(model, "k")
    many = np.repeat(one.seeds.p, 12, axis=1)
    seeds = Seeds(np.zeros((2, 12, 1)), many, np.ones(12))
    assert not turns_move(model, replace(one, seeds=seeds), times)
    for direction in range(12):
        moving = many.copy()
        moving[1, direction] = batch(model, "te").seeds.p[1, 0]
        assert turns_move(model, replace(one, seeds=replace(seeds, p=moving)), times), (
            direction
        )


def test_values_without_directions_are_the_same_to_the_last_bit(tmp_path):
    path = tmp_path / "turn.ant"
    path.write_text(TEXT.replace("x' = ", "x' = -x + "))
    engine = Engine.of(ms.load(path, unit_policy="ignore"))
    runs, times = batch(engine.model, "k"), np.array([0.0, 1.0, 2.5, 5.0])
    with_slopes = engine.run(runs, times, np.array([0]))
    alone = engine.run(replace(runs, seeds=None), times, np.array([0]))
    assert alone.slopes is None
    np.testing.assert_array_equal(alone.values, with_slopes.values)


def test_a_run_that_fails_has_no_values_behind_its_turn(model):
    good = exact(model)

    def run(some, times, keep):
        found = good(some, times, keep)
        first = np.array([times[0] == 0.0, False])
        status = np.where(first, int(SolverStatus.STEP_TOO_SMALL), found.status)
        return replace(found, status=status)

    times = np.array([0.0, 1.0, 2.5, 5.0])
    runs = batch(model, "k")
    runs.p[:, model.param_names.index("te")] = 2.0
    found = by_stretches(model, run, runs, times, np.array([0]))
    assert found.status.tolist() == [int(SolverStatus.STEP_TOO_SMALL), 0]
    assert np.isnan(found.values[0, 2:]).all()
    assert np.isnan(found.slopes[0, 2:]).all()
    assert np.isfinite(found.values[1]).all()


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
