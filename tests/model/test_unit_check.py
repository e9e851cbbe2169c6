"""Units of formulas: which contradictions are found, and which loads they stop."""

from dataclasses import replace

import pytest
import support
from sound import (
    DIMENSIONLESS,
    LITRE,
    PER_MOLECULE_S,
    PER_S,
    SOUND,
    messages,
    only,
    with_rate,
    with_rule,
    with_units,
)
from support import ITEM, expr

from mir21sim.compiler import load as library
from mir21sim.errors import ModelError, ModelWarning
from mir21sim.model import expressions, unit_check
from mir21sim.model import files as model_files
from mir21sim.model.network import InitialAssignment, Parameter, Rule


# -------------------------------------------------------------------------- units
def unit_message(net):
    issues = unit_check.unit_issues(net)
    assert [issue.check for issue in issues] == ["units"]
    return issues[0].message


@pytest.mark.parametrize("rate", ["k1*A", "A*k1"], ids=["k first", "k last"])
def test_a_rate_with_a_wrong_unit_suggests_the_unit_of_its_constant(rate):
    shown = unit_message(with_rate(rate, net=with_units(k1=PER_MOLECULE_S, k2=PER_S)))
    assert shown == (
        f"r1 `{rate}`: 1/s, expected molecule/s; `k1` [1/(molecule·s)] should be [1/s]."
    )


def test_a_difference_of_rates_is_mended_at_its_constants():
    net = with_rate(
        "k1*A*B - k2*B", net=with_units(k1=PER_MOLECULE_S, k2=PER_MOLECULE_S)
    )
    shown = unit_message(replace(net, reactions=net.reactions[:1]))
    assert shown == (
        "r1 `k1*A*B - k2*B`: `k1*A*B` is molecule/s but `k2*B` is 1/s, "
        "so `k1*A*B - k2*B` has no unit."
    )


def test_a_sum_of_unlike_units_names_both_terms():
    shown = unit_message(with_rule("odd", "A + k1", net=with_units(k1=PER_S)))
    assert shown == (
        "odd `A + k1`: `A` is molecule but `k1` is 1/s, so `A + k1` has no unit."
    )


def test_litres_and_picolitres_do_not_add_up():
    net = with_rule("odd", "cell + v")
    net = replace(net, parameters=(*net.parameters, Parameter("v", 1.0, LITRE)))
    assert "`cell` is pL but `v` is l" in unit_message(net)


def test_a_function_of_something_with_a_unit_is_refused():
    net = with_rule("odd", "exp(k1*A)", net=with_units(k1=PER_S))
    assert unit_message(net) == (
        "odd `exp(k1*A)`: `k1*A` in `exp(k1*A)` is molecule/s, expected dimensionless."
    )


def test_an_exponent_has_no_unit():
    net = with_rule("odd", "A**k1", net=with_units(k1=PER_S))
    assert "the exponent `k1` is 1/s, expected dimensionless" in unit_message(net)


def test_a_rule_must_have_the_unit_of_its_variable():
    net = with_units(k1=PER_S, total=PER_S)
    assert unit_message(net) == "total `A + B`: molecule, expected 1/s."


def test_an_initial_assignment_must_have_the_unit_of_its_variable():
    starts = (InitialAssignment("A", expr("k1")),)
    net = replace(with_units(k1=PER_S), initial_assignments=starts)
    assert unit_message(net) == "A `k1`: 1/s, expected molecule."


def test_a_rate_rule_has_the_unit_of_its_variable_per_time():
    net = with_rule("A", "k1", "rate", net=with_units(k1=PER_S))
    assert unit_message(net) == "A `k1`: 1/s, expected molecule/s."


