"""Network → SBML: written and read back it is equal, to the last digit."""

import math
from dataclasses import replace

import fuzz
import pytest
import support
from hypothesis import HealthCheck, given, settings
from networks import as_read, networks
from support import expr, reaction

from mir21sim.errors import ModelError, UnsupportedFeatureError
from mir21sim.model import expressions as ex
from mir21sim.model import files as model_files
from mir21sim.model import read as model_read
from mir21sim.model.formats.sbml_reader import _Reader, read_sbml
from mir21sim.model.formats.sbml_writer import write_sbml
from mir21sim.model.network import Rule

SHIPPED = [
    (name, context)
    for name in model_files.shipped()
    for context in (*model_files.contexts(name), model_files.BASE)
]


def reread(network):
    return read_sbml(write_sbml(network), "written.xml")


@pytest.mark.parametrize(("name", "context"), SHIPPED, ids=":".join)
def test_shipped_models_are_read_back_equal(name, context):
    network, _ = model_read.understand(model_files.find(name, context))
    assert reread(network) == network


def test_every_kind_of_element_is_read_back_equal():
    network = read_sbml(fuzz.RICH, "rich.xml")
    assert network.events
    assert network.initial_assignments
    assert reread(network) == network


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(networks())
def test_any_network_is_read_back_equal(network):
    import libsbml

    wanted = as_read(network)
    document = libsbml.readSBMLFromString(write_sbml(network))
    # Whether it makes sense, which the reader asks first, is another matter.
    assert document.getNumErrors(libsbml.LIBSBML_SEV_ERROR) == 0
    assert _Reader(document.getModel(), "written.xml").network() == wanted


@pytest.mark.parametrize(
    "value", [0.1, 1e-300, 1.7976931348623157e308, 2.2250738585072014e-308, 1 / 3]
)
def test_numbers_keep_every_digit(value):
    net = support.network(
        {"A": value}, {"k": value}, [reaction("r1", "A ->", f"k*A*{value!r}")]
    )
    back = reread(net)
    assert back.parameters[0].value == value
    assert back.species[0].initial == value
    assert back.reactions[0].rate.args[2] == ex.Number(value)


def test_infinities_and_nan_are_written_as_such():
    net = support.network({}, {"k": 1.0, "w": math.inf}, [], rules={"z": "k"})
    odd = ex.Call(
        "max",
        (
            ex.Number(math.inf),
            ex.Number(-math.inf),
            ex.Number(math.nan),
        ),
    )
    net = replace(net, rules=(Rule("assignment", "z", odd),))
    back = reread(net)
    assert back.parameters[1].value == math.inf
    high, low, nothing = back.rules[0].math.args
    assert high.value == math.inf
    assert low == ex.Call("minus", (ex.Number(math.inf),))
    assert math.isnan(nothing.value)


def test_a_stoichiometry_that_is_a_formula_becomes_a_rule_of_the_same_value():
    rate = reaction("r1", "A ->", "k*A")
    net = support.network({"A": 8.0}, {"k": 0.5}, [rate])
    counted = replace(rate, reactants=(("A", expr("k*2")),))
    net = replace(net, reactions=(counted,))
    back = reread(net)
    assert back.reactions[0].reactants[0][1] == ex.Symbol("stoichiometry")
    assert back.rules == (Rule("assignment", "stoichiometry", expr("k*2")),)


def test_ids_that_the_writer_makes_up_are_free():
    net = support.network({"unit_1": 1.0}, {"stoichiometry": 2.0}, [])
    assert reread(net).ids() == net.ids()


def test_a_local_parameter_used_elsewhere_is_refused():
    net = support.network({"A": 1.0}, {"r1.k": 1.0, "k": 2.0}, [])
    with pytest.raises(ModelError, match=r"`r1\.k` cannot be written"):
        write_sbml(net)


def test_fast_reactions_are_refused_by_name():
    fast = replace(reaction("swift", "A ->", "k*A"), fast=True)
    net = support.network({"A": 1.0}, {"k": 1.0}, [fast])
    with pytest.raises(UnsupportedFeatureError, match="`swift` cannot be written"):
        write_sbml(net)
