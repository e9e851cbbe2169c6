"""Delayed values against closed forms: the method of steps."""

from dataclasses import replace

import numpy as np
import pytest

import mir21sim as ms
from mir21sim.errors import SolverError, UnsupportedFeatureError
from mir21sim.model import delays
from mir21sim.model import expressions as ex

pytest.importorskip("antimony")

OPTIONS = ms.Options(rtol=1e-9, atol=1e-12, allow_negative=True)


@pytest.fixture
def run(tmp_path):
    def made(body, end=3.0, points=31, observe=None, doses=()):
        path = tmp_path / "m.ant"
        path.write_text(f"model m\n  {body}\nend\n")
        model = ms.load(path, backend="numpy", unit_policy="ignore")
        return ms.simulate(
            model, end, points=points, observe=observe, doses=doses, options=OPTIONS
        )

    return made


def steps(t):
    """x' = −x(t − 1) with x = 1 before 0: sum of (−1)^k (t − k + 1)^k / k!."""
    total = np.ones_like(t)
    factor = 1.0
    for k in range(1, 5):
        factor *= -1.0 / k
        total += factor * np.maximum(t - k + 1, 0.0) ** k
    return total


def test_a_constant_delay_follows_the_method_of_steps(run):
    found = run("X' = -delay(X, 1); X = 1")
    assert found.attrs["method"] == "Radau-delay"
    assert found["X"].values == pytest.approx(steps(found["time"].values), abs=1e-9)


def test_a_delay_that_depends_on_time(run):
    """delay(T, T/2) of T = time is half of the time."""
    found = run("T' = 1; T = 0; Y' = delay(T, T/2); Y = 0", observe=["Y"])
    t = found["time"].values
    assert found["Y"].values == pytest.approx(t**2 / 4, abs=1e-6)


def test_a_delay_within_a_delay(run):
    found = run("T' = 1; T = 0; Y := delay(delay(T, 0.5) + T, 0.25)", observe=["Y"])
    t = found["time"].values
    wanted = np.maximum(t - 0.75, 0) + np.maximum(t - 0.25, 0)
    assert found["Y"].values == pytest.approx(wanted, abs=1e-9)


def test_a_jump_returns_after_the_delay(run):
    body = """compartment c = 1; species X in c, Y in c; X = 0; Y = 0
      J: -> Y; delay(X, 1)"""
    found = run(body, observe=["Y"], doses="X=2@0.5", end=3)
    t = found["time"].values
    assert found["Y"].values == pytest.approx(2 * np.maximum(t - 1.5, 0), abs=1e-9)


def test_a_trigger_of_a_delayed_value(run):
    body = "T' = 1; T = 0; F = 0; at (delay(T, 1) > 0.5): F = 1"
    found = run(body, observe=["F"], points=61)
    t = found["time"].values
    other = np.abs(t - 1.5) > 1e-9
    assert (found["F"].values == (t > 1.5))[other].all()


def test_a_start_that_is_a_formula_of_time_holds_before_the_start(run):
    found = run("X = sin(time); X' = cos(time); Y := delay(X, 2)", observe=["Y"])
    t = found["time"].values
    assert found["Y"].values == pytest.approx(np.sin(t - 2), abs=1e-7)


def test_nothing_changes_before_the_start(run):
    found = run("X' = 3; X = 0; Y := delay(rateOf(X), 1)", observe=["Y"])
    t = found["time"].values
    assert (found["Y"].values == np.where(t < 1 - 1e-9, 0.0, 3.0)).all()


def test_a_negative_delay_stops_the_run(run):
    with pytest.raises(SolverError, match="became too small"):
        run("T' = 1; T = 0; Y' = delay(T, 1 - T); Y = 0")


def test_the_rate_of_change_of_a_delayed_value_is_refused(tmp_path):
    path = tmp_path / "m.ant"
    path.write_text("model m\n  X' = -X; X = 1; Y := delay(X, 1); Z' = X; Z = 0\nend\n")
    network = ms.load(path, backend="numpy", unit_policy="ignore").network
    slope = ex.Call(ex.RATE_OF, (ex.Symbol("Y"),))
    rules = tuple(
        replace(rule, math=slope) if rule.variable == "Z" else rule
        for rule in network.rules
    )
    with pytest.raises(UnsupportedFeatureError, match=r"rate of change of `Y`.*delay"):
        delays.expanded(replace(network, rules=rules))


def test_a_model_with_delays_is_written_and_read(tmp_path):
    path = tmp_path / "m.ant"
    path.write_text("model m\n  X' = -delay(X, 1); X = 1\nend\n")
    model = ms.load(path, backend="numpy", unit_policy="ignore")
    found = ms.simulate(model, 2, points=5, observe="X", options=OPTIONS)
    ms.save_archive(found, model, tmp_path / "m.omex")
    again, difference = ms.rerun(ms.save(found, tmp_path / "m.nc", model))
    assert difference == 0.0
    assert again["X"].values == pytest.approx(found["X"].values)


def test_sweeps_and_other_methods_take_the_method_of_delays(tmp_path):
    path = tmp_path / "m.ant"
    path.write_text("model m\n  X' = -k*delay(X, 1); X = 1; k = 1\nend\n")
    model = ms.load(path, backend="numpy", unit_policy="ignore")
    found = ms.sweep(
        model, {"k": [0.5, 1.0]}, 1.0, points=3, observe="X", options=OPTIONS
    )
    assert found["X"].values[:, -1] == pytest.approx([0.5, 0.0], abs=1e-8)
