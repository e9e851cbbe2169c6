"""Tests of groups: against the textbook's formulas, and what cannot be tested."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mir21sim.assays.statistics import compare_groups
from mir21sim.errors import InputError, UnknownNameError

A, B, C = (
    np.array([1.0, 2.0, 4.0]),
    np.array([3.0, 5.0, 6.0]),
    np.array([9.0, 8.0, 9.5]),
)


def test_welch_is_the_formula_of_the_textbook():
    found = compare_groups({"a": A, "b": B}, "a")["b"]
    va, vb = A.var(ddof=1) / 3, B.var(ddof=1) / 3
    t = (B.mean() - A.mean()) / math.sqrt(va + vb)
    df = (va + vb) ** 2 / (va**2 / 2 + vb**2 / 2)
    assert found["test"] == "Welch's t-test"
    assert found["p"] == pytest.approx(2 * stats.t.sf(abs(t), df), rel=1e-12)
    assert (found["n"], found["mean"]) == (3, pytest.approx(14 / 3))
    assert found["sd"] == pytest.approx(np.sqrt(np.sum((B - B.mean()) ** 2) / 2))


def test_three_groups_take_anova_and_dunnett():
    found = compare_groups({"a": A, "b": B, "c": C}, "a")
    grand = np.concatenate([A, B, C])
    between = sum(3 * (g.mean() - grand.mean()) ** 2 for g in (A, B, C)) / 2
    within = sum(((g - g.mean()) ** 2).sum() for g in (A, B, C)) / 6
    p_anova = stats.f.sf(between / within, 2, 6)
    assert found["c"]["test"] == "ANOVA, Dunnett's test"
    assert found["b"]["p_anova"] == pytest.approx(p_anova, rel=1e-9)
    # Between the plain pooled t-test and Bonferroni's correction of it; SciPy's value
    # is a Monte Carlo one, good to a few percent.
    t = (C.mean() - A.mean()) / math.sqrt(within * 2 / 3)
    plain = 2 * stats.t.sf(t, 6)
    assert plain < found["c"]["p"] < 2 * plain * 1.05
    assert math.isnan(found["a"]["p"])


def test_tukey_is_the_studentized_range():
    found = compare_groups({"a": A, "b": B, "c": C}, "a", "tukey")
    within = sum(((g - g.mean()) ** 2).sum() for g in (A, B, C)) / 6
    q = abs(B.mean() - A.mean()) / math.sqrt(within / 3)
    assert found["b"]["p"] == pytest.approx(
        stats.studentized_range.sf(q, 3, 6), rel=1e-6
    )


def test_equal_data_give_equal_p_each_time():
    found = [compare_groups({"a": A, "b": B, "c": C}, "a") for _ in range(2)]
    assert found[0]["b"]["p"] == found[1]["b"]["p"]


def test_one_replicate_has_no_test_and_no_sd():
    groups = {"a": A[:1], "b": B}
    with pytest.raises(InputError, match=r"2 replicates or more.*`a` has 1"):
        compare_groups(groups, "a")
    alone = compare_groups(groups, "a", "none")
    assert math.isnan(alone["a"]["sd"])
    assert alone["b"]["test"] == "none"


def test_groups_without_scatter_have_no_p():
    found = compare_groups({"a": np.ones(3), "b": np.ones(3) * 2}, "a")
    assert math.isnan(found["b"]["p"])


def test_an_unknown_test_is_named():
    with pytest.raises(UnknownNameError, match=r"`welsh`.*`welch`"):
        compare_groups({"a": A, "b": B}, "a", "welsh")


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=6), st.floats(0.1, 50))
def test_p_does_not_depend_on_the_unit(values, factor):
    a = np.array(values)
    b = a[::-1] * 1.5 + np.arange(len(a))
    one = compare_groups({"a": a, "b": b}, "a")["b"]["p"]
    other = compare_groups({"a": a * factor, "b": b * factor}, "a")["b"]["p"]
    assert other == pytest.approx(one, rel=1e-6, nan_ok=True)
