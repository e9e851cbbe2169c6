"""Which states at zero make a rate zero, against the values of the formulas."""

import numpy as np
import pytest
import support
from hypothesis import given, settings
from hypothesis import strategies as st
from support import network, reaction

from mir21sim.compiler import symbolic, symbolic_zeros

SPECIES = ("A", "B", "C")


def zeros(rate, rules=None):
    """Return the terms of a rate as texts, the states of a term together."""
    values = {"k": 2.0, "K": 3.0, "n": 2.5}
    net = network(
        dict.fromkeys(SPECIES, 1.0),
        values,
        [reaction("r", "A -> B", rate)],
        rules=rules,
    )
    (terms,) = symbolic_zeros.zero_terms(symbolic.build(net))
    return {"".join(SPECIES[i] for i in sorted(term)) for term in terms}


CASES = {
    "k*A*B": {"AB"},
    "k*A - K*B": {"A", "B"},
    "k*A*B/(K + A)": {"AB"},
    "k": {""},
    "k + A": {""},
    "0*A": set(),
    "k*(A + B)*C": {"AC", "BC"},
    "k*(A + A*B)": {"A"},
    "A**2": {"A"},
    "A**0.5*B": {"AB"},
    "A**(-1)*B": {"B"},
    "A**n*B": {"B"},  # with n = 0, A at zero makes no zero
    "exp(A)*B": {"B"},
    "piecewise(A, time < 1, B*C)": {"A", "BC"},
    "max(A, B)": {"A", "B"},
}


@pytest.mark.parametrize(("rate", "want"), CASES.items(), ids=list(CASES))
def test_a_term_is_zero_where_one_of_its_factors_is(rate, want):
    assert zeros(rate) == want


def test_a_factor_may_stand_in_a_rule():
    assert zeros("k*free", {"free": "A/(1 + load)", "load": "B/K"}) == {"A"}


def test_a_product_of_many_sums_keeps_as_many_as_it_can():
    """Ten factors of two terms each would be 1,024 terms."""
    rate = "C*" + "*".join(f"(A + {i}*B)" for i in range(1, 11))
    terms = zeros(rate)
    assert len(terms) <= symbolic_zeros.MAX_TERMS
    assert all("C" in term for term in terms)


FORMULAS = st.recursive(
    st.sampled_from(["A", "B", "C", "k", "K"]),
    lambda inner: st.builds(
        "({} {} {})".format, inner, st.sampled_from(["+", "-", "*"]), inner
    ),
    max_leaves=8,
)


@settings(max_examples=200)
@given(FORMULAS, st.sets(st.sampled_from(SPECIES)))
def test_a_rate_said_to_be_zero_is_zero(formula, absent):
    said = all(set(term) & absent for term in zeros(formula))
    start = {"A": 0.3, "B": 0.7, "C": 1.9}
    amounts = start | dict.fromkeys(absent, 0.0)
    values = {"k": 2.1, "K": 3.7} | amounts
    value = support.value(
        support.expr(formula), {n: complex(v) for n, v in values.items()}
    )
    assert not said or value == 0.0
    assert np.isfinite(value)
