"""Submodels, Level 1, and the equations that a document becomes."""

import math
from dataclasses import replace

import numpy as np
import pytest
import support
from sbml_text import (
    CLOSE,
    COMP,
    HOURS,
    compartment,
    document,
    parameter,
    reaction,
    reference,
    rule,
    species,
)

import mir21sim as ms
from mir21sim.compiler.equations import equations
from mir21sim.errors import (
    InputError,
    ModelError,
)
from mir21sim.model import expressions as ex


# ------------------------------------------------------------------- hierarchies
def hierarchy(submodels, definitions, top=""):
    instances = "".join(
        f'<comp:submodel comp:id="{name}" comp:modelRef="{of}"/>'
        for name, of in submodels
    )
    return (
        support.SBML.replace(">", f' xmlns:comp="{COMP}" comp:required="true">')
        + f'<model id="top" timeUnits="h">{HOURS}{top}<comp:listOfSubmodels>{instances}'
        f"</comp:listOfSubmodels></model>{definitions}</sbml>"
    )


def decay(rate):
    inside = document(
        pools=[species("A", amount="true")],
        parameters=[parameter("k", rate)],
        reactions=[reaction("r", [reference("A")], [], "k*A")],
    )
    return inside[inside.index("<listOfUnit") : inside.index("</model>")]


def test_submodels_are_flattened(load):
    definitions = (
        '<comp:listOfModelDefinitions><comp:modelDefinition id="d" timeUnits="h">'
        f"{decay(0.5)}</comp:modelDefinition></comp:listOfModelDefinitions>"
    )
    shared = (
        '<listOfParameters><parameter id="k" value="0.8" constant="true">'
        '<comp:listOfReplacedElements><comp:replacedElement comp:idRef="k" '
        'comp:submodelRef="b"/></comp:listOfReplacedElements></parameter>'
        "</listOfParameters>"
    )
    model = load(hierarchy([("a", "d"), ("b", "d")], definitions, shared))
    result = ms.simulate(model, 1.0, points=2, observe=["a__A", "b__A"])
    assert float(result["a__A"][-1]) == pytest.approx(math.exp(-0.5), rel=1e-5)
    assert float(result["b__A"][-1]) == pytest.approx(math.exp(-0.8), rel=1e-5)
    assert "submodel" not in model.source["sbml"]  # a result can be run again alone


def external(source):
    return hierarchy(
        [("a", "e")],
        "<comp:listOfExternalModelDefinitions><comp:externalModelDefinition "
        f'comp:id="e" comp:source="{source}"/></comp:listOfExternalModelDefinitions>',
    )


def test_an_external_model_lies_beside_the_file(load, tmp_path):
    part = f'{support.SBML}<model id="part" timeUnits="h">{decay(0.5)}</model></sbml>'
    (tmp_path / "part.xml").write_text(part, encoding="utf-8")
    result = ms.simulate(load(external("part.xml")), 1.0, points=2, observe="a__A")
    assert float(result["a__A"][-1]) == pytest.approx(math.exp(-0.5), rel=1e-5)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("absent.xml", "`absent.xml` of the external model `e` does not exist"),
        ("../part.xml", "must be a file beside it, got `../part.xml`"),
        ("..%2Fpart.xml", "must be a file beside it, got `../part.xml`"),
        ("/etc/passwd", "must be a file beside it, got `/etc/passwd`"),
        ("http://example.org/m.xml", "must be a file beside it, got `http:"),
    ],
)
def test_an_external_model_elsewhere_is_refused(load, source, words):
    with pytest.raises(ModelError, match=words):
        load(external(source))


def test_an_external_model_is_as_harmless_as_the_model(load, tmp_path):
    (tmp_path / "part.xml").write_text("<!DOCTYPE x><sbml/>", encoding="utf-8")
    with pytest.raises(ModelError, match=r"part.xml declares XML entities"):
        load(external("part.xml"))


def test_a_submodel_that_does_not_exist_is_told(load):
    with pytest.raises(ModelError, match=r"submodels do not fit together: .*"):
        load(hierarchy([("a", "nothing")], ""))


