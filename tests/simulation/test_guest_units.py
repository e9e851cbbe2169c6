"""A file of others keeps its own units: times, amounts, doses, results."""

import numpy as np
import pytest
import sbml_text as sbml

import mir21sim as ms
from mir21sim.analysis import tables
from mir21sim.analysis.curves import compare
from mir21sim.compiler import load as library
from mir21sim.errors import InputError, ModelWarning
from mir21sim.model import files as model_files
from mir21sim.simulation import dataset as results
from mir21sim.simulation.rerun import rerun

UNITS = (
    '<listOfUnitDefinitions><unitDefinition id="minute"><listOfUnits><unit '
    'kind="second" exponent="1" scale="0" multiplier="60"/></listOfUnits>'
    '</unitDefinition><unitDefinition id="nmol"><listOfUnits><unit kind="mole" '
    'exponent="1" scale="-9" multiplier="1"/></listOfUnits></unitDefinition>'
    "</listOfUnitDefinitions>"
)
DECLARED = 'substanceUnits="nmol" volumeUnits="litre" extentUnits="nmol"'
CLOSE = {"rel": 1e-4}


def decay(declared="", time="", *, only_amount=False):
    """Return a compiled model: A, 8 in its own meaning, in a size of 4, decays."""
    kind = "Amount" if only_amount else "Concentration"
    amount = str(only_amount).lower()
    text = sbml.document(
        units=UNITS,
        time=time,
        attributes=declared,
        compartments=[sbml.compartment("cell", 4)],
        pools=[sbml.species("A", f'initial{kind}="8"', amount=amount)],
        parameters=[sbml.parameter("k", 0.1)],
        reactions=[
            sbml.reaction(
                "r",
                [sbml.reference("A")],
                [],
                "k*A" if only_amount else "k*A*cell",
            )
        ],
    )
    return compiled(text)


def compiled(text):
    files = model_files.ModelFiles("guest", {"sbml": text})
    return library.assemble(files, backend="numpy", unit_policy="ignore")


def end(model, *args, name="A", **more):
    run = ms.simulate(model, *args, points=2, observe=[name], **more)
    return float(run[name][-1]), run


def test_a_file_without_units_runs_its_own_numbers():
    value, run = end(decay(), 8)
    assert value == pytest.approx(8 * np.exp(-0.8), **CLOSE)
    assert run["time"].values.tolist() == [0.0, 8.0]
    assert {run[n].attrs["units"] for n in ("time", "A")} == {"model units"}


def test_declared_units_are_shown_and_convert_times():
    model = decay(DECLARED, "minute")
    for given in (120, "120", "2 h", "120 min"):
        value, run = end(model, given)
        assert value == pytest.approx(8 * np.exp(-12), **CLOSE)
        assert run["time"].values[-1] == 120.0
    assert run["time"].attrs["units"] == "min"
    assert run["A"].attrs["units"] == "nmol/l"


def test_our_words_hold_for_molecules_and_seconds():
    model = decay('substanceUnits="item" volumeUnits="litre"', "second")
    _, run = end(model, 1)
    assert model.p0[model.param_names.index("cell")] == 4.0
    assert run["time"].attrs["units"] == "h"
    assert run["A"].attrs["units"] == "molecule"
    assert float(run["A"][0]) == 32.0


def test_an_amount_is_an_amount_where_the_file_says_so():
    model = decay(only_amount=True)
    for name, start in (("A", 8.0), ("[A]", 2.0)):
        _, run = end(model, 1, name=name)
        assert float(run[name][0]) == start


def test_a_time_with_a_unit_in_a_file_without_is_said_or_refused():
    with pytest.warns(ModelWarning, match="no unit of time: end `8 s` is taken as 8"):
        _, run = end(decay(), "8 s")
    assert run["time"].values[-1] == 8.0
    with pytest.raises(InputError, match="no unit of time, so end `8 h`"):
        end(decay(), "8 h")


@pytest.mark.parametrize("only_amount", [True, False])
def test_a_dose_and_a_start_are_in_the_meaning_of_the_file(only_amount):
    model = decay(only_amount=only_amount)
    value, run = end(model, 10, doses=["A=3@4"], initials={"A": 5.0})
    assert float(run["A"][0]) == 5.0
    assert value == pytest.approx(5 * np.exp(-1) + 3 * np.exp(-0.6), **CLOSE)
    value, _ = end(model, 10, doses=["A=set 3@4"])
    assert value == pytest.approx(3 * np.exp(-0.6), **CLOSE)
    held, _ = end(model, 10, doses=[], perturb=ms.Perturbations(clamp={"A": 2.5}))
    assert held == 2.5


