"""The command line: the words of Python, one sentence for a mistake, exit codes."""

import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from commands import run, sentence

from mir21sim.simulation import dataset as results
from mir21sim.solvers import methods

FAST = ["--backend", "numpy", "--points", "9"]
RUN = ["simulate", "earm_1_3", "--end", "1h", "--observe", "C8"]
SWEEP = ["sweep", "earm_1_3", "--over", "L=0,10,50", "--end", "2h", "--observe", "C8"]


def test_sweep_then_compare_then_rerun(tmp_path, capsys):
    nc, png = tmp_path / "r" / "s.nc", tmp_path / "r" / "s.png"
    assert run(*SWEEP, *FAST, "-o", str(nc), "--plot", str(png)) == 0
    out = capsys.readouterr().out
    assert str(nc) in out
    assert str(png) in out
    csv = tmp_path / "f.csv"
    assert run("compare", str(nc), "--observe", "C8", "-o", str(csv)) == 0
    header = csv.read_text().splitlines()[0]
    assert header.startswith("result,L,baseline,peak,peak_time_h,lag_h,t_half_h")
    assert run("rerun", str(nc)) == 0
    assert "largest relative difference: 0" in capsys.readouterr().out


def test_simulate_writes_csv_and_prints_end_values(tmp_path, capsys):
    path = tmp_path / "run.csv"
    code = run(
        *["simulate", "earm_1_3", "--end", "1h", "--observe", "C8,[XIAP]", *FAST],
        *["--set", "kc1=0.02", "--init", "XIAP=5e4", "-o", str(path)],
    )
    assert code == 0
    assert "C8" in capsys.readouterr().out
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# earm_1_3, base; no dose; --set kc1=0.02")
    assert lines[1] == "time,C8,[XIAP]"


@pytest.mark.parametrize(
    "command", [["simulate"], ["sweep"], ["population"], ["validate"], ["study", "run"]]
)
def test_the_help_lists_every_method(command, capsys):
    assert run(*command, "--help") == 0
    text = " ".join(capsys.readouterr().out.split()).replace("- ", "-")
    assert "METHODS" not in text
    assert all(name in text for name in methods.NAMES)


def test_models_info_lint_doctor_speak(capsys):
    for command in (["models"], ["info", "earm_1_3"], ["lint", "earm_1_3"]):
        assert run(*command) == 0
        assert "EARM 1.3" in capsys.readouterr().out or command[0] == "lint"


