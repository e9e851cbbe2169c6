"""Names as people type them find the ids of a model, or the nearest ones are listed."""

import tomllib
from pathlib import Path

import pytest
import xarray as xr

import mir21sim as ms
from mir21sim.errors import InputError, ModelWarning, nearest, plain
from mir21sim.model import aliases
from mir21sim.simulation.global_sensitivity import ranges_of
from mir21sim.simulation.names import canonical, canonical_feature
from mir21sim.simulation.population import Fixed


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
        ("cytochrome c", "CYCS"),
        ("Cyt-c", "CYCS"),
        ("mitochondrial cytochrome c", "CYCS_m"),
        ("cleaved PARP", "PARP_cleaved_fraction"),
        ("PARP, cleaved", "PARP_cleaved_fraction"),
        ("cPARP", "PARP_cleaved_fraction"),
        ("PARP1", "PARP1"),
        ("full-length PARP", "PARP1"),
        ("caspase 3", "CASP3"),
        ("cleaved caspase-3", "CASP3_cleaved"),
        ("active caspase-8", "CASP8_active"),
        ("p-Akt", "pAKT"),
        ("phospho-Akt", "pAKT"),
        ("pAkt1", "pAKT"),
        ("p-Akt (Thr308)", "pAKT_T308_total"),
        ("pERK1/2", "pERK"),
        ("p53", "TP53_total"),
        ("DR5", "TNFRSF10B"),
        ("Fas ligand", "FASLG"),
        ("Smac", "DIABLO"),
        ("released Smac", "DIABLO_released_fraction"),
        ("BH3", "BH3_free"),
        ("Bcl-xL", "BCL2L1"),
        ("PUMA", "BBC3"),
        ("miR-21", "miR21"),
        ("miRNA-21", "miR21"),
        ("hsa-miR-21-5p", "miR21"),
        ("LNA-anti-miR-21", "anti_miR21"),
        ("doxorubicin/adriamycin", "doxorubicin"),
        ("CDDP", "cisplatin"),
        ("z-VAD", "z-VAD"),
        ("total Akt", "total Akt"),
        ("cleaved total PARP", "cleaved total PARP"),
    ],
)
def test_case_signs_and_aliases_do_not_matter(model, typed, meant):
    assert canonical(model, typed) == meant


def test_a_name_of_several_is_that_which_can_be_set(model):
    assert canonical(model, "cleaved PARP", model.state_places) == "PARP1_c"
    assert canonical(model, "FLIP", model.state_places) == "CFLAR"


@pytest.mark.parametrize("name", ["mir21_core", "earm_1_3", "earm2_m1a"])
def test_other_models_are_found_by_their_own_ids(name):
    model = ms.load(name, backend="numpy")
    assert canonical(model, "PARP") in {"PARP1", "PARP"}
    assert canonical(model, "FLIP").lower() in {"cflar_total", "flip"}
    assert canonical(model, "cleaved PARP").startswith("PARP_cleaved")


def test_every_row_of_the_table_names_one_quantity():
    path = Path(aliases.__file__).with_name("aliases.toml")
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["names"]
    named = [plain(name) for key, names in rows.items() for name in (key, *names)]
    twice = {name for name in named if named.count(name) > 1}
    assert not twice


def test_a_name_that_says_more_than_the_quantity_warns(model):
    with pytest.warns(ModelWarning, match=r"anti_LNA=0 and anti_antagomir=1"):
        assert canonical(model, "antagomir") == "anti_miR21"


def test_one_quantity_under_two_names_is_refused(model):
    with pytest.raises(InputError, match="`5-FU` and `5FU` both mean `fluorouracil`"):
        ms.sweep(model, {"5-FU": [0, 1], "5FU": [0, 2]}, 1.0, observe="PTEN")


def test_results_are_read_by_the_names_that_people_type(tmp_path):
    names = ("PARP_cleaved_fraction", "pAKT", "CYCS")
    curves = {name: ("time", [0.0, 1.0, 2.0]) for name in names}
    result = xr.Dataset({**curves, "status": 0}, {"time": [0.0, 1.0, 2.0]})
    features = ms.compare(result, "cleaved PARP")
    assert features.attrs["observe"] == "PARP_cleaved_fraction"
    path = ms.export(result, tmp_path / "a.csv", observe=["cytochrome c"])
    assert path.read_text(encoding="utf-8").splitlines()[0] == "time,CYCS"
    assert ms.plot_curves(result, "phospho-Akt").get_ylabel() == "pAKT"
    with pytest.raises(InputError, match=r"quantity in the result `z-VAD`.*pAKT"):
        ms.compare(result, "z-VAD")


def test_features_and_numbers_are_found_by_the_names_that_people_type():
    model = ms.load("mir21_core", backend="numpy")
    assert canonical_feature(model, "crossing(cyt c, 5)") == "crossing(CYCS, 5)"
    assert canonical_feature(model, " p-Akt ") == "pAKT"
    ranges = ranges_of(model, ["caspase 3"])
    assert list(ranges) == ["CASP3"]


def test_cells_vary_by_the_names_that_people_type():
    model = ms.load("mir21_core", backend="numpy")
    cells = ms.Population(2, distributions={"caspase-3": Fixed(2.0)}).cells(model)
    plain_cells = ms.Population(2, distributions={"CASP3": Fixed(2.0)}).cells(model)
    assert (cells["CASP3"] == plain_cells["CASP3"]).all()


def test_blots_take_the_names_that_people_type(model):
    blot = ms.WesternBlot(("cleaved caspase-3/Akt", "phospho-Akt"), time_h=24.0)
    assert {"CASP3_a", "AKT", "pAKT"} <= {*blot.needs(model)}
    with pytest.raises(InputError, match="one protein over another"):
        ms.WesternBlot(("p-Akt/phospho-Akt",), time_h=24.0).needs(model)


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
