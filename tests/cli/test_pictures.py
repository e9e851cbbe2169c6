"""Pictures as journals want them: size, resolution, fonts that stay text."""

import struct

import pytest
from commands import run, sentence

RUN = ["simulate", "earm_1_3", "--end", "1h", "--points", "3", "--backend", "numpy"]


def test_a_png_has_the_size_asked_for_at_300_dpi(tmp_path):
    path = tmp_path / "a.png"
    assert run(*RUN, "--plot", str(path), "--size", "85x60mm") == 0
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    assert abs(width - 85 / 25.4 * 300) <= 1
    assert abs(height - 60 / 25.4 * 300) <= 1


def test_fonts_stay_text_in_pdf_and_svg(tmp_path):
    pdf, svg = tmp_path / "a.pdf", tmp_path / "a.svg"
    assert run(*RUN, "--plot", str(pdf)) == run(*RUN, "--plot", str(svg)) == 0
    assert b"/FontFile2" in pdf.read_bytes()  # TrueType, that is Type 42
    assert b"/Type3" not in pdf.read_bytes()
    assert "<text" in svg.read_text(encoding="utf-8")


@pytest.mark.parametrize("size", ["85mm", "0x5mm", "85x60", "2mx1m"])
def test_a_size_that_is_none_is_refused_before_the_run(size, tmp_path, capsys):
    path = tmp_path / "a.png"
    assert run(*RUN, "--plot", str(path), "--size", size) == 2
    assert "--size must" in sentence(capsys)
    assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["sweep", "--over", "C8=1,2"],
            "--plot shows two swept names at most, got L, XIAP, C8",
        ),
        (
            ["population", "--death", "C8"],
            "--plot shows one swept name at most, got L, XIAP",
        ),
    ],
    ids=["sweep", "population"],
)
def test_a_picture_that_cannot_be_drawn_is_refused_before_the_runs(
    arguments, message, tmp_path, capsys
):
    path = tmp_path / "a.png"
    swept = ["--over", "L=1,2", "--over", "XIAP=1,2", *arguments[1:]]
    cells = ["--cells", "1", "--backend", "numpy", "--plot", str(path)]
    assert run(arguments[0], "earm_1_3", *swept, *cells) == 2
    assert message in sentence(capsys)


def test_too_many_panels_are_refused_before_the_runs(tmp_path, capsys):
    swept = ["--over", "L=1,2", "--over", "XIAP=lin:1:100:50"]
    cells = ["--cells", "1", "--backend", "numpy", "--plot", str(tmp_path / "a.png")]
    assert run("sweep", "earm_1_3", *swept, *cells) == 2
    assert "a panel for each value of `XIAP`" in sentence(capsys)
