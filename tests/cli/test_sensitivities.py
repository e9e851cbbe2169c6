"""``mir21sim sensitivities``: table, files, pictures, bad input."""

import pytest
import support
import xarray as xr
from commands import run

RUN = ("sensitivities", "earm_1_3", "--end", "1h", "--by", "kc1,kf1", "--rtol", "1e-4")


def test_the_command_prints_a_table_and_writes_files(tmp_path, capsys):
    file, bars, heat = (tmp_path / n for n in ("s.nc", "bars.png", "heat.png"))
    code = support.run_cli(
        *RUN, "--of", "final(CASP8_active)", "--of", "CASP8_active", "-o", str(file),
        "--plot", str(bars), "--plot-over-time", str(heat),
    )  # fmt: skip
    assert code == 0
    assert "final(CASP8_active) = " in capsys.readouterr().out
    assert bars.stat().st_size > 5000
    assert heat.stat().st_size > 5000
    with xr.open_dataset(file) as result:
        assert result.sizes["number"] == 2
        assert result.attrs["derivatives"] == "tangents"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--of", "peek(A)"), "Unknown feature `peek`"),
        (("--of", "final(CASP8_activ)"), "CASP8_active"),
        (("--of", "CASP8_active", "--top", "0"), "--top must be 1 or more, got 0."),
        (("--of", "peak(CASP8_active)", "--global", "moris"), "morris or sobol"),
        (
            ("--of", "peak(CASP8_active)", "--global", "sobol", "--by", "kc1=2"),
            "A range is NAME=LOW:HIGH with two numbers, got `kc1=2`.",
        ),
        (
            ("--of", "peak(CASP8_active)", "--global", "morris", "--fold", "1"),
            "fold of a range must be above 1, got 1",
        ),
        (
            ("--of", "CASP8_active", "--global", "morris"),
            "`of` must name features of curves",
        ),
        (
            ("--of", "final(CASP8_active)", "--plot-over-time", "x.png"),
            "--plot-over-time draws a quantity",
        ),
    ],
)
def test_bad_input_is_one_sentence(options, sentence, capsys):
    assert support.run_cli(*RUN, *options) == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("method", ["morris", "sobol"])
def test_ranges_are_ranked_by_morris_and_sobol(method, tmp_path, capsys):
    pytest.importorskip("SALib")
    file, bars = tmp_path / "s.nc", tmp_path / "bars.png"
    code = support.run_cli(
        *RUN[:4], "--rtol", "1e-4", "--of", "peak(CASP8_active)", "--global", method,
        "--by", "kc1=0.5:2,kf1,kr1", "--samples", "4", "-o", str(file),
        "--plot", str(bars),
    )  # fmt: skip
    assert code == 0
    out = capsys.readouterr().out
    assert f"peak(CASP8_active): {method}" in out
    leading = {"morris": "mu_star", "sobol": "ST"}[method]
    with xr.open_dataset(file) as result:
        assert result.sizes["number"] == 3
        row = result[leading].sel(feature="peak(CASP8_active)")
        first = str(row["number"].values[int(row.values.argmax())])
    table = out.splitlines()
    assert table[2].split()[0] == first  # ranked, the largest first
    assert bars.stat().st_size > 5000


def test_experiments_are_ranked_and_written(tmp_path, capsys):
    table = tmp_path / "e.csv"
    code = run(
        *["experiments", "mir21_core", "--predict", "final(CASP8_active)"],
        *["--dose", "TRAIL=50 ng/ml@0h", "--end", "4h", "--measure", "PTEN,XIAP"],
        *["--times", "2h,4h", "--no-ensemble", "-o", str(table)],
    )
    assert code == 0
    out = capsys.readouterr().out
    assert "Most would tell" in out
    assert "comes from assumed numbers" in out
    assert table.read_text().count("\n") >= 5
    assert run("experiments", "mir21_core", "--predict", "CASP3_active") == 2
    assert "such as `peak(CASP3_active)`" in capsys.readouterr().err
