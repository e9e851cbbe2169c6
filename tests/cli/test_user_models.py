"""A file of one's own, SBML or Antimony, works in every command that takes a model."""

import json
import zipfile

import pytest
import support
from commands import run, sentence

from mir21sim import cli
from mir21sim.model import files as model_files
from mir21sim.model import read as model_read
from mir21sim.model.formats.sbml_reader import read_sbml
from mir21sim.simulation import dataset as results

FAST = ["--backend", "numpy", "--points", "5"]
END = ["--end", "2"]
NET = support.network(
    {"miR21": 100.0, "PTEN": 10.0},
    {"k_in": 2.0, "k_out": 0.5},
    [
        support.reaction("make", "-> PTEN", "k_in/(1 + miR21/50)"),
        support.reaction("lose", "PTEN ->", "k_out*PTEN"),
    ],
    rules={"ratio": "PTEN/miR21"},
)
ANTIMONY = """model own()
  compartment cell = 1;
  substanceOnly species miR21 in cell, PTEN in cell;
  miR21 = 100; PTEN = 10; k_in = 2; k_out = 0.5;
  make: => PTEN; k_in/(1 + miR21/50);
  lose: PTEN => ; k_out*PTEN;
  ratio := PTEN/miR21;
end
"""


# Without units, like the Antimony text: what is not declared is not checked.
SBML = support.to_sbml(NET, units="")
for _unit in ("time", "substance", "volume", "extent"):
    SBML = SBML.replace(f' {_unit}Units="u_{_unit}"', "")


@pytest.fixture(params=["own.xml", "own.sbml", "own.ant"])
def path(request, tmp_path, monkeypatch):
    """Return a model file without companions, in the current folder."""
    monkeypatch.chdir(tmp_path)
    if request.param.endswith(".ant"):
        pytest.importorskip("antimony", reason="reads Antimony; extra `antimony`")
    text = ANTIMONY if request.param.endswith(".ant") else SBML
    (tmp_path / request.param).write_text(text)
    return request.param


def test_info_lint_and_sources(path, capsys):
    assert run("info", path) == 0
    assert "2 species" in capsys.readouterr().out
    assert run("lint", path) == 0
    assert "0 errors" in capsys.readouterr().out
    assert run("sources", path) == 0


def test_simulate_to_every_kind_of_file(path, capsys):
    for kind in ("nc", "csv", "omex"):
        dose = ["--dose", "miR21=wash@1"]
        assert run("simulate", path, *END, *FAST, *dose, "-o", f"r.{kind}") == 0
    assert "PTEN" in capsys.readouterr().out
    with zipfile.ZipFile("r.omex") as archive:
        again = read_sbml(archive.read("model.xml").decode(), "model.xml")
    assert len(again.events) == 1


def test_sweep_compare_and_rerun(path, capsys):
    sweep = ["sweep", path, "--over", "k_out=0.1,1", "--over", "miR21=0,100"]
    assert run(*sweep, *END, *FAST, "-o", "s.nc", "--quiet") == 0
    assert results.read("s.nc")["PTEN"].dims == ("k_out", "miR21", "time")
    assert run("compare", "s.nc", "--observe", "PTEN") == 0
    assert run("rerun", "s.nc") == 0
    assert "largest relative difference: 0" in capsys.readouterr().out


def test_convert_round_trip_simulates_identically(path, capsys):
    pytest.importorskip("antimony", reason="writes Antimony; extra `antimony`")
    for made in ("a.xml", "b.ant", "c.xml"):
        source = {"a.xml": path, "b.ant": "a.xml", "c.xml": "b.ant"}[made]
        assert run("convert", source, "-o", made) == 0
        assert run("simulate", made, *END, *FAST, "-o", f"{made}.csv") == 0
    assert run("simulate", path, *END, *FAST, "-o", "own.csv") == 0
    capsys.readouterr()
    import pandas as pd

    wanted = pd.read_csv("own.csv", comment="#")
    for made in ("a.xml", "b.ant", "c.xml"):
        got = pd.read_csv(f"{made}.csv", comment="#")[wanted.columns]
        pd.testing.assert_frame_equal(got, wanted, rtol=1e-9)


def test_verify_and_its_file(path, capsys):
    assert run("verify", path, *END, *FAST, "--with", "none", "-o", "v.json") == 0
    assert capsys.readouterr().out.splitlines()[-2] == "all agree"
    with open("v.json") as file:  # noqa: PTH123 - in the current folder
        assert json.load(file)["model"] == "own"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["simulate", "--context", "HeLa"], ["context for own", "HeLa", "base"]),
        (["info", "--context", "HeLa"], ["context for own", "HeLa"]),
        (["simulate", "--observe", "PTN"], ["PTN", "`PTEN`"]),
        (["simulate", "--set", "k_our=1"], ["k_our", "`k_out`"]),
        (["simulate", "--init", "PTENN=1"], ["PTENN", "`PTEN`"]),
        (["simulate", "--dose", "miR12=1@0"], ["miR12", "`miR21`"]),
        (["simulate", "--knockdown", "PTEN=50"], ["PTEN"]),
        (["sweep", "--over", "k_inn=1,2"], ["k_inn", "`k_in`"]),
        (["verify", "--with", "copassi"], ["copassi", "`copasi`"]),
        (["verify", "--tolerance", "0"], ["tolerance", "between 0 and 1"]),
        (["verify", "-o", "v.xml"], ["v.xml", ".json"]),
        (["simulate", "-o", "r.doc"], ["r.doc", ".omex"]),
        (["sweep", "--over", "k_in=1", "-o", "r.omex"], ["r.omex", ".zarr", ".csv"]),
        (["convert", "-o", "r.txt"], ["r.txt", ".ant, .xml or .sbml"]),
        (["convert", "--context", "HeLa", "-o", "r.xml"], ["context for own", "HeLa"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_words_about_it_are_one_sentence(
    arguments, words, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.xml").write_text(SBML)
    command, *rest = arguments
    backend = ["--backend", "numpy"] if command not in {"info", "convert"} else []
    assert run(command, "own.xml", *rest, *backend) == 2
    told = sentence(capsys)
    for word in words:
        assert word in told


def test_a_context_of_ones_own_lies_beside_the_model(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.xml").write_text(SBML)
    (tmp_path / "contexts").mkdir()
    (tmp_path / "contexts" / "mine.toml").write_text(
        'id = "mine"\n[models.own]\nk_out = { value = 0.125 }\n'
    )
    assert run("convert", "own.xml", "--context", "mine", "-o", "mine.xml") == 0
    network, _ = model_read.understand(model_files.find("mine.xml"))
    assert {p.id: p.value for p in network.parameters}["k_out"] == 0.125


def test_a_shipped_model_is_written_with_its_context(tmp_path, capsys):
    target = tmp_path / "hela.xml"
    assert run("convert", "mir21_core", "--context", "HeLa", "-o", str(target)) == 0
    wanted, _ = model_read.understand(model_files.find("mir21_core", "HeLa"))
    assert read_sbml(target.read_text(encoding="utf-8"), "hela.xml") == wanted


def test_verify_exits_1_where_curves_part(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = support.network({"A": 1.0}, {"k": 1.0}, [support.reaction("r", "A ->", "k")])
    (tmp_path / "falls.xml").write_text(support.to_sbml(net))
    words = ["verify", "falls.xml", "--end", "3h", *FAST, "--with", "none"]
    with pytest.raises(SystemExit) as stopped:
        cli.main(words)
    assert stopped.value.code == 1
    out = capsys.readouterr().out
    assert "no negative amounts" in out
    assert "parts" in out
