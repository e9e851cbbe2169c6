"""Shares of variance by protein against populations whose shares are known."""

import numpy as np
import pytest
import xarray as xr

from mir21sim.analysis.variance import variance_by_protein, variance_text
from mir21sim.errors import InputError

T = np.linspace(0, 40, 4001)


def cells(death):
    """Return unlike cells that die at given times, infinite for never."""
    curves = 1.0 * (np.asarray(death)[:, None] <= T)
    return xr.Dataset({"PS_exposed": (("cell", "time"), curves)}, {"time": T})


def levels(n=600, names="ABC", seed=1):
    """Return independent lognormal levels."""
    normal = np.random.default_rng(seed).standard_normal((len(names), n))
    return dict(zip(names, np.exp(0.28 * normal), strict=True))


def test_shares_of_a_product_of_powers_are_the_squares_of_the_powers():
    """log t = 2 log A - log B + noise: 4/6, 1/6, 0 of the variance, 1/6 is noise."""
    x = levels()
    noise = np.exp(0.28 * np.random.default_rng(7).standard_normal(600))
    found = variance_by_protein(
        cells(4 * x["A"] ** 2 / x["B"] * noise), x, "PS_exposed"
    )
    share = found.set_index("protein")["when"]
    assert share["A"] == pytest.approx(4 / 6, abs=0.06)
    assert share["B"] == pytest.approx(1 / 6, abs=0.04)
    assert share["C"] < 0.01
    assert found.attrs["when"] == pytest.approx(5 / 6, abs=0.05)
    assert found["protein"][0] == "A"


def test_the_protein_of_a_threshold_tells_who_dies():
    """Cells with A above the median die, all at one time: only `who` has a share."""
    x = levels()
    found = variance_by_protein(
        cells(np.where(x["A"] > 1, 5.0, np.inf)), x, "PS_exposed"
    )
    share = found.set_index("protein")["who"]
    assert share["A"] == pytest.approx(2 / np.pi, abs=0.05)  # linear part of a step
    assert share[["B", "C"]].max() < 0.02
    assert "who dies" in variance_text(found)


def test_chance_explains_nothing():
    """Squared errors are taken off: 40 proteins of no effect sum to next to nothing."""
    x = levels(names=[f"P{k}" for k in range(40)])
    late = np.exp(np.random.default_rng(3).standard_normal(600))
    found = variance_by_protein(cells(late), x, "PS_exposed")
    assert found.attrs["when"] < 0.05


def test_too_few_cells_are_said_to_tell_nothing():
    """A regression needs more cells than proteins."""
    found = variance_by_protein(cells([1.0, 2.0, 3.0]), levels(3), "PS_exposed")
    assert "too few cells" in variance_text(found)


def test_bad_input_is_refused():
    """Swept results and levels of other cells, by name and value."""
    result = cells([1.0, 2.0, 3.0])
    with pytest.raises(InputError, match=r"`A` must be those of 3 cells.*\(4,\)"):
        variance_by_protein(result, levels(4), "PS_exposed")
    with pytest.raises(InputError, match="dimension `cell` alone"):
        variance_by_protein(result.expand_dims(dose=[1.0]), levels(3), "PS_exposed")