@pytest.mark.parametrize(
    "formula",
    [
        "k2*A",  # k2 has no unit: nothing is known
        "k1*A/(1 + A/B)",
        "k1*A**2/(A + B)",
        "k1*A*(A/B)**k3",
        "k1*piecewise(A, A > 2*B, B)",
        "k1*max(A, B)",
        "k1*A*exp(-k1*time)",
        "k1*(A + 0)",
    ],
)
def test_consistent_units_raise_nothing(formula):
    net = with_rate(formula, net=with_units(k1=PER_S, k3=DIMENSIONLESS))
    net = replace(
        net, parameters=(*net.parameters, Parameter("k3", 2.0, DIMENSIONLESS))
    )
    assert unit_check.unit_issues(net) == []


def test_a_concentration_is_an_amount_over_a_volume():
    a = replace(SOUND.species[0], only_amount=False)
    net = replace(with_units(k1=PER_S), species=(a, SOUND.species[1]))
    assert "`A` is molecule/pL but `B` is molecule" in unit_message(
        replace(net, reactions=())
    )


def odd_files(name="tiny"):
    """Return the files of a model with a contradiction of units."""
    text = support.to_sbml(with_rule("odd", "exp(A)"))
    odd = '<parameter id="odd" constant="false"/></listOfParameters>'
    return model_files.ModelFiles(
        name, {"sbml": text.replace("</listOfParameters>", odd)}
    )


def test_contradicting_units_of_a_strangers_file_are_one_warning_at_every_load():
    for _ in range(2):
        with pytest.warns(
            ModelWarning, match=r"tiny: units of 1 formula.*lint"
        ) as seen:
            library.assemble(odd_files(), backend="numpy")
        assert len(seen) == 1
        assert "\n" not in str(seen[0].message)
    found = [i for i in library.check(odd_files()) if i.check == "units"]
    assert [issue.severity for issue in found] == ["warning"]


def test_strict_units_stop_also_after_a_load_that_only_warned():
    library.assemble(odd_files(), backend="numpy", unit_policy="ignore")
    for _ in range(2):
        with pytest.raises(
            ModelError, match=r"tiny: odd `exp\(A\)`.*expected dimensionless"
        ):
            library.assemble(odd_files(), backend="numpy", unit_policy="strict")
        with pytest.warns(ModelWarning, match="units"):
            library.assemble(odd_files(), backend="numpy")


def test_contradicting_units_of_a_shipped_model_stop():
    with pytest.raises(ModelError, match=r"mir21_core: odd `exp\(A\)`"):
        library.assemble(odd_files("mir21_core"), backend="numpy")
    found = [i for i in library.check(odd_files("mir21_core")) if i.check == "units"]
    assert [issue.severity for issue in found] == ["error"]


# ------------------------------------------------------------- rates and constraints
PER_TIME = (("second", -1.0, 0, 1.0),)


def test_the_unit_of_a_slope_is_that_of_its_quantity_over_time():
    slope = expressions.Call(expressions.RATE_OF, (expressions.Symbol("A"),))
    net = with_units(k1=PER_TIME, k2=PER_TIME)
    right = replace(net, rules=(Rule("assignment", "total", slope),))
    total = next(p for p in right.parameters if p.id == "total")
    others = tuple(p for p in right.parameters if p.id != "total")
    given = replace(total, unit=(*ITEM, *PER_TIME))
    good = replace(right, parameters=(*others, given))
    assert unit_check.unit_issues(good) == []
    bad = replace(right, parameters=(*others, replace(total, unit=ITEM)))
    assert len(messages(unit_check.unit_issues(bad), "units")) == 1


def test_the_rate_of_a_reaction_has_a_unit():
    net = with_units(k1=PER_TIME, k2=PER_TIME)
    rules = (Rule("assignment", "total", expr("r1 + A")),)
    assert only(unit_check.unit_issues(replace(net, rules=rules)), "units").startswith(
        "total"
    )


def test_an_algebraic_rule_must_not_add_unlike_units():
    net = replace(with_units(k1=PER_TIME, k2=PER_TIME), algebraic=(expr("A - k1"),))
    message = only(unit_check.unit_issues(net), "units")
    assert message.startswith("algebraic rule 1 `A - k1`: ")
