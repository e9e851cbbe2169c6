"""Network → rates, stoichiometry and derivatives, against mpmath and by hand."""

import itertools
import math

import mpmath
import numpy as np
import pytest
import support
import sympy
from support import reaction

from mir21sim.compiler import symbolic
from mir21sim.compiler.equations import equations
from mir21sim.compiler.printer import HEADER_IMPORT, kernel_text
from mir21sim.errors import CodegenError, ModelError
from mir21sim.model import expressions as ex
from mir21sim.model.network import Network, Species

X, Y = ex.Symbol("x"), ex.Symbol("y")


def evaluate(expression, **values):
    """Return the value of kernel text, as the generated module would."""
    scope = {}
    exec(HEADER_IMPORT, scope)  # noqa: S102 - our own constant text
    return eval(kernel_text(expression), scope, values)  # noqa: S307 - our own text


def translate(op, *args):
    """Return an operation on `x` and `y` as SymPy, over symbols of these names."""
    net = support.network({}, {"x": 1.0, "y": 1.0}, [])
    builder = symbolic.Translator(equations(net))
    names = {builder.symbols[n]: sympy.Symbol(n) for n in ("x", "y")}
    return builder.translate(ex.Call(op, args)).xreplace(names)


# ------------------------------------------------- every function against mpmath
UNARY = {  # function of mpmath, points within its domain
    "exp": (mpmath.exp, (-30.0, -0.3, 0.0, 1.7, 50.0)),
    "ln": (mpmath.log, (1e-300, 0.3, 1.0, 7.5, 1e300)),
    "abs": (abs, (-2.5, -1e-9, 0.4, 3.0)),
    "floor": (mpmath.floor, (-2.5, -0.1, 0.4, 3.0, 7.9)),
    "ceiling": (mpmath.ceil, (-2.5, -0.1, 0.4, 3.0, 7.9)),
    "factorial": (mpmath.factorial, (0.0, 1.0, 5.0, 20.0)),
    "sin": (mpmath.sin, (-4.0, 0.2, 2.0)),
    "cos": (mpmath.cos, (-4.0, 0.2, 2.0)),
    "tan": (mpmath.tan, (-1.0, 0.2, 2.0)),
    "sec": (mpmath.sec, (-1.0, 0.2, 2.0)),
    "csc": (mpmath.csc, (-1.0, 0.2, 2.0)),
    "cot": (mpmath.cot, (-1.0, 0.2, 2.0)),
    "sinh": (mpmath.sinh, (-2.0, 0.2, 3.0)),
    "cosh": (mpmath.cosh, (-2.0, 0.2, 3.0)),
    "tanh": (mpmath.tanh, (-2.0, 0.2, 3.0)),
    "sech": (mpmath.sech, (-2.0, 0.2, 3.0)),
    "csch": (mpmath.csch, (-2.0, 0.2, 3.0)),
    "coth": (mpmath.coth, (-2.0, 0.2, 3.0)),
    "arcsin": (mpmath.asin, (-0.9, 0.2, 0.7)),
    "arccos": (mpmath.acos, (-0.9, 0.2, 0.7)),
    "arctan": (mpmath.atan, (-9.0, 0.2, 30.0)),
    "arcsec": (mpmath.asec, (-3.0, 1.2, 5.0)),
    "arccsc": (mpmath.acsc, (-3.0, 1.2, 5.0)),
    "arccot": (mpmath.acot, (-3.0, 1.2, 5.0)),
    "arcsinh": (mpmath.asinh, (-3.0, 0.2, 5.0)),
    "arccosh": (mpmath.acosh, (1.1, 2.0, 50.0)),
    "arctanh": (mpmath.atanh, (-0.9, 0.2, 0.7)),
    "arcsech": (mpmath.asech, (0.1, 0.5, 0.9)),
    "arccsch": (mpmath.acsch, (-3.0, 0.2, 5.0)),
    "arccoth": (mpmath.acoth, (-3.0, 1.2, 5.0)),
}
STEPS = {"floor", "ceiling", "factorial"}
BINARY = {
    "plus": lambda x, y: x + y,
    "minus": lambda x, y: x - y,
    "times": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "power": lambda x, y: x**y,
    "root": lambda x, y: y ** (1 / x),
    "log": lambda x, y: mpmath.log(y) / mpmath.log(x),
    "min": min,
    "max": max,
    "quotient": lambda x, y: mpmath.mpf(int(x / y)),
    "rem": lambda x, y: x - y * int(x / y),
}
TESTS = {
    "eq": lambda x, y: x == y,
    "neq": lambda x, y: x != y,
    "lt": lambda x, y: x < y,
    "leq": lambda x, y: x <= y,
    "gt": lambda x, y: x > y,
    "geq": lambda x, y: x >= y,
    "and": lambda x, y: bool(x) and bool(y),
    "or": lambda x, y: bool(x) or bool(y),
    "xor": lambda x, y: bool(x) != bool(y),
    "implies": lambda x, y: not x or bool(y),
}
PAIRS = ((1.7, 0.6), (0.6, 1.7), (2.0, 3.0), (7.5, 2.5))
TRUTHS = tuple(itertools.product((0.0, 1.0, 2.5), repeat=2))


