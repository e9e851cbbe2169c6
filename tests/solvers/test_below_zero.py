"""Amounts that the mathematics of a guest's file takes below zero."""

import warnings

import numpy as np
import pytest
import support
from support import reaction

import mir21sim as ms
from mir21sim.errors import ModelWarning, SolverError, SolverStatus
from mir21sim.solvers import below_zero
from mir21sim.solvers.methods import NAMES

END = 5.0


def guest(start, numbers, reactions):
    """Return a file without units."""
    text = support.to_sbml(support.network(start, numbers, reactions), units="")
    for unit in ("time", "substance", "volume", "extent"):
        text = text.replace(f' {unit}Units="u_{unit}"', "")
    return support.compiled_text(text)


@pytest.fixture(scope="module")
def emptied():
    """A loss of constant rate: A = 10 - k t, B = exp(-t)."""
    return guest(
        {"A": 10.0, "B": 1.0},
        {"k": 5.0},
        [reaction("loss", "A ->", "k"), reaction("decay", "B ->", "B")],
    )


@pytest.mark.parametrize("method", [None, *NAMES])
def test_what_the_mathematics_takes_below_zero_is_given_with_a_warning(emptied, method):
    options = ms.Options(method=method)
    with pytest.warns(ModelWarning, match=r"takes `A` below zero, to -15 ") as said:
        result = ms.simulate(emptied, END, points=11, options=options)
    assert len(said) == 1
    times = result["time"].values
    np.testing.assert_allclose(result["A"], 10.0 - 5.0 * times, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(result["B"], np.exp(-times), rtol=1e-4)


def test_runs_of_a_sweep_that_stay_above_zero_are_not_counted(emptied):
    with pytest.warns(ModelWarning, match=r"below zero in 2 of 3 runs, to -5 at") as w:
        result = ms.sweep(emptied, {"k": [1.0, 3.0, 5.0]}, end=END, points=3)
    assert len(w) == 1
    assert (result["status"] == SolverStatus.OK).all()
    np.testing.assert_allclose(result["A"][:, -1], [5.0, -5.0, -15.0], rtol=1e-6)


def test_amounts_that_may_be_negative_are_not_warned_of(emptied):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ModelWarning)
        ms.simulate(emptied, END, points=3, options=ms.Options(allow_negative=True))


def test_a_runaway_below_zero_is_a_failure():
    """dA/dt = -1 - A² has no value from t = atan(1) + pi/2 on."""
    model = guest({"A": 1.0}, {"k": 1.0}, [reaction("away", "A ->", "k + A**2")])
    with pytest.raises(SolverError, match="became negative") as caught:
        ms.simulate(model, END, points=3)
    assert caught.value.t < np.pi / 2 + np.arctan(1.0) + 1e-3


def test_a_run_that_tighter_ones_do_not_agree_on_stays_failed(emptied, monkeypatch):
    """The two curves are moved apart by more than the tolerance allows."""

    real, calls = below_zero._tighter, []

    def moved(settings, factor):
        calls.append(factor)
        return real(settings, factor)

    def apart(kernels, problem, settings, solution, run, made, wanted):
        made[0].values[...] *= 1.01
        keep(kernels, problem, settings, solution, run, made, wanted)

    keep = below_zero._keep
    monkeypatch.setattr(below_zero, "_tighter", moved)
    monkeypatch.setattr(below_zero, "_keep", apart)
    with pytest.raises(SolverError, match="became negative") as caught:
        ms.simulate(emptied, END, points=3)
    assert caught.value.status == SolverStatus.NEGATIVE
    assert calls == list(below_zero.TIGHTER)
