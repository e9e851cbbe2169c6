"""One test a rule: break one thing in a sound network and read the sentence."""

from dataclasses import replace

import pytest
import support
from support import ITEM, PICOLITRE, expr, reaction

from mir21sim.compiler import load as library
from mir21sim.errors import ModelError
from mir21sim.model import expressions, lint, sources, unit_check
from mir21sim.model import files as model_files
from mir21sim.model import metadata as model_metadata
from mir21sim.model import network as ir
from mir21sim.model.sources import SourcedNumber

SECOND = (("second", 1.0, 0, 1.0),)
PER_S = (("second", -1.0, 0, 1.0),)
PER_MOLECULE_S = (("item", -1.0, 0, 1.0), ("second", -1.0, 0, 1.0))
DIMENSIONLESS = (("dimensionless", 1.0, 0, 1.0),)
LITRE = (("litre", 1.0, 0, 1.0),)

SOUND = support.network(
    {"A": 3.0, "B": 1.0},
    {"k1": 0.5, "k2": 0.1},
    [reaction("r1", "A -> B", "k1*A"), reaction("r2", "B ->", "k2*B")],
    rules={"total": "A + B"},
    units=ir.ModelUnits(SECOND, ITEM, PICOLITRE, ITEM),
)


def with_units(**units):
    """Return the sound network with units of its parameters; others stay open."""
    parameters = tuple(replace(p, unit=units.get(p.id)) for p in SOUND.parameters)
    return replace(SOUND, parameters=parameters)


def with_rate(rate, arrow="A -> B", net=SOUND):
    """Return the network with another first reaction."""
    return replace(net, reactions=(reaction("r1", arrow, rate), *net.reactions[1:]))


def with_rule(variable, formula, kind="assignment", net=SOUND):
    return replace(net, rules=(*net.rules, ir.Rule(kind, variable, expr(formula))))


def messages(issues, check):
    assert all(issue.severity in ("error", "warning") for issue in issues)
    return [issue.message for issue in issues if issue.check == check]


def only(issues, check):
    found = messages(issues, check)
    assert len(found) == 1, found
    return found[0]


def test_a_sound_network_has_no_issue():
    assert lint.structure_issues(SOUND) == []
    assert unit_check.unit_issues(SOUND) == []
    assert lint.advice(SOUND) == []


# ---------------------------------------------------------------------- structure
def test_an_undeclared_symbol_is_named_with_its_place_and_the_near_name():
    issues = lint.structure_issues(with_rate("k1*total_A"))
    assert only(issues, "undeclared").startswith(
        "The formula of reaction `r1` uses `total_A`, which is not declared. "
        "Did you mean `total`?"
    )


def test_a_symbol_without_a_value_is_a_misspelling_to_look_for():
    """Antimony turns `k1*Aa` for a missing `Aa` into a parameter without a value."""
    misspelt = replace(
        with_rate("k1*Aa"),
        parameters=(*SOUND.parameters, ir.Parameter("Aa", None)),
    )
    assert only(lint.structure_issues(misspelt), "no value").startswith(
        "The formula of reaction `r1` uses `Aa`, which has no value. "
        "Did you mean `A`?"
    )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {
            "compartments": (ir.Compartment("cell", None),),
            "species": (replace(SOUND.species[0], only_amount=False), SOUND.species[1]),
        },
        {"species": (ir.Species("A", "cell", None), SOUND.species[1])},
    ],
    ids=["compartment", "species"],
)
def test_a_size_or_amount_without_a_value_is_an_error(change):
    assert (
        len(messages(lint.structure_issues(replace(SOUND, **change)), "no value")) == 1
    )


def test_a_size_that_nothing_needs_may_be_absent():
    idle = replace(SOUND, compartments=(ir.Compartment("cell", None),))
    assert lint.structure_issues(idle) == []


def test_a_formula_gives_a_value():
    without = replace(SOUND, species=(ir.Species("A", "cell", None), SOUND.species[1]))
    given = replace(
        without, initial_assignments=(ir.InitialAssignment("A", expr("2*B")),)
    )
    assert lint.structure_issues(given) == []


def test_an_id_used_twice_is_named():
    doubled = replace(SOUND, parameters=(*SOUND.parameters, ir.Parameter("A", 1.0)))
    assert "The id `A` is used twice." in messages(
        lint.structure_issues(doubled), "duplicate"
    )


def test_a_reaction_may_not_share_an_id_with_a_species():
    clash = replace(SOUND, reactions=(reaction("A", "A -> B", "k1*A"),))
    assert (
        only(lint.structure_issues(clash), "duplicate") == "The id `A` is used twice."
    )


