"""Numbers that a file leaves open, and functions that stand for others."""

import numpy as np
import pytest

import mir21sim as ms
from mir21sim.compiler import algebraic
from mir21sim.errors import ModelWarning
from mir21sim.model import expressions as ex

MATH = 'xmlns="http://www.w3.org/1998/Math/MathML"'


def document(*, functions="", size='size="2"', start='initialAmount="8"', rules=""):
    """Return a file in which A decays at 0.5 per time, in a compartment."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1">
<model id="m">{functions}
<listOfCompartments>
  <compartment id="c" spatialDimensions="3" {size} constant="true"/>
</listOfCompartments>
<listOfSpecies>
  <species id="A" compartment="c" {start} hasOnlySubstanceUnits="false"
    boundaryCondition="false" constant="false"/>
</listOfSpecies>
<listOfParameters><parameter id="x" constant="false"/></listOfParameters>
<listOfRules><assignmentRule variable="x"><math {MATH}>{rules or "<ci>A</ci>"}</math>
</assignmentRule></listOfRules>
<listOfReactions><reaction id="r" reversible="false" fast="false">
  <listOfReactants><speciesReference species="A" stoichiometry="1" constant="true"/>
  </listOfReactants>
  <kineticLaw><math {MATH}><apply><times/><cn>0.5</cn><ci>c</ci><ci>A</ci></apply>
  </math></kineticLaw>
</reaction></listOfReactions>
</model></sbml>"""


def last(model, name):
    """Return the value of a quantity at time 2."""
    run = ms.simulate(model, 2.0, points=2, observe=[name], doses=[])
    return float(run[name][-1])


def test_a_compartment_without_a_size_has_one_and_the_file_says_so(load):
    """BioModels 325, 348, 349, 368, 369: libRoadRunner and COPASI take 1."""
    text = document(size="", start='initialConcentration="8"')
    with pytest.warns(ModelWarning, match="gives no size for `c`; 1 is taken"):
        model = load(text)
    assert last(model, "A") == pytest.approx(8 * np.exp(-1.0), rel=1e-5)


def test_a_species_without_a_start_value_starts_at_zero(load):
    """BioModels 113 and 380."""
    with pytest.warns(ModelWarning, match="no start value for `A`; 0 is taken"):
        model = load(document(start=""))
    assert last(model, "A") == 0.0


def test_the_function_that_copasi_writes_for_a_rate_of_change_is_one(load):
    """BioModels 956: the function is NaN, its annotation says what it means."""
    functions = f"""<listOfFunctionDefinitions><functionDefinition id="rateOf">
<annotation><symbols xmlns="http://sbml.org/annotations/symbols"
 definition="http://en.wikipedia.org/wiki/Derivative"/></annotation>
<math {MATH}><lambda><bvar><ci>a</ci></bvar><notanumber/></lambda></math>
</functionDefinition></listOfFunctionDefinitions>"""
    rules = "<apply><ci>rateOf</ci><ci>A</ci></apply>"
    model = load(document(functions=functions, rules=rules))
    # A is 8/2 at the start; d[A]/dt = -0.5 [A].
    assert last(model, "x") == pytest.approx(-0.5 * 4 * np.exp(-1.0), rel=1e-5)


@pytest.mark.parametrize(
    ("relation", "expected"), [("lt", 2.0), ("geq", 2.0), ("eq", 2.0), ("neq", 1.0)]
)
def test_what_is_not_a_number_is_unlike_all(load, relation, expected):
    rules = f"""<piecewise><piece><cn>1</cn><apply><{relation}/><notanumber/><cn>3</cn>
</apply></piece><otherwise><cn>2</cn></otherwise></piecewise>"""
    assert last(load(document(rules=rules)), "x") == expected


def test_the_size_of_nothing_is_not_a_number(load):
    """BioModels 696: it was an internal error of SymPy."""
    rules = "<apply><abs/><notanumber/></apply>"
    assert np.isnan(last(load(document(rules=rules)), "x"))


def test_formulas_that_share_parts_are_walked_once():
    """BioModels 588: 2⁶⁰ nodes as a tree, 60 as they are stored."""
    shared: ex.Expr = ex.Symbol("a")
    for _ in range(60):
        shared = ex.Call("plus", (shared, shared))
    made = ex.substitute(shared, {"a": ex.Symbol("b")})
    assert isinstance(made, ex.Call)
    assert made.args[0] is made.args[1]
    assert ex.substitute(shared, {"c": ex.Symbol("b")}) is shared
    line = algebraic._linear(ex.Call("times", (ex.Symbol("x"), shared)), "x")
    assert line is not None
    assert line[0] is shared
