"""Combinations whose excess is known in closed form."""

import numpy as np
import pytest
import xarray as xr

import mir21sim as ms
from mir21sim.analysis import combination as combining
from mir21sim.analysis.combination_plot import isobole, plot_combination
from mir21sim.analysis.dish import Resampled
from mir21sim.errors import InputError, UnknownNameError

DOSES = np.array([0.0, *np.geomspace(0.1, 100.0, 13)])


def hill(dose, middle=3.0, slope=1.5, top=0.9):
    return top * dose**slope / (middle**slope + dose**slope)


def surface_of(function):
    return function(DOSES[:, np.newaxis], DOSES[np.newaxis, :])


def table_of(effects, spread=0.0, untreated=0.0):
    """Return the combination of a surface of effects, with drawn dishes around it."""
    dead = 100 * (untreated + (1 - untreated) * effects)[..., np.newaxis]
    rng = np.random.default_rng(1)
    drawn = dead + spread * rng.standard_normal((20, *dead.shape))
    one = (np.array([0.0]), np.zeros_like(dead), np.zeros_like(drawn))
    result = xr.Dataset(
        coords={
            "A": ("A", DOSES, {"units": "nM", "long_name": "drug A"}),
            "B": ("B", DOSES, {"units": "nM"}),
            "cell": np.arange(100),
        }
    )
    dishes = Resampled(("A", "B"), one[0], one[1:], (dead, drawn), np.zeros((14, 14)))
    return combining.combination(dishes, result, intervals=spread > 0)


def test_bliss_independent_drugs_have_no_bliss_and_no_zip_excess():
    def independent(a, b):
        one, two = hill(a), hill(b, 10.0, 1.0)
        return one + two - one * two

    table = table_of(surface_of(independent))
    assert abs(table["Bliss"]).max() < 1e-9
    assert abs(table["ZIP"]).max() < 0.5
    assert (table["HSA"] > -1e-9).all()
    assert table["HSA"].max() > 10


def test_a_drug_with_itself_has_no_loewe_excess():
    """The sham combination: E(a, b) = E(a + b)."""
    table = table_of(surface_of(lambda a, b: hill(a + b, slope=1.2)))
    inside = table["Loewe"].where((table["A"] + table["B"]) <= DOSES[-1], drop=True)
    assert float(abs(inside).max()) < 0.5
    assert float(abs(table["Bliss"]).max()) > 5


def test_two_drugs_with_loewe_additivity_at_another_potency():
    table = table_of(surface_of(lambda a, b: hill(a + b / 4.0, slope=2.0)))
    inside = table["Loewe"].where((table["A"] + table["B"] / 4) <= 25.0, drop=True)
    assert float(abs(inside).max()) < 0.5


def test_the_excess_is_the_one_put_in():
    def more(a, b):
        one, two = hill(a), hill(b)
        return one + two - one * two + 0.2 * (1 - one) * (1 - two) * (a > 1) * (b > 1)

    table = table_of(surface_of(more))
    at = {"A": DOSES[7], "B": DOSES[7]}
    alone = hill(DOSES[7])
    assert table["Bliss"].sel(at).item() == pytest.approx(20 * (1 - alone) ** 2)
    assert table["Bliss"].isel(A=0).max() == pytest.approx(0.0, abs=1e-9)


def test_the_dose_reduction_of_a_sham_combination_at_equal_doses_is_two():
    table = table_of(surface_of(lambda a, b: hill(a + b)))
    equal = table["reduction"].sel(drug="A", A=DOSES[6], B=DOSES[6]).item()
    assert equal == pytest.approx(2.0, rel=0.02)


def test_untreated_deaths_are_taken_off():
    effects = surface_of(lambda a, b: hill(a) + hill(b) - hill(a) * hill(b))
    table = table_of(effects, untreated=0.2)
    np.testing.assert_allclose(table["effect"], 100 * effects, atol=1e-9)
    with pytest.raises(InputError, match="All untreated cells die"):
        table_of(np.ones_like(effects))