def test_an_unknown_compartment_is_named_with_the_near_one():
    lost = replace(SOUND, species=(ir.Species("A", "cel", 1.0), SOUND.species[1]))
    assert only(lint.structure_issues(lost), "reference").startswith(
        "Species `A` is in compartment `cel`, which does not exist. "
        "Did you mean `cell`?"
    )  # fmt: skip


@pytest.mark.parametrize("arrow", ["k1 -> B", "A -> total"])
def test_a_reaction_changes_species_only(arrow):
    name = arrow.replace(" -> ", "").replace("A", "").replace("B", "")
    issues = lint.structure_issues(with_rate("k1*A", arrow))
    words = f"Reaction `r1` changes `{name}`, which is not a species."
    assert any(m.startswith(words) for m in messages(issues, "reference"))


def test_a_variable_has_one_rule():
    assert (
        only(lint.structure_issues(with_rule("total", "A")), "rule")
        == "`total` has two rules."
    )


def test_a_constant_has_no_rule():
    found = only(lint.structure_issues(with_rule("k1", "A")), "rule")
    assert found == "`k1` is declared constant but has a rule."


def test_a_species_has_a_rule_or_reactions():
    found = messages(lint.structure_issues(with_rule("B", "A")), "rule")
    assert "Reaction `r1` changes `B`, which has a rule." in found


def test_a_boundary_species_may_have_both():
    boundary = (SOUND.species[0], replace(SOUND.species[1], boundary=True))
    net = replace(with_rule("B", "A"), species=boundary)
    assert messages(lint.structure_issues(net), "rule") == []


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
    net = replace(net, parameters=(*net.parameters, ir.Parameter("v", 1.0, LITRE)))
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
    starts = (ir.InitialAssignment("A", expr("k1")),)
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
        net, parameters=(*net.parameters, ir.Parameter("k3", 2.0, DIMENSIONLESS))
    )
    assert unit_check.unit_issues(net) == []


def test_a_concentration_is_an_amount_over_a_volume():
    a = replace(SOUND.species[0], only_amount=False)
    net = replace(with_units(k1=PER_S), species=(a, SOUND.species[1]))
    assert "`A` is molecule/pL but `B` is molecule" in unit_message(
        replace(net, reactions=())
    )


def test_loading_stops_at_a_unit_error_and_ignores_it_on_request():
    text = support.to_sbml(with_rule("odd", "exp(A)"))
    odd = '<parameter id="odd" constant="false"/></listOfParameters>'
    files = model_files.ModelFiles(
        "tiny", {"sbml": text.replace("</listOfParameters>", odd)}
    )
    with pytest.raises(
        ModelError, match=r"tiny: odd `exp\(A\)`.*expected dimensionless"
    ):
        library.assemble(files, backend="numpy")
    assert library.assemble(files, backend="numpy", unit_policy="ignore")


def test_a_unit_error_stops_also_when_the_kernels_are_cached():
    """Units are no part of the kernels, so a cached file says nothing about them."""
    text = support.to_sbml(with_rate("k1*exp(A)"))
    files = model_files.ModelFiles("tiny", {"sbml": text})
    library.assemble(files, backend="numpy", unit_policy="ignore")
    with pytest.raises(ModelError, match=r"r1 `k1\*exp\(A\)`.*dimensionless"):
        library.assemble(files, backend="numpy")


# ------------------------------------------------------------------------- advice
def test_a_reactant_that_the_rate_does_not_notice_is_a_warning():
    issues = lint.advice(with_rate("k1*B", "A ->"))
    assert only(issues, "consumption") == (
        "Reaction `r1` consumes `A`, but its rate `k1*B` does not depend on it: "
        "`A` can become negative."
    )
    assert issues[0].severity == "warning"


@pytest.mark.parametrize(
    ("rate", "arrow"), [("k1*total", "A ->"), ("k1", "A -> A + B")]
)
def test_a_rate_through_a_rule_or_a_catalyst_is_fine(rate, arrow):
    assert messages(lint.advice(with_rate(rate, arrow)), "consumption") == []


def test_a_net_consumption_without_dependence_is_a_warning():
    assert len(messages(lint.advice(with_rate("k1", "2 A -> A")), "consumption")) == 1


