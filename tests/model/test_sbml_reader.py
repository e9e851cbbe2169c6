"""SBML → Network: everything written is read, and a refusal names its element."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import support
from hypothesis import given, settings
from hypothesis import strategies as st
from support import MATH, SBML, expr, reaction

from mir21sim.errors import ModelError, UnsupportedFeatureError
from mir21sim.model import expressions as ex
from mir21sim.model.formats.sbml_formulas import MAX_DEPTH
from mir21sim.model.formats.sbml_reader import read_sbml
from mir21sim.model.network import Species

TINY = support.network(
    {"A": 3.0, "B": 0.0},
    {"k": 0.5},
    [reaction("r1", "A -> B", "k*A")],
    rules={"total": "A + B"},
    starts={"B": "2*A"},
)


def read(net=TINY, **replaced):
    return read_sbml(support.to_sbml(net, **replaced), "tiny.xml")


def rate(formula, *, functions="", parameters=("k",)):
    """Return the rate that a formula, given as MathML, is read as."""
    listed = "".join(
        f'<parameter id="{p}" constant="true" value="1"/>' for p in parameters
    )
    text = (
        f'<reaction id="r1" reversible="false"><kineticLaw>{MATH}{formula}</math>'
        "</kineticLaw></reaction>"
    )
    return (
        read(
            functions=f"<listOfFunctionDefinitions>{functions}</listOfFunctionDefinitions>",
            parameters=f"<listOfParameters>{listed}</listOfParameters>",
            rules="",
            starts="",
            reactions=f"<listOfReactions>{text}</listOfReactions>",
        )
        .reactions[0]
        .rate
    )


def function(name, arguments, body):
    bound = "".join(f"<bvar><ci>{a}</ci></bvar>" for a in arguments)
    return (
        f'<functionDefinition id="{name}">{MATH}<lambda>{bound}{body}</lambda></math>'
        "</functionDefinition>"
    )


def call(name, *arguments):
    return f"<apply><ci>{name}</ci>{''.join(arguments)}</apply>"


def nested(depth):
    return "<apply><sin/>" * depth + "<ci>k</ci>" + "</apply>" * depth


# ------------------------------------------------------------------------ reading
def test_a_network_is_read_as_it_was_written():
    declared = replace(
        TINY, species=tuple(replace(s, unit=support.ITEM) for s in TINY.species)
    )
    assert read() == declared


@settings(max_examples=30)
@given(
    st.lists(
        st.sampled_from(["k*A", "A*B/(k + B)", "k*A**2", "k*time", "exp(-A)*k"]),
        min_size=1,
        max_size=4,
    ),
    # libSBML refuses a file with a subnormal number, such as 1e-308, by its line.
    st.floats(0, 1e12, allow_subnormal=False),
)
def test_any_rates_and_amounts_survive(rates, amount):
    reactions = [reaction(f"r{i}", "A -> 2 B", rate) for i, rate in enumerate(rates)]
    net = support.network({"A": amount, "B": 1.0}, {"k": 0.1}, reactions)
    got = read(net)
    assert got.reactions == net.reactions
    assert got.species[0].initial == amount


@pytest.mark.parametrize("only_amount", [True, False], ids=["amount", "concentration"])
def test_a_species_id_means_amount_or_concentration_as_declared(only_amount):
    a = Species("A", "cell", 6.0, only_amount=only_amount)
    net = replace(
        support.network(
            {}, {"k": 2.0}, [reaction("r1", "A ->", "k*A")], size=4.0
        ),
        species=(a,),
    )  # fmt: skip
    model = support.compiled(net)
    out = np.empty(1)
    model.kernels.rhs(0.0, model.y0, model.p0, out)
    assert out[0] == (-12.0 if only_amount else -3.0)


def test_an_initial_concentration_becomes_an_amount():
    a = Species("A", "cell", 6.0, initial_is_concentration=True)
    net = replace(support.network({}, {}, [], size=4.0), species=(a,))
    assert support.compiled(net).y0 == pytest.approx([24.0])


def test_local_parameters_are_renamed_and_win_over_global_ones():
    text = (
        '<reaction id="r1" reversible="false"><kineticLaw>'
        f"{MATH}<apply><times/><ci>k</ci><ci>j</ci></apply></math>"
        '<listOfLocalParameters><localParameter id="k" value="7"/>'
        "</listOfLocalParameters></kineticLaw></reaction>"
    )
    parameters = (
        '<listOfParameters><parameter id="k" constant="true" value="1"/>'
        '<parameter id="j" constant="true" value="2"/></listOfParameters>'
    )
    reactions = f"<listOfReactions>{text}</listOfReactions>"
    net = read(parameters=parameters, rules="", starts="", reactions=reactions)
    assert net.reactions[0].rate == ex.Call(
        "times", (ex.Symbol("r1.k"), ex.Symbol("j"))
    )
    assert {p.id: p.value for p in net.parameters} == {"k": 1.0, "j": 2.0, "r1.k": 7.0}


def test_function_definitions_are_inlined_with_their_arguments():
    inner = function("twice", ["x"], "<apply><plus/><ci>x</ci><ci>x</ci></apply>")
    outer = function("grow", ["y"], call("twice", call("twice", "<ci>y</ci>")))
    got = rate(call("grow", "<ci>k</ci>"), functions=inner + outer)
    assert {*ex.symbols(got)} == {"k"}
    assert support.value(got, {"k": 3.0}) == 12.0


def test_nesting_that_would_overflow_the_parser_is_refused():
    """libSBML recurses in C++: too deep a formula ends the whole process."""
    code = "import test_sbml_reader as t; t.rate(t.nested(20_000))"
    folders = [Path(__file__).parent, *Path(__file__).parents[1:3]]
    path = os.pathsep.join(map(str, folders))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "ModelError" in done.stderr


def test_depth_counts_through_function_definitions():
    f = function("f", ["x"], nested(MAX_DEPTH // 2).replace(">k<", ">x<"))
    twice = call("f", call("f", call("f", "<ci>k</ci>")))
    with pytest.raises(ModelError, match=r"reaction `r1` is nested deeper"):
        rate(twice, functions=f)


def test_a_long_sum_is_not_deep():
    terms = "<ci>k</ci>" * 500
    pairs = "<apply><plus/><ci>k</ci>" * 500 + "<ci>k</ci>" + "</apply>" * 500
    assert support.value(rate(f"<apply><plus/>{terms}</apply>"), {"k": 1.0}) == 500.0
    assert support.value(rate(pairs), {"k": 1.0}) == 501.0


def test_an_argument_may_carry_the_name_of_a_parameter():
    swap = function("swap", ["k", "j"], "<apply><minus/><ci>j</ci><ci>k</ci></apply>")
    got = rate(
        call("swap", "<ci>j</ci>", "<ci>k</ci>"), functions=swap, parameters=("k", "j")
    )
    assert got == expr("k - j")


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("<apply><plus/></apply>", "0"),
        ("<apply><times/></apply>", "1"),
        ("<apply><plus/><ci>k</ci></apply>", "k"),
        ("<apply><root/><ci>k</ci></apply>", "root(2, k)"),
        ("<apply><log/><ci>k</ci></apply>", "log(10, k)"),
        ("<apply><log/><logbase><cn>2</cn></logbase><ci>k</ci></apply>", "log(2, k)"),
        ("<apply><minus/><ci>k</ci></apply>", "-k"),
        ("<apply><leq/><ci>k</ci><cn>2</cn></apply>", "k<=2"),
        ("<apply><factorial/><ci>k</ci></apply>", "factorial(k)"),
    ],
)
def test_mathml_reads_as(formula, expected):
    assert ex.text(rate(formula)) == expected


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ('<cn type="e-notation">1.5<sep/>-3</cn>', 1.5e-3),
        ('<cn type="rational">1<sep/>4</cn>', 0.25),
        ('<cn type="integer">-7</cn>', -7.0),
        ("<cn>0.1</cn>", 0.1),
        ("<pi/>", 3.141592653589793),
        ("<exponentiale/>", 2.718281828459045),
    ],
)
def test_literals_keep_every_digit(formula, expected):
    assert rate(formula) == ex.Number(expected)


def test_initial_assignments_win_over_initial_amounts():
    model = support.compiled(TINY)
    assert dict(zip(model.state_names, model.y0, strict=True)) == {"A": 3.0, "B": 6.0}


# -------------------------------------------------------------------------- units
def test_level_3_units_are_those_declared():
    assert read().units == support.UNITS


LEVEL_2 = f"""<sbml level="2" version="4"
xmlns="http://www.sbml.org/sbml/level2/version4"><model id="old">UNITS
<listOfCompartments><compartment id="cell" size="2"/>
</listOfCompartments><listOfSpecies><species id="A" compartment="cell"
initialAmount="5"/></listOfSpecies><listOfReactions><reaction id="r1"><listOfReactants>
<speciesReference species="A"/></listOfReactants><kineticLaw>{MATH}<apply><times/>
<ci>k</ci><ci>A</ci></apply></math><listOfParameters><parameter id="k" value="3"/>
</listOfParameters></kineticLaw></reaction></listOfReactions></model></sbml>"""


def test_level_2_has_moles_litres_and_seconds_by_itself():
    net = read_sbml(LEVEL_2.replace("UNITS", ""), "old.xml")
    assert net.units.substance == (("mole", 1.0, 0, 1.0),)
    assert net.units.volume == (("litre", 1.0, 0, 1.0),)
    assert net.units.time == (("second", 1.0, 0, 1.0),)
    assert net.parameters[0].id == "r1.k"
    assert net.reactions[0].reactants == (("A", 1.0),)


def test_level_2_units_may_be_redefined():
    units = (
        '<listOfUnitDefinitions><unitDefinition id="substance"><listOfUnits>'
        '<unit kind="item"/></listOfUnits></unitDefinition></listOfUnitDefinitions>'
    )
    net = read_sbml(LEVEL_2.replace("UNITS", units), "old.xml")
    assert net.units.substance == net.units.extent == (("item", 1.0, 0, 1.0),)


# ------------------------------------------------------------------------- refusals


def _reaction(attributes='id="r1"', inside="", law=f"{MATH}<ci>k</ci></math>"):
    return (
        f'<listOfReactions><reaction {attributes} reversible="false">{inside}'
        f"<kineticLaw>{law}</kineticLaw></reaction></listOfReactions>"
    )


REFUSED = {
    "no rate law": (
        {"reactions": '<listOfReactions><reaction id="r1" reversible="false"/>'
         "</listOfReactions>"},
        "reaction `r1` without a rate law",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_an_unsupported_construct_is_refused_by_name_and_id(case):
    replaced, words = REFUSED[case]
    with pytest.raises(UnsupportedFeatureError, match=rf"tiny.xml uses .*{words}"):
        read(**replaced)


def test_all_unsupported_constructs_are_named_at_once():
    one = REFUSED["no rate law"][0]["reactions"]
    two = '<reaction id="r2" reversible="false"/></listOfReactions>'
    words = r"reaction `r1` without a rate law; reaction `r2` without a rate law"
    with pytest.raises(UnsupportedFeatureError, match=words):
        read(reactions=one.replace("</listOfReactions>", two))


def test_a_required_package_is_refused():
    text = support.to_sbml(TINY).replace(
        "<sbml ",
        '<sbml xmlns:comp="http://www.sbml.org/sbml/level3/version1/comp/version1" '
        'comp:required="true" ',
    )
    with pytest.raises(UnsupportedFeatureError, match=r"package `comp`"):
        read_sbml(text, "tiny.xml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "tiny.xml is not valid SBML"),
        ("A -> B; k*A", "tiny.xml is not valid SBML"),
        ("<sbml><model>", "tiny.xml is not valid SBML"),
        (f"{SBML}</sbml>", "tiny.xml"),
        ("<html><body/></html>", "tiny.xml"),
    ],
    ids=["empty", "Antimony", "cut short", "no model", "other XML"],
)
def test_text_that_is_no_model_is_refused_with_the_file_name(text, words):
    with pytest.raises(ModelError, match=words):
        read_sbml(text, "tiny.xml")


@pytest.mark.parametrize(
    "prefix",
    [
        '<!DOCTYPE sbml [<!ENTITY a "b">]>',
        "<!DOCTYPE sbml>",
        '<!DOCTYPE sbml SYSTEM "file:///etc/passwd">',
    ],
    ids=["both", "doctype", "external"],
)
def test_xml_entities_are_refused_before_parsing(prefix):
    with pytest.raises(ModelError, match=r"tiny.xml declares XML entities"):
        read_sbml(prefix + support.to_sbml(TINY), "tiny.xml")


# ------------------------------------------------------------------------- formulas
def test_a_formula_too_deep_is_refused_by_the_reaction():
    with pytest.raises(
        ModelError, match=rf"reaction `r1` is nested deeper.*{MAX_DEPTH}"
    ):
        rate(nested(MAX_DEPTH + 1))


def test_the_deepest_formula_allowed_compiles_and_differentiates():
    deep = expr("A/K")
    for _ in range(MAX_DEPTH - 3):
        deep = ex.Call("sin", (deep,))
    deep = ex.Call("times", (ex.Symbol("k"), deep))
    model = support.compiled(
        support.network(
            {"A": 1.0}, {"k": 1.0, "K": 1.0}, [reaction("r1", "A ->", deep)]
        )
    )
    out = np.empty(1)
    model.kernels.rhs(0.0, model.y0, model.p0, out)
    assert -1.0 < out[0] < 0.0


def test_a_function_defined_through_itself_is_refused_with_the_cycle():
    f = function("f", ["x"], call("g", "<ci>x</ci>"))
    g = function("g", ["x"], call("f", "<ci>x</ci>"))
    with pytest.raises(ModelError, match=r"(recursive|itself).*\bf\b"):
        rate(call("f", "<ci>k</ci>"), functions=f + g)


def test_a_call_with_too_few_arguments_says_how_many():
    f = function("mm", ["x", "y"], "<apply><plus/><ci>x</ci><ci>y</ci></apply>")
    with pytest.raises(ModelError, match=r"`r1` calls `mm` with 1 arguments.*takes 2"):
        rate(call("mm", "<ci>k</ci>"), functions=f)


def test_an_unknown_function_suggests_the_near_name():
    f = function("michaelis", ["x"], "<ci>x</ci>")
    words = r"`r1` calls `michaelys`, which is not a function.*mean `michaelis`"
    with pytest.raises(ModelError, match=words):
        rate(call("michaelys", "<ci>k</ci>"), functions=f)