def test_a_sweep_of_doses_follows_a_swept_volume():
    over = {"A": [0.0, 3.0], "cell": [2.0, 8.0]}
    swept = ms.sweep(decay(), over, 10, points=2, doses=["A=1@4"], observe="[A]")
    assert swept["A"].attrs["units"] == "model units"
    wanted = 8 * np.exp(-1) + swept["A"] * np.exp(-0.6) + 0 * swept["cell"]
    got = swept["[A]"].isel(time=-1)
    np.testing.assert_allclose(got, wanted, rtol=1e-4)


def test_doses_take_declared_units_and_no_others():
    model = decay(DECLARED, "minute")
    for dose in ("A=3@240", "A=3 nM@4h", "A=0.003 uM@4 h", "A=12 nmol@240"):
        value, _ = end(model, 250, doses=[dose])
        assert value == pytest.approx(3 * np.exp(-1), **CLOSE), dose
    with pytest.raises(InputError, match="bare number"):
        end(decay(), 10, doses=["A=3 nM@4"])
    with pytest.raises(InputError, match="all of its times with a unit or none"):
        end(model, 10, doses=["A=3@4:30 min"])


def test_a_result_of_a_guest_runs_again_to_the_same_numbers(tmp_path):
    model = decay()
    run = ms.simulate(model, 10, points=5, doses=["A=3@4:2"], initials={"A": 1.0})
    path = results.save(run, tmp_path / "r.nc", model.source)
    again, difference = rerun(path)
    assert difference == 0.0
    assert again["A"].attrs["units"] == again["time"].attrs["units"] == "model units"


def test_features_of_a_guest_have_no_hours():
    swept = ms.sweep(decay(), {"k": [0.1, 0.2]}, 10, points=11, observe="A")
    features = compare(swept, "A", since="2")
    text = tables.feature_text(features)
    assert "[h]" not in text
    assert "/h" not in text
    assert "times from 2 model units" in text
    assert "lag_h" not in tables.feature_frame(features)
    with pytest.raises(InputError, match="Times are in model units"):
        compare(swept, "A", since="2 h")


def test_the_default_end_of_a_guest_is_in_its_own_units():
    _, run = end(decay())
    assert run["time"].values[-1] == 100.0


# ------------------------------------------------------------- what may start negative
POTENTIAL = sbml.document(
    parameters=[
        sbml.parameter("E", -70), sbml.parameter("tau", 10),
        sbml.parameter("V", -60, "false"), sbml.parameter("k", constant="false"),
        sbml.parameter("k0", 0.1),
    ],
    rules=[sbml.rule("rate", "V", "(E - V)/tau"), sbml.rule("assignment", "k", "2*k0")],
)  # fmt: skip


@pytest.fixture(scope="module")
def membrane():
    return compiled(POTENTIAL)


def test_a_variable_that_is_no_amount_may_start_negative(membrane):
    value, _ = end(membrane, 10, name="V", initials={"V": -65.0})
    assert value == pytest.approx(-70 + 5 * np.exp(-1), **CLOSE)
    swept = ms.sweep(membrane, {"V": [-80.0, -65.0]}, 10, points=2, observe="E")
    assert (swept["status"] == 0).all()
    held = ms.Perturbations(clamp={"V": -65.0})
    value, _ = end(membrane, 10, name="V", perturb=held)
    assert value == -65.0
    with pytest.raises(InputError, match="`A` must not be negative"):
        end(decay(), 1, initials={"A": -1.0})


def test_what_a_rule_sets_is_refused_with_the_values_in_the_rule(membrane):
    with pytest.raises(InputError, match=r"`k` is set by a rule \(2\*k0\).*: k0\."):
        end(membrane, 1, name="V", parameters={"k": 1.0})
    with pytest.raises(InputError, match=r"`V` changes by a rate rule.*--init V="):
        end(membrane, 1, name="V", parameters={"V": 1.0})
    with pytest.raises(InputError, match="`k` is set by a rule"):
        ms.sweep(membrane, {"k": [1.0]}, 1, observe="V")


def test_a_swept_compartment_is_observed_as_a_coordinate():
    with pytest.raises(InputError, match="`cell` is both swept and observed; leave it"):
        ms.sweep(decay(), {"cell": [7.0, 14.0]}, 5, observe=["cell", "A"])
