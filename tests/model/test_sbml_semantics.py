"""What SBML says about volumes, counts, rates and rules, against closed forms."""

import math
from dataclasses import replace

import libsbml
import numpy as np
import pytest
import support
from hypothesis import given, settings
from hypothesis import strategies as st

import mir21sim as ms
from mir21sim.compiler.equations import equations
from mir21sim.errors import (
    InputError,
    ModelError,
    ModelWarning,
    UnsupportedFeatureError,
)
from mir21sim.model import expressions as ex

HOURS = (
    '<listOfUnitDefinitions><unitDefinition id="h"><listOfUnits><unit kind="second" '
    'exponent="1" scale="0" multiplier="3600"/></listOfUnits></unitDefinition>'
    "</listOfUnitDefinitions>"
)
COMP = "http://www.sbml.org/sbml/level3/version1/comp/version1"
CLOSE = {"rtol": 1e-7, "atol": 1e-9}


# ------------------------------------------------------------------ writing SBML
def formula(text):
    """Return MathML of an infix formula."""
    node = libsbml.parseL3Formula(text)
    assert node is not None, libsbml.getLastParseL3Error()
    return libsbml.writeMathMLToString(node).partition("?>")[2]


def listed(kind, items):
    return f"<listOf{kind}>{''.join(items)}</listOf{kind}>" if items else ""


def compartment(name, size="1", constant="true", dimensions="3"):
    given_size = f'size="{size}"' if size else ""
    return (
        f'<compartment id="{name}" spatialDimensions="{dimensions}" {given_size} '
        f'constant="{constant}"/>'
    )


def species(name, start='initialConcentration="1"', *, amount="false", extra=""):
    more = {"boundaryCondition": "false", "constant": "false"}
    more = {k: v for k, v in more.items() if k not in extra}
    rest = " ".join(f'{k}="{v}"' for k, v in more.items())
    return (
        f'<species id="{name}" compartment="cell" {start} '
        f'hasOnlySubstanceUnits="{amount}" {rest} {extra}/>'
    )


def parameter(name, value="", constant="true"):
    given_value = f'value="{value}"' if value != "" else ""
    return f'<parameter id="{name}" {given_value} constant="{constant}"/>'


def reference(name, count="1", *, id_="", constant="true"):
    given_id = f'id="{id_}"' if id_ else ""
    given_count = f'stoichiometry="{count}"' if count else ""
    return (
        f'<speciesReference species="{name}" {given_id} {given_count} '
        f'constant="{constant}"/>'
    )


def reaction(name, reactants, products, rate, local=()):
    return (
        f'<reaction id="{name}" reversible="false">{listed("Reactants", reactants)}'
        f"{listed('Products', products)}<kineticLaw>{formula(rate)}"
        f"{listed('LocalParameters', local)}</kineticLaw></reaction>"
    )


def rule(kind, variable, text):
    name = f'variable="{variable}"' if variable else ""
    return f"<{kind}Rule {name}>{formula(text)}</{kind}Rule>"


def start(variable, text):
    return f'<initialAssignment symbol="{variable}">{formula(text)}</initialAssignment>'


def document(
    *,
    compartments=None,
    pools=(),
    parameters=(),
    starts=(),
    rules=(),
    reactions=(),
    attributes="",
    functions=(),
):
    inside = "".join(
        (
            listed("FunctionDefinitions", functions),
            HOURS,
            listed("Compartments", compartments or [compartment("cell")]),
            listed("Species", pools),
            listed("Parameters", parameters),
            listed("InitialAssignments", starts),
            listed("Rules", rules),
            listed("Reactions", reactions),
        )
    )
    head = f'{support.SBML}<model id="m" timeUnits="h" {attributes}>'
    return f"{head}{inside}</model></sbml>"


@pytest.fixture
def load(tmp_path):
    def from_text(text, **options):
        path = tmp_path / "m.xml"
        path.write_text(text, encoding="utf-8")
        options = {"backend": "numpy", "unit_policy": "ignore"} | options
        return ms.load(path, **options)

    return from_text


