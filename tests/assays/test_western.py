"""Western blot: ratios of the model without noise, densitometry, the membrane."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mir21sim.assays.antibodies import Antibody, antibodies
from mir21sim.assays.noise import WesternNoise
from mir21sim.assays.western import WesternBlot
from mir21sim.assays.western_reading import membrane
from mir21sim.compiler.load import load
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.simulation.randomness import stream

BLOT = WesternBlot(("PTEN", "p-AKT/AKT", "cleaved CASP3"))
GENES = {"PTEN": ["PTEN"]}


@pytest.fixture(scope="module")
def model():
    return load("mir21_apoptosis", backend="numpy")


@pytest.fixture
def cells(cells_of):
    common = {"AKT": 60000.0, "AKT_T308": 10000.0}
    return cells_of(
        {
            "nc": common
            | {
                "PTEN": [9000.0, 11000.0],
                "pAKT": 30000.0,
                "CASP3_a": 0.0,
                "XIAP_CASP3": 0.0,
                "CASP3_c": 0.0,
            },
            "anti": common
            | {
                "PTEN": 25000.0,
                "pAKT": 10000.0,
                "CASP3_a": 7000.0,
                "XIAP_CASP3": 3000.0,
                "CASP3_c": 0.0,
            },
        },
        genes=GENES,
    )


def test_without_noise_densities_are_the_ratios_of_the_cells(cells):
    table = BLOT.read(cells, noise=False).summary.set_index(["protein", "sample"])
    assert table.loc[("PTEN", "anti"), "relative"] == pytest.approx(2.5, rel=1e-12)
    ratio = (100 / 800) / (300 / 1000)
    assert table.loc[("p-AKT/AKT", "anti"), "relative"] == pytest.approx(
        ratio, rel=1e-12
    )
    assert table.loc[("AKT", "anti"), "relative"] == pytest.approx(0.8, rel=1e-12)


def test_a_protein_that_the_control_lacks_is_said_not_divided_by(cells):
    for noise in (False, True):
        reading = BLOT.read(cells, noise=noise)
        part = reading.summary.query("protein == 'cleaved CASP3'")
        assert part["relative"].isna().all()
        assert any("`nc` gives no signal of cleaved CASP3" in n for n in reading.notes)
    assert part.query("sample == 'anti'")["p"].item() < 0.05  # it is there all the same


def test_a_protein_that_no_lane_has_is_not_tested(cells):
    none = cells * 1.0
    none["CASP3_a"] = none["CASP3_a"] * 0.0
    none["XIAP_CASP3"] = none["XIAP_CASP3"] * 0.0
    none.attrs = cells.attrs
    reading = WesternBlot(("cleaved CASP3",)).read(none, seed=2)
    assert reading.summary["p"].isna().all()
    assert any("cleaved CASP3" in note for note in reading.notes)


def test_a_trace_of_a_cleaved_form_gives_no_band(cells_of):
    cells = cells_of(
        {"nc": {"PARP1": 1e6, "PARP1_c": 1e3}, "few": {"PARP1": 1e6, "PARP1_c": 1e4}}
    )
    blot = WesternBlot(("cleaved PARP",))
    faint = blot.read(cells, seed=1)
    assert faint.summary["p"].isna().all()
    assert faint.raw["signal"].abs().max() < 0.05
    half = cells.assign(PARP1=cells["PARP1"] / 2, PARP1_c=cells["PARP1"] / 2)
    assert blot.read(half, seed=1).raw["signal"].min() > 0.1


def test_a_rare_protein_is_below_the_limit_of_detection(cells_of):
    cells = cells_of({"nc": {"PTEN": 1.0}, "anti": {"PTEN": 3.0}}, genes=GENES)
    reading = WesternBlot(("PTEN",)).read(cells, seed=1)
    assert reading.summary["p"].isna().all()
    assert reading.notes


def test_with_noise_the_mean_of_many_blots_is_the_ratio(cells):
    table = BLOT.read(cells, seed=1, replicates=300).summary
    found = table.query("protein == 'PTEN' & sample == 'anti'")
    assert found["relative"].item() == pytest.approx(2.5, rel=0.04)


def test_the_loading_control_takes_the_load_error_out(cells):
    quiet = {
        "transfer_cv": 0.0,
        "exposure_cv": 0.0,
        "background_sd": 0.0,
    }
    noise = WesternNoise(loading_cv=0.5, **quiet)
    raw = WesternBlot(("PTEN",), noise=noise).read(cells, replicates=50).raw
    lane = raw.query("sample == 'nc'")
    assert lane["signal"].std() / lane["signal"].mean() > 0.2
    assert lane["scaled"].to_numpy() == pytest.approx(100 / 175, rel=1e-9)


def test_film_saturates_and_a_camera_clips(cells):
    film = WesternBlot(("PTEN",), detection="film").read(cells, replicates=200).summary
    found = film.query("sample == 'anti'")["relative"].item()
    assert 1.1 < found < 2.2  # the strong band is on the flat part
    bright = WesternNoise(exposure=3.0)
    reading = WesternBlot(("PTEN",), noise=bright).read(cells)
    assert reading.raw["saturated"].any()
    assert reading.raw["signal"].max() <= 1.0
    assert any("saturated" in note for note in reading.notes)


def test_statistics_agree_with_the_raw_csv(cells, tmp_path):
    reading = BLOT.read(cells, seed=4, replicates=4)
    reading.raw.to_csv(tmp_path / "raw.csv", index=False)
    raw = pd.read_csv(tmp_path / "raw.csv").query("protein == 'PTEN'")
    density = (raw["signal"] / raw["loading"]).to_numpy().reshape(4, 2)
    scaled = density / density.mean(axis=1, keepdims=True)
    row = reading.summary.query("protein == 'PTEN' & sample == 'anti'")
    assert row["mean"].item() == pytest.approx(scaled[:, 1].mean(), rel=1e-9)
    assert row["sd"].item() == pytest.approx(scaled[:, 1].std(ddof=1), rel=1e-9)
    p = stats.ttest_rel(np.log(density[:, 1]), np.log(density[:, 0])).pvalue
    assert row["test"].item() == "t-test of pairs of logarithms"
    assert row["p"].item() == pytest.approx(p, rel=1e-6)
    assert row["relative"].item() == pytest.approx(
        scaled[:, 1].mean() / scaled[:, 0].mean(), rel=1e-9
    )


def test_a_seed_fixes_a_band_whatever_else_is_on_the_blot(cells):
    one = BLOT.read(cells, seed=3).raw.query("protein == 'PTEN'")
    two = WesternBlot(("PTEN",)).read(cells, seed=3).raw
    assert one["signal"].tolist() == two["signal"].tolist()
    assert one["signal"].tolist() != BLOT.read(cells, seed=9).raw["signal"][:6].tolist()


def test_antibodies_bind_all_forms_of_a_protein(model):
    known = antibodies(model)
    assert known["PTEN"].binds == ("PTEN_total",)
    assert known["APAF1"].binds == model.info.genes["APAF1"].protein
    assert set(BLOT.needs(model)) >= {"pAKT", "AKT", "AKT_T308", "CASP3_a"}


def test_an_antibody_for_what_the_model_lacks_is_named(model):
    with pytest.raises(UnknownNameError, match=r"antibody `PTENN`.*`PTEN`"):
        WesternBlot(("PTENN",)).needs(model)
    with pytest.raises(UnknownNameError, match=r"antibody mine binds `PTENx`.*`PTEN"):
        WesternBlot((Antibody("mine", ("PTENx",), 50),)).needs(model)
    core = load("earm_1_3", backend="numpy")
    with pytest.raises(UnknownNameError, match="antibody `PDCD4`"):
        WesternBlot(("PDCD4",)).needs(core)


def test_settings_out_of_range_are_refused(cells):
    with pytest.raises(InputError, match="one protein or more"):
        WesternBlot(())
    with pytest.raises(UnknownNameError, match=r"`Film`.*`film`"):
        WesternBlot(detection="Film")
    with pytest.raises(InputError, match="2 replicates or more"):
        BLOT.read(cells, replicates=1)


def test_the_membrane_is_darker_where_there_is_more_protein():
    strip = membrane(np.array([0.0, 0.2, 0.6]), stream(1, "test"))
    assert strip.min() >= 0.0
    assert strip.max() <= 1.0
    blank, weak, strong = (part.mean() for part in np.split(strip, 3, axis=1))
    assert blank > weak + 0.03 > strong + 0.06


def test_the_picture_labels_lanes_bands_masses_and_densities(cells):
    reading = BLOT.read(cells)
    figure = BLOT.plot(reading)
    names = [ax.get_yticklabels()[0].get_text() for ax in figure.axes]
    strips = ["PTEN", "p-AKT", "AKT", "cleaved CASP3", "β-actin"]
    assert names == [*strips, "p-AKT/AKT"]
    (head,) = figure.axes[0].child_axes
    assert [t.get_text() for t in head.get_xticklabels()] == ["nc", "anti"]
    assert "– 54" in [t.get_text() for t in figure.axes[0].texts]
    below = [[t.get_text() for t in ax.get_xticklabels()] for ax in figure.axes]
    found = reading.summary.set_index(["protein", "sample"])["relative"]
    assert below[0] == ["1.00", f"{found['PTEN', 'anti']:.2f}"]
    assert below[3][1] == "(1.00)"  # the control has no band: of the strongest lane
    assert below[4] == ["", ""]
    ratio = [t.get_text() for t in figure.axes[5].texts]
    assert ratio == ["1.00", f"{found['p-AKT/AKT', 'anti']:.2f}"]


def test_densities_in_the_picture_are_none_where_no_lane_has_a_band(cells):
    none = cells.copy()
    for name in ("CASP3_a", "XIAP_CASP3", "CASP3_c"):
        none[name] = none[name] * 0.0
    blot = WesternBlot(("cleaved CASP3",))
    below = blot.plot(blot.read(none, noise=False)).axes[0].get_xticklabels()
    assert [t.get_text() for t in below] == ["–", "–"]
