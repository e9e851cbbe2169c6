"""Tests of groups: against textbook formulas; groups that cannot be tested."""

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


# ------------------------------------------------------------------- scales and blocks
def test_logarithms_and_angles_are_compared_where_asked():
    logs = compare_groups({"a": A, "b": B}, "a", scale="log")["b"]
    assert logs["test"] == "Welch's t-test of logarithms"
    expected = stats.ttest_ind(np.log(B), np.log(A), equal_var=False).pvalue
    assert logs["p"] == pytest.approx(expected, rel=1e-12)
    assert (logs["mean"], logs["sd"]) == (B.mean(), B.std(ddof=1))
    angles = compare_groups({"a": A, "b": B, "c": C}, "a", scale="angle")["b"]
    assert angles["test"] == "ANOVA, Dunnett's test of arcsine square roots"
    turned = [np.arcsin(np.sqrt(v / 100)) for v in (A, B, C)]
    p_anova = stats.f_oneway(*turned).pvalue
    assert angles["p_anova"] == pytest.approx(p_anova, rel=1e-12)


def test_values_without_a_logarithm_are_compared_as_they_are():
    found = compare_groups({"a": A - 1.0, "b": B}, "a", scale="log")["b"]
    expected = stats.ttest_ind(B, A - 1.0, equal_var=False).pvalue
    assert found["test"] == "Welch's t-test"
    assert found["p"] == pytest.approx(expected, rel=1e-12)


def false_alarms(draw, n, **options):
    """Return the share of draws without effect in which b has p below 0.05."""
    rng = np.random.default_rng(7)
    found = [compare_groups(draw(rng), "a", **options)["b"]["p"] for _ in range(n)]
    return float(np.mean(np.array(found) < 0.05))


def test_dark_wells_do_not_make_bright_ones_look_exact():
    def plate(rng):
        levels = {"a": 1e4, "b": 1e4} | {f"dead {k}": 100.0 for k in range(3)}
        return {k: v * np.exp(0.07 * rng.standard_normal(3)) for k, v in levels.items()}

    assert false_alarms(plate, 60, scale="log") <= 0.05
    assert false_alarms(plate, 60) > 0.10


def test_lanes_of_one_blot_are_compared_as_pairs():
    def blots(rng):
        lanes = np.exp(rng.standard_normal((2, 3)) * 0.1)
        a, b = lanes / lanes.mean(axis=0)  # exposure is taken out by the blot's mean
        return {"a": a, "b": b}

    assert false_alarms(blots, 600, scale="log", blocks=True) == pytest.approx(
        0.05, abs=0.025
    )
    assert false_alarms(blots, 300, scale="log") > 0.10


def test_pairs_are_those_of_scipy():
    found = compare_groups({"a": A, "b": B}, "a", blocks=True)["b"]
    assert found["test"] == "t-test of pairs"
    expected = stats.ttest_rel(B, A).pvalue
    assert found["p"] == pytest.approx(expected, rel=1e-9)
    for test in ("dunnett", "tukey"):  # which of two groups are the same
        same = compare_groups({"a": A, "b": B}, "a", test, blocks=True)["b"]["p"]
        assert same == pytest.approx(expected, rel=0.02)  # by Monte Carlo


def test_blocks_are_taken_out_as_by_least_squares():
    groups = {"a": A, "b": B, "c": C + 0.3 * A}
    y = np.concatenate(list(groups.values()))
    lane, blot = np.repeat(np.arange(3), 3), np.tile(np.arange(3), 3)
    blots = np.eye(3)[blot]
    whole = np.hstack([blots, np.eye(3)[lane][:, 1:]])

    def left(design):
        return float(np.linalg.lstsq(design, y, rcond=None)[1].item())

    ratio = ((left(blots) - left(whole)) / 2) / (left(whole) / 4)
    found = compare_groups(groups, "a", blocks=True)["b"]
    assert found["test"] == "ANOVA, Dunnett's test, blots as blocks"
    assert found["p_anova"] == pytest.approx(stats.f.sf(ratio, 2, 4), rel=1e-9)
    # Between the plain t-test on the same scatter and Bonferroni's correction of it.
    t = (B.mean() - A.mean()) / math.sqrt(left(whole) / 4 * 2 / 3)
    plain = 2 * stats.t.sf(t, 4)
    assert plain < found["p"] < 2 * plain


def test_blocks_without_scatter_have_no_p():
    found = compare_groups({"a": A, "b": A + 1.0}, "a", blocks=True)
    assert math.isnan(found["b"]["p"])