@pytest.fixture
def run(load):
    """Return a function that simulates a document for 2 h, {name: values}."""

    def simulate(*names, method=None, backend="numpy", **parts):
        result = ms.simulate(
            load(document(**parts), backend=backend),
            times=TIMES,
            observe=names,
            options=ms.Options(rtol=1e-10, method=method, allow_negative=True),
        )
        return {name: result[name].values for name in names}

    return simulate


TIMES = np.linspace(0.0, 2.0, 9)


# ------------------------------------------------------------------------ volumes
def test_a_rate_follows_the_concentration_in_a_growing_volume(run):
    """d(amount)/dt = -k·amount/V with V = 1 + t: amount = (1 + t)^-k."""
    found = run(
        "A",
        "cell",
        compartments=[compartment("cell", "1", "false")],
        pools=[species("A")],
        parameters=[parameter("k", 0.7)],
        rules=[rule("rate", "cell", "1")],
        reactions=[reaction("r", [reference("A")], [], "k*A")],
    )
    np.testing.assert_allclose(found["A"], (1 + TIMES) ** -0.7, **CLOSE)
    np.testing.assert_allclose(found["cell"], 1 + TIMES, **CLOSE)


@pytest.mark.parametrize(
    ("kind", "growth"), [("rate", "0.5*cell"), ("assignment", "exp(0.5*time)")]
)
def test_a_rate_rule_is_for_the_concentration_whatever_the_volume_does(
    run, kind, growth
):
    found = run(
        "A",
        compartments=[compartment("cell", "1", "false")],
        pools=[species("A")],
        rules=[rule(kind, "cell", growth), rule("rate", "A", "3")],
    )
    volume = np.exp(0.5 * TIMES)
    np.testing.assert_allclose(found["A"], (1 + 3 * TIMES) * volume, **CLOSE)


def test_an_assigned_concentration_is_an_amount_by_the_volume(run):
    found = run(
        "A",
        compartments=[compartment("cell", "4", "false")],
        pools=[species("A", "")],
        rules=[rule("rate", "cell", "2"), rule("assignment", "A", "1 + time")],
    )
    np.testing.assert_allclose(found["A"], (1 + TIMES) * (4 + 2 * TIMES), **CLOSE)


def test_an_amount_does_not_change_with_the_volume(run):
    found = run(
        "A",
        "x",
        compartments=[compartment("cell", "4", "false")],
        pools=[species("A", 'initialAmount="6"')],
        parameters=[parameter("x", constant="false")],
        rules=[rule("assignment", "cell", "4 + time"), rule("assignment", "x", "A")],
    )
    np.testing.assert_allclose(found["A"], 6.0)
    np.testing.assert_allclose(found["x"], 6.0 / (4 + TIMES), **CLOSE)


def test_what_is_in_a_point_is_counted_by_its_amount(run):
    found = run(
        "A",
        compartments=[compartment("cell", "", dimensions="0")],
        pools=[species("A", 'initialAmount="5"')],
        parameters=[parameter("k", 0.3)],
        reactions=[reaction("r", [reference("A")], [], "k*A")],
    )
    np.testing.assert_allclose(found["A"], 5 * np.exp(-0.3 * TIMES), **CLOSE)


def test_two_files_that_differ_in_an_initial_concentration_do_not_share_it(run):
    """The product of concentration and volume stands in the generated code."""
    for value in (1.0, 2.0):
        found = run("A", pools=[species("A", f'initialConcentration="{value}"')])
        np.testing.assert_array_equal(found["A"], value)


