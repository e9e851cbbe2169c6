"""One run as a model of its own gives the same curves without context or protocol."""

from dataclasses import replace

import numpy as np
import pytest
import support
from support import expr, reaction

import mir21sim as ms
from mir21sim.compiler import load as library
from mir21sim.errors import InputError
from mir21sim.model import expressions as ex
from mir21sim.model import files as model_files
from mir21sim.model.formats.sbml_writer import write_sbml
from mir21sim.model.network import Assignment, Compartment, Event
from mir21sim.simulation.options import Options
from mir21sim.simulation.perturbations import Perturbations
from mir21sim.simulation.plan import Plan, output_times
from mir21sim.simulation.run import prepare
from mir21sim.simulation.snapshot import snapshot
from mir21sim.simulation.treatment import Treatment

EXACT = Options(method="Radau", rtol=1e-10, equilibrate=False)
DECAY = support.network({"A": 10.0}, {"k": 0.5}, [reaction("r1", "A ->", "k*A")])
DOSES = {
    "bolus": ["A=5 molecule@1h"],
    "at the start": ["A=5 molecule@0h"],
    "series": ["A=5 molecule@1h/0.5hx3"],
    "infusion": ["A=6 molecule@1h:1.5h"],
    "infusion from the start": ["A=6 molecule@0h:1.5h"],
    "washout": ["A=wash@1h"],
    "level, then bolus": ["A=set 3 molecule@1h", "A=2 molecule@1h"],
    "bolus, then level": ["A=2 molecule@1h", "A=set 3 molecule@1h"],
    "two infusions": ["A=6 molecule@1h:1h", "A=4 molecule@1.5h:1h"],
}


def frozen(model, doses, *, options=EXACT, start=0.0, **how):
    """Return the model that a run of another one is."""
    plan = Plan.of(
        model,
        Treatment.of(doses, **how),
        output_times(model, start, 3.0, 13),
        observe=list(model.state_names),
    )
    translated, _ = prepare(model, plan, options)
    text = write_sbml(snapshot(model, translated))
    files = model_files.ModelFiles("frozen", {"sbml": text})
    return library.assemble(files, backend="numpy")


def same_curves(model, copy, doses, *, start=0.0, **how):
    names = list(model.state_names)
    wanted = ms.simulate(
        model, 3.0, start=start, points=13, doses=doses, observe=names,
        options=how.pop("options", EXACT), **how,
    )  # fmt: skip
    got = ms.simulate(
        copy, 3.0, start=start, points=13, doses=[], observe=names, options=EXACT
    )
    for name in names:
        np.testing.assert_allclose(
            got[name], wanted[name], rtol=1e-7, atol=1e-9, err_msg=name
        )


@pytest.mark.parametrize("case", DOSES)
@pytest.mark.parametrize("only_amount", [True, False], ids=["amount", "concentration"])
def test_doses_become_events_of_the_same_effect(case, only_amount):
    pools = tuple(replace(s, only_amount=only_amount) for s in DECAY.species)
    wide = replace(DECAY, species=pools, compartments=(Compartment("cell", 2.0),))
    model = support.compiled(wide)
    same_curves(model, frozen(model, DOSES[case]), DOSES[case])


def test_a_bolus_has_its_closed_form():
    copy = frozen(support.compiled(DECAY), ["A=5 molecule@1h"])
    result = ms.simulate(copy, 3.0, points=4, doses=[], observe="A", options=EXACT)
    t = np.arange(4.0)
    wanted = 10 * np.exp(-0.5 * t) + np.where(t >= 1, 5 * np.exp(-0.5 * (t - 1)), 0)
    np.testing.assert_allclose(result["A"], wanted, rtol=1e-8)


def test_the_run_may_start_at_any_time():
    model = support.compiled(support.DRIVEN)
    copy = frozen(model, ["A=2 molecule@2h"], start=1.0)
    same_curves(model, copy, ["A=2 molecule@2h"], start=1.0)


def test_overrides_and_start_formulas_are_numbers():
    net = support.network(
        {"A": 3.0, "B": 0.0}, {"k": 0.5, "j": 1.0},
        [reaction("r1", "A -> B", "k*A")], starts={"B": "2*A", "j": "k*4"},
    )  # fmt: skip
    model = support.compiled(net)
    how = {"parameters": {"k": 0.25}, "initials": {"A": 7.0}}
    copy = frozen(model, [], **how)
    assert not copy.network.initial_assignments
    assert {p.id: p.value for p in copy.network.parameters} == {"k": 0.25, "j": 1.0}
    assert [s.initial for s in copy.network.species] == [7.0, 14.0]
    same_curves(model, copy, [], **how)


def test_the_resting_state_is_the_start():
    model = support.compiled(support.BIRTH_DEATH)
    rested = replace(EXACT, equilibrate=True)
    copy = frozen(model, [], options=rested)
    assert copy.network.species[0].initial == pytest.approx(50.0)
    same_curves(model, copy, [], options=rested)


def test_a_clamped_species_stays_where_it_is():
    model = support.compiled(support.BINDING)
    held = Perturbations(clamp={"A": 30.0})
    same_curves(model, frozen(model, [], perturb=held), [], perturb=held)


def test_own_events_stay_and_doses_come_first():
    jump = Event(
        "jump",
        ex.Call("geq", (expr("time"), ex.Number(1.0, support.HOUR))),
        assignments=(Assignment("A", expr("A*2")),),
        values_from_trigger_time=False,
    )
    net = replace(DECAY, events=(jump,))
    text = write_sbml(net)
    model = library.assemble(
        model_files.ModelFiles("m", {"sbml": text}), backend="numpy"
    )
    same_curves(model, frozen(model, ["A=5 molecule@1h"]), ["A=5 molecule@1h"])


def test_a_sweep_makes_no_model():
    model = support.compiled(DECAY)
    swept = {"k": (np.array([1.0, 2.0]), "")}
    times = output_times(model, 0.0, 1.0, 2)
    plan = Plan.of(model, Treatment(), times, observe="A", over=swept)
    translated, _ = prepare(model, plan, EXACT)
    with pytest.raises(InputError, match="One run makes a model, got 2"):
        snapshot(model, translated)


def test_an_infusion_into_what_reactions_do_not_change_is_refused():
    pools = tuple(replace(s, boundary=True) for s in DECAY.species)
    model = support.compiled(replace(DECAY, species=pools))
    with pytest.raises(InputError, match="infusion of `A` cannot be written"):
        frozen(model, ["A=5 molecule@1h:1h"])
