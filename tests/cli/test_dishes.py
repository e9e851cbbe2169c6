"""Commands that run dishes of unlike cells: sweep, combine; and exposure."""

import numpy as np
import pytest
import xarray as xr
from commands import run, sentence

import mir21sim as ms

TIMES = ["--end", "30h", "--points", "61"]
TRAIL = ["--dose", "TRAIL=200 ng/ml@24h"]
SWEEP = ["sweep", "mir21_core", "--over", "anti_miR21=0,10,1000", *TRAIL, *TIMES]


def test_a_sweep_of_doses_runs_unlike_cells_and_draws_their_dish(tmp_path, capsys):
    nc, pdf = tmp_path / "s.nc", tmp_path / "s.pdf"
    assert run(*SWEEP, "--cells", "12", "-o", str(nc), "--plot", str(pdf)) == 0
    out = capsys.readouterr().out
    assert "12 cells" in out.splitlines()[0]
    assert "of 12 cells dead by 6 h after TRAIL" in out or "no cell dead by 6 h" in out
    assert "anti_miR21 (nM)" in out
    assert pdf.stat().st_size > 1000
    with xr.open_dataset(nc, engine="h5netcdf") as saved:
        assert saved.sizes["cell"] == 12
        again = ms.dish(saved.load(), ["CASP3_active"], "MOMP_fraction", since="24 h")
    assert again["dead_end"].shape == (3,)


def test_the_cells_are_the_same_at_every_dose_and_by_every_way(tmp_path, capsys):
    nc = tmp_path / "s.nc"
    assert run(*SWEEP, "--cells", "3", "-o", str(nc)) == 0
    capsys.readouterr()
    model = ms.load("mir21_core")
    by_hand = ms.simulate_population(
        model,
        ms.Population(3),
        times=np.linspace(0, 30, 61),
        over={"anti_miR21": [0, 10, 1000]},
        doses="TRAIL=200 ng/ml@24h",
        observe="CASP3_active",
    )
    with xr.open_dataset(nc, engine="h5netcdf") as saved:
        np.testing.assert_array_equal(saved["CASP3_active"], by_hand["CASP3_active"])
    assert run("rerun", str(nc)) == 0
    assert "difference: 0" in capsys.readouterr().out


def test_a_picture_of_two_swept_doses_is_refused_before_the_runs(tmp_path, capsys):
    plot = ["--cells", "2", "--plot", str(tmp_path / "s.png")]
    assert run(*SWEEP, "--over", "TRAIL=0,1", *plot) == 2
    assert "mir21sim combine" in sentence(capsys)


def test_one_cell_stays_one_option_away(capsys):
    assert run(*SWEEP, "--cells", "1") == 0
    assert "1 cell;" in capsys.readouterr().out


def test_a_sweep_of_a_parameter_runs_the_average_cell(capsys):
    assert run("sweep", "mir21_core", "--over", "XIAP=100,200", *TIMES) == 0
    assert "1 cell;" in capsys.readouterr().out


def test_two_drugs_are_combined(tmp_path, capsys):
    png = tmp_path / "c.png"
    over = ["--over", "anti_miR21=0,10,1000", "--over", "TRAIL=0,20,200"]
    arguments = ["combine", "mir21_core", *over, "--dose", "TRAIL=1 ng/ml@24h", *TIMES]
    assert run(*arguments, "--cells", "8", "--plot", str(png)) == 0
    out = capsys.readouterr().out
    for measure in ("HSA", "Bliss", "Loewe", "ZIP"):
        assert f"({measure})" in out
    assert png.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--over", "TRAIL=0,1,2"], "--over of two drugs, got 1"),
        (["--over", "TRAIL=0,1", "--over", "anti_miR21=0,1,2"], "dose 0 and two more"),
        (["--over", "TRAIL=1,2,3", "--over", "anti_miR21=0,1,2"], "got 1, 2, 3"),
        (["--over", "TRAIL=0,1,1", "--over", "anti_miR21=0,1,2"], "must differ"),
        (
            ["--over", "TRAIL=0,1,2", "--over", "anti_miR21=0,1,2", "--cells", "1"],
            "--cells of 2 or more",
        ),
        (
            [
                "--over",
                "TRAIL=0,1,2",
                "--over",
                "anti_miR21=0,1,2",
                "--measure",
                "blis",
            ],
            "Did you mean `Bliss`",
        ),
    ],
)
def test_combinations_that_cannot_be_read_are_refused(capsys, arguments, said):
    assert run("combine", "mir21_core", *arguments, *TIMES) == 2
    assert said in sentence(capsys)


def test_a_width_that_no_journal_has_is_refused_before_the_work(capsys):
    doses = ["--over", "anti_miR21=0,1", "--over", "TRAIL=0,1"]
    assert run("combine", "mir21_core", *doses, "--width", "wide", *TIMES) == 2
    assert "width" in sentence(capsys)


def test_exposure_to_an_inhibitor(tmp_path, capsys):
    png, csv = tmp_path / "e.png", tmp_path / "e.csv"
    arguments = ["exposure", "mir21_core", "--dose", "anti_miR21=50 nM@0h", *TIMES]
    assert run(*arguments, "--plot", str(png), "-o", str(csv)) == 0
    assert "half_life_h" in capsys.readouterr().out
    assert csv.read_text().startswith("quantity,C_max,")
    assert run("exposure", "mir21_core", *TIMES) == 2
    assert "Give a dose of `anti_miR21`" in sentence(capsys)


def test_exposure_has_the_bands_of_an_ensemble(tmp_path, capsys):
    """The table, the file and the picture are those of the sets, not of the point."""
    model = ms.load("mir21_core", "HeLa")
    name = "k_deg_anti_miR21"
    own = model.p0[model.param_names.index(name)]
    path = tmp_path / "sets.nc"
    ms.Ensemble((name,), own * np.array([[0.5], [1.0], [2.0]])).save(path)
    csv = tmp_path / "e.csv"
    arguments = ["exposure", "mir21_core", "--dose", "anti_miR21=50 nM@0h", *TIMES]
    assert run(*arguments, "--ensemble", str(path), "-o", str(csv)) == 0
    assert "Median (95 % of 3 parameter sets)." in capsys.readouterr().out
    assert "AUC_h_low" in csv.read_text().partition("\n")[0]
    assert run(*arguments, "--ensemble", str(path), "--no-ensemble") == 2
