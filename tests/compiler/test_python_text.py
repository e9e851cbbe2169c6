"""Generated kernels against an evaluation of the network that shares no code."""

import itertools
import math

import numpy as np
import pytest
import support
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from support import expr, reaction

from mir21sim.compiler import cache, symbolic, symbolic_events
from mir21sim.compiler import conservation as moieties
from mir21sim.compiler import python_text as emit
from mir21sim.compiler.equations import equations
from mir21sim.compiler.kernels import Kernels
from mir21sim.compiler.printer import FUNCTIONS, kernel_text
from mir21sim.errors import CodegenError
from mir21sim.model import expressions as ex
from mir21sim.model.network import Reaction

T = 0.7
"""Time at which kernels are compared: 0 would hide a lost dependence."""


def module_text(net, key):
    """Return the generated text of a network."""
    system = symbolic.build(net)
    events = symbolic_events.build(equations(net), system)
    return emit.module_text(system, events, net.id, key)


# ------------------------------------------------------------------ random networks
FORMS = {
    "mass": "",
    "mm": "/(K + {s})",
    "hill": "*{s}**h/(K**h + {s}**h)",
    "time": "*exp(-K*time/{s})",
    "rule": "*free*load",
}


@st.composite
def networks(draw):
    """Draw a network of mass action, saturation, rules, rate rules and the time."""
    names = [f"S{i}" for i in range(draw(st.integers(1, 5)))]
    first, last = names[0], names[-1]
    amounts = {s: draw(st.floats(0.1, 10.0)) for s in names}
    parameters = {"K": draw(st.floats(0.5, 5.0)), "h": draw(st.floats(1.0, 4.0))}
    rules = {"load": f"{first}/K + {last}", "free": f"{last}/(1 + load*load)"}
    rules = rules if draw(st.booleans()) else {}
    rate_rules = {"X": f"h*{first} - X*{'load' if rules else 'K'}"}
    rate_rules = rate_rules if draw(st.booleans()) else {}
    parameters |= dict.fromkeys(rate_rules, 2.0)
    forms = [form for form in FORMS if rules or form != "rule"]
    some = st.lists(st.sampled_from(names), max_size=2)
    reactions = []
    for i in range(draw(st.integers(1, 6))):
        parameters[f"k{i}"] = draw(st.floats(0.01, 3.0))
        inputs, outputs = draw(some), draw(some)
        form = FORMS[draw(st.sampled_from(forms))].format(s=first)
        arrow = f"{' + '.join(inputs)} -> {' + '.join(outputs)}"
        rate = "*".join([f"k{i}", *inputs]) + form
        reactions.append(reaction(f"r{i}", arrow, rate))
    return support.network(
        amounts, parameters, reactions, rules=rules, rate_rules=rate_rules
    )


def kernels_of(net, backend="numpy"):
    """Return the kernels and names of a network with its nominal values."""
    module = cache.kernels(net, backend)
    values = {s.id: s.initial for s in net.species}
    values |= {c.id: c.size for c in net.compartments}
    values |= {p.id: p.value for p in net.parameters}
    y, p = (
        np.array([float(values[n]) for n in names])
        for names in (module.state_names, module.param_names)
    )
    return module, y, p


def filled(kernel, n, y, p, t=T):
    out = np.full(n, np.nan)
    kernel(t, y, p, out)
    return out


def dense_jacobian(kernels: Kernels, y, p):
    dense = np.zeros((kernels.n_state, kernels.n_state))
    dense[kernels.j_row, kernels.j_col] = filled(kernels.jac, len(kernels.j_row), y, p)
    return dense


@settings(max_examples=60)
@given(networks())
def test_the_right_hand_side_is_the_sum_of_its_reactions(net):
    module, y, p = kernels_of(net)
    got = filled(module.kernels.rhs, len(y), y, p)
    want = support.slopes(net, module.state_names, y, T).real
    np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12)


@settings(max_examples=60)
@given(networks())
def test_the_jacobian_is_the_derivative_of_the_right_hand_side(net):
    module, y, p = kernels_of(net)
    want = support.complex_step(net, module.state_names, y, T)
    got = dense_jacobian(module.kernels, y, p)
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-11)


@settings(max_examples=60)
@given(networks())
def test_the_explicit_time_derivative_is_that_of_the_right_hand_side(net):
    module, y, p = kernels_of(net)
    got = filled(module.kernels.dfdt, len(y), y, p)
    step = 1e-30
    bent = support.slopes(net, module.state_names, y, T + 1j * step)
    np.testing.assert_allclose(got, bent.imag / step, rtol=1e-10, atol=1e-12)