# ----------------------------------------------------------------- counts and factors
def test_conversion_factors_turn_extents_into_amounts(run):
    found = run(
        "A",
        "B",
        attributes='conversionFactor="f"',
        pools=[
            species("A", amount="true"),
            species("B", 'initialAmount="0"', extra='conversionFactor="g"'),
        ],
        parameters=[parameter("f", 3), parameter("g", 5), parameter("k", 0.2)],
        reactions=[reaction("r", [reference("A")], [reference("B", "2")], "k*A")],
    )
    left = np.exp(-0.6 * TIMES)
    np.testing.assert_allclose(found["A"], left, **CLOSE)
    np.testing.assert_allclose(found["B"], 2 * 5 / 3 * (1 - left), **CLOSE)


@pytest.mark.parametrize(
    ("rules", "starts", "expected"),
    [
        ([rule("rate", "n", "2")], [], 3 * TIMES + TIMES**2),
        ([rule("assignment", "n", "2*time")], [], TIMES**2),
        ([], [start("n", "k + 3")], 4 * TIMES),
    ],
    ids=["rate rule", "assignment rule", "initial assignment"],
)
def test_a_stoichiometry_may_be_a_variable(run, rules, starts, expected):
    found = run(
        "A",
        "n",
        pools=[species("A", 'initialAmount="0"', amount="true")],
        parameters=[parameter("k", 1)],
        rules=rules,
        starts=starts,
        reactions=[
            reaction("r", [], [reference("A", "3", id_="n", constant="false")], "k")
        ],
    )
    np.testing.assert_allclose(found["A"], expected, **CLOSE)
    assert found["n"].shape == TIMES.shape


def test_a_stoichiometry_with_an_id_can_be_set_from_outside(load):
    model = load(
        document(
            pools=[species("A", 'initialAmount="0"', amount="true")],
            parameters=[parameter("k", 1)],
            reactions=[reaction("r", [], [reference("A", "3", id_="n")], "k")],
        )
    )
    result = ms.simulate(model, 2.0, points=2, parameters={"n": 7.0}, observe="A")
    assert float(result["A"][-1]) == pytest.approx(14.0)


def test_level_2_computes_stoichiometries_by_formulas(load):
    text = (
        '<sbml xmlns="http://www.sbml.org/sbml/level2/version4" level="2" version="4">'
        '<model id="m"><listOfCompartments><compartment id="cell" size="1"/>'
        '</listOfCompartments><listOfSpecies><species id="A" compartment="cell" '
        'initialAmount="0"/></listOfSpecies><listOfReactions><reaction id="r">'
        '<listOfProducts><speciesReference species="A"><stoichiometryMath>'
        f"{formula('1 + 2*A')}</stoichiometryMath></speciesReference></listOfProducts>"
        f"<kineticLaw>{formula('0.5')}</kineticLaw></reaction></listOfReactions>"
        "</model></sbml>"
    )
    seconds = np.array([0.0, 1.0, 2.0])
    result = ms.simulate(
        load(text), times=seconds / 3600, observe="A", options=ms.Options(rtol=1e-10)
    )
    moles = result["A"].values / 6.02214076e23
    np.testing.assert_allclose(moles, (np.exp(seconds) - 1) / 2, **CLOSE)


def test_an_open_stoichiometry_is_one_and_said_to_be(load):
    text = document(
        pools=[species("A", 'initialAmount="0"', amount="true")],
        reactions=[reaction("r", [], [reference("A", "")], "2")],
    )
    with pytest.warns(
        ModelWarning, match=r"no stoichiometry for `A` in `r`; 1 is taken"
    ):
        model = load(text)
    result = ms.simulate(model, 1.0, points=2, observe="A")
    assert float(result["A"][-1]) == pytest.approx(2.0)


