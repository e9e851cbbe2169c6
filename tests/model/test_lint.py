"""One test a rule: break one thing in a sound network and read the sentence."""

from dataclasses import replace

import pytest
from sound import (
    SOUND,
    messages,
    only,
    with_rate,
    with_rule,
)
from support import expr, reaction

from mir21sim.errors import ModelError
from mir21sim.model import files as model_files
from mir21sim.model import lint, sources, unit_check
from mir21sim.model import metadata as model_metadata
from mir21sim.model.network import Compartment, InitialAssignment, Parameter, Species
from mir21sim.model.sources import SourcedNumber


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
        parameters=(*SOUND.parameters, Parameter("Aa", None)),
    )
    assert only(lint.structure_issues(misspelt), "no value").startswith(
        "The formula of reaction `r1` uses `Aa`, which has no value. "
        "Did you mean `A`?"
    )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {
            "compartments": (Compartment("cell", None),),
            "species": (replace(SOUND.species[0], only_amount=False), SOUND.species[1]),
        },
        {"species": (Species("A", "cell", None), SOUND.species[1])},
    ],
    ids=["compartment", "species"],
)
def test_a_size_or_amount_without_a_value_is_an_error(change):
    assert (
        len(messages(lint.structure_issues(replace(SOUND, **change)), "no value")) == 1
    )


def test_a_size_that_nothing_needs_may_be_absent():
    idle = replace(SOUND, compartments=(Compartment("cell", None),))
    assert lint.structure_issues(idle) == []


def test_a_formula_gives_a_value():
    without = replace(SOUND, species=(Species("A", "cell", None), SOUND.species[1]))
    given = replace(without, initial_assignments=(InitialAssignment("A", expr("2*B")),))
    assert lint.structure_issues(given) == []


def test_an_id_used_twice_is_named():
    doubled = replace(SOUND, parameters=(*SOUND.parameters, Parameter("A", 1.0)))
    assert "The id `A` is used twice." in messages(
        lint.structure_issues(doubled), "duplicate"
    )


def test_a_reaction_may_not_share_an_id_with_a_species():
    clash = replace(SOUND, reactions=(reaction("A", "A -> B", "k1*A"),))
    assert (
        only(lint.structure_issues(clash), "duplicate") == "The id `A` is used twice."
    )


def test_an_unknown_compartment_is_named_with_the_near_one():
    lost = replace(SOUND, species=(Species("A", "cel", 1.0), SOUND.species[1]))
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
        species=(*SOUND.species, Species("X", "cell", 1.0)),
        parameters=(*SOUND.parameters, Parameter("k9", 1.0)),
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