@settings(max_examples=60)
@given(networks())
def test_rates_and_assigned_variables_are_those_of_the_network(net):
    module, y, p = kernels_of(net)
    env = support.environment(net, dict(zip(module.state_names, y, strict=True)), T)
    want = {r.id: support.value(r.rate, env, T).real for r in net.reactions}
    got = filled(module.kernels.rates, len(module.rate_names), y, p)
    rates = dict(zip(module.rate_names, got, strict=True))
    assert {k: rates[k] for k in want} == pytest.approx(want, rel=1e-11)
    assigned = filled(module.kernels.assigned, len(module.assigned_names), y, p)
    want = [env[name].real for name in module.assigned_names]
    assert list(assigned) == pytest.approx(want, rel=1e-12)


@settings(max_examples=60)
@given(networks())
def test_conserved_totals_stand_still_at_every_state(net):
    system = symbolic.build(net)
    module, y, p = kernels_of(net)
    slope = filled(module.kernels.rhs, len(y), y, p)
    totals = moieties.conserved_totals(len(y), system.stoichiometry)
    drift = [sum(c * slope[i] for i, c in total.items()) for total in totals]
    assert drift == pytest.approx([0.0] * len(drift), abs=1e-9 * (1 + abs(slope).max()))


@settings(max_examples=40)
@given(networks())
def test_the_same_network_gives_the_same_bytes(net):
    first, second = module_text(net, cache.key(net)), module_text(net, cache.key(net))
    assert first == second


def test_the_sparsity_pattern_is_sorted_by_column_and_holds_no_entry_twice():
    kernels = cache.kernels(support.CHAIN, "numpy").kernels
    places = list(zip(kernels.j_col, kernels.j_row, strict=True))
    assert places == sorted(set(places))


# ------------------------------------------------------------------------ backends
MIXED = support.network(
    {"A": 3.0, "B": 2.0, "C": 0.5},
    {"k": 0.3, "K": 4.0, "n": 2.5, "w": 1.0},
    [
        reaction("bind", "A + B -> C", "k*A*B - C/K"),
        reaction("hill", "B ->", "free*B**n/(K**n + B**n)"),
        reaction("wave", "-> A", "piecewise(sin(w*time), time*w > 0.5, max(A, B))"),
        reaction("log", "C ->", "ln(1 + C/K)*floor(n)*abs(A - B)"),
    ],
    rules={"load": "A/K + C", "free": "A/(1 + load)"},
)


@pytest.mark.parametrize("net", [support.CHAIN, MIXED], ids=["chain", "mixed"])
def test_numba_and_numpy_kernels_agree(net):
    slow, y, p = kernels_of(net, "numpy")
    fast, _, _ = kernels_of(net, "numba")
    assert (fast.kernels.backend, slow.kernels.backend) == ("numba", "numpy")
    sizes = {
        "rhs": len(y),
        "jac": len(slow.kernels.j_row),
        "dfdt": len(y),
        "rates": slow.kernels.n_rate,
        "assigned": slow.kernels.n_assigned,
    }
    for name, n in sizes.items():
        a, b = (filled(getattr(m.kernels, name), n, y, p) for m in (slow, fast))
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-300, err_msg=name)


EDGES = {
    "overflow in a denominator": (["k/(1 + exp(1000*k))"], [0.0]),
    "branch not taken": (
        ["piecewise(A/B, B > 0, k)", "piecewise(k*A/B, B > 0, 2*k)"],
        [1.0, 2.0],
    ),
    "floor of a large number": (["floor(1e25*k)"], [1e25]),
}


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("case", EDGES)
def test_a_rate_with_a_finite_value_is_computed(case, backend):
    rates, want = EDGES[case]
    reactions = [reaction(f"r{i}", "A ->", rate) for i, rate in enumerate(rates)]
    net = support.network({"A": 2.0, "B": 0.0}, {"k": 1.0}, reactions)
    module, y, p = kernels_of(net, backend)
    assert list(filled(module.kernels.rates, len(rates), y, p)) == want


@pytest.mark.parametrize("n", [1.0, 2.0, 2.5])
@pytest.mark.parametrize("exponent", ["n", "2.5"], ids=["parameter", "number"])
def test_the_slope_of_a_hill_function_at_nothing_is_finite(n, exponent):
    """d(S^n)/dS written as n·S^n/S is 0/0 at the very state most species start from."""
    net = support.network(
        {"S": 0.0},
        {"V": 3.0, "K": 2.0, "n": n},
        [reaction("use", "S ->", f"V*S**{exponent}/(K**{exponent} + S**{exponent})")],
    )
    module, y, p = kernels_of(net)
    n = n if exponent == "n" else 2.5
    want = -3.0 / 2.0 if n == 1.0 else 0.0
    assert dense_jacobian(module.kernels, y, p)[0, 0] == pytest.approx(want)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_division_by_zero_stays_in_its_own_rate(backend):
    net = support.network(
        {"A": 2.0, "B": 0.0},
        {"k": 1.0},
        [reaction("good", "A ->", "k*A"), reaction("bad", "A ->", "k*A/B")],
    )
    module, y, p = kernels_of(net, backend)
    got = filled(module.kernels.rates, 2, y, p)
    assert got[0] == 2.0
    assert not math.isfinite(got[1])


