"""Algebraic rules and fast reactions of SBML, against closed forms."""

from dataclasses import replace

import numpy as np
import pytest
import support
from hypothesis import given, settings
from hypothesis import strategies as st
from sbml_text import (
    CLOSE,
    TIMES,
    compartment,
    document,
    parameter,
    reaction,
    reference,
    rule,
    species,
    start,
)

import mir21sim as ms
from mir21sim.compiler.equations import equations
from mir21sim.errors import (
    ModelError,
    UnsupportedFeatureError,
)


# ---------------------------------------------------------------- algebraic rules
def test_an_algebraic_rule_determines_the_one_quantity_left_free(run):
    found = run(
        "B",
        pools=[
            species("A", 'initialAmount="1"', amount="true"),
            species("B", 'initialAmount="0"'),
        ],
        compartments=[compartment("cell", 2)],
        parameters=[parameter("k", 0.4), parameter("T", 10)],
        rules=[rule("algebraic", "", "A + 3*B - T")],
        reactions=[reaction("r", [reference("A")], [], "k*A")],
    )
    left = np.exp(-0.4 * TIMES)
    np.testing.assert_allclose(found["B"], (10 - left) / 3, **CLOSE)


def test_an_algebraic_rule_sees_through_assignment_rules(run):
    found = run(
        "x",
        "y",
        parameters=[parameter("x", constant="false"), parameter("y", constant="false")],
        rules=[
            rule("assignment", "y", "2*x + 1"),
            rule("algebraic", "", "y + x - time"),
        ],
    )
    np.testing.assert_allclose(found["x"], (TIMES - 1) / 3, **CLOSE)
    np.testing.assert_allclose(found["y"], (2 * TIMES + 1) / 3, **CLOSE)


numbers = st.floats(-3, 3).map(lambda x: round(x, 3))


@settings(max_examples=30)
@given(st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=2, max_size=2))
def test_coupled_algebraic_rules_are_solved_together(rows):
    (a, b, c), (d, e, f) = rows
    if abs(a * e - b * d) < 0.1 or min(abs(a), abs(b), abs(d), abs(e)) < 0.1:
        return
    net = support.network({}, {"x": 0.0, "y": 0.0}, [])
    free = tuple(replace(p, value=None, constant=False) for p in net.parameters)
    rules = tuple(support.expr(f"{u}*x + {v}*y - {w}*(1 + time)") for u, v, w in rows)
    model = equations(replace(net, parameters=free, algebraic=rules))
    known: dict[str, complex] = {}
    for name, math_ in model.defined.items():
        known[name] = support.value(math_, known, t=1.0)
    expected = np.linalg.solve([[a, b], [d, e]], [2 * c, 2 * f])
    got = [known["x"].real, known["y"].real]
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("free", "rules", "kind", "words"),
    [
        ("x y", ["x + y - 1"], ModelError, "does not say which of `x`, `y`"),
        ("x", ["x - 1", "x - time"], ModelError, "determine too much"),
        ("", ["x - 1"], ModelError, "determine too much"),
        ("x", ["x - x + y"], UnsupportedFeatureError, "not linear in `x`"),
    ],
    ids=["two ways", "two for one", "nothing", "gone"],
)
def test_an_algebraic_rule_that_does_not_determine_is_refused(free, rules, kind, words):
    net = support.network({}, {"x": 1.0, "y": 1.0}, [])
    parameters = tuple(replace(p, constant=p.id not in free) for p in net.parameters)
    texts = tuple(support.expr(text.replace("^", "**")) for text in rules)
    with pytest.raises(kind, match=words):
        equations(replace(net, parameters=parameters, algebraic=texts))


def test_the_slope_of_what_an_algebraic_rule_determines_is_refused(load):
    text = document(
        parameters=[parameter("x", 1, "false"), parameter("d", constant="false")],
        rules=[rule("algebraic", "", "x - time"), rule("assignment", "d", "rateOf(x)")],
    )
    with pytest.raises(ModelError, match=r"rate of change of `x`"):
        load(text)


def test_a_rate_that_needs_itself_is_a_circle(load):
    text = document(
        pools=[species("A")],
        reactions=[reaction("r", [reference("A")], [], "A + r")],
    )
    with pytest.raises(ModelError, match=r"circle: r → r"):
        load(text)


