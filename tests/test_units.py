"""Conversions at the border: exact factors, and one clear sentence for bad text."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mir21sim import units
from mir21sim.errors import InputError, UnknownNameError

SECOND = ("second", 1.0, 0, 1.0)
MOLE = ("mole", 1.0, 0, 1.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50 ng/ml", (50.0, "ng/ml")),
        ("5", (5.0, "")),
        ("-.5e-3h", (-0.0005, "h")),
        ("  1.  µM ", (1.0, "µM")),
        ("1e3", (1000.0, "")),
    ],
)
def test_parse_quantity_splits_number_and_unit(text, expected):
    assert units.parse_quantity(text, "dose") == expected


@pytest.mark.parametrize("text", ["", "nM", "h 5", "e3", "--1"])
def test_parse_quantity_refuses_text_without_a_number(text):
    with pytest.raises(InputError, match=r"my dose must be a number.*got `" + text):
        units.parse_quantity(text, "my dose")


@pytest.mark.parametrize("text", ["nan", "inf nM", "-Infinity", "1e400"])
def test_parse_quantity_refuses_numbers_that_are_not_finite(text):
    with pytest.raises(InputError, match=f"my dose must be finite, got `{text}`"):
        units.parse_quantity(text, "my dose")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2, 7200.0),
        ("2", 7200.0),
        ("90 s", 90.0),
        ("30 min", 1800.0),
        ("1 hour", 3600.0),
        ("1 H", 3600.0),
        ("0.5 days", 43200.0),
        ("-1 h", -3600.0),
    ],
)
def test_seconds_takes_hours_unless_told(value, expected):
    assert units.seconds(value) == expected


def test_seconds_suggests_the_near_unit():
    with pytest.raises(UnknownNameError, match=r"unit of end `mins`.*mean `min`"):
        units.seconds("3 mins", "end")


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("nm", "nM"),
        ("UG/ML", "ug/ml"),
        ("nmol/L", "nmol/l"),
        ("ng/mL", "ng/ml"),
        ("molecules", "molecule"),
        ("M", "M"),
        ("mM", "mM"),
        ("\N{GREEK SMALL LETTER MU}M", "µM"),  # two code points print as one letter
    ],
)
def test_dose_unit_returns_the_usual_spelling(unit, expected):
    assert units.dose_unit(unit, "dose") == expected


@pytest.mark.parametrize(
    ("unit", "near"),
    [("m", "M"), ("mm", "mM"), ("MM", "mM"), ("ng/m", "ng/ml"), ("Mg/ml", "mg/ml")],
)
def test_dose_unit_never_guesses_the_prefix(unit, near):
    with pytest.raises(UnknownNameError, match=f"unit of d `{unit}`.*mean `{near}`"):
        units.dose_unit(unit, "d")


@pytest.mark.parametrize(
    ("amount", "unit", "expected"),
    [
        (7, "molecule", 7.0),
        (1, "nM", 602.214076 * 2),
        (1, "µM", 602214.076 * 2),
        (1, "M", 602214076e3 * 2),
        (1, "amol", 602214.076),
        (1, "pmol/ml", 602.214076 * 2),
    ],
)
def test_molecules_follow_from_the_volume_of_2_pL(amount, unit, expected):
    assert units.molecules(amount, unit, 2.0, "d") == pytest.approx(expected, rel=1e-12)


def test_a_mass_concentration_follows_from_the_molecular_weight():
    by_mass = units.molecules(3, "ug/ml", 2.0, "d", molecular_weight=6e4)
    assert by_mass == pytest.approx(units.molecules(50, "nM", 2.0, "d"), rel=1e-12)


def test_a_mass_concentration_needs_a_stated_conversion():
    with pytest.raises(InputError, match=r"dose `L`.*`ng/ml`.*molecules_per_unit"):
        units.molecules(1, "ng/ml", 1.0, "dose `L`")


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        (None, None),
        ((("litre", 1.0, 0, 1.0),), 3e12),
        ((("litre", 1.0, -12, 1.0),), 3.0),
        ((("litre", 1.0, 0, 1e-15),), 3e-3),
        ((("metre", 3.0, -6, 1.0),), 3e-3),
        ((("metre", 2.0, 0, 1.0),), None),
        ((("dimensionless", 1.0, 0, 1.0),), None),
    ],
    ids=["none", "l", "pL", "fL", "µm³", "area", "dimensionless"],
)
def test_picolitres_of_3_units(unit, expected):
    wanted = None if expected is None else pytest.approx(expected, rel=1e-12)
    assert units.picolitres(3.0, unit) == wanted


def test_molecules_per_unit_of_substance():
    assert units.molecules_per((("item", 1.0, 0, 1.0),)) == 1.0
    nanomole = (("mole", 1.0, -9, 1.0),)
    assert units.molecules_per(nanomole) == pytest.approx(6.02214076e14, rel=1e-12)
    assert units.molecules_per(None) is None
    assert units.molecules_per((SECOND,)) is None


def test_seconds_per_unit_of_time():
    assert units.seconds_per(None) is None
    assert units.seconds_per((("second", 1.0, 0, 3600.0),)) == 3600.0
    assert units.seconds_per((MOLE,)) is None


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (None, ""),
        ((), "dimensionless"),
        ((("item", 1.0, 0, 1.0),), "molecule"),
        ((("item", -1.0, 0, 1.0), ("second", -1.0, 0, 1.0)), "1/(molecule·s)"),
        ((("mole", 1.0, -9, 1.0), ("litre", -1.0, 0, 1.0)), "nmol/l"),
        ((("metre", 2.0, 0, 1.0),), "m²"),
        ((("second", -0.5, 0, 1.0),), "1/s^0.5"),
        ((("second", 1.0, 0, 60.0),), "min"),
    ],
)
def test_parts_text_writes_units_as_people_do(parts, expected):
    assert units.parts_text(parts) == expected


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((("item", -1.0, 0, 1.0), ("second", -1.0, 0, 1.0)), "1/(molecule·s)"),
        ((("litre", 1.0, -12, 1.0),), "pL"),
        ((("second", -1.0, 0, 3600.0),), "1/h"),
        ((("mole", 1.0, -9, 1.0), ("litre", -1.0, 0, 1.0)), "nmol/l"),
    ],
)
def test_units_in_messages_read_as_the_author_wrote_them(parts, expected):
    assert units.unit_text(units.pint_unit(parts)) == expected


@given(
    st.floats(0.001, 1000), st.sampled_from(["pM", "nM", "uM", "mM", "amol", "fmol"])
)
def test_molecules_are_linear_in_the_amount(amount, unit):
    one = units.molecules(1.0, unit, 1.5, "d")
    assert math.isclose(units.molecules(amount, unit, 1.5, "d"), amount * one)
