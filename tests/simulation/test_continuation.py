"""Steady states and their branches against closed forms."""

import numpy as np
import pytest

import mir21sim as ms
from mir21sim.errors import InputError, SolverError, UnknownNameError

pytest.importorskip("antimony")

CUSP = "J1: -> Z; r + (Z - 3) - (Z - 3)^3; Z = 3; r = 0.1"
TOGGLE = """U = 1; V = 0; a = 3
  J1: -> U; a/(1 + V^2); J2: U -> ; U
  J3: -> V; a/(1 + U^2); J4: V -> ; V"""
BRUSSELATOR = """X = 1; Y = 1; A = 1; B = 1.5
  J1: -> X; A; J2: Y -> X; X^2*Y; J3: X -> Y; B*X; J4: X -> ; X"""
SWITCH = "A = 10; P = 0; k = 2; g = 1; J1: A -> P; k*A; J2: P -> A; g*P"
CHAIN = """A = 0; B = 0; k = 2; a = 0.5; b = 0.25
  J1: -> A; k; J2: A -> B; a*A; J3: B -> ; b*B"""


@pytest.fixture
def load(tmp_path):
    def made(body, species):
        path = tmp_path / "m.ant"
        homes = "; ".join(f"species {name} in c" for name in species)
        path.write_text(f"model m\n  compartment c = 1; {homes}\n  {body}\nend\n")
        return ms.load(path, backend="numpy")

    return made


def special(found, kind):
    which = found["special_kind"].values == kind
    return found["special_value"].values[which]


def test_a_linear_chain_has_its_closed_form(load):
    found = ms.steady_state(load(CHAIN, "AB"))
    assert (float(found["A"]), float(found["B"])) == pytest.approx((4.0, 8.0), rel=1e-9)
    assert found["flux"].values == pytest.approx([2.0, 2.0, 2.0], rel=1e-9)
    assert found["eigenvalue_real"].values == pytest.approx([-0.25, -0.5], rel=1e-9)
    assert found.attrs["stability"] == "stable"


def test_conserved_totals_are_kept(load):
    found = ms.steady_state(load(SWITCH, "AP"), initials={"A": 30.0})
    assert float(found["P"]) == pytest.approx(20.0, rel=1e-9)
    assert found["eigenvalue_real"].values == pytest.approx([-3.0], rel=1e-9)


def test_folds_of_the_cusp(load):
    """x' = r + x − x³ has its folds at r = ±2/(3√3)."""
    found = ms.continuation(load(CUSP, "Z"), {"r": "lin:-1:1:3"})
    fold = 2 / (3 * np.sqrt(3))
    assert sorted(special(found, "fold")) == pytest.approx([-fold, fold], rel=1e-6)
    assert "2 stable states for r from -0.3849 to 0.3849" in found.attrs["outcome"]
    x = found["Z"].values - 3
    assert x**3 - x == pytest.approx(found["r"].values, abs=1e-8)
    assert ((3 * x**2 > 1) == (found["stable"].values == 1)).all()


def test_both_arms_of_a_toggle_switch(load):
    """Symmetric toggle u' = a/(1 + v²) − u: two more states beyond a = 2."""
    found = ms.continuation(load(TOGGLE, "UV"), {"a": "log:0.5:5:3"})
    assert special(found, "branch point") == pytest.approx([2.0], rel=1e-6)
    assert not len(special(found, "fold"))
    assert "2 stable states for a from 2 to 5" in found.attrs["outcome"]
    u, v, a = (found[name].values for name in ("U", "V", "a"))
    assert a / (1 + v**2) == pytest.approx(u, rel=1e-8)


def test_the_hopf_point_of_the_brusselator(load):
    """At B = 1 + A² a cycle of period 2π/A begins."""
    model = load(BRUSSELATOR, "XY")
    found = ms.continuation(model, {"B": "lin:1.5:2.4:2"})
    assert special(found, "Hopf") == pytest.approx([2.0], rel=1e-8)
    assert float(found["special_period"][0]) == pytest.approx(2 * np.pi, rel=1e-6)


def test_a_state_that_no_run_reaches_is_said(load):
    found = ms.steady_state(load(BRUSSELATOR, "XY"), parameters={"B": 2.5})
    assert found.attrs["stability"] == "unstable, oscillating"
    assert found.attrs["reached"] == 0
    assert float(found["Y"]) == pytest.approx(2.5, rel=1e-9)


def test_a_total_and_a_held_species_are_varied(load):
    model = load(SWITCH, "AP")
    total = ms.continuation(model, {"A": [3.0, 30.0]})
    assert total.attrs["how"] == "initial"
    assert total["P"].values == pytest.approx(2 / 3 * total["A"].values, rel=1e-8)
    held = ms.continuation(model, {"A": [3.0, 30.0]}, how="held", observe="P")
    assert held["P"].values == pytest.approx(2 * held["A"].values, rel=1e-8)


def test_an_input_is_held_in_the_unit_of_its_doses():
    found = ms.continuation("mir21_core", {"anti_miR21": "1,10"}, observe="PTEN")
    assert (found.attrs["how"], found["anti_miR21"].attrs["units"]) == ("held", "nM")
    assert found["PTEN"].values[-1] > found["PTEN"].values[0]


def test_a_model_without_a_steady_state_is_refused(load):
    model = load("A = 1; J1: -> A; 1", "A")
    with pytest.raises(SolverError, match="`A` grows, falls or oscillates"):
        ms.steady_state(model)


def test_amounts_that_end_are_zero(load):
    """A → B → nothing: relative changes never end."""
    found = ms.steady_state(load("A = 5; B = 0; J1: A -> B; A; J2: B -> ; B", "AB"))
    assert (float(found["A"]), float(found["B"])) == (0.0, 0.0)
    assert found.attrs["reached"] == 1


def test_a_model_that_depends_on_time_is_refused(load):
    model = load("A = 1; J1: -> A; sin(time); J2: A -> ; A", "A")
    with pytest.raises(InputError, match="rate of `J1` depends on time"):
        ms.steady_state(model)


@pytest.mark.parametrize(
    ("over", "options", "message"),
    [
        ({"q": [1, 2]}, {}, "number to vary `q`"),
        ({"k": [1, 1]}, {}, "two different ends"),
        ({"k": [1, 2], "g": [1, 2]}, {}, "one number at a time"),
        ({"k": [1, 2]}, {"parameters": {"k": 3.0}}, "both varied and set"),
        ({"k": [1, 2]}, {"how": "held"}, "as parameter, not as held"),
        ({"k": [1, 2]}, {"how": "kept"}, "way to vary"),
        ({"k": "1:2 nM"}, {}, "`k`"),
    ],
)
def test_bad_input_is_one_sentence(load, over, options, message):
    with pytest.raises((InputError, UnknownNameError), match=message):
        ms.continuation(load(SWITCH, "AP"), over, **options)