# -------------------------------------------------------------------------- rates
def test_rate_of_gives_the_slope_of_whatever_it_names(run):
    found = run(
        "da",
        "dp",
        "dk",
        "dc",
        compartments=[compartment("cell", "2", "false")],
        pools=[species("A", 'initialConcentration="3"')],
        parameters=[
            parameter("k", 0.4),
            parameter("p", 1, "false"),
            *(parameter(name, constant="false") for name in ("da", "dp", "dk", "dc")),
        ],
        rules=[
            rule("rate", "cell", "0.5"),
            rule("rate", "p", "-2*p"),
            rule("assignment", "da", "rateOf(A)"),
            rule("assignment", "dp", "rateOf(p)"),
            rule("assignment", "dk", "rateOf(k)"),
            rule("assignment", "dc", "rateOf(cell)"),
        ],
        reactions=[reaction("r", [reference("A")], [], "k*A")],
    )
    volume = 2 + 0.5 * TIMES
    # amount' = -k·amount/V: concentration = 3·(V/2)^(-k/0.5 - 1)
    concentration = 3 * (volume / 2) ** -1.8
    np.testing.assert_allclose(found["da"], -0.9 * concentration / volume, **CLOSE)
    np.testing.assert_allclose(found["dp"], -2 * np.exp(-2 * TIMES), **CLOSE)
    np.testing.assert_array_equal(found["dk"], 0.0)
    np.testing.assert_array_equal(found["dc"], 0.5)


def test_a_formula_may_use_the_rate_of_a_reaction(run):
    found = run(
        "A",
        "total",
        "r",
        pools=[species("A", 'initialAmount="1"', amount="true")],
        parameters=[parameter("k", 0.4), parameter("total", 0, "false")],
        rules=[rule("rate", "total", "2*r")],
        reactions=[reaction("r", [reference("A")], [], "k*A")],
    )
    left = np.exp(-0.4 * TIMES)
    np.testing.assert_allclose(found["A"], left, **CLOSE)
    np.testing.assert_allclose(found["total"], 2 * (1 - left), **CLOSE)
    np.testing.assert_allclose(found["r"], 0.4 * left, **CLOSE)


def test_a_local_parameter_hides_everything_of_its_name(run):
    """`n` is a stoichiometry, `B` a species; inside the reaction both are numbers."""
    found = run(
        "A",
        "n",
        pools=[species("A", amount="true"), species("B", amount="true")],
        reactions=[
            reaction(
                "r",
                [reference("A", "2", id_="n")],
                [],
                "n*B*A",
                ['<localParameter id="n" value="0.5"/>',
                 '<localParameter id="B" value="0.25"/>'],
            )
        ],
    )  # fmt: skip
    np.testing.assert_allclose(found["A"], np.exp(-0.25 * TIMES), **CLOSE)
    np.testing.assert_array_equal(found["n"], 2.0)


def test_what_is_true_counts_as_one(run):
    found = run(
        "x",
        "y",
        parameters=[parameter("x", constant="false"), parameter("y", 0, "false")],
        rules=[
            rule("assignment", "x", "3*(time > 1) + (time <= 1)/2"),
            rule("rate", "y", "true"),
        ],
    )
    np.testing.assert_array_equal(found["x"], np.where(TIMES > 1, 3.0, 0.5))
    np.testing.assert_allclose(found["y"], TIMES, **CLOSE)


def test_a_start_value_may_come_from_anything(run):
    """parameter ← stoichiometry ← compartment ← rule; species ← reaction rate."""
    found = run(
        "p",
        "n",
        "cell",
        "A",
        compartments=[compartment("cell", "", "false")],
        pools=[species("A", ""), species("B", 'initialAmount="8"', amount="true")],
        parameters=[parameter("p", constant="false"), parameter("q", constant="false")],
        rules=[rule("assignment", "q", "1 + time")],
        starts=[
            start("p", "n + 1"),
            start("n", "2*cell"),
            start("cell", "q + 3"),
            start("A", "r"),
        ],
        reactions=[
            reaction("r", [], [reference("A", id_="n", constant="false")], "B/q*0 + B")
        ],
    )
    assert (found["cell"][0], found["n"][0], found["p"][0]) == (4.0, 8.0, 9.0)
    assert found["A"][0] == 8.0 * 4.0  # a concentration, as an amount
    np.testing.assert_allclose(found["A"], 32 + 64 * TIMES, **CLOSE)