def test_doctor_finds_everything(capsys):
    assert run("doctor") == 0
    assert "all is well" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["simulate", "earm_1_4"], ["earm_1_4", "`earm_1_3`"]),
        (["simulate", "nowhere.xml"], ["nowhere.xml", "does not exist"]),
        (["simulate", "earm2_m1a", "--context", "fited"], ["fited", "`fitted`"]),
        (["simulate", "earm_1_3", "--observe", "XIAPP"], ["XIAPP", "`XIAP`"]),
        (["simulate", "earm_1_3", "--set", "kf1x=1"], ["kf1x", "`kf1`"]),
        (["simulate", "earm_1_3", "--set", "kf1=fast"], ["kf1", "`fast`"]),
        (["simulate", "earm_1_3", "--set", "kf1=nan"], ["kf1", "finite"]),
        (["simulate", "earm_1_3", "--init", "XIAP=-5"], ["XIAP", "negative"]),
        (["simulate", "earm_1_3", "--method", "LSDOA"], ["LSDOA", "`LSODA`"]),
        (["simulate", "earm_1_3", "--end", "5 parsecs"], ["parsecs", "min"]),
        (["simulate", "earm_1_3", "--end", "0h"], ["end", "after the start"]),
        (["simulate", "earm_1_3", "--end", "nan"], ["end", "finite"]),
        (["simulate", "earm_1_3", "--points", "1"], ["points", "2 or more"]),
        (["simulate", "earm_1_3", "--rtol", "0"], ["rtol", "1e-14"]),
        (["simulate", "earm_1_3", "--atol", "-1"], ["atol", "above 0"]),
        (["simulate", "earm_1_3", "--dose", "L=50 ng/mL@0h"], []),
        (["simulate", "earm_1_3", "--dose", "L=-5 ng/ml@0h"], ["negative", "-5"]),
        (["simulate", "earm_1_3", "--dose", "L=5 nm@0h"], []),
        (["simulate", "earm_1_3", "--dose", "L=5 ng/m@0h"], ["ng/m", "`ng/ml`"]),
        (["simulate", "earm_1_3", "--dose", "LL=5 nM@0h"], ["LL", "`L`"]),
        (["simulate", "earm_1_3", "--dose", "L=5@99h"], ["99h", "outside the run"]),
        (["simulate", "earm_1_3", "--dose", "L 5"], ["NAME=AMOUNT UNIT@TIME"]),
        (["simulate", "earm_1_3", "--dose", "C8=5 ug/ml@0h"], ["ug/ml", "conversion"]),
        (["simulate", "earm_1_3", "--backend", "jax"], ["jax", "numba or numpy"]),
        (["sweep", "earm_1_3", "--over", "XIAP="], ["NAME=VALUES", "XIAP="]),
        (["sweep", "earm_1_3", "--over", "XIAP=,"], ["XIAP"]),
        (["sweep", "earm_1_3", "--over", "XIAP=log:0:1:3"], ["log:0:1:3", "above 0"]),
        (["sweep", "earm_1_3", "--over", "XIPA=1"], ["XIPA", "`XIAP`"]),
        (["sweep", "earm_1_3", "--over", "L=-1,2"], ["`L`", "negative"]),
        (["sweep", "earm_1_3", "--over", "L=1", "-o", "x.doc"], ["x.doc", ".nc"]),
        (["sweep", "earm_1_3", "--over", "L=1", "--plot", "x.bmp"], ["x.bmp", ".png"]),
        (["compare", "none.nc", "--observe", "C8"], ["none.nc", "does not exist"]),
        (["convert", "a.txt", "-o", "b.xml"], ["a.txt", "Unknown model"]),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else None,
)
def test_wrong_input_is_one_sentence_and_exit_2(
    arguments, words, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    extra = (
        FAST
        if arguments[0] in ("simulate", "sweep") and "--points" not in arguments
        else []
    )
    if "--backend" in arguments:
        extra = []
    code = run(*arguments, *extra)
    if not words:  # other spellings of known units are understood
        assert code == 0
        return
    assert code == 2
    text = sentence(capsys)
    for word in words:
        assert word in text


def test_unwritable_output_stops_before_the_run(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "s.nc"
    assert run(*SWEEP, *FAST, "-o", str(target)) == 2
    assert "cannot be written" in sentence(capsys)


def test_failed_run_exits_1_and_keeps_the_others(tmp_path, capsys):
    path = tmp_path / "s.nc"
    code = run(*SWEEP, *FAST, "--max-steps", "20", "--quiet", "-o", str(path))
    assert code == 1
    assert "MAX_STEPS" in sentence(capsys)
    kept = results.read(path)
    assert kept["status"].values.tolist() != [0, 0, 0]


def test_failed_single_run_names_time_and_reaction(capsys):
    code = run("simulate", "earm_1_3", "--end", "2h", *FAST, "--max-steps", "5")
    assert code == 1
    assert "reaction `" in sentence(capsys)


def test_debug_shows_the_traceback(capsys):
    assert run("--debug", "info", "earm_1_4") == 2
    assert "Traceback" in capsys.readouterr().err


def test_labelled_files_are_compared_under_their_labels(tmp_path, capsys):
    path = tmp_path / "s.nc"
    run(*SWEEP, *FAST, "-o", str(path))
    capsys.readouterr()
    assert run("compare", f"low={path}", f"high={path}", "--observe", "C8") == 0
    out = capsys.readouterr().out
    assert "low" in out
    assert "high" in out


def test_measured_points_are_scaled_to_the_curve(tmp_path, capsys):
    path, lab = tmp_path / "s.nc", tmp_path / "lab.csv"
    assert run(*RUN, *FAST, "-o", str(path)) == 0
    lab.write_text("time_h,value\n0.5,1\n", encoding="utf-8")
    capsys.readouterr()
    compare = ["compare", str(path), "--observe", "C8", "--measured", str(lab)]
    picture = tmp_path / "a.svg"
    assert run(*compare, "--scale", "auto", "--plot", str(picture)) == 0
    out = capsys.readouterr().out
    factor = float(re.search(r"scale of lab.csv: (\S+) \(least", out)[1])
    with xr.open_dataset(path) as result:
        assert factor == pytest.approx(float(result["C8"].interp(time=0.5)), rel=1e-4)
    assert "lab × " in picture.read_text(encoding="utf-8")
    assert run(*compare, "--scale", "1", "--scale", "2") == 2
    assert "once for each --measured" in capsys.readouterr().err


OWN = """<?xml version="1.0" encoding="UTF-8"?>
<sbml xmlns="http://www.sbml.org/sbml/level3/version2/core" level="3" version="2">
<model id="own"><listOfCompartments>
<compartment id="cell" size="1" constant="true" spatialDimensions="3"/>
</listOfCompartments><listOfSpecies>
<species id="miR21" compartment="cell" initialAmount="10" constant="false"
 boundaryCondition="false" hasOnlySubstanceUnits="true"/>
</listOfSpecies><listOfParameters>
<parameter id="k_decay" value="1e-4" constant="true"/>
{parameters}</listOfParameters><listOfReactions>
<reaction id="decay" reversible="false"><listOfReactants>
<speciesReference species="miR21" stoichiometry="1" constant="true"/>
</listOfReactants><kineticLaw>
<math xmlns="http://www.w3.org/1998/Math/MathML"><apply><times/>{factors}</apply></math>
</kineticLaw></reaction></listOfReactions></model></sbml>
"""


def own_model(folder, factors, parameters=""):
    path = folder / "own.xml"
    cis = "".join(f"<ci>{name}</ci>" for name in factors)
    path.write_text(OWN.format(factors=cis, parameters=parameters))
    return str(path)


def test_own_file_stands_for_a_model_name(tmp_path, capsys):
    path = own_model(tmp_path, ["k_decay", "miR21"])
    assert run("simulate", path, "--end", "10000 s", *FAST) == 0
    end = capsys.readouterr().out.split()
    assert float(end[end.index("miR21") + 1]) == pytest.approx(3.6788, rel=1e-4)


@pytest.mark.parametrize(
    ("factors", "parameters", "words"),
    [
        (["k_decey", "miR21"], "", ["`decay`", "k_decey", "`k_decay`"]),
        (
            ["k_decya", "miR21"],
            '<parameter id="k_decya" constant="true"/>',
            ["`decay`", "k_decya", "no value", "`k_decay`"],
        ),
    ],
    ids=["undeclared", "without value"],
)
def test_missing_symbol_names_reaction_symbol_and_near_name(
    factors, parameters, words, tmp_path, capsys
):
    path = own_model(tmp_path, factors, parameters)
    assert run("simulate", path, *FAST) == 2
    text = sentence(capsys)
    for word in words:
        assert word in text


def test_species_driven_negative_fails_with_its_name(tmp_path, capsys):
    path = own_model(tmp_path, ["k_decay"])
    assert run("simulate", path, "--end", "360000", *FAST) == 1
    text = sentence(capsys)
    assert "`miR21`" in text
    assert "`decay`" in text
    assert "negative" in text


@pytest.mark.parametrize(
    "content", ["", "<sbml", "<html></html>", "not xml at all"], ids=repr
)
def test_file_that_is_no_sbml_is_one_sentence(content, tmp_path, capsys):
    path = tmp_path / "broken.xml"
    path.write_text(content)
    assert run("simulate", str(path), *FAST) == 2
    assert "broken" in sentence(capsys)


def test_population_says_who_dies_and_when(tmp_path, capsys):
    nc, png = tmp_path / "cells.nc", tmp_path / "cells.png"
    code = run(
        *["population", "earm_1_3", "--cells", "3", "--end", "10h", *FAST],
        *["--death", "CASP3_active", "--vary", "XIAP=0.5", "--since", "0h"],
        *["-o", str(nc), "--plot", str(png)],
    )
    assert code == 0
    out = capsys.readouterr().out
    assert "of 3 cells live at 0 h" in out
    assert png.exists()
    assert results.read(nc)["CASP3_active"].dims == ("cell", "time")


def test_population_takes_a_dose_as_a_sweep_does(tmp_path, capsys):
    nc, png = tmp_path / "cells.nc", tmp_path / "cells.png"
    code = run(
        *["population", "earm_1_3", "--cells", "3", "--end", "3h", *FAST],
        *["--death", "CASP3_active", "--since", "0h", "--over", "L=0,log:10:1000:2 nM"],
        *["-o", str(nc), "--plot", str(png)],
    )
    assert code == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[3:6]] == ["0", "10", "1000"]
    assert png.exists()
    assert results.read(nc)["CASP3_active"].sizes == {"cell": 3, "L": 3, "time": 9}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--cells", "0"], ["1 cell or more, and at most 1000000, got 0"]),
        (["--cv", "-1"], ["`cv`", "-1"]),
        (["--vary", "XIAPP=0.5", "--death", "C8"], ["XIAPP", "`XIAP`"]),
        (["--death", "PS"], ["`PS`"]),
        (["--over", "TRAIL", "--death", "C8"], ["NAME=VALUES", "TRAIL"]),
    ],
    ids=["cells", "cv", "vary", "death", "over"],
)
def test_a_population_that_cannot_be_is_one_sentence(arguments, words, capsys):
    assert run("population", "earm_1_3", "--cells", "2", *FAST, *arguments) == 2
    err = sentence(capsys)
    assert all(word in err for word in words)