def test_no_operator_is_without_an_oracle():
    covered = {*UNARY, *BINARY, *TESTS, "not", "piecewise", "true", "false"}
    assert covered == symbolic._TRANSLATIONS.keys()
    assert covered | {ex.TIME, ex.RATE_OF, ex.DELAY} == ex.OPERATORS


@pytest.mark.parametrize("op", UNARY)
def test_a_function_of_one_argument_agrees_with_mpmath(op):
    oracle, points = UNARY[op]
    got = [evaluate(translate(op, X), x=point) for point in points]
    want = [float(oracle(mpmath.mpf(point))) for point in points]
    np.testing.assert_allclose(got, want, rtol=4e-15, atol=1e-16)


@pytest.mark.parametrize("op", sorted(UNARY.keys() - STEPS))
def test_a_derivative_of_one_argument_agrees_with_mpmath(op):
    oracle, points = UNARY[op]
    derivative = sympy.diff(translate(op, X), sympy.Symbol("x"))
    got = [evaluate(derivative, x=point) for point in points]
    with mpmath.workdps(40):
        want = [
            float(mpmath.diff(oracle, point, h=abs(point or 1) * mpmath.mpf(10) ** -15))
            for point in points
        ]
    np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("op", sorted(STEPS))
def test_a_step_function_has_no_slope(op):
    assert sympy.diff(translate(op, X), sympy.Symbol("x")) == 0


@pytest.mark.parametrize("op", BINARY)
@pytest.mark.parametrize("point", PAIRS, ids=str)
def test_a_function_of_two_arguments_agrees_with_mpmath(op, point):
    x, y = point
    got = evaluate(translate(op, X, Y), x=x, y=y)
    want = float(BINARY[op](mpmath.mpf(x), mpmath.mpf(y)))
    assert got == pytest.approx(want, rel=1e-14, abs=1e-15)


@pytest.mark.parametrize("op", sorted(BINARY.keys() - {"quotient"}))
@pytest.mark.parametrize("place", [0, 1], ids=["by x", "by y"])
def test_a_derivative_of_two_arguments_agrees_with_mpmath(op, place):
    derivative = sympy.diff(translate(op, X, Y), sympy.Symbol("xy"[place]))
    orders = (1, 0) if place == 0 else (0, 1)
    got = [evaluate(derivative, x=x, y=y) for x, y in PAIRS[:2]]
    with mpmath.workdps(40):
        want = [float(mpmath.diff(BINARY[op], (x, y), orders)) for x, y in PAIRS[:2]]
    np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("op", TESTS)
def test_a_condition_is_true_where_it_should_be(op):
    test = ex.Call(
        "piecewise",
        (
            ex.Number(1.0),
            ex.Call(op, (X, Y)),
            ex.Number(0.0),
        ),
    )
    chosen = translate("plus", test)
    got = [bool(evaluate(chosen, x=x, y=y)) for x, y in TRUTHS]
    assert got == [TESTS[op](x, y) for x, y in TRUTHS]


def test_relations_chain():
    inside = ex.Call("lt", (ex.Number(0.0), X, Y))
    chosen = translate("piecewise", ex.Number(5.0), inside, ex.Number(7.0))
    got = [evaluate(chosen, x=x, y=2.0) for x in (-1.0, 1.0, 3.0)]
    assert got == [7.0, 5.0, 7.0]


def test_piecewise_takes_the_first_true_piece_and_is_nan_without_one():
    pieces = (X, ex.Call("lt", (X, Y)), Y, ex.Call("gt", (X, Y)))
    chosen = translate("piecewise", *pieces)
    assert [evaluate(chosen, x=x, y=2.0) for x in (1.0, 3.0)] == [1.0, 2.0]
    assert math.isnan(evaluate(chosen, x=2.0, y=2.0))


