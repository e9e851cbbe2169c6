"""``mir21sim steady``."""

import support


def test_state_and_branches_are_printed(tmp_path, capsys):
    table, picture = tmp_path / "s.csv", tmp_path / "s.png"
    assert support.run_cli("steady", "mir21_core", "--observe", "PTEN") == 0
    said = capsys.readouterr().out
    assert "steady state, stable" in said
    assert "eigenvalues (1/h), slowest first: -" in said
    over = ("--over", "anti_miR21=log:1:100:3", "--observe", "PTEN")
    files = ("-o", str(table), "--plot", str(picture))
    assert support.run_cli("steady", "mir21_core", *over, *files) == 0
    assert "No value of anti_miR21 in the range" in capsys.readouterr().out
    assert "PTEN" in table.read_text("utf-8").splitlines()[0]
    assert picture.stat().st_size > 5000


def test_a_dose_is_refused_with_the_way_to_hold_it(capsys):
    code = support.run_cli("steady", "mir21_core", "--dose", "TRAIL=50 ng/ml@0h")
    assert code == 2
    assert "--clamp TRAIL=AMOUNT" in capsys.readouterr().err


def test_a_picture_needs_a_range(tmp_path, capsys):
    code = support.run_cli("steady", "mir21_core", "--plot", str(tmp_path / "a.png"))
    assert (code, "needs --over" in capsys.readouterr().err) == (2, True)
