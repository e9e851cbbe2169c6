"""Doses as text and as records."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mir21sim as ms
from mir21sim.compiler.load import load
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.simulation.doses import Dose, Protocol
from mir21sim.simulation.plan import Plan
from mir21sim.simulation.translate import translate
from mir21sim.simulation.treatment import Treatment


@pytest.mark.parametrize(
    ("text", "dose"),
    [
        ("TRAIL=50 ng/ml@24h", Dose(24.0, 50.0, "TRAIL", "ng/ml")),
        ("A=5@90min", Dose(1.5, 5.0, "A")),
        (" A = 5 nM @ 2 ", Dose(2.0, 5.0, "A", "nM")),
        ("A=1e3 nM@0", Dose(0.0, 1000.0, "A", "nM")),
        ("A=wash@6h", Dose(6.0, 0.0, "A", mode="set")),
        ("A=Washout@6h", Dose(6.0, 0.0, "A", mode="set")),
        ("A=set 5 nM@6h", Dose(6.0, 5.0, "A", "nM", mode="set")),
        ("A=5@0:2h", Dose(0.0, 5.0, "A", duration=2.0, mode="infusion")),
        ("A=5@1h/1dx3", Dose(1.0, 5.0, "A", interval=24.0, additional=2)),
        ("A=5@1h/6hx1", Dose(1.0, 5.0, "A")),
        (
            "A=5 pM@1h:30min/6hx3",
            Dose(1.0, 5.0, "A", "pM", 6.0, 2, 0.5, mode="infusion"),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_dose_is_read_from_text(text, dose):
    assert Dose.parse(text) == dose


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A=5", r"must read NAME=AMOUNT.*`A=5`"),
        ("=5@1", r"must read NAME=AMOUNT.*`=5@1`"),
        ("A@1", r"must read NAME=AMOUNT.*`A@1`"),
        ("A=lots@1", r"amount of dose `A` must be a number.*`lots`"),
        ("A=nan@1", r"amount of dose `A` must be finite"),
        ("A=-5@1", r"amount of dose `A` must not be negative, got -5"),
        ("A=5@inf", r"time of dose `A` must be finite"),
        ("A=5@soon", r"time of dose `A` must be a number"),
        ("A=5@1h/2hx0", r"1 dose or more.*`A=5@1h/2hx0`"),
        ("A=5@1h/0hx3", r"Dose `A`: a series needs an interval above 0"),
        ("A=5@1h/-2hx3", r"interval of dose `A` must not be negative"),
        ("A=5@1h:0h", r"Dose `A`: an infusion.*duration 0 h"),
        ("A=5@1h:-1h", r"duration of dose `A` must not be negative"),
        ("A=5@1h:3h/2hx2", r"Dose `A`: infusions of 3 h every 2 h would overlap"),
    ],
)
def test_a_bad_dose_text_names_the_dose(text, words):
    with pytest.raises(InputError, match=words):
        Dose.parse(text)


def test_an_unknown_unit_of_time_suggests_the_near_one():
    with pytest.raises(UnknownNameError, match=r"time of dose `A` `mins`.*mean `min`"):
        Dose.parse("A=5@3 mins")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"amount": -1.0}, "amount of dose `A` must not be negative, got -1"),
        ({"amount": float("nan")}, "amount of dose `A` must be finite, got nan"),
        ({"time": float("inf")}, "time of dose `A` must be finite, got inf"),
        ({"interval": float("nan")}, "interval of dose `A` must be finite"),
        ({"mode": "sprinkle"}, "mode of dose `A`.*got `sprinkle`"),
        ({"mode": "infusion"}, "Dose `A`: an infusion, and only an infusion"),
        ({"duration": 2.0}, "Dose `A`: an infusion, and only an infusion"),
        ({"additional": -1}, "Dose `A`: a series needs"),
        ({"additional": 2}, "Dose `A`: a series needs an interval above 0"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_dose_checks_itself(change, words):
    with pytest.raises(InputError, match=words):
        replace(Dose(0.0, 1.0, "A"), **change)


def test_infusions_may_touch_without_overlap():
    dose = Dose(0.0, 1.0, "A", "", 2.0, 3, 2.0, mode="infusion")
    assert list(dose.times()) == [0.0, 2.0, 4.0, 6.0]


def test_nonmem_words_mean_the_same():
    dose = Dose.from_nonmem("A", 5.0, time=1.0, ii=12.0, addl=3, tinf=0.5, unit="nM")
    assert dose == Dose.parse("A=5 nM@1h:0.5h/12hx4")
    assert Dose.from_nonmem("A", 5.0).mode == "bolus"


finite = st.floats(0.0, 1e9)


@st.composite
def doses(draw):
    mode = draw(st.sampled_from(["bolus", "infusion", "set"]))
    additional = draw(st.integers(0, 5))
    interval = draw(st.floats(0.5, 100.0)) if additional else 0.0
    duration = draw(st.floats(0.01, 0.4)) if mode == "infusion" else 0.0
    amount = draw(st.sampled_from([0.0, 3.0]) | finite)
    unit = draw(st.sampled_from(["", "nM", "ng/ml", "µM", "molecule"]))
    return Dose(
        draw(st.floats(-10.0, 1000.0)), amount, "A_1", unit, interval, additional,
        duration, mode,
    )  # fmt: skip


@given(doses())
def test_the_text_of_a_dose_reads_back_as_the_same_dose(dose):
    again = Dose.parse(str(dose))
    hours = ("time", "interval", "duration")
    # Hours pass through seconds: equal to rounding.
    for name in hours:
        assert getattr(again, name) == pytest.approx(getattr(dose, name), rel=1e-14)
    assert again.amount == dose.amount
    assert (again.target, again.mode, again.additional) == (
        "A_1",
        dose.mode,
        dose.additional,
    )
    assert again.unit == dose.unit or (dose.mode == "set" and not dose.amount)


def test_records_round_trip_through_json():
    protocol = Protocol.of(["A=5@1h:30min/6hx3", Dose(0.1, 3.0, "B", mode="set")])
    records = json.loads(json.dumps(protocol.to_records()))
    assert Protocol.from_records(records) == protocol


def test_a_protocol_is_made_of_one_text_one_dose_or_several():
    one = Dose.parse("A=5@1")
    assert Protocol.of("A=5@1") == Protocol.of(one) == Protocol((one,))
    assert Protocol.of(Protocol((one,))) == Protocol((one,))
    assert Protocol.of([]) == Protocol()


def test_targets_are_listed_once_in_order():
    protocol = Protocol.of(["B=1@1", "A=1@2", "B=1@3"])
    assert protocol.targets() == ("B", "A")


@pytest.mark.parametrize(
    ("dose", "same"),
    [
        ("TRAIL=0.05 ug/ml@1h", "TRAIL=50 ng/ml@1h"),
        ("TRAIL=50 ug/l@1h", "TRAIL=50 ng/ml@1h"),
        ("TRAIL=50 nM@1h", "TRAIL=3000 ng/ml@1h"),  # 60 kDa
        ("doxorubicin=0.54352 ug/ml@1h", "doxorubicin=1000 nM@1h"),
        ("anti_miR21=0.1 uM@1h", "anti_miR21=100 nM@1h"),
    ],
)
def test_units_of_a_dose_are_converted_by_the_molecular_weight(dose, same):
    model = load("mir21_apoptosis", "HeLa", backend="numpy")
    times = np.array([0.0, 2.0])

    def molecules(text):
        plan = Plan.of(model, Treatment.of(text), times, observe="PTEN_total")
        return float(translate(model, plan).problem.schedule.value[0, 0])

    assert molecules(dose) == pytest.approx(molecules(same), rel=1e-12)


def test_a_molar_dose_without_molecular_weight_is_refused():
    model = load("mir21_apoptosis", "HeLa", backend="numpy")
    with pytest.raises(InputError, match=r"`FASLG`.*`nM`.*no `molecular_weight`"):
        ms.simulate(model, 2.0, doses="FASLG=50 nM@1h")


def test_the_own_dose_at_the_end_is_refused_since_nothing_follows():
    model = ms.load("mir21_core", "HeLa", backend="numpy")
    with pytest.raises(InputError, match=r"at the end of the run, 24 h.*end later"):
        ms.simulate(model, "24 h")
    series = ms.simulate(
        model, "24 h", doses="TRAIL=50 ng/ml@0h/12hx3", observe="CASP8_active"
    )
    assert series["CASP8_active"].values[-1] > 0
