"""Formulas and their derivatives, against differences and closed forms."""

import math

import numpy as np
import pytest

from mir21sim.errors import InputError, UnsupportedFeatureError
from mir21sim.estimation import duals
from mir21sim.estimation.duals import Dual, evaluate
from mir21sim.estimation.formulas import parsed
from mir21sim.model import expressions as ex

pytest.importorskip("petab")

FORMULAS = (
    "a + b*c - a/b",
    "a^b + b^2",
    "exp(-a) * ln(b) + log10(c) + sqrt(a*b)",
    "piecewise(a, a < b, b)",
    "max(a, b) + min(a, c) + abs(-a)",
    "sin(a) + cos(b)*tan(c) + arctan(a)",
    "arccosh(c) + arctanh(a/10) + tanh(b)",
    "a*(b + c*(a + b*(c + a)))",
)


def value_at(expr, point):
    known = {k: Dual(np.array([v])) for k, v in point.items()}
    return evaluate(expr, known.__getitem__, np.zeros(1)).value[0]


@pytest.mark.parametrize("text", FORMULAS)
def test_derivatives_equal_differences(text):
    point = {"a": 0.7, "b": 1.3, "c": 2.1}
    expr = parsed(text, "here")
    known = {
        name: Dual(np.array([value]), np.eye(3)[k : k + 1])
        for k, (name, value) in enumerate(point.items())
    }
    found = evaluate(expr, known.__getitem__, np.zeros(1)).dense(3)[0]
    for k, name in enumerate(point):
        step = 1e-6
        ends = [value_at(expr, point | {name: point[name] + s}) for s in (-step, step)]
        assert found[k] == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=1e-7)


def test_a_power_at_zero_keeps_its_derivative():
    expr = ex.Call("power", (ex.Symbol("a"), ex.Number(1.0)))
    known = {"a": Dual(np.zeros(1), np.ones((1, 1)))}
    found = evaluate(expr, known.__getitem__, np.zeros(1))
    assert found.value[0] == 0.0
    assert found.dense(1)[0, 0] == 1.0


def test_time_is_the_time_of_the_row():
    found = evaluate(parsed("2*time", "here"), {}.__getitem__, np.array([1.0, 3.0]))
    assert found.value.tolist() == [2.0, 6.0]


def test_text_that_is_no_formula_is_refused():
    with pytest.raises(InputError, match=r"observable `x`: `a \+` is not a formula"):
        parsed("a +", "observable `x`")


def test_an_unknown_operator_is_refused():
    with pytest.raises(UnsupportedFeatureError, match="factorial"):
        evaluate(ex.Call("factorial", (ex.Number(3.0),)), {}.__getitem__, np.zeros(1))


def test_a_constant_has_no_derivative():
    assert duals.constant(math.pi, 2).dense(3).tolist() == [[0.0] * 3] * 2
