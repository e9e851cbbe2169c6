"""Names as people type them find the ids of a model, or the nearest ones are listed."""

import pytest

import mir21sim as ms
from mir21sim.errors import InputError, nearest
from mir21sim.simulation.names import canonical


@pytest.fixture(scope="module")
def model():
    return ms.load("mir21_apoptosis", "HeLa", backend="numpy")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("anti-miR-21", "anti_miR21"),
        ("5-FU", "fluorouracil"),
        ("TRAIL ligand", "TRAIL"),
        ("TNF-α", "TNF"),
        ("bcl2 total", "BCL2_total"),
        ("[pten]", "[PTEN]"),
        ("CASP3", "CASP3"),
        ("no such thing", "no such thing"),
        ("caspase3", "CASP3"),
        ("Procaspase-8", "CASP8"),
    ],
)
def test_case_signs_and_aliases_do_not_matter(model, typed, meant):
    assert canonical(model, typed) == meant


def test_names_as_typed_work_in_every_argument(model):
    result = ms.sweep(
        model,
        {"5-FU": [0, 10]},
        1.0,
        points=2,
        doses=["trail ligand=5 ng/ml@0.5h", "5-fu=1 uM@0h"],
        perturb=ms.Perturbations(knockdown={"Bcl-2": 0.5}),
        observe="pten-total",
    )
    assert result["PTEN_total"].dims == ("fluorouracil", "time")
    assert "TRAIL=5 ng/ml@0.5h" in result.attrs["summary"]
    assert "--knockdown BCL2=0.5" in result.attrs["summary"]


@pytest.mark.parametrize(
    ("typed", "listed"),
    [("caspase3activ", "`CASP3_active`"), ("caspase-88", "CASP8")],
)
def test_of_many_names_the_nearest_ten_are_listed(model, typed, listed):
    with pytest.raises(InputError, match="Nearest of") as caught:
        ms.simulate(model, 1.0, doses=[], observe=typed)
    assert listed in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_dose_of_an_unknown_name_is_no_grammar_error(model):
    with pytest.raises(InputError, match=r"dose target `5-FUX`. Did you mean `5-?FU`"):
        ms.simulate(model, 1.0, doses="5-FUX=1 uM@0h")


def test_the_nearest_name_comes_first():
    known = ["PTEN", "CASP8", "CASP3", "CASP3_active"]
    assert nearest("caspase-3", known)[0] == "CASP3"


def test_no_default_dose_where_a_dose_is_swept(model):
    alone = ms.sweep(model, {"anti_miR21": [0, 100]}, 1.0, points=2, observe="PTEN")
    assert "TRAIL" not in alone.attrs["summary"]
    both = ms.sweep(
        model, {"anti_miR21": [0], "TRAIL": [5, 50]}, 25.0, points=2, observe="PTEN"
    )
    assert "TRAIL=5 to 50 ng/ml (2 values)@24h" in both.attrs["summary"]


def test_runs_take_the_name_of_a_model_and_say_what_else_is_wrong():
    result = ms.simulate("mir21_core", 1.0, points=2, doses=[], observe="PTEN")
    assert result.attrs["model_id"] == "mir21_core"
    with pytest.raises(InputError, match=r"must come from `load`.*int"):
        ms.simulate(3, 1.0)


def test_an_executor_that_runs_nothing_is_refused(model):
    options = ms.Options(executor="cluster")
    with pytest.raises(InputError, match=r"`executor` must be .*dask.*'cluster'"):
        ms.sweep(model, {"k_tx_miR21": [0.3]}, 1.0, doses=[], options=options)
