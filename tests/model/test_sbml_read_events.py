"""Events of SBML → Network: their meaning by level, and their defaults."""

import pytest
import support
from support import MATH, reaction

from mir21sim.errors import UnsupportedFeatureError
from mir21sim.model import expressions as ex
from mir21sim.model.formats.sbml_reader import read_sbml
from mir21sim.model.network import Event

TINY = support.network(
    {"A": 3.0}, {"k": 0.5, "total": 1.0}, [reaction("r1", "A ->", "k*A")]
)

LEVEL_2_EVENT = """<sbml xmlns="http://www.sbml.org/sbml/level2/version{0}" level="2"
version="{0}"><model id="old"><listOfParameters>
<parameter id="x" value="0" constant="false"/></listOfParameters>
<listOfEvents><event id="e" {1}><trigger>{2}<apply><gt/><ci>x</ci><cn>1</cn></apply>
</math></trigger><listOfEventAssignments><eventAssignment variable="x">{2}<cn>0</cn>
</math></eventAssignment></listOfEventAssignments></event></listOfEvents></model></sbml>
"""


def test_an_event_of_level_2_has_the_meaning_that_level_3_writes_out():
    (event,) = read_sbml(LEVEL_2_EVENT.format(4, "", MATH), "old.xml").events
    assert event == support.event("e", "x > 1", "x = 0")


def test_a_unit_of_its_own_for_the_delay_of_an_event_is_refused():
    text = LEVEL_2_EVENT.format(2, 'timeUnits="second"', MATH)
    with pytest.raises(
        UnsupportedFeatureError, match="time unit `second` of event `e`"
    ):
        read_sbml(text, "old.xml")


def test_what_an_event_leaves_out_does_nothing():
    """Level 3 Version 2 has no formula that must be there."""
    lists = (
        '<listOfEvents><event useValuesFromTriggerTime="true"><listOfEventAssignments>'
        '<eventAssignment variable="k"/></listOfEventAssignments><delay/></event>'
        "</listOfEvents>"
    )
    parameters = "".join(
        f'<parameter id="{p}" constant="false"/>' for p in ("k", "total")
    )
    parameters = f"<listOfParameters>{parameters}</listOfParameters>"
    text = support.to_sbml(TINY, events=lists, parameters=parameters)
    (event,) = read_sbml(text, "tiny.xml").events
    assert event == Event("event 1", ex.Call("false", ()))


def test_events_survive():
    net = support.network(
        {"A": 1.0}, {"k": 1.0, "d": 2.0}, [],
        events=[
            support.event("e", "A > k and time >= 3", "A = 2*A; k = 0", delay="d + 1",
                          priority="A", initial_value=False, persistent=False),
            support.event("f", "not (A > k)", "k = d", values_from_trigger_time=False),
        ],
    )  # fmt: skip
    assert read_sbml(support.to_sbml(net), "tiny.xml").events == net.events