def test_constants_and_negation_of_conditions():
    for op, want in (("true", 5.0), ("false", 7.0)):
        test = ex.Call(op, ())
        assert (
            evaluate(translate("piecewise", ex.Number(5.0), test, ex.Number(7.0)))
            == want
        )
    test = ex.Call("not", (ex.Call("lt", (X, Y)),))
    assert evaluate(translate("piecewise", X, test, Y), x=1.0, y=2.0) == 2.0


@pytest.mark.parametrize("op", ["min", "max"])
def test_extremes_take_many_arguments(op):
    many = translate(op, X, Y, ex.Number(3.0), ex.Number(-3.0))
    fold = {"min": min, "max": max}[op]
    assert evaluate(many, x=5.0, y=1.0) == fold(5.0, 1.0, 3.0, -3.0)


@pytest.mark.parametrize(
    "value", [math.pi, 0.1, 1e-300, 123456789.123456789, 1e22, -2.5e-7, 2.0, 1e300]
)
def test_floats_keep_every_bit(value):
    net = support.network({"A": 1.0}, {}, [reaction("r", "A ->", ex.Number(value))])
    rate = symbolic.build(net).rates[0]
    assert evaluate(rate) == value


def test_an_operator_without_translation_is_refused_by_name():
    net = support.network({"A": 1.0}, {}, [reaction("r", "A ->", "bessel(A)")])
    with pytest.raises(
        CodegenError, match=r"`bessel\(A\)`: no translation for `bessel`"
    ):
        symbolic.build(net)


def test_a_wrong_number_of_arguments_is_refused_by_formula():
    net = support.network({"A": 1.0}, {}, [reaction("r", "A ->", "exp(A, A)")])
    with pytest.raises(CodegenError, match=r"`exp\(A, A\)`: `exp` cannot take"):
        symbolic.build(net)


# ------------------------------------------------------------------ rules in order
def test_rules_are_evaluated_after_what_they_need():
    rules = {"c": "b + 1", "b": "a*2", "a": "A"}
    system = symbolic.build(support.network({"A": 1.0}, {}, [], rules=rules))
    assert system.assigned_names == ("a", "b", "c")


@pytest.mark.parametrize(
    ("rules", "cycle"),
    [
        ({"a": "b", "b": "a"}, "a → b → a"),
        ({"a": "a + 1"}, "a → a"),
        ({"x": "a", "a": "b", "b": "c", "c": "a"}, "a → b → c → a"),
    ],
)
def test_a_cycle_of_rules_is_printed(rules, cycle):
    with pytest.raises(ModelError, match=rf"Assignment rules.*: {cycle}\."):
        symbolic.build(support.network({}, {}, [], rules=rules))


def test_a_cycle_of_initial_assignments_is_printed():
    net = support.network({"A": 1.0, "B": 1.0}, {}, [], starts={"A": "B", "B": "2*A"})
    with pytest.raises(ModelError, match=r"Initial assignments.*: A → B → A\."):
        symbolic.build(net)


def test_initial_assignments_are_evaluated_in_order_and_through_rules():
    net = support.network(
        {"A": 0.0, "B": 0.0}, {"k": 3.0}, [],
        rules={"twice": "2*A"}, starts={"B": "twice + k", "A": "k**2"},
    )  # fmt: skip
    model = support.compiled(net)
    assert model.y0 == pytest.approx([9.0, 21.0])


def test_a_rate_rule_is_a_rate_of_its_own():
    net = support.network({"A": 2.0}, {"k": 3.0}, [], rate_rules={"A": "-k*A"})
    system = symbolic.build(net)
    assert system.rate_names == ("d A/dt",)
    assert system.stoichiometry == {(0, 0): 1.0}


def test_stoichiometry_cancels_what_stands_on_both_sides():
    net = support.network(
        {"A": 1.0, "B": 1.0}, {}, [reaction("r", "2 A + B -> 3 A + B", "A")]
    )
    assert symbolic.build(net).stoichiometry == {(0, 0): 1.0}


def test_boundary_species_are_not_changed_by_reactions():
    net = support.network({"A": 1.0, "B": 1.0}, {}, [reaction("r", "A -> B", "A")])
    boundary = Species("A", "cell", 1.0, boundary=True)
    system = symbolic.build(
        Network("m", "", net.compartments, (boundary, net.species[1]),
                   (), net.reactions, (), (), support.UNITS)
    )  # fmt: skip
    assert system.stoichiometry == {(1, 0): 1.0}
