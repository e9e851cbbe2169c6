"""Events in whole runs: results, failures, windows."""

import math
from dataclasses import replace

import numpy as np
import pytest
import support
import xarray as xr
from event_runs import DECAY, clock, compiled, lottery, run
from support import event, expr, reaction

import mir21sim as ms
from mir21sim.analysis import model_report as report
from mir21sim.errors import (
    FailedRunsWarning,
    InputError,
    ModelError,
    SolverError,
    SolverStatus,
)
from mir21sim.model import files as model_files
from mir21sim.model import lint, unit_check
from mir21sim.model.network import Assignment, Event, Parameter
from mir21sim.simulation.dataset import status_attributes
from mir21sim.solvers.single.events import MAX_AT_ONCE


# --------------------------------------------------------------------- whole pipeline
def test_numba_and_plain_python_execute_the_same_events():
    net = support.network(
        {"A": 8.0}, {"k": 0.3, "n": 0.0}, DECAY,
        rules={"half": "A/2"},
        events=[event("refill", "half < 1 and k > 0", "A = 8; n = n + 1", delay=0.5)],
    )  # fmt: skip
    curves = [
        ms.simulate(
            compiled(net, backend=backend), 30.0, doses=[], observe=["A", "n"],
            options=ms.Options(method=method, rtol=1e-7),
        )
        for backend, method in (
            ("numpy", "LSODA"), ("numba", "LSODA"), ("numba", "Rodas5P-one"),
        )
    ]  # fmt: skip
    assert [c.attrs["method"] for c in curves] == ["LSODA", "LSODA", "Rodas5P-one"]
    assert float(curves[0]["n"][-1]) > 2
    for name in ("A", "n"):
        np.testing.assert_allclose(curves[0][name], curves[1][name], rtol=1e-9)
        np.testing.assert_allclose(curves[0][name], curves[2][name], rtol=2e-5)


def test_a_sweep_with_events_runs_one_by_one_and_says_so():
    net = support.network(
        {"A": 8.0}, {"k": 0.3, "when": 0.0}, DECAY,
        events=[event("low", "A < 1", "when = time")],
    )  # fmt: skip
    model = compiled(net, backend="numba")
    got = ms.sweep(
        model, over={"k": [0.25, 0.5, 1.0, 0.1]}, end=10.0, observe=["when"], doses=[]
    )
    assert got.attrs["method"] == "Rodas5P-one"
    assert set(got["method"].values) == {"Rodas5P-one"}
    assert got["n_events"].values.tolist() == [1, 1, 1, 0]
    expected = np.log(8) / np.array([0.25, 0.5, 1.0])
    assert np.allclose(got["when"].values[:3, -1], expected, rtol=1e-5)


def test_the_order_of_runs_and_threads_does_not_matter():
    model = compiled(lottery())

    def counts(values, n_jobs):
        options = ms.Options(n_jobs=n_jobs)
        got = ms.sweep(model, over={"last": values}, end=30.0, observe=["a"],
                       doses=[], options=options)  # fmt: skip
        return got["a"].values[:, -1]

    forth = counts([0.0, 0.25, 0.5, 0.75], 1)
    back = counts([0.75, 0.5, 0.25, 0.0], 2)
    assert forth.tolist() == back.tolist()[::-1]


def test_events_of_antimony_are_read():
    pytest.importorskip("antimony")
    from mir21sim.model.formats.antimony import antimony_to_sbml
    from mir21sim.model.formats.sbml_reader import read_sbml

    text = """
    model tiny
      x = 0; p = 1;
      x' = 1;
      wait: at 2 after x > 3, FLAGS: p = x, x = 0;
    end
    """
    flags = "priority = p, t0 = false, persistent = false, fromTrigger = false"
    text = text.replace("FLAGS", flags)
    (item,) = read_sbml(antimony_to_sbml(text, "tiny.ant"), "tiny.ant").events
    assert item == Event(
        "wait", expr("x > 3"), expr("2"), expr("p"),
        (Assignment("p", expr("x")), Assignment("x", expr("0"))),
        initial_value=False, persistent=False, values_from_trigger_time=False,
    )  # fmt: skip


def test_info_lists_events():
    net = clock(event("kick", "x > 3", "x = 0", delay=2))
    files = model_files.ModelFiles("tiny", {"sbml": support.to_sbml(net)})
    shown = report.model_text(files)
    assert "1 event" in shown
    assert "at x>3, 2 later: x = 0" in shown


# ----------------------------------------------------------------------------- failure
@pytest.mark.parametrize(
    ("events", "status", "name"),
    [
        (
            [
                event("up", "time >= 4 and x < 1", "x = 1"),
                event("down", "x > 0.5", "x = 0"),
            ],
            "EVENT_LOOP",
            "",
        ),
        ([event("e", "time > 4", "x = 1", delay="0 - 2")], "EVENT_UNDEFINED", "`e`"),
        ([event("e", "time > 4", "x = 1", delay="ln(0 - time)")], "EVENT_UNDEFINED",
         "`e`"),
        (
            [event("e", "ln(4 - time) < 0 - 100 or x > 1", "x = 1", persistent=False)],
            "EVENT_UNDEFINED",
            "`e`",
        ),
        (
            [
                event("a", "time > 4", "x = 1", priority="ln(0 - 1 - x)"),
                event("b", "time > 4", "x = 2", priority="x"),
            ],
            "EVENT_UNDEFINED",
            "`a`",
        ),
    ],
    ids=["loop", "negative delay", "undefined delay", "undefined trigger",
         "undefined priority"],
)  # fmt: skip
def test_an_event_that_cannot_go_on_fails_with_its_name_and_time(events, status, name):
    with pytest.raises(SolverError, match=rf"At 4(\.0+\d*)? h, event .*{name}") as e:
        run(clock(*events))
    assert e.value.status == SolverStatus[status]