# ------------------------------------------------------------------------ names
NAMES = ("lambda", "S", "I", "beta", "None", "exp", "E", "N", "t", "y0", "p0", "np")


def test_ids_may_be_words_of_python_and_sympy():
    reactions = tuple(
        Reaction(f"r{i}", ((name, 1.0),), ((other, 1.0),), (),
                    ex.Call("times", (ex.Symbol("k"), ex.Symbol(name))))
        for i, (name, other) in enumerate(itertools.pairwise(NAMES))
    )  # fmt: skip
    amounts = {name: i + 1.0 for i, name in enumerate(NAMES)}
    net = support.network(amounts, {"k": 0.5}, reactions)
    module, y, p = kernels_of(net)
    assert module.state_names == NAMES
    np.testing.assert_allclose(
        dense_jacobian(module.kernels, y, p),
        support.complex_step(net, NAMES, y),
        rtol=1e-14,
    )


def test_the_text_names_each_reaction_beside_its_rate():
    text = module_text(support.BINDING, "key")
    assert "# bind\n" in text
    assert "# d bind / d A\n" in text
    assert "Generated, do not edit." in text


# ------------------------------------------------------------------------- printer
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_of_the_printer_exists_in_math(name):
    target = FUNCTIONS[name]
    assert callable(getattr(math, target))
    own = getattr(symbolic, name, None) or getattr(sympy, name)
    assert kernel_text(own(sympy.Symbol("x"))) == f"{target}(x)"


def test_an_unknown_function_is_refused_by_name():
    strange = sympy.Function("mystery")(sympy.Symbol("x"))
    with pytest.raises(CodegenError, match=r"function `mystery` in `mystery\(x\)`"):
        kernel_text(1 + strange)


def test_a_node_without_kernel_code_is_refused():
    with pytest.raises(CodegenError, match=r"No kernel code for `Integral"):
        kernel_text(sympy.Integral(sympy.Symbol("x")))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (sympy.Float(math.pi, 17), repr(math.pi)),
        (sympy.Float(0.1, 17), "0.1"),
        (sympy.Float(1e-300, 17), "1e-300"),
        (sympy.Float(123456789.123456789, 17), "123456789.12345679"),
        (sympy.pi, repr(math.pi)),
        (sympy.E, repr(math.e)),
        (sympy.Integer(3), "3.0"),
        (sympy.Rational(1, 3), repr(1 / 3)),
        (sympy.oo, "inf"),
        (-sympy.oo, "(-inf)"),
        (sympy.nan, "nan"),
    ],
    ids=str,
)
def test_numbers_are_printed_with_every_digit(value, text):
    assert kernel_text(value) == text


x, y = sympy.symbols("x y")


@pytest.mark.parametrize(
    "shape",
    [
        x - (x - y), x / (y / x), (x / y) / x, -(x**2), (-x) ** 2, x ** (-y), -(x**y),
        (x**2) ** y, x ** (y**2), 2 ** (-x), (x + y) ** -3, 1 / (x * y), x * (-y),
        -x / y, x / (-2 * y), sympy.sqrt(x + y), 1 / sympy.sqrt(x),
        x ** sympy.Rational(3, 2), x ** sympy.Rational(-1, 3), x**7, x**-7,
        (-2) ** sympy.Integer(3) * x,
        sympy.Float(-0.5, 17) ** 2 * x, -sympy.exp(-x) / (1 - y),
        (x * y) ** 3 / (x + y) ** 2,
        sympy.Mul(-1, x - y, evaluate=False), 3 * (-sympy.Rational(1, 2)) * x / y,
    ],
    ids=str,
)  # fmt: skip
def test_signs_powers_and_quotients_keep_their_value(shape):
    at = {"x": 1.7, "y": 0.6}
    got = eval(kernel_text(shape), {"sqrt": math.sqrt, "exp": math.exp}, at)  # noqa: S307 - our own text
    want = float(shape.subs(at).evalf(30))
    assert got == pytest.approx(want, rel=1e-14)


def test_initial_formulas_that_cannot_be_evaluated_are_an_error_in_words():
    net = support.network(
        {"A": 1.0}, {"k": -1.0, "K": 1.0}, [], starts={"A": "ln(k)*K"}
    )
    with pytest.raises(Exception, match=r"`A`") as caught:
        support.compiled(net)
    assert type(caught.value).__module__ == "mir21sim.errors"


def test_expressions_in_this_file_read_as_meant():
    """The helper that makes expressions is itself under test here."""
    formula = expr("k*(A + 1)**2 - exp(-B/K)")
    assert ex.text(formula) == "k*(A + 1)^2 - exp((-B)/K)"
