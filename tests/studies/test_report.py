"""The folder of a study: data, pictures and report."""

import html.parser
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from small_study import changed, files_of, written

from mir21sim.assays import flow
from mir21sim.assays.fcs import read_fcs
from mir21sim.assays.flow import FlowCytometry
from mir21sim.simulation import dataset
from mir21sim.studies import command as study
from mir21sim.studies import run, schema


class Page(html.parser.HTMLParser):
    """The content of a page: tags, targets of links, text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.words, self.ids = [], [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append(tag)
        self.links += [found[k] for k in ("src", "href") if k in found]
        self.ids |= {found["id"]} if "id" in found else set()

    def handle_data(self, data):
        self.words.append(data)


def test_data_pictures_and_report_are_written(done):
    assert set(files_of(done)) == {
        "study.toml",
        "cells.nc",
        "noise.csv",
        "numbers.csv",
        "provenance.json",
        "report.html",
        "western/raw.csv",
        "western/summary.csv",
        "western/western.png",
        "caspase/raw.csv",
        "caspase/summary.csv",
        "caspase/plate.csv",
        "caspase/caspase.png",
    }


def test_the_report_stands_alone(done):
    text = (done / run.REPORT).read_text(encoding="utf-8")
    page = Page(text)
    assert "script" not in page.tags
    assert "link" not in page.tags
    pictures = [
        link for link in page.links if link.startswith("data:image/png;base64,")
    ]
    assert len(pictures) == 2
    others = set(page.links) - set(pictures)
    inside = {link[1:] for link in others if link.startswith("#")}
    assert inside <= page.ids
    assert all((done / link).is_file() for link in others if not link.startswith("#"))
    assert "http://" not in text.replace("http://www.w3.org", "")


def test_the_report_says_what_was_done_and_escapes_it(done):
    text = (done / run.REPORT).read_text(encoding="utf-8")
    assert "<h1>Mimic &amp; &lt;anti-miR-21&gt;</h1>" in text
    words = " ".join(Page(text).words)
    for said in (
        "miR21_mimic=50 nM@0h",
        "ANOVA, Dunnett's test",
        "loading_cv",
        "assumed",
        "k_tl_PTEN",
        "numpy",
        "Spencer",
    ):
        assert said in words, said


@pytest.mark.skipif(sys.platform == "win32", reason="rights of POSIX")
def test_results_can_be_read_by_whom_files_of_the_user_can(done, tmp_path):
    (tmp_path / "mine").touch()
    rights = (tmp_path / "mine").stat().st_mode
    files = [path for path in done.rglob("*") if path.is_file()]
    assert {path.stat().st_mode for path in files} == {rights}


def test_settings_that_are_times_have_their_unit(done):
    words = Page((done / run.REPORT).read_text(encoding="utf-8")).words
    assert words[words.index("time") + 1 :][:2].count("12 h") == 1


def test_only_the_samples_of_an_assay_are_read(done):
    raw = pd.read_csv(done / "caspase" / "raw.csv")
    assert set(raw["contents"]) == {"control", "mimic", "blank"}
    blot = pd.read_csv(done / "western" / "raw.csv")
    assert list(blot["sample"].unique()) == ["control", "mimic", "anti"]


def test_statistics_agree_with_those_of_the_raw_table(done):
    raw = pd.read_csv(done / "western" / "raw.csv")
    summary = pd.read_csv(done / "western" / "summary.csv")
    pten = raw[raw["protein"] == "PTEN"]
    groups = {name: part["scaled"] for name, part in pten.groupby("sample")}
    found = summary[summary["protein"] == "PTEN"].set_index("sample")
    for name, values in groups.items():
        assert found.loc[name, "mean"] == pytest.approx(np.mean(values), rel=1e-12)
        assert found.loc[name, "sd"] == pytest.approx(np.std(values, ddof=1), rel=1e-9)
    logs = np.log([values.to_numpy() for values in groups.values()])
    left = logs - logs.mean(axis=0)  # what blots differ by, taken out
    between = 3 * (left.mean(axis=1) ** 2).sum() / 2
    within = ((left - left.mean(axis=1, keepdims=True)) ** 2).sum() / 4
    assert set(found["test"]) == {
        "ANOVA, Dunnett's test of logarithms, blots as blocks"
    }
    assert found.loc["mimic", "p_anova"] == pytest.approx(
        stats.f.sf(between / within, 2, 4), rel=1e-9
    )


def test_all_assays_read_the_cells_that_are_kept(done):
    cells = xr.open_dataset(done / run.CELLS, engine="h5netcdf").load()
    assert cells.sizes == {"sample": 3, "cell": 12, "time": 3}
    assert {"PTEN_total", "CASP3_active"} <= set(cells.data_vars)
    assert "<sbml" in dataset.read_source(done / run.CELLS)["sbml"]


def test_without_noise_the_assays_read_the_model(tmp_path):
    text = changed("seed = 3", "seed = 3\nnoise = false")
    done = study.run_study(written(tmp_path, text), tmp_path / "r", backend="numpy")
    mean = done.cells["PTEN_total"].sel(time=12.0).mean("cell")
    summary = pd.read_csv(tmp_path / "r" / "western" / "summary.csv")
    found = summary[summary["protein"] == "PTEN"].set_index("sample")["relative"]
    for name in ("mimic", "anti"):
        expected = float(mean.sel(sample=name) / mean.sel(sample="control"))
        assert found[name] == pytest.approx(expected, rel=1e-9)
    assert "Noise was off" in (tmp_path / "r" / run.REPORT).read_text()


@pytest.fixture
def tubes():
    """A flow assay that has read ten cells, half of which expose PS."""
    names, n = np.array(["control"], dtype=object), 10
    values = {"PS_exposed": np.repeat([0.003, 0.9], 5), "membrane_ruptured": 0.1}
    cells = xr.Dataset(
        {
            name: (("sample", "cell", "time"), np.broadcast_to(v, n).reshape(1, n, 1))
            for name, v in values.items()
        },
        coords={
            "sample": names,
            "time": [48.0],
            **{n: ("sample", np.array([""])) for n in ("dish", "cells", "done")},
        },
    )
    assay = FlowCytometry(events=200)
    table = schema.ASSAYS["flow"](kind="flow")
    return run.AssayResult(table, assay, assay.read(cells, seed=1, test="none"))


def test_tubes_are_written_with_the_gates_that_give_their_percentages(tubes, tmp_path):
    written = run.write_result(tubes, tmp_path)
    names = {path.name for path in written.data}
    assert {"control-1.fcs", "control-2.fcs", "control-3.fcs", "gates.csv"} <= names
    gates = pd.read_csv(tmp_path / "flow" / "gates.csv").set_index("channel")["least"]
    events, spill = read_fcs(tmp_path / "flow" / "control-1.fcs")
    kept = events[events[:, 0] >= gates["FSC-A"]]
    annexin = (kept[:, 2:] @ np.linalg.inv(spill))[:, 0] >= gates["FITC-A"]
    raw = pd.read_csv(tmp_path / "flow" / "raw.csv").iloc[0]
    dead = raw["early apoptotic"] + raw["late apoptotic"]
    assert 100 * annexin.mean() == pytest.approx(dead, abs=1e-9)


def test_without_flowio_the_report_says_why_there_are_no_tubes(
    tubes, tmp_path, monkeypatch
):
    monkeypatch.setattr(flow, "can_write_fcs", lambda: False)
    written = run.write_result(tubes, tmp_path)
    assert not list(tmp_path.rglob("*.fcs"))
    assert 'pip install "mir21sim[flow]"' in written.reading.notes[-1]