def test_a_loop_of_events_stops_soon():
    assert MAX_AT_ONCE <= 100_000


def test_a_run_that_fails_in_an_event_harms_no_other():
    """The delay is negative where d is; the other runs are those of a sweep without."""
    net = support.network(
        {"A": 8.0}, {"k": 0.3, "d": 0.0}, DECAY,
        events=[event("e", "A < 4", "A = 8", delay="d")],
    )  # fmt: skip
    model = compiled(net)
    plan = {"end": 10.0, "observe": ["A"], "doses": []}
    with pytest.warns(FailedRunsWarning, match="event `e`"):
        some = ms.sweep(model, over={"d": [1.0, -1.0, 2.0]}, **plan)
    good = ms.sweep(model, over={"d": [1.0, 2.0]}, **plan)
    assert some["status"].values.tolist() == [0, int(SolverStatus.EVENT_UNDEFINED), 0]
    xr.testing.assert_equal(some["A"][[0, 2]], good["A"])
    before = np.isfinite(some["A"].values[1])
    assert before.any()
    assert not before[some["time"] > 2.32].any()


def test_a_resting_state_of_a_model_with_events_is_refused():
    net = support.network(
        {"A": 1.0}, {"k": 1.0}, DECAY, events=[event("e", "A < 0.5", "A = 1")]
    )
    with pytest.raises(InputError, match=r"has events \(`e`\).*--no-equilibrate"):
        run(net, options=ms.Options(equilibrate=True))


@pytest.mark.parametrize(
    ("trigger", "sets", "words"),
    [
        ("time > 1", "total = 1", "sets `total`, which an assignment rule defines"),
        ("time > 1", "A = 1; A = 2", "sets `A`, and does so twice"),
        ("time > 1", "B = 1", "sets `B`, which does not exist"),
        ("tme > 1", "A = 1", "trigger of event `e` uses `tme`, which is not declared"),
        ("time > 1", "A = kk", "event `e` for `A` uses `kk`, which is not declared"),
    ],
)
def test_lint_names_what_is_wrong_with_an_event(trigger, sets, words):
    net = support.network(
        {"A": 1.0}, {"k": 1.0}, DECAY, rules={"total": "A"},
        events=[event("e", trigger, sets)],
    )  # fmt: skip
    messages = [issue.message for issue in lint.structure_issues(net)]
    assert any(words in message for message in messages), messages


def test_a_constant_is_not_set_by_an_event():
    net = clock(event("e", "time > 1", "x = 1"))
    fixed = replace(net, parameters=(Parameter("x", 0.0, constant=True),))
    (issue,) = lint.structure_issues(fixed)
    assert issue.message == "Event `e` sets `x`, which is declared constant."


@pytest.mark.parametrize(
    ("delay", "value", "wrong"),
    [("d", "x", 0), ("x", "x", 1), ("d", "d", 1), ("d + x", "x", 1)],
)
def test_units_of_events_are_checked(delay, value, wrong):
    litre = (("litre", 1.0, 0, 1.0),)
    net = clock(event("e", "time > d", f"x = {value}", delay=delay))
    parameters = (
        Parameter("x", 0.0, litre, constant=False),
        Parameter("d", 1.0, support.HOUR),
    )
    issues = unit_check.unit_issues(replace(net, parameters=parameters))
    assert [i.check for i in issues] == ["units"] * wrong


def test_an_event_that_sets_nothing_known_is_no_valid_sbml():
    net = clock(event("e", "time > 1", "y = 1"))
    with pytest.raises(ModelError, match="eventAssignment"):
        compiled(net)


def test_statuses_of_events_have_names_in_a_file():
    assert "EVENT_LOOP EVENT_UNDEFINED" in status_attributes()["flag_meanings"]


# ---------------------------------------------------------- windows and singular rates
@pytest.mark.parametrize("width", [0.5, 20.0, 400.0])
@pytest.mark.parametrize("method", ["LSODA", "BDF", "Radau", "Rodas5P"])
def test_a_window_of_a_state_is_not_stepped_over(method, width):
    """S' = 100 from clock = 500 to 500 + width, and S decays by 0.001."""
    end = 500 + width
    net = support.network(
        {"S": 0.0}, {"clock": 0.0},
        [reaction("pulse", "-> S",
                  f"piecewise(piecewise(100, {end} > clock, 0), clock > 500, 0)"),
         reaction("lose", "S ->", "0.001*S")],
        rate_rules={"clock": "1"},
    )  # fmt: skip
    got = run(net, 1000.0, points=2, options=ms.Options(method=method))
    right = 1e5 * (math.exp(0.001 * width) - 1) * math.exp(-0.5)
    assert float(got["S"][-1]) == pytest.approx(right, rel=1e-4)


@pytest.mark.parametrize(
    ("rate", "right"),
    [
        ("1/(1 + (3/X)**2)", 4 - 3 * math.atan(4 / 3)),
        ("1/(1 + 3/X)", 4 - 3 * math.log(7 / 3)),
        ("X**0.5", 4**1.5 / 1.5),
        ("1/(1 + (X/4)**0.5)", 8 * (1 - math.log(2))),
    ],
)
@pytest.mark.parametrize("method", ["LSODA", "Radau", "Rodas5P"])
def test_a_rate_that_is_finite_at_zero_runs_whatever_its_derivative(
    method, rate, right
):
    net = support.network(
        {"X": 0.0, "Y": 0.0}, {},
        [reaction("make", "-> X", "1"), reaction("act", "-> Y", rate)],
    )  # fmt: skip
    got = run(net, 4.0, points=2, options=ms.Options(method=method))
    assert float(got["Y"][-1]) == pytest.approx(right, rel=1e-4)
