"""The option --schedule of sweep and combine, and its refusals."""

import pytest
from commands import run, sentence

CORE = ["mir21_core", "--end", "30h", "--points", "31", "--cells", "8"]
DOSES = ["--dose", "TRAIL=100 ng/ml@24h", "--dose", "anti_miR21=50 nM@0h"]
TIMES = ["--schedule", "anti-miR-21=0h,24h"]
MIMIC = ["--dose", "miR21_mimic=5 nM@0h", "--schedule", "miR21_mimic=0h"]
PAIR = ["--over", "anti_miR21=0,10,100", "--over", "TRAIL=0,50,200"]


def test_dishes_of_each_schedule_are_compared_written_and_drawn(tmp_path, capsys):
    nc, svg = tmp_path / "s.nc", tmp_path / "s.svg"
    files = ["-o", str(nc), "--plot", str(svg), "--width", "single"]
    assert run("sweep", *CORE, *DOSES, *TIMES, *files) == 0
    out = capsys.readouterr().out
    rows = [line for line in out.splitlines() if line.startswith(("0 h", "24 h"))]
    assert len(rows) == 2
    assert svg.stat().st_size > 1000
    for k in (1, 2):
        assert run("rerun", str(tmp_path / f"s-{k}.nc")) == 0
        assert "difference: 0" in capsys.readouterr().out


def test_two_drugs_in_time_order_have_one_line_each_and_one_on_the_order(
    tmp_path, capsys
):
    png = tmp_path / "o.png"
    assert run("combine", *CORE, *DOSES, *PAIR, *TIMES, "--plot", str(png)) == 0
    out = capsys.readouterr().out
    assert "24 h before TRAIL (0 h): " in out
    assert "with TRAIL (24 h): " in out
    assert out.count("Order: most beyond additivity (Bliss") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sweep", *CORE, *DOSES], "Give --over NAME=VALUES, or --schedule"),
        (["sweep", *CORE, *DOSES, *TIMES, "--cells", "1"], "unlike cells"),
        (["sweep", *CORE, *DOSES, *TIMES, *PAIR], "use `combine` for two drugs"),
        (["sweep", *CORE, *TIMES, "--dose", "none"], "needs one dose"),
        (
            ["combine", *CORE, *DOSES, *PAIR, *MIMIC],
            "must name one of the two drugs, ",
        ),
    ],
)
def test_a_schedule_that_cannot_be_run_is_one_sentence(arguments, said, capsys):
    assert run(*arguments) == 2
    assert said in sentence(capsys)
