"""Conserved moieties: a basis of all totals, and pools that a reader understands."""

from fractions import Fraction

import numpy as np
import support
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from mir21sim.compiler import conservation as moieties
from mir21sim.compiler import symbolic

matrices = st.integers(1, 6).flatmap(
    lambda n: st.dictionaries(
        st.tuples(st.integers(0, n - 1), st.integers(0, 5)),
        st.sampled_from([-2.0, -1.0, 1.0, 2.0, 0.5]),
        max_size=20,
    ).map(lambda entries: (n, entries))
)


@settings(max_examples=200)
@given(matrices)
def test_totals_are_a_basis_of_what_no_reaction_changes(case):
    n_state, entries = case
    totals = moieties.conserved_totals(n_state, entries)
    n = np.zeros((n_state, 6))
    for key, coefficient in entries.items():
        n[key] = coefficient
    left = np.zeros((len(totals), n_state))
    for k, total in enumerate(totals):
        left[k, list(total)] = list(total.values())
    # Thirds are rounded, so a sum may be a few last digits from zero.
    assert np.abs(left @ n).max(initial=0.0) < 1e-14
    exact = sympy.Matrix([[Fraction(v) for v in row] for row in n])
    assert len(totals) == n_state - exact.rank()
    assert not totals or np.linalg.matrix_rank(left) == len(totals)


def test_the_totals_of_binding_are_a_and_b():
    totals = moieties.conserved_totals(3, symbolic.build(support.BINDING).stoichiometry)
    vectors = {tuple(sorted(total.items())) for total in totals}
    assert vectors == {((0, -1.0), (1, 1.0)), ((0, 1.0), (2, 1.0))}


def test_pools_are_whole_non_negative_and_smallest():
    """A ⇌ B, A + C ⇌ D: the basis has A + B − C, pools only sums."""
    matrix = {(0, 0): -1.0, (1, 0): 1.0, (0, 1): -1.0, (2, 1): -1.0, (3, 1): 1.0}
    found = moieties.pools(4, matrix)
    assert {2: 1.0, 3: 1.0} in found
    assert {0: 1.0, 1: 1.0, 3: 1.0} in found
    assert len(found) == 2


def test_a_dimer_counts_twice_in_its_pool():
    assert moieties.pools(2, {(0, 0): -2.0, (1, 0): 1.0}) == [{0: 1.0, 1: 2.0}]


def test_an_open_network_has_no_pools():
    assert moieties.pools(1, {(0, 0): 1.0, (0, 1): -1.0}) == []
