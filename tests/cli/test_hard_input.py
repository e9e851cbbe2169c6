"""Input that would lose a file, a number or the machine is refused in one sentence."""

import os
from pathlib import Path

import pytest
from commands import run, sentence

from mir21sim.analysis.measured import read_measured
from mir21sim.errors import InputError
from mir21sim.simulation import memory

CORE = ("simulate", "mir21_core")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*CORE, "--points", "1000000000"), ["points", "at most 1000000"]),
        ((*CORE, "--max-step", "1e-300 s"), ["max_step", "100000 steps"]),
        ((*CORE, "--max-step", "1e-3 s"), ["`max_step` is 2.78e-07 h", "than 0.00048"]),
        ((*CORE, "--end", "1e308h"), ["1e+12 h"]),
        (("population", "mir21_core", "--cells", "1000000000"), ["at most 1000000"]),
        ((*CORE, "--dose", "TRAIL=1 nM@0h/1sx1000000000"), ["at most 10000 doses"]),
        ((*CORE, "--dose", "TRAIL=0,05 ug/ml@0h"), ["decimal point", "0,05 ug/ml"]),
        ((*CORE, "--set", "k_deg_XIAP=1", "--set", "k_deg_XIAP=2"), ["twice"]),
        ((*CORE, "--clamp", "PTEN=1x", "--clamp", "PTEN=2x"), ["--clamp", "twice"]),
        (("sweep", "mir21_core", "--over", "TRAIL=1", "--over", "TRAIL=2"), ["twice"]),
        (("simulate", "x" * 300), ["File name too long"]),
        (("compare", "x" * 300 + ".nc", "--observe", "PTEN"), ["File name too long"]),
    ],
    ids=[
        "points", "max_step", "short steps", "end", "cells", "doses", "comma", "set",
        "clamp", "over", "model", "file",
    ],
)  # fmt: skip
def test_input_that_cannot_be_meant_is_one_sentence(arguments, words, capsys):
    assert run(*arguments) == 2
    err = sentence(capsys)
    assert all(word in err for word in words), err


@pytest.mark.parametrize(
    "arguments",
    [
        ("convert", "{0}", "-o", "{0}"),
        ("convert", "{0}", "-o", "{1}"),
        ("rerun", "{2}", "-o", "{2}"),
        ("compare", "a={2}", "--observe", "A", "-o", "{2}"),
        ("compare", "{2}", "--observe", "A", "--plot", "p.png", "--plot-fit", "p.png"),
    ],
    ids=["model", "link", "result", "labelled", "two pictures"],
)
def test_no_output_takes_the_place_of_a_file_of_the_command(
    arguments, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    model, link, result = (tmp_path / name for name in ("m.xml", "l.xml", "r.nc"))
    model.write_text("a model")
    result.write_text("a result")
    link.symlink_to(model)
    assert run(*(a.format(model, link, result) for a in arguments)) == 2
    assert "would be lost" in sentence(capsys)
    assert (model.read_text(), result.read_text()) == ("a model", "a result")


def test_a_result_larger_than_the_memory_is_refused_before_the_runs(
    capsys, monkeypatch
):
    monkeypatch.setattr(memory, "machine_bytes", lambda: 10_000)
    assert run(*CORE) == 2
    assert "would take" in sentence(capsys)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_under_the_output_is_one_sentence(tmp_path):
    command = f"{os.sys.executable} -m mir21sim models > /dev/full 2> {tmp_path}/err"
    assert os.waitstatus_to_exitcode(os.system(command)) == 2
    text = (tmp_path / "err").read_text()
    assert text.count("\n") == 1
    assert "No space left" in text


def test_a_row_with_more_cells_than_columns_is_refused(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("time_h,value\n0,1,5\n20,2,7\n")
    with pytest.raises(InputError, match="line 2: 3 cells in 2 columns"):
        read_measured(path)


def test_measured_points_of_another_encoding_are_refused_by_name(tmp_path):
    path = tmp_path / "m.csv"
    path.write_bytes("time_h;value;label\n0;1,5;ä\n".encode("cp1252"))
    with pytest.raises(InputError, match="UTF-8"):
        read_measured(path)


def test_a_comparison_takes_the_first_quantity_and_fits_into_a_terminal(
    tmp_path, capsys
):
    over = ("--over", "TRAIL=5,50", "--over", "anti_miR21=0,100", "--cells", "1")
    path = str(tmp_path / "s.nc")
    assert run("sweep", "mir21_core", *over, "-o", path, "--points", "30", "-q") == 0
    capsys.readouterr()
    assert run("compare", path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("CASP3_active, ") for line in lines)
    start = next(k for k, line in enumerate(lines) if line.startswith("TRAIL [ng/ml]"))
    table = lines[start : start + 5]
    assert max(map(len, table)) <= 80
    assert "peak [molecule]" in table[0]
    assert "baseline" in lines[start + 5]  # named, since there is no room for it
    assert any("anti_miR21 = 100 nM: peak" in line for line in lines)
