"""Groups of replicates → mean, SD, n and the test that suits them.

All tests are SciPy's. Two groups: Welch's t-test (unequal variances). More: one-way
ANOVA, and of each group against the control Dunnett's test, or of all pairs Tukey's.

ANOVA and its post-hoc tests take the scatter of all groups as one. So tests are done on
the scale on which it is: light, densities and ratios scatter in proportion to their
size, and are compared by their logarithms; percentages scatter less near 0 and 100 and
are compared by the arcsine of their square roots. On their own scale, groups that
hardly give a signal would make those with a strong one look far too exact. Means and SD
are those of the values themselves; ``test`` names the scale.

Lanes of one blot share its exposure. So blots are blocks: two lanes are compared by the
t-test of pairs, more by ANOVA and Dunnett's or Tukey's test with the differences
between blots, and their degrees of freedom, taken out.

A replicate is a well, blot or tube from a dish of its own: n counts these, not cells or
events. All dishes of an experiment hold the same virtual cells, so p is about the
variation between dishes and measurements (``assays.noise``), not about which cells were
drawn; another seed of the population answers that.
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
    "pairs": "t-test of pairs",
    "none": "none",
}

Scale: TypeAlias = Literal["plain", "log", "angle"]
"""Scale of a comparison: values, their logarithms, or angles of percentages."""

_SCALED = {"plain": "", "log": " of logarithms", "angle": " of arcsine square roots"}

_DUNNETT_SEED = 0
"""SciPy integrates Dunnett's distribution by Monte Carlo; equal data, equal p."""


def compare_groups(
    groups: Mapping[str, FloatArray],
    control: str,
    test: Test = "auto",
    scale: Scale = "plain",
    *,
    blocks: bool = False,
) -> dict[str, dict[str, Any]]:
    """Return for each group its mean, SD, n, test, ANOVA's p and p against the control.

    Logarithms need values above 0; where some are not, the values are compared as they
    are. The SD has n − 1 in its denominator and is NaN for n = 1. Where no group
    scatters at all, there is nothing to test and p is NaN.

    Parameters
    ----------
    test : "auto" is Welch's for two groups, else Dunnett's
    blocks : the k-th values of all groups belong together: they are of one blot

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
    groups, scale = _on_scale(groups, scale)
    others = [name for name in groups if name != control]
    p_values, p_anova = dict.fromkeys(others, math.nan), math.nan
    if any(map(_scatters, groups.values())):
        with warnings.catch_warnings():
            # Of one group that does not scatter, beside others that do.
            warnings.simplefilter("ignore", RuntimeWarning)
            find = _p_in_blocks if blocks else _p_values
            p_values, p_anova = find(groups, control, others, chosen)
    words = NAMES["pairs" if blocks and chosen == "welch" else chosen] + _SCALED[scale]
    if blocks and chosen != "welch":
        words += ", blots as blocks"
    for name in groups:
        rows[name] |= {"test": words, "p_anova": p_anova}
        if name != control:
            rows[name]["p"] = p_values[name]
    return rows


def _on_scale(
    groups: Mapping[str, FloatArray], scale: Scale
) -> tuple[Mapping[str, FloatArray], Scale]:
    """Return the values to compare, and the scale that they are on."""
    if scale == "angle":
        shares = {name: np.clip(v / 100.0, 0.0, 1.0) for name, v in groups.items()}
        return {name: np.arcsin(np.sqrt(v)) for name, v in shares.items()}, scale
    if scale == "log" and all((values > 0).all() for values in groups.values()):
        return {name: np.log(values) for name, values in groups.items()}, scale
    return groups, "plain"


def _scatters(values: FloatArray) -> bool:
    """Say whether values differ by more than rounding."""
    return bool(np.ptp(values) > 1e-12 * np.abs(values).max())


def _p_values(
    groups: Mapping[str, FloatArray], control: str, others: list[str], test: str
) -> tuple[dict[str, float], float]:
    """Return p of each group against the control, and that of ANOVA (3 or more)."""
    base = groups[control]
    p_anova = math.nan
    if len(groups) > 2:
        p_anova = float(stats.f_oneway(*groups.values()).pvalue)
    if test == "welch":
        p_values = {
            name: float(stats.ttest_ind(groups[name], base, equal_var=False).pvalue)
            if _scatters(groups[name]) or _scatters(base)
            else math.nan
            for name in others
        }
    elif test == "dunnett":
        found = stats.dunnett(
            *(groups[name] for name in others),
            control=base,
            rng=np.random.default_rng(_DUNNETT_SEED),
        )
        p_values = dict(zip(others, map(float, found.pvalue), strict=True))
    else:
        table, order = stats.tukey_hsd(*groups.values()).pvalue, list(groups)
        row = order.index(control)
        p_values = {name: float(table[order.index(name), row]) for name in others}
    return p_values, p_anova


def _p_in_blocks(
    groups: Mapping[str, FloatArray], control: str, others: list[str], test: str
) -> tuple[dict[str, float], float]:
    """Return the same where the k-th values of all groups are one block.

    Two-way ANOVA without interaction: (groups − 1)(blocks − 1) degrees of freedom.
    """
    y = np.array(list(groups.values()))
    n_group, n_block = y.shape
    centred = y - y.mean(axis=0)
    means = centred.mean(axis=1)
    df = (n_group - 1) * (n_block - 1)
    scatter = float(((centred - means[:, np.newaxis]) ** 2).sum()) / df
    if not scatter > 1e-24 * float((y**2).max()):
        return dict.fromkeys(others, math.nan), math.nan
    p_anova = math.nan
    if n_group > 2:
        between = n_block * float((means**2).sum()) / (n_group - 1)
        p_anova = float(stats.f.sf(between / scatter, n_group - 1, df))
    row = list(groups).index(control)
    if test == "welch":
        pairs = {name: centred[k] - centred[row] for k, name in enumerate(groups)}
        p_values = {
            name: float(stats.ttest_1samp(pairs[name], 0.0).pvalue)
            if _scatters(pairs[name])
            else math.nan
            for name in others
        }
        return p_values, p_anova
    t = np.abs(means - means[row]) / math.sqrt(2.0 * scatter / n_block)
    if test == "tukey":
        found = stats.studentized_range.sf(t * math.sqrt(2.0), n_group, df)
        return {
            n: float(p) for n, p in zip(groups, found, strict=True) if n in others
        }, (p_anova)
    # Dunnett: with equal n, differences to one control correlate by one half.
    size = n_group - 1
    joint = stats.multivariate_t(shape=0.5 * np.eye(size) + 0.5, df=df)
    p_values = {
        name: 1.0
        - float(
            joint.cdf(
                np.full(size, value),
                lower_limit=np.full(size, -value),
                random_state=np.random.default_rng(_DUNNETT_SEED),
            )
        )
        for name, value in zip(groups, t, strict=True)
        if name in others
    }
    return {name: min(1.0, max(0.0, p)) for name, p in p_values.items()}, p_anova


def summary_rows(
    groups: Mapping[str, FloatArray],
    control: str,
    *,
    test: Test,
    scale: Scale,
    measurable: bool,
    keys: Mapping[str, Any],
    label: str = "treatment",
    blocks: bool = False,
) -> list[dict[str, Any]]:
    """Return the rows of a summary table, one a group, ``relative`` to the control.

    ``relative_sd`` is the SD of the group over the mean of the control, whose own
    scatter is in its own row.

    Parameters
    ----------
    measurable : whether the control gives a signal; without one, ``relative`` is NaN
    """
    found = compare_groups(groups, control, test, scale, blocks=blocks)
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
