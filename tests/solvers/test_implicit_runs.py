"""Quantities that only Newton's method finds: algebraic rules and fast reactions."""

import numpy as np
import pytest
import scipy.integrate
from sbml_text import (
    TIMES,
    document,
    formula,
    parameter,
    reaction,
    reference,
    rule,
    species,
    start,
)

import mir21sim as ms
from mir21sim.errors import InputError, SolverError, UnsupportedFeatureError

CLOSE = {"rtol": 2e-6, "atol": 1e-8}


@pytest.fixture
def load(tmp_path):
    def from_text(text):
        path = tmp_path / "m.xml"
        path.write_text(text, encoding="utf-8")
        return ms.load(path, backend="numpy", unit_policy="ignore")

    return from_text


def run(model, *names, times=TIMES):
    options = ms.Options(rtol=1e-9, allow_negative=True)
    result = ms.simulate(model, times=times, observe=names, options=options)
    assert str(result["method"].values) == "Radau-implicit"
    return [result[name].values for name in names]


def ruled(law, z=1.0, rate="-0.7*y", **parts):
    """Return a document in which a rule `law` = 0 determines z from y."""
    return document(
        parameters=[
            parameter("y", 2, constant="false"),
            parameter("z", z, constant="false"),
            *parts.pop("more", ()),
        ],
        rules=[rule("rate", "y", rate), rule("algebraic", "", law)],
        **parts,
    )


def fast(name, reactants, products, rate):
    made = reaction(name, reactants, products, rate)
    return made.replace('reversible="false"', 'reversible="false" fast="true"')


def version_1(**parts):
    """Return a document in Level 3 Version 1, the last that has fast reactions."""
    text = document(**parts).replace("version2/core", "version1/core")
    text = text.replace('level="3" version="2"', 'level="3" version="1"')
    return text.replace('reversible="false">', 'reversible="false" fast="false">')


def pools(**starts):
    return [
        species(name, f'initialAmount="{value}"', amount="true")
        for name, value in starts.items()
    ]


def event(name, trigger, variable, value):
    return (
        f'<event id="{name}" useValuesFromTriggerTime="true"><trigger persistent="true"'
        f' initialValue="true">{formula(trigger)}</trigger><listOfEventAssignments>'
        f'<eventAssignment variable="{variable}">{formula(value)}</eventAssignment>'
        "</listOfEventAssignments></event>"
    )


# ----------------------------------------------------------------- algebraic rules
def test_a_cubic_rule_follows_cardano(load):
    """z³ + z = y: z = 2/√3 sinh(asinh(3√3 y/2)/3)."""
    y, z = run(load(ruled("z^3 + z - y")), "y", "z")
    np.testing.assert_allclose(y, 2 * np.exp(-0.7 * TIMES), **CLOSE)
    expected = 2 / np.sqrt(3) * np.sinh(np.arcsinh(1.5 * np.sqrt(3) * y) / 3)
    np.testing.assert_allclose(z, expected, **CLOSE)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_start_value_says_which_root_is_meant(load, sign):
    """z² = y and dy/dt = -z: z = ±√y with √y = √2 ∓ t/2."""
    (z,) = run(load(ruled("z^2 - y", z=sign, rate="-z")), "z")
    np.testing.assert_allclose(z, sign * (np.sqrt(2) - sign * TIMES / 2), **CLOSE)


def test_two_rules_are_solved_together(load):
    """z·w² = y and w = exp(z)."""
    rules = [
        rule("rate", "y", "-0.7*y"),
        rule("algebraic", "", "z*w*w - y"),
        rule("algebraic", "", "exp(z) - w"),
    ]
    text = document(
        parameters=[
            parameter("y", 2, constant="false"),
            parameter("z", 0.1, constant="false"),
            parameter("w", 0.5, constant="false"),
        ],
        rules=rules,
    )
    y, z, w = run(load(text), "y", "z", "w")
    np.testing.assert_allclose(z * w**2, y, **CLOSE)
    np.testing.assert_allclose(w, np.exp(z), **CLOSE)


def test_a_delayed_root_is_that_of_the_past(load):
    """Before the start z is the root of the start, not the guess for it."""
    more = [parameter("d", constant="false")]
    text = ruled("z^3 - y", more=more)
    text = text.replace("</listOfRules>", "@@").replace(
        "@@", rule("assignment", "d", "delay(z, 0.5)") + "</listOfRules>"
    )
    z, d = run(load(text), "z", "d")
    past = 2 * np.exp(-0.7 * np.maximum(TIMES - 0.5, 0.0))
    np.testing.assert_allclose(d, np.cbrt(past), **CLOSE)
    np.testing.assert_allclose(z, np.cbrt(2 * np.exp(-0.7 * TIMES)), **CLOSE)


def test_a_root_that_ends_is_a_failed_run(load):
    """z² = 1 - t has no root after 1."""
    with pytest.raises(SolverError, match=r"step|finite|number"):
        run(load(ruled("z^2 - (1 - time)", rate="z")), "z")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ruled("z^2 - y", z=""), "give `z` a start value near"),
        (ruled("z - z + y"), "not linear in `z`"),
        (ruled("z^2 - y", starts=[start("y", "2*z")]), "initial assignment uses `z`"),
        (
            ruled("z^2 - y", rate="rateOf(z)"),
            "rate of change of a quantity is needed that .*solution for z",
        ),
    ],
    ids=["no start value", "no unknown", "start by it", "its slope"],
)
def test_what_a_solver_cannot_mean_is_refused(load, text, words):
    with pytest.raises(UnsupportedFeatureError, match=f"(?i){words}"):
        load(text)


