"""Dual luciferase: the model's ratio without noise, honest statistics with it."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mir21sim.assays.experiment import Sample
from mir21sim.assays.luciferase import LuciferaseAssay, site_of
from mir21sim.assays.noise import LuciferaseNoise
from mir21sim.compiler.load import load
from mir21sim.errors import InputError, UnknownNameError

WT, MUT = "reporter PDCD4 WT 100", "reporter PDCD4 MUT 100"
ASSAY = LuciferaseAssay()


@pytest.fixture(scope="module")
def model():
    return load("mir21_apoptosis", backend="numpy")


@pytest.fixture
def cells(cells_of):
    """WT falls to 0.4 with the mimic; Renilla, made by the MUT reporter, does not."""
    return cells_of(
        {
            "nc, WT": {"luciferase_WT": [800.0, 1200.0], "luciferase_MUT": 200.0},
            "mimic, WT": {"luciferase_WT": [300.0, 500.0], "luciferase_MUT": 200.0},
            "nc, MUT": {"luciferase_WT": 0.0, "luciferase_MUT": 2000.0},
            "mimic, MUT": {"luciferase_WT": 0.0, "luciferase_MUT": 2000.0},
        },
        treatment=["nc", "mimic", "nc", "mimic"],
        dish=[WT, WT, MUT, MUT],
    )


def test_without_noise_the_ratio_is_that_of_the_cells(cells):
    table = ASSAY.read(cells, noise=False).summary.set_index(["construct", "treatment"])
    assert table.loc[("WT", "mimic"), "relative"] == pytest.approx(0.4, rel=1e-12)
    assert table.loc[("WT", "nc"), "mean"] == pytest.approx(1000 / 200, rel=1e-12)
    assert table.loc[("MUT", "mimic"), "relative"] == 1.0
    assert table.loc[("MUT", "nc"), "mean"] == pytest.approx(100 / 10, rel=1e-12)
    assert (table["n"] == 1).all()
    assert table["p"].isna().all()


def test_with_noise_wt_falls_clearly_and_mut_does_not(cells):
    table = ASSAY.read(cells, seed=1).summary.set_index(["construct", "treatment"])
    assert table.loc[("WT", "mimic"), "relative"] == pytest.approx(0.4, abs=0.06)
    assert table.loc[("WT", "mimic"), "p"] < 0.01
    assert table.loc[("MUT", "mimic"), "relative"] == pytest.approx(1.0, abs=0.15)
    assert table.loc[("MUT", "mimic"), "p"] > 0.05
    assert (table["test"] == "Welch's t-test of logarithms").all()


def test_statistics_agree_with_the_raw_csv(cells, tmp_path):
    reading = ASSAY.read(cells, seed=4, replicates=5)
    reading.raw.to_csv(tmp_path / "raw.csv", index=False)
    raw = pd.read_csv(tmp_path / "raw.csv")
    ratio = raw["firefly"] / raw["renilla"]
    for construct in ("WT", "MUT"):
        mimic, nc = (
            ratio[(raw["construct"] == construct) & (raw["treatment"] == name)]
            for name in ("mimic", "nc")
        )
        row = reading.summary.query(
            f"construct == '{construct}' & treatment == 'mimic'"
        )
        assert row["mean"].item() == pytest.approx(np.mean(mimic), rel=1e-12)
        assert row["sd"].item() == pytest.approx(np.std(mimic, ddof=1), rel=1e-9)
        assert row["n"].item() == 5
        expected = stats.ttest_ind(np.log(mimic), np.log(nc), equal_var=False).pvalue
        assert row["p"].item() == pytest.approx(expected, rel=1e-9)


def test_transfection_varies_by_well_and_cancels_in_the_ratio(cells):
    raw = ASSAY.read(cells, seed=2, replicates=400).raw.query("construct == 'WT'")
    light = raw.query("treatment == 'nc'")
    assert light["firefly"].std() / light["firefly"].mean() > 0.25
    assert light["ratio"].std() / light["ratio"].mean() == pytest.approx(0.08, abs=0.02)
    assert light["ratio"].mean() == pytest.approx(5.0, rel=0.02)


def test_a_seed_fixes_every_well_whatever_else_is_read(cells):
    one = ASSAY.read(cells, seed=3).raw
    assert one.equals(ASSAY.read(cells, seed=3).raw)
    assert not one.equals(ASSAY.read(cells, seed=4).raw)
    few = ASSAY.read(cells.isel(sample=[0, 2]), seed=3, test="none").raw
    mine = one[one["treatment"] == "nc"].reset_index(drop=True)
    assert few["firefly"].tolist() == mine["firefly"].tolist()


def test_a_control_without_light_is_said_not_divided_by(cells):
    dark = cells.copy()
    dark["luciferase_WT"] = dark["luciferase_WT"] * 0.0
    reading = ASSAY.read(dark, noise=False)
    assert reading.summary.query("construct == 'WT'")["relative"].isna().all()
    assert "`nc` gives no signal of PDCD4 WT" in reading.notes[0]


def test_each_sample_gets_each_reporter_with_the_site_of_its_target(model):
    assay = LuciferaseAssay(("PTEN",), plasmids=(50.0, 100.0))
    samples = (Sample("nc"), Sample("mimic", ["miR21_mimic=50 nM@0h"]))
    dishes = assay.dishes(samples, model)
    assert len(dishes) == 2 * 2 * 2
    doses = {d.target: d.amount for d in dishes[0].done.doses}
    assert doses == {"reporter_WT": 50.0, "reporter_MUT": 10.0}
    names = dict(zip(model.param_names, model.p0, strict=True))
    assert dishes[0].done.parameters["kr_RISC_reporter"] == names["kr_RISC_PTEN"]
    assert dishes[-1].group == "mimic"
    assert not assay.dishes(dishes, model)  # reporter dishes are not transfected again


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LuciferaseAssay(()), "one target or more"),
        (lambda: LuciferaseAssay(plasmids=(0.0,)), "above 0, got 0, 10"),
        (lambda: LuciferaseNoise(reader_cv=-1.0), "`reader_cv` must be finite and 0"),
    ],
    ids=["targets", "plasmids", "noise"],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_unknown_targets_controls_and_times_are_named(model, cells):
    with pytest.raises(UnknownNameError, match=r"`PTENN`.*`PTEN`"):
        site_of(model, "PTENN")
    with pytest.raises(UnknownNameError, match=r"`NC`.*`nc`"):
        LuciferaseAssay(control="NC").read(cells)
    with pytest.raises(InputError, match="No cells were kept at 24 h; kept: 48 h"):
        LuciferaseAssay(times_h=(24.0,)).read(cells)
    with pytest.raises(UnknownNameError, match="reporter PTEN WT 100"):
        LuciferaseAssay(("PTEN",)).read(cells)
    with pytest.raises(InputError, match="2 replicates or more"):
        ASSAY.read(cells, replicates=1)
    with pytest.raises(InputError, match="`replicates` must be 1 or more"):
        ASSAY.read(cells, replicates=0)


def test_a_model_without_reporters_is_refused():
    with pytest.raises(InputError, match="`reporter_WT`, and earm_1_3 has none"):
        ASSAY.needs(load("earm_1_3", backend="numpy"))


def test_the_picture_has_a_panel_for_each_target(cells):
    figure = ASSAY.plot(ASSAY.read(cells))
    (ax,) = figure.axes
    assert ax.get_title() == "PDCD4 3′UTR, 100 plasmids, 48 h"
    assert ax.get_ylim()[0] == 0
    assert len(ax.patches) == 4