# ------------------------------------------------------------------- every backend
FEATURES = {
    "compartments": [compartment("cell", "2", "false")],
    "pools": [
        species("A", 'initialConcentration="3"', extra='conversionFactor="f"'),
        species("B", 'initialConcentration="1"'),
        species("C", ""),
        species("D", 'initialAmount="0"'),
    ],
    "parameters": [
        parameter("k", 0.4),
        parameter("f", 1.5),
        parameter("slope", constant="false"),
    ],
    "rules": [
        rule("rate", "cell", "0.3*cell"),
        rule("rate", "B", "1 - B*k"),
        rule("assignment", "C", "A + n"),
        rule("assignment", "n", "1 + B/2"),
        rule("assignment", "slope", "rateOf(A) + r"),
        rule("algebraic", "", "D*2 - A - C"),
    ],
    "reactions": [
        reaction("r", [reference("A", "1", id_="n", constant="false")], [], "k*A*D")
    ],
}


@pytest.mark.parametrize("method", ["LSODA", "Radau", "Rodas5P"])
def test_compiled_kernels_give_what_plain_python_gives(run, method):
    names = ("A", "B", "C", "D", "slope", "n", "[C]", "[A]", "cell", "r")
    plain = run(*names, **FEATURES)
    fast = run(*names, backend="numba", method=method, **FEATURES)
    for name in names:
        np.testing.assert_allclose(
            fast[name], plain[name], rtol=1e-6, atol=1e-7, err_msg=name
        )


# -------------------------------------------------------------------- fast reactions
def fast(name, reactants, products, rate):
    made = reaction(name, reactants, products, rate)
    return made.replace('reversible="false"', 'reversible="false" fast="true"')


def version_1(**parts):
    """Return a document in Level 3 Version 1, the last that has fast reactions."""
    text = document(**parts).replace("version2/core", "version1/core")
    text = text.replace('level="3" version="2"', 'level="3" version="1"')
    return text.replace('reversible="false">', 'reversible="false" fast="false">')


BALANCE = {
    "pools": [
        species("A", 'initialAmount="4"', amount="true"),
        species("B", 'initialAmount="0"', amount="true"),
        species("C", 'initialAmount="0"', amount="true"),
    ],
    "parameters": [parameter("k", 0.4), parameter("up", 3), parameter("down", 1)],
}


@pytest.mark.parametrize(("backend", "method"), [("numpy", None), ("numba", "Rodas5P")])
def test_a_fast_reaction_is_at_its_equilibrium_from_the_start(load, backend, method):
    """A <=> B at once with B = 3 A, and B → C slowly: A + B decays by 3k/4."""
    text = version_1(
        reactions=[
            fast("f", [reference("A")], [reference("B")], "up*A - down*B"),
            reaction("r", [reference("B")], [reference("C")], "k*B"),
        ],
        **BALANCE,
    )
    result = ms.simulate(
        load(text, backend=backend),
        times=TIMES,
        observe=["A", "B", "C"],
        options=ms.Options(rtol=1e-10, method=method),
    )
    both = 4 * np.exp(-0.3 * TIMES)
    np.testing.assert_allclose(result["A"], both / 4, **CLOSE)
    np.testing.assert_allclose(result["B"], both * 3 / 4, **CLOSE)
    np.testing.assert_allclose(result["C"], 4 - both, **CLOSE)


def test_two_fast_reactions_are_balanced_together(load):
    text = version_1(
        reactions=[
            fast("f", [reference("A")], [reference("B", "2")], "up*A - down*B"),
            fast("g", [reference("B")], [reference("C")], "B - 2*C"),
        ],
        **BALANCE,
    )
    result = ms.simulate(load(text), 1.0, points=2, observe=["A", "B", "C"])
    # B = 3 A, C = B/2, and 2 A + B + C = 8
    found = [float(result[name][0]) for name in ("A", "B", "C")]
    assert found == pytest.approx([16 / 13, 48 / 13, 24 / 13])


@pytest.mark.parametrize(
    ("rate", "parts", "words"),
    [
        ("up*A - B", {"starts": [start("k", "2*A")]}, "`f` stand with start values"),
    ],
    ids=["a start value"],
)
def test_a_fast_reaction_without_a_plain_balance_is_refused(load, rate, parts, words):
    reactions = [fast("f", [reference("A")], [reference("B")], rate)]
    modifiers = "<listOfModifiers><modifierSpeciesReference species="
    text = version_1(reactions=reactions, **BALANCE, **parts).replace(
        "<kineticLaw>", f'{modifiers}"C"/></listOfModifiers><kineticLaw>'
    )
    with pytest.raises(UnsupportedFeatureError, match=words):
        load(text)