def test_absent_formulas_say_nothing(load):
    text = document(parameters=[parameter("x", 2, "false"), parameter("y", 3, "false")])
    text = text.replace(
        "</model>",
        '<listOfInitialAssignments><initialAssignment symbol="x"/>'
        '</listOfInitialAssignments><listOfRules><rateRule variable="x"/>'
        '<assignmentRule variable="y"/></listOfRules></model>',
    )
    model = load(text)
    result = ms.simulate(model, 1.0, points=2, observe=["x", "y"])
    assert (float(result["x"][-1]), float(result["y"][-1])) == (2.0, 3.0)


def test_everything_with_an_id_can_be_observed(load):
    model = load(
        document(
            compartments=[compartment("cell"), compartment("medium", 5)],
            pools=[species("A"), species("F", extra='constant="true"')],
            parameters=[parameter("k", 2), parameter("x", constant="false")],
            rules=[rule("assignment", "x", "k*A")],
            reactions=[
                reaction(
                    "r", [reference("A", id_="n")], [], "j*A",
                    ['<localParameter id="j" value="0.5"/>'],
                )
            ],
        )
    )  # fmt: skip
    names = ["cell", "medium", "A", "F", "k", "x", "r", "n", "r.j"]
    result = ms.simulate(model, 1.0, points=2, observe=[*names, "[A]", "[F]"])
    at_start = [float(result[name][0]) for name in names]
    assert at_start == [1.0, 5.0, 1.0, 1.0, 2.0, 2.0, 0.5, 1.0, 0.5]


def test_ids_that_a_result_uses_itself_get_an_underscore(load):
    text = document(parameters=[parameter("time", 7), parameter("status", 8)])
    result = ms.simulate(load(text), 1.0, points=2, observe=["time", "status"])
    assert result["time_"].values.tolist() == [7.0, 7.0]
    assert result["status_"].values.tolist() == [8.0, 8.0]
    assert result["time"].values.tolist() == [0.0, 1.0]
    assert int(result["status"]) == 0


# ---------------------------------------------------------------- algebraic rules
def test_an_algebraic_rule_determines_the_one_quantity_left_free(run):
    found = run(
        "B",
        pools=[
            species("A", 'initialAmount="1"', amount="true"),
            species("B", 'initialAmount="0"'),
        ],
        compartments=[compartment("cell", 2)],
        parameters=[parameter("k", 0.4), parameter("T", 10)],
        rules=[rule("algebraic", "", "A + 3*B - T")],
        reactions=[reaction("r", [reference("A")], [], "k*A")],
    )
    left = np.exp(-0.4 * TIMES)
    np.testing.assert_allclose(found["B"], 2 * (10 - left) / 3, **CLOSE)


def test_an_algebraic_rule_sees_through_assignment_rules(run):
    found = run(
        "x",
        "y",
        parameters=[parameter("x", constant="false"), parameter("y", constant="false")],
        rules=[
            rule("assignment", "y", "2*x + 1"),
            rule("algebraic", "", "y + x - time"),
        ],
    )
    np.testing.assert_allclose(found["x"], (TIMES - 1) / 3, **CLOSE)
    np.testing.assert_allclose(found["y"], (2 * TIMES + 1) / 3, **CLOSE)


numbers = st.floats(-3, 3).map(lambda x: round(x, 3))