def test_unused_names_are_warnings():
    idle = replace(
        SOUND,
        species=(*SOUND.species, ir.Species("X", "cell", 1.0)),
        parameters=(*SOUND.parameters, ir.Parameter("k9", 1.0)),
    )
    assert messages(lint.advice(idle), "unused") == [
        "Parameter `k9` is used nowhere.",
        "Species `X` takes part in nothing.",
    ]


# ------------------------------------------------------------------------ sources
VALUES = {"cell": 1.0, "k1": 0.5, "k2": 0.1, "A": 3.0, "B": 1.0}


def table(**changes):
    rows = {
        key: SourcedNumber(key, value, "", "measured", "someone 2001", "", line)
        for line, (key, value) in enumerate(VALUES.items(), start=2)
    }
    for key, change in changes.items():
        row = rows.get(key) or SourcedNumber(key, 1.0, "", "assumed", "none", "", 9)
        rows[key] = replace(row, **change)
    return rows


def test_a_table_with_a_source_for_every_number_is_sound():
    assert sources.source_issues(SOUND, table(), "t.tsv") == []


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            {k: v for k, v in table().items() if k != "k2"},
            "`k2` has no row in t.tsv, so no source.",
        ),
        (
            table(k1={"value": 0.4}),
            "t.tsv, line 3: `k1` is 0.4 here, 0.5 in the model.",
        ),
        (table(k1={"source": ""}), "t.tsv, line 3: `k1` has no source."),
        (
            table(k1={"status": "guessed"}),
            "t.tsv, line 3: status of `k1` must be one of measured, derived, recalled,",
        ),
        (
            table(cel={}),
            "t.tsv, line 9: the model has no `cel`. Did you mean `cell`?",
        ),
    ],
    ids=["missing", "differs", "no source", "status", "unknown"],
)
def test_a_fault_in_the_table_of_sources_is_named(rows, words):
    issues = sources.source_issues(SOUND, rows, "t.tsv")
    assert [issue.severity for issue in issues] == ["error"]
    assert issues[0].message.startswith(words)


def test_the_list_of_known_names_has_a_fixed_order():
    """The names of a set change order from process to process."""
    message = sources.source_issues(SOUND, table(zzz={}), "t.tsv")[0].message
    assert "Known: cell, A, B, k1, k2, total." in message


def test_a_broken_table_is_refused_by_line():
    head = "id\tvalue\tunit\tstatus\tsource\tnote\n"
    row = "k\tmany\t\tassumed\tnone\t\n"
    files = model_files.ModelFiles("m", {"sbml": "", "parameters": head + row})
    with pytest.raises(ModelError, match=r"m.parameters.tsv, line 2.*got `many`"):
        model_metadata.parameter_table(files)
    twice = head + "k\t1\t\tassumed\tnone\t\n" * 2
    with pytest.raises(ModelError, match=r"line 3: `k` stands twice"):
        model_metadata.parameter_table(replace(files, texts={"parameters": twice}))
    with pytest.raises(ModelError, match=r"lacks the columns note, source"):
        model_metadata.parameter_table(
            replace(files, texts={"parameters": "id\tvalue\tunit\tstatus\n"})
        )


# ------------------------------------------------------------- rates and constraints
PER_TIME = (("second", -1.0, 0, 1.0),)


def test_the_unit_of_a_slope_is_that_of_its_quantity_over_time():
    slope = expressions.Call(expressions.RATE_OF, (expressions.Symbol("A"),))
    net = with_units(k1=PER_TIME, k2=PER_TIME)
    right = replace(net, rules=(ir.Rule("assignment", "total", slope),))
    total = next(p for p in right.parameters if p.id == "total")
    others = tuple(p for p in right.parameters if p.id != "total")
    given = replace(total, unit=(*ITEM, *PER_TIME))
    good = replace(right, parameters=(*others, given))
    assert unit_check.unit_issues(good) == []
    bad = replace(right, parameters=(*others, replace(total, unit=ITEM)))
    assert len(messages(unit_check.unit_issues(bad), "units")) == 1


def test_the_rate_of_a_reaction_has_a_unit():
    net = with_units(k1=PER_TIME, k2=PER_TIME)
    rules = (ir.Rule("assignment", "total", expr("r1 + A")),)
    assert only(unit_check.unit_issues(replace(net, rules=rules)), "units").startswith(
        "total"
    )


def test_an_algebraic_rule_must_not_add_unlike_units():
    net = replace(with_units(k1=PER_TIME, k2=PER_TIME), algebraic=(expr("A - k1"),))
    message = only(unit_check.unit_issues(net), "units")
    assert message.startswith("algebraic rule 1 `A - k1`: ")