# ------------------------------------------------------------------------ equations
def test_needs_follow_definitions_and_rates():
    net = support.network(
        {"A": 1.0, "B": 1.0, "C": 1.0},
        {"k": 1.0},
        [support.reaction("r", "A ->", "k*A")],
        rules={"x": "B + 1"},
        rate_rules={"z": "C"},
    )
    assert equations(net).needs(["x"]) == {"x", "B"}
    assert equations(net).needs(["r"]) == {"r", "k", "A"}
    assert equations(net).needs(["d z/dt"]) == {"d z/dt", "C"}


def test_a_dose_cannot_go_into_what_a_rule_sets(load):
    model = load(
        document(
            pools=[species("A", amount="true")], rules=[rule("assignment", "A", "2")]
        )
    )
    with pytest.raises(InputError, match="`A`"):
        ms.simulate(model, 1.0, doses="A=1 molecule@0h")


def test_algebraic_rules_decide_the_kernels():
    net = support.network({}, {"x": 0.0}, [])
    one = replace(net, algebraic=(ex.Symbol("x"),))
    assert one.structure_digest() != net.structure_digest()


def test_what_is_on_a_membrane_has_its_density_and_no_molar_concentration(load):
    text = document(
        compartments=[compartment("cell", "3", dimensions="2")],
        pools=[species("A", 'initialAmount="6"')],
    )
    found = ms.simulate(load(text), 1.0, points=2, observe=["A", "[A]"])
    assert found["A"].values.tolist() == found["[A]"].values.tolist() == [2.0, 2.0]
    ours = text.replace('timeUnits="h"', 'timeUnits="second" substanceUnits="item"')
    assert float(ms.simulate(load(ours), 1.0, points=2, observe="A")["A"][0]) == 6.0
    with pytest.raises(InputError, match=r"`A` is in compartment `cell` of 2 dimen"):
        ms.simulate(load(ours), 1.0, points=2, observe="[A]")


# --------------------------------------------------------------------------- Level 1
def level_1(text):
    head = '<sbml xmlns="http://www.sbml.org/sbml/level1" level="1" version="2">'
    return f'{head}<model name="m">{text}</model></sbml>'


POOL = (
    '<listOfCompartments><compartment name="cell"/></listOfCompartments>'
    '<listOfSpecies><species name="A" compartment="cell" initialAmount="1"/>'
    '<species name="B" compartment="cell" initialAmount="0"/></listOfSpecies>'
)


def test_level_1_has_fractions_a_default_size_and_functions_of_its_own(load):
    text = level_1(
        f'{POOL}<listOfParameters><parameter name="k" value="0.5"/></listOfParameters>'
        '<listOfReactions><reaction name="r"><listOfReactants>'
        '<speciesReference species="A" stoichiometry="3" denominator="2"/>'
        '</listOfReactants><kineticLaw formula="sqr(k)*4*A/pow(cell, 2)"/></reaction>'
        "</listOfReactions>"
    )
    seconds = np.array([0.0, 1.0, 2.0])
    model = load(text)
    result = ms.simulate(
        model, times=seconds, observe="A", options=ms.Options(rtol=1e-10)
    )
    assert result["A"].attrs["units"] == "mol/l"
    np.testing.assert_allclose(result["A"], np.exp(-1.5 * seconds), **CLOSE)


def test_in_level_1_what_has_a_rule_varies(load):
    rules = '<parameterRule name="k" formula="2*A"/>'
    given = '<listOfParameters><parameter name="k" value="1"/></listOfParameters>'
    model = load(level_1(f"{POOL}{given}<listOfRules>{rules}</listOfRules>"))
    result = ms.simulate(model, 1.0, points=2, observe="k")
    assert float(result["k"][-1]) == 2.0


def test_in_level_1_a_rule_does_not_set_a_parameter_that_has_a_value(load):
    rules = '<listOfRules><algebraicRule formula="k*B - A"/></listOfRules>'
    given = '<listOfParameters><parameter name="k" value="4"/></listOfParameters>'
    with pytest.raises(ModelError, match="does not say which of `B`, `A`"):
        load(level_1(POOL + given + rules))