@settings(max_examples=30)
@given(st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=2, max_size=2))
def test_coupled_algebraic_rules_are_solved_together(rows):
    (a, b, c), (d, e, f) = rows
    if abs(a * e - b * d) < 0.1 or min(abs(a), abs(b), abs(d), abs(e)) < 0.1:
        return
    net = support.network({}, {"x": 0.0, "y": 0.0}, [])
    free = tuple(replace(p, value=None, constant=False) for p in net.parameters)
    rules = tuple(support.expr(f"{u}*x + {v}*y - {w}*(1 + time)") for u, v, w in rows)
    model = equations(replace(net, parameters=free, algebraic=rules))
    known: dict[str, complex] = {}
    for name, math_ in model.defined.items():
        known[name] = support.value(math_, known, t=1.0)
    expected = np.linalg.solve([[a, b], [d, e]], [2 * c, 2 * f])
    got = [known["x"].real, known["y"].real]
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("free", "rules", "kind", "words"),
    [
        ("x y", ["x + y - 1"], ModelError, "does not say which of `x`, `y`"),
        ("x", ["x - 1", "x - time"], ModelError, "determine too much"),
        ("", ["x - 1"], ModelError, "determine too much"),
        ("x", ["x^2 - y"], UnsupportedFeatureError, "not linear in `x`"),
        ("x", ["x - x + y"], UnsupportedFeatureError, "not linear in `x`"),
        ("x", ["y/x - 1"], UnsupportedFeatureError, "not linear in `x`"),
        ("x", ["x*(x + y)"], UnsupportedFeatureError, "not linear in `x`"),
    ],
    ids=["two ways", "two for one", "nothing", "square", "gone", "below", "product"],
)
def test_an_algebraic_rule_that_does_not_determine_is_refused(free, rules, kind, words):
    net = support.network({}, {"x": 1.0, "y": 1.0}, [])
    parameters = tuple(replace(p, constant=p.id not in free) for p in net.parameters)
    texts = tuple(support.expr(text.replace("^", "**")) for text in rules)
    with pytest.raises(kind, match=words):
        equations(replace(net, parameters=parameters, algebraic=texts))


def test_the_slope_of_what_an_algebraic_rule_determines_is_refused(load):
    text = document(
        parameters=[parameter("x", 1, "false"), parameter("d", constant="false")],
        rules=[rule("algebraic", "", "x - time"), rule("assignment", "d", "rateOf(x)")],
    )
    with pytest.raises(ModelError, match=r"rate of change of `x`"):
        load(text)


def test_a_rate_that_needs_itself_is_a_circle(load):
    text = document(
        pools=[species("A")],
        reactions=[reaction("r", [reference("A")], [], "A + r")],
    )
    with pytest.raises(ModelError, match=r"circle: r → r"):
        load(text)


# ------------------------------------------------------------------- every backend
FEATURES = {
    "compartments": [compartment("cell", "2", "false")],
    "pools": [
        species("A", 'initialConcentration="3"', extra='conversionFactor="f"'),
        species("B", 'initialConcentration="1"'),
        species("C", ""),
        species("D", 'initialAmount="0"'),
    ],
    "parameters": [
        parameter("k", 0.4),
        parameter("f", 1.5),
        parameter("slope", constant="false"),
    ],
    "rules": [
        rule("rate", "cell", "0.3*cell"),
        rule("rate", "B", "1 - B*k"),
        rule("assignment", "C", "A + n"),
        rule("assignment", "n", "1 + B/2"),
        rule("assignment", "slope", "rateOf(A) + r"),
        rule("algebraic", "", "D*2 - A - C"),
    ],
    "reactions": [
        reaction("r", [reference("A", "1", id_="n", constant="false")], [], "k*A*D")
    ],
}


@pytest.mark.parametrize("method", ["LSODA", "Radau", "Rodas5P"])
def test_compiled_kernels_give_what_plain_python_gives(run, method):
    names = ("A", "B", "C", "D", "slope", "n", "[C]", "[A]", "cell", "r")
    plain = run(*names, **FEATURES)
    fast = run(*names, backend="numba", method=method, **FEATURES)
    for name in names:
        np.testing.assert_allclose(
            fast[name], plain[name], rtol=1e-6, atol=1e-7, err_msg=name
        )


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