# ------------------------------------------------------------------ fast reactions
def test_binding_is_at_its_balance_while_slow_reactions_go_on(load):
    """A + B <=> C at once, C → nothing: totals a = A + C, b = B + C fall by k·C."""
    text = version_1(
        pools=pools(A=3, B=2, C=0),
        parameters=[parameter("kd", 0.5), parameter("k", 0.8)],
        reactions=[
            fast("f", [reference("A"), reference("B")], [reference("C")], "A*B - kd*C"),
            reaction("r", [reference("C")], [], "k*C"),
        ],
    )

    def bound(a, b):
        s = a + b + 0.5
        return (s - np.sqrt(s * s - 4 * a * b)) / 2

    ended = scipy.integrate.solve_ivp(
        lambda t, y: [-0.8 * bound(*y)] * 2,
        (0, TIMES[-1]),
        [3.0, 2.0],
        t_eval=TIMES,
        rtol=1e-11,
        atol=1e-12,
    )
    a, b, c = run(load(text), "A", "B", "C")
    expected = bound(*ended.y)
    np.testing.assert_allclose(c, expected, **CLOSE)
    np.testing.assert_allclose(a, ended.y[0] - expected, **CLOSE)
    np.testing.assert_allclose(b, ended.y[1] - expected, **CLOSE)


@pytest.mark.parametrize(("rate", "a"), [("A*B", 0.0), ("-A*B", 5.0)])
def test_of_two_balances_the_one_is_taken_that_the_reaction_leads_to(load, rate, a):
    text = version_1(
        pools=pools(A=3, B=2),
        reactions=[fast("f", [reference("A")], [reference("B")], rate)],
    )
    found = run(load(text), "A", "B")
    np.testing.assert_allclose(found, [[a] * len(TIMES), [5 - a] * len(TIMES)], **CLOSE)


def test_events_switch_a_fast_reaction_on_and_off(load):
    """B → A at rate 1; A goes back at once while `on` is 1: from 0.6 h to 1.1 h."""
    text = version_1(
        pools=pools(A=0, B=5),
        parameters=[parameter("on", 0, constant="false")],
        reactions=[
            fast("f", [reference("A")], [reference("B")], "on*A"),
            reaction("r", [reference("B")], [reference("A")], "1"),
        ],
        events=[
            event("e1", "time > 0.6", "on", "1"),
            event("e2", "time > 1.1", "on", "0"),
        ],
    )
    a, b = run(load(text), "A", "B")
    expected = np.where(TIMES < 0.6, TIMES, np.where(TIMES < 1.1, 0.0, TIMES - 1.1))
    np.testing.assert_allclose(a, expected, **CLOSE)
    np.testing.assert_allclose(a + b, 5.0, **CLOSE)


def test_a_trigger_that_a_fast_reaction_ends_fires_again(load):
    """`on` becomes 1 when A reaches 0.5 and 0 when time passes: each time once."""
    text = version_1(
        pools=pools(A=0, B=9),
        parameters=[
            parameter("on", 0, constant="false"),
            parameter("count", 0, constant="false"),
        ],
        reactions=[
            fast("f", [reference("A")], [reference("B")], "on*A"),
            reaction("r", [reference("B")], [reference("A")], "1"),
        ],
        events=[
            event("full", "A >= 0.5", "on", "1"),
            event("tick", "A >= 0.5", "count", "count + 1"),
            event("off1", "time > 0.6", "on", "0"),
            event("off2", "time > 1.3", "on", "0"),
        ],
    )
    a, count = run(load(text), "A", "count")
    # full at 0.5, empty until 0.6, full at 1.1, empty until 1.3, full at 1.8
    np.testing.assert_allclose(count, np.select(
        [TIMES < 0.5, TIMES < 1.1, TIMES < 1.8], [0, 1, 2], 3))  # fmt: skip
    assert a[TIMES == 1.25] == pytest.approx(0.0, abs=1e-8)
    assert a[TIMES == 1.5] == pytest.approx(0.2)


def test_an_event_sets_the_whole_amount_of_a_pool(load):
    """A <=> B is halved at once; A is set to 7 at 1 h, so that both are 4.5 then."""
    text = version_1(
        pools=pools(A=4, B=0),
        reactions=[fast("f", [reference("A")], [reference("B")], "A - B")],
        events=[event("e", "time > 0.99", "A", "7")],
    )
    a, b = run(load(text), "A", "B")
    np.testing.assert_allclose(a, np.where(TIMES < 0.99, 2.0, 4.5), **CLOSE)
    np.testing.assert_allclose(b, a, **CLOSE)


def test_fast_reactions_in_a_circle_are_refused(load):
    text = version_1(
        pools=pools(A=4, B=0),
        reactions=[
            fast("f", [reference("A")], [reference("B")], "A*A"),
            fast("g", [reference("B")], [reference("A")], "B*B"),
        ],
    )
    with pytest.raises(UnsupportedFeatureError, match="fast reactions, `f` the first"):
        load(text)


def test_a_fast_reaction_without_balance_is_a_failed_run(load):
    text = version_1(
        pools=pools(A=4, B=0),
        reactions=[fast("f", [reference("A")], [reference("B")], "1 + B*B")],
    )
    with pytest.raises(SolverError, match=r"finite|number"):
        run(load(text), "A")


# ----------------------------------------------------------------- other commands
def test_other_methods_and_steady_states_say_why_they_do_not_run(load):
    model = load(ruled("z^3 + z - y"))
    with pytest.raises(InputError, match="equation without closed form"):
        ms.steady_state(model)
