"""The events of an SBML model → the events of a Network."""

from collections.abc import Callable, Iterator
from typing import Any

from mir21sim.model import expressions as ex
from mir21sim.model.network import Assignment, Event

Formula = Callable[[Any, str], ex.Expr]
"""(libSBML formula, its place) → expression."""


def read_events(model: Any, formula: Formula) -> Iterator[Event]:
    """Yield the events of a libSBML model, in file order.

    Elements that SBML L3V2 lets a file leave out have the meaning given there: an event
    without a trigger never fires, and an assignment without a formula does nothing.
    """
    for number, item in enumerate(model.getListOfEvents(), start=1):
        name = item.getIdAttribute() or f"event {number}"
        where = f"event `{name}`"
        trigger = item.getTrigger()
        yield Event(
            id=name,
            trigger=_part(trigger, f"the trigger of {where}", formula)
            or ex.Call("false", ()),
            delay=_part(item.getDelay(), f"the delay of {where}", formula),
            priority=_part(item.getPriority(), f"the priority of {where}", formula),
            assignments=tuple(
                Assignment(
                    entry.getVariable(),
                    formula(entry.getMath(), f"{where} for `{entry.getVariable()}`"),
                )
                for entry in item.getListOfEventAssignments()
                if entry.isSetMath()
            ),
            # Level 2 has no such attributes; its meaning is that of these values.
            initial_value=trigger is None
            or not trigger.isSetInitialValue()
            or trigger.getInitialValue(),
            persistent=trigger is None
            or not trigger.isSetPersistent()
            or trigger.getPersistent(),
            values_from_trigger_time=not item.isSetUseValuesFromTriggerTime()
            or item.getUseValuesFromTriggerTime(),
            name=item.getName(),
        )


def refused_events(model: Any) -> Iterator[str]:
    """Yield the parts of events that a Network cannot hold: own units of delays.

    Only SBML L2V1 and L2V2 have it.
    """
    for number, item in enumerate(model.getListOfEvents(), start=1):
        unit = item.getTimeUnits()
        if unit and unit != "time":
            name = item.getIdAttribute() or f"event {number}"
            yield f"time unit `{unit}` of event `{name}`"


def _part(item: Any, where: str, formula: Formula) -> ex.Expr | None:
    """Return the formula of an optional element, None where there is none."""
    if item is None or not item.isSetMath():
        return None
    return formula(item.getMath(), where)