def test_what_is_on_a_membrane_has_no_molar_concentration(load):
    membrane = compartment("cell", "3", dimensions="2")
    model = load(
        document(compartments=[membrane], pools=[species("A", 'initialAmount="6"')])
    )
    assert float(ms.simulate(model, 1.0, points=2, observe="A")["A"][0]) == 6.0
    with pytest.raises(InputError, match=r"`A` is in compartment `cell` of 2 dimen"):
        ms.simulate(model, 1.0, points=2, observe="[A]")


# -------------------------------------------------------------------- fast reactions
def fast(name, reactants, products, rate):
    made = reaction(name, reactants, products, rate)
    return made.replace('reversible="false"', 'reversible="false" fast="true"')


def version_1(**parts):
    """Return a document in Level 3 Version 1, the last that has fast reactions."""
    text = document(**parts).replace("version2/core", "version1/core")
    text = text.replace('level="3" version="2"', 'level="3" version="1"')
    return text.replace('reversible="false">', 'reversible="false" fast="false">')


BALANCE = {
    "pools": [
        species("A", 'initialAmount="4"', amount="true"),
        species("B", 'initialAmount="0"', amount="true"),
        species("C", 'initialAmount="0"', amount="true"),
    ],
    "parameters": [parameter("k", 0.4), parameter("up", 3), parameter("down", 1)],
}


@pytest.mark.parametrize(("backend", "method"), [("numpy", None), ("numba", "Rodas5P")])
def test_a_fast_reaction_is_at_its_equilibrium_from_the_start(load, backend, method):
    """A <=> B at once with B = 3 A, and B → C slowly: A + B decays by 3k/4."""
    text = version_1(
        reactions=[
            fast("f", [reference("A")], [reference("B")], "up*A - down*B"),
            reaction("r", [reference("B")], [reference("C")], "k*B"),
        ],
        **BALANCE,
    )
    result = ms.simulate(
        load(text, backend=backend),
        times=TIMES,
        observe=["A", "B", "C"],
        options=ms.Options(rtol=1e-10, method=method),
    )
    both = 4 * np.exp(-0.3 * TIMES)
    np.testing.assert_allclose(result["A"], both / 4, **CLOSE)
    np.testing.assert_allclose(result["B"], both * 3 / 4, **CLOSE)
    np.testing.assert_allclose(result["C"], 4 - both, **CLOSE)


def test_two_fast_reactions_are_balanced_together(load):
    text = version_1(
        reactions=[
            fast("f", [reference("A")], [reference("B", "2")], "up*A - down*B"),
            fast("g", [reference("B")], [reference("C")], "B - 2*C"),
        ],
        **BALANCE,
    )
    result = ms.simulate(load(text), 1.0, points=2, observe=["A", "B", "C"])
    # B = 3 A, C = B/2, and 2 A + B + C = 8
    found = [float(result[name][0]) for name in ("A", "B", "C")]
    assert found == pytest.approx([16 / 13, 48 / 13, 24 / 13])


@pytest.mark.parametrize(
    ("rate", "parts", "words"),
    [
        ("A*B - C", {}, "balance of a fast reaction .* not linear in `extent of f`"),
        ("up*time*A - B", {}, "balance of a fast reaction"),
        ("up*A - B", {"starts": [start("k", "2*A")]}, "`f` stand with start values"),
    ],
    ids=["a product", "a factor that changes", "a start value"],
)
def test_a_fast_reaction_without_a_plain_balance_is_refused(load, rate, parts, words):
    reactions = [fast("f", [reference("A")], [reference("B")], rate)]
    modifiers = "<listOfModifiers><modifierSpeciesReference species="
    text = version_1(reactions=reactions, **BALANCE, **parts).replace(
        "<kineticLaw>", f'{modifiers}"C"/></listOfModifiers><kineticLaw>'
    )
    with pytest.raises(UnsupportedFeatureError, match=words):
        load(text)


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
        model, times=seconds / 3600, observe="A", options=ms.Options(rtol=1e-10)
    )
    moles = result["A"].values / model.molecules_per_amount
    np.testing.assert_allclose(moles, np.exp(-1.5 * seconds), **CLOSE)


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
