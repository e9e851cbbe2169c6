"""Volumes, counts and rates as SBML defines them, against closed forms."""

import math

import numpy as np
import pytest
from sbml_text import (
    CLOSE,
    TIMES,
    compartment,
    document,
    formula,
    parameter,
    reaction,
    reference,
    rule,
    species,
    start,
)

import mir21sim as ms
from mir21sim.errors import (
    ModelWarning,
)


# ------------------------------------------------------------------------ volumes
def test_a_rate_follows_the_concentration_in_a_growing_volume(run):
    """d(amount)/dt = -k·amount/V with V = 1 + t: concentration = (1 + t)^(-k - 1)."""
    found = run(
        "A",
        "cell",
        compartments=[compartment("cell", "1", "false")],
        pools=[species("A")],
        parameters=[parameter("k", 0.7)],
        rules=[rule("rate", "cell", "1")],
        reactions=[reaction("r", [reference("A")], [], "k*A")],
    )
    np.testing.assert_allclose(found["A"], (1 + TIMES) ** -1.7, **CLOSE)
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
    np.testing.assert_allclose(found["A"], 1 + 3 * TIMES, **CLOSE)


def test_an_assigned_concentration_is_what_its_rule_says_in_any_volume(run):
    found = run(
        "A",
        "[A]",
        compartments=[compartment("cell", "4", "false")],
        pools=[species("A", "")],
        rules=[rule("rate", "cell", "2"), rule("assignment", "A", "1 + time")],
    )
    np.testing.assert_allclose(found["A"], 1 + TIMES, **CLOSE)
    np.testing.assert_allclose(found["[A]"], 1 + TIMES, **CLOSE)


def test_an_amount_does_not_change_with_the_volume(run):
    found = run(
        "A",
        "x",
        compartments=[compartment("cell", "4", "false")],
        pools=[species("A", 'initialAmount="6"')],
        parameters=[parameter("x", constant="false")],
        rules=[rule("assignment", "cell", "4 + time"), rule("assignment", "x", "A")],
    )
    for name in ("A", "x"):
        np.testing.assert_allclose(found[name], 6.0 / (4 + TIMES), **CLOSE)


def test_what_is_in_a_point_is_counted_by_its_amount(run):
    found = run(
        "A",
        compartments=[compartment("cell", "", dimensions="0")],
        pools=[species("A", 'initialAmount="5"')],
        parameters=[parameter("k", 0.3)],
        reactions=[reaction("r", [reference("A")], [], "k*A")],
    )
    np.testing.assert_allclose(found["A"], 5 * np.exp(-0.3 * TIMES), **CLOSE)


def test_a_point_with_a_size_divides_like_a_volume(run):
    found = run(
        "A",
        compartments=[compartment("cell", "5", dimensions="0")],
        pools=[species("A", 'initialAmount="50"')],
        parameters=[parameter("k", 0.1)],
        reactions=[reaction("r", [reference("A")], [], "k*A")],
    )
    np.testing.assert_allclose(found["A"], 10 * np.exp(-0.02 * TIMES), **CLOSE)


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
        load(text), times=seconds, observe="A", options=ms.Options(rtol=1e-10)
    )
    assert result["A"].attrs["units"] == "mol/l"
    assert result["time"].attrs["units"] == "s"
    np.testing.assert_allclose(result["A"], (np.exp(seconds) - 1) / 2, **CLOSE)


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
    assert found["A"][0] == 8.0  # a concentration
    np.testing.assert_allclose(found["A"], 8 + 16 * TIMES, **CLOSE)


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


# ----------------------------------------------------------------- rounded quotients
@pytest.mark.parametrize("day", [24, 49, 0.3])
@pytest.mark.parametrize("begin", [0.5, 1.25, 1.75])
def test_whole_days_count_from_the_very_time_at_which_they_begin(run, begin, day):
    """SymPy made (t - 28)/24 t/24 - 7/6, whose floor at t = 28 was -1: a rule had no
    piece for it, and a run of BioModels 577 ended as not a number."""
    found = run(
        "n",
        parameters=[parameter("n", "", "false")],
        rules=[rule("assignment", "n", f"floor((time - {begin})/{day})")],
    )
    expected = [math.floor((t - begin) / day) for t in TIMES]
    np.testing.assert_array_equal(found["n"], expected)