def test_an_effect_beyond_both_curves_has_no_dose():
    curve = combining.Curve.through(DOSES, hill(DOSES))
    assert curve.dose_of(0.95) == np.inf
    assert curve.dose_of(0.0) == 0.0
    assert curve.dose_of(0.45) == pytest.approx(3.0, rel=0.01)


def test_the_sentence_names_the_largest_excess_that_its_interval_supports():
    def more(a, b):
        one, two = hill(a), hill(b)
        return one + two - one * two + 0.3 * (1 - one) * (1 - two) * (a > 1) * (b > 1)

    said = combining.summary(table_of(surface_of(more), spread=1.0))
    assert said.startswith("More than additive (Bliss) most at drug A ")
    assert "percentage points" in said
    independent = surface_of(lambda a, b: hill(a) + hill(b) - hill(a) * hill(b))
    assert combining.summary(table_of(independent, spread=1.0)).startswith("Additive")


def test_doses_that_make_no_combination_are_refused():
    dishes = Resampled(("A",), np.zeros(1), *[(np.zeros(1), np.zeros(1))] * 2, 0)
    with pytest.raises(InputError, match="two swept doses, got A"):
        combining.combination(dishes, xr.Dataset(coords={"A": [0.0, 1.0]}))
    two = Resampled(("A", "B"), np.zeros(1), *[(np.zeros(1), np.zeros(1))] * 2, 0)
    for values, message in (
        ([1.0, 2.0, 3.0], "dose 0 and two more of `A`"),
        ([0.0, 2.0, 2.0], "must differ"),
        ([0.0, 0.0, 0.0], "must differ"),
    ):
        result = xr.Dataset(coords={"A": values, "B": [0.0, 1.0, 2.0]})
        with pytest.raises(InputError, match=message):
            combining.combination(two, result)


def test_the_isobole_of_replaceable_drugs_is_a_straight_line():
    surface = 100 * surface_of(lambda a, b: hill(a + b / 2.0))
    pairs = isobole(surface, (DOSES, DOSES), 45.0)
    np.testing.assert_allclose(pairs[:, 0] + pairs[:, 1] / 2.0, 3.0, rtol=0.03)


def test_the_picture_has_surface_excess_and_isobologram():
    table = table_of(surface_of(lambda a, b: hill(a + b)), spread=1.0)
    figure = plot_combination(table, "Loewe")
    surface, excess, isoboles = figure.axes[:3]
    assert surface.get_xlabel() == "drug A (nM)"
    assert excess.images[0].get_clim()[1] >= 10
    assert isoboles.get_xlabel() == "drug A / dose alone"
    weak = table_of(surface_of(lambda a, b: 0.1 * hill(a + b)), spread=1.0)
    texts = [t.get_text() for t in plot_combination(weak).axes[2].texts]
    assert texts == ["no dose pair kills 50 %"]


@pytest.mark.parametrize(("width", "inches"), [("single", 3.35), ("double", 7.1)])
def test_a_picture_has_the_width_of_a_journals_column(width, inches):
    t, dims = np.linspace(0, 8, 9), ("a", "b", "cell", "time")
    need = np.linspace(0.5, 6.0, 40)
    sums = np.add.outer(np.arange(4.0), np.arange(4.0))
    dead = (sums[..., None] >= need)[..., None] * (t >= 4)
    curves = dict.fromkeys(("A", "PS_exposed"), (dims, 1.0 * dead))
    doses = {name: (name, np.arange(4.0), {"units": "nM"}) for name in "ab"}
    result = xr.Dataset(curves, {**doses, "time": t})
    table = ms.combination(ms.resample(result, ["A"], "PS_exposed"), result)
    figure = ms.plot_combination(table, width=width)
    assert figure.get_size_inches()[0] == inches
    with pytest.raises(UnknownNameError, match="single"):
        ms.plot_combination(table, width="singel")