def test_the_first_line_says_line_doses_cells_times_and_method(tmp_path, capsys):
    nc = tmp_path / "s.nc"
    assert run(*SWEEP, *FAST, "--knockdown", "C8=0.5", "-o", str(nc)) == 2  # no genes
    capsys.readouterr()
    assert run(*SWEEP, *FAST, "--set", "kc1=0.02", "-o", str(nc)) == 0
    line = capsys.readouterr().out.splitlines()[0]
    assert line == (
        "earm_1_3, base; L=0 to 50 ng/ml (3 values)@0h; --set kc1=0.02; 1 cell; "
        "0 to 2 h, 9 times; LSODA, rtol 1e-06"
    )
    assert results.read(nc).attrs["summary"] == line


def test_the_version_is_printed(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("mir21sim 0.")


@pytest.mark.parametrize(
    "arguments",
    [["models"], ["info", "mir21_core"], ["sources", "mir21_core"], ["--help"]],
    ids=" ".join,
)
def test_texts_fit_80_columns(arguments, capsys):
    assert run(*arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 5
    assert [line for line in lines if len(line) > 80] == []


def test_compare_shows_bands_of_cells_and_a_row_each_on_request(tmp_path, capsys):
    t = np.linspace(0.0, 10.0, 11)
    rise = np.arange(1.0, 9.0)[:, np.newaxis] * t
    time, path = ("time", t, {"units": "h"}), tmp_path / "cells.nc"
    data = {"C": (("cell", "time"), rise), "status": ("cell", np.zeros(8, int))}
    told = {"Conventions": "mir21sim-1"}
    xr.Dataset(data, {"time": time}, told).to_netcdf(path)
    table, picture = tmp_path / "bands.csv", tmp_path / "bands.png"
    args = ("compare", f"one={path}", f"two={path}", "--observe", "C")
    assert run(*args, "-o", str(table), "--plot", str(picture)) == 0
    out = capsys.readouterr().out
    assert "In brackets: mean of 8 cells and 95 % of 400 resamplings" in out
    assert "change: minus one, cell by cell" in out
    frame = pd.read_csv(table, index_col="result")
    assert frame.loc["two", ["peak", "peak_change"]].tolist() == [45.0, 0.0]
    assert picture.stat().st_size > 5000
    assert run(*args, "--each", "-o", str(table)) == 0
    assert len(pd.read_csv(table)) == 16
