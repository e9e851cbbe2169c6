"""Models with events and their runs, for the tests of events."""

import support
from support import event, reaction

import mir21sim as ms

TIGHT = ms.Options(rtol=1e-10, atol=1e-12, allow_negative=True)
DECAY = [reaction("decay", "A ->", "k*A")]


def compiled(net, **more):
    """Return a network whose numbers have no units."""
    return support.compiled(net, unit_policy="ignore", **more)


def run(net, end=10.0, *, points=11, times=None, doses=(), options=TIGHT, **more):
    """Simulate a network, by default to 10 h with an output each hour."""
    model = compiled(net)
    observe = [*model.state_names, *model.assigned_names, *model.param_names]
    return ms.simulate(
        model,
        end,
        points=points,
        times=times,
        doses=list(doses),
        observe=observe,
        options=options,
        **more,
    )


def clock(*events, parameters=None, **more):
    """Return a network in which nothing happens but events on parameters."""
    return support.network({}, parameters or {"x": 0.0}, [], events=events, **more)


def lottery():
    """Return a network in which each hour one of two equal events has its way."""
    events = [
        event(
            f"win_{name}",
            "time - last >= 1",
            f"last = time; {name} = {name} + 1",
            priority=1,
            persistent=False,
        )
        for name in ("a", "b")
    ]
    return clock(*events, parameters={"a": 0.0, "b": 0.0, "last": 0.0})
