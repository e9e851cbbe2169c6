"""Groups of replicates → mean, SD, n and the test that suits them. Layer 15.

All tests are SciPy's. Two groups: Welch's t-test (unequal variances). More: one-way
ANOVA, and of each group against the control Dunnett's test, or of all pairs Tukey's.
"""

import math
import warnings
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from scipy import stats

from mir21sim._typing import FloatArray
from mir21sim.errors import InputError, UnknownNameError

Test: TypeAlias = Literal["auto", "welch", "dunnett", "tukey", "none"]
"""``auto``: Welch's for two groups, Dunnett's for more."""

NAMES = {
    "welch": "Welch's t-test",
    "dunnett": "ANOVA, Dunnett's test",
    "tukey": "ANOVA, Tukey's HSD",
    "none": "none",
}

_DUNNETT_SEED = 0
"""SciPy integrates Dunnett's distribution by Monte Carlo; equal data, equal p."""


def compare_groups(
    groups: Mapping[str, FloatArray], control: str, test: Test = "auto"
) -> dict[str, dict[str, Any]]:
    """Return for each group its mean, SD, n, test, ANOVA's p and p against the control.

    The SD has n − 1 in its denominator and is NaN for n = 1. Where no group scatters at
    all, there is nothing to test and p is NaN.

    Raises
    ------
    InputError
        When a test is asked for and a group has fewer than 2 replicates.

    Examples
    --------
    >>> groups = {"a": np.array([1, 2, 3]), "b": np.array([4, 5, 6])}
    >>> found = compare_groups(groups, "a")
    >>> found["b"]["test"], round(found["b"]["p"], 4)
    ("Welch's t-test", 0.0213)
    """
    if test not in get_args(Test):
        raise UnknownNameError("test", test, get_args(Test))
    chosen = test
    if test == "auto":
        chosen = "welch" if len(groups) <= 2 else "dunnett"
    rows: dict[str, dict[str, Any]] = {
        name: {
            "n": len(values),
            "mean": float(np.mean(values)),
            "sd": float(np.std(values, ddof=1)) if len(values) > 1 else math.nan,
            "test": NAMES["none"],
            "p_anova": math.nan,
            "p": math.nan,
        }
        for name, values in groups.items()
    }
    if chosen == "none" or len(groups) < 2:
        return rows
    few = next((name for name, values in groups.items() if len(values) < 2), None)
    if few is not None:
        raise InputError(
            f"A test needs 2 replicates or more in each group, `{few}` has "
            f"{len(groups[few])}: raise `replicates`, or ask for no test "
            '(`test="none"`).'
        )
    others = [name for name in groups if name != control]
    p_values, p_anova = dict.fromkeys(others, math.nan), math.nan
    if any(map(_scatters, groups.values())):
        with warnings.catch_warnings():
            # Of one group that does not scatter, beside others that do.
            warnings.simplefilter("ignore", RuntimeWarning)
            p_values = _p_values(groups, control, others, chosen)
            if len(groups) > 2:
                p_anova = float(stats.f_oneway(*groups.values()).pvalue)
    for name in groups:
        rows[name] |= {"test": NAMES[chosen], "p_anova": p_anova}
        if name != control:
            rows[name]["p"] = p_values[name]
    return rows


def _scatters(values: FloatArray) -> bool:
    """Say whether values differ by more than rounding."""
    return bool(np.ptp(values) > 1e-12 * np.abs(values).max())


def _p_values(
    groups: Mapping[str, FloatArray], control: str, others: list[str], test: str
) -> dict[str, float]:
    """Return p of each group against the control."""
    base = groups[control]
    if test == "welch":
        return {
            name: float(stats.ttest_ind(groups[name], base, equal_var=False).pvalue)
            if _scatters(groups[name]) or _scatters(base)
            else math.nan
            for name in others
        }
    if test == "dunnett":
        found = stats.dunnett(
            *(groups[name] for name in others),
            control=base,
            rng=np.random.default_rng(_DUNNETT_SEED),
        )
        return dict(zip(others, map(float, found.pvalue), strict=True))
    table = stats.tukey_hsd(*groups.values()).pvalue
    order = list(groups)
    return {
        name: float(table[order.index(name), order.index(control)]) for name in others
    }


def summary_rows(
    groups: Mapping[str, FloatArray],
    control: str,
    *,
    test: Test,
    measurable: bool,
    keys: Mapping[str, Any],
    label: str = "treatment",
) -> list[dict[str, Any]]:
    """Return the rows of a summary table, one a group, ``relative`` to the control.

    Parameters
    ----------
    measurable : whether the control gives a signal; without one, ``relative`` is NaN
    """
    found = compare_groups(groups, control, test)
    base = found[control]["mean"] if measurable else math.nan
    return [
        {
            **keys,
            label: name,
            "n": row["n"],
            "mean": row["mean"],
            "sd": row["sd"],
            "relative": row["mean"] / base,
            "relative_sd": row["sd"] / base,
            "control": control,
            "test": row["test"],
            "p_anova": row["p_anova"],
            "p": row["p"],
        }
        for name, row in found.items()
    ]
