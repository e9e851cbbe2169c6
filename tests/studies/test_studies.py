"""Study files: what they may say, how mistakes are named, what a run leaves behind."""

import hashlib
import html.parser
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from mir21sim import cli
from mir21sim.assays import experiment, flow
from mir21sim.assays.fcs import read_fcs
from mir21sim.assays.flow import FlowCytometry
from mir21sim.assays.plate import PlateAssay
from mir21sim.errors import InputError, ModelError
from mir21sim.simulation import dataset
from mir21sim.simulation.checkpoint import folder_for
from mir21sim.simulation.population import LogNormal
from mir21sim.studies import command as study
from mir21sim.studies import example, run, schema
from mir21sim.studies import parse as read

ROOT = Path(__file__).parents[2]
SMALL = """\
title = "Mimic & <anti-miR-21>"
model = "mir21_core"
context = "MCF-7"
times = ["6 h", 12]
seed = 3

[population]
cells = 4

[[samples]]
name = "control"

[[samples]]
name = "mimic"
doses = ["miR21_mimic=50 nM@0h"]

[[samples]]
name = "anti"
doses = ["anti_miR21=100 nM@0h"]

[[assays]]
kind = "western"
proteins = ["PTEN", "PDCD4"]
time = "12 h"

[[assays]]
kind = "caspase"
samples = ["control", "mimic"]
"""


def changed(old, new, text=SMALL):
    """Return the small study with one thing in place of another."""
    assert old in text
    return text.replace(old, new, 1)


def written(tmp_path, text=SMALL):
    path = tmp_path / "s.toml"
    path.write_text(text, encoding="utf-8")
    return path


# --------------------------------------------------------------------------- the file
def test_times_doses_and_settings_are_read():
    found = read.parse(SMALL)
    assert found.times == (6.0, 12.0)
    assert found.samples[1].doses[0].target == "miR21_mimic"
    blot = found.assays[0].assay(Path())
    assert (blot.proteins, blot.time_h) == (("PTEN", "PDCD4"), 12.0)
    assert found.assays[1].title == "caspase"
    assert found.assays[1].assay(Path()).kind == "caspase"


def test_what_is_left_out_is_the_assays_own():
    text = changed('kind = "caspase"', 'kind = "flow"\nnoise = { debris = 0.2 }')
    assay = read.parse(text).assays[1].assay(Path())
    ours, default = assay.noise, FlowCytometry().noise
    assert (ours.debris, ours.scatter_cv) == (0.2, default.scatter_cv)
    assert assay.events == FlowCytometry().events


def test_a_series_is_one_dish_for_each_amount():
    text = changed(
        '50 nM@0h"]', '1 nM@0h", "TRAIL=5 ng/ml@1h"]\nover = "miR21_mimic=0,10,100 nM"'
    )
    dishes = read.parse(text).samples[1].dishes()
    assert [dish.dose for dish in dishes] == [0.0, 10.0, 100.0]
    assert dishes[2].name == "mimic 100 nM"
    assert {dish.treatment for dish in dishes} == {"mimic"}
    assert {len(dish.protocol.doses) for dish in dishes} == {2}


def test_proteins_and_correlations_make_the_population():
    text = changed(
        "cells = 4",
        'cells = 4\ncorrelations = [["BCL2", "BAX", 0.5]]\n'
        "[population.proteins]\nXIAP = { cv = 0.4, mean = 2.0 }",
    )
    made = read.parse(text).population.population(seed=7)
    assert made.distributions["XIAP"] == LogNormal(0.4, 2.0)
    assert made.correlations == {("BCL2", "BAX"): 0.5}
    assert (made.n, made.seed) == (4, 7)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("cells = 4", "cels = 4", r"s.toml, line 8: unknown key `cels`.*`cells`"),
        ("seed = 3", "sed = 3", r"line 5: unknown key `sed`. Did you mean `seed`"),
        ('doses = ["miR', 'dose = ["miR', r"line 15: .*`dose`. Did you mean `doses`"),
        ("proteins =", "protiens =", r"line 23: unknown key `protiens`.*`proteins`"),
        ('"western"', '"western blot"', r"line 21: unknown kind.*mean `western`"),
        ('kind = "caspase"', 'name = "x"', r"line 26: `kind` of .* is missing"),
        (
            'kind = "caspase"',
            'kind = "caspase"\nnoise = { reader = 1 }',
            r"line 28: unknown key `reader`. Did you mean `reader_cv`",
        ),
        ('name = "mimic"\n', "", r"line 13: `name` of `samples 2` is missing"),
        ('name = "mimic"', 'name = "a/b"', r"line 14: A name is text without /"),
        (
            'name = "mimic"',
            'name = "Control"',
            r"line 14: two samples are `control`",
        ),
        ("50 nM@0h", "50 nM at 0h", r"line 15: A dose must read NAME=AMOUNT UNIT@TIME"),
        ("50 nM@0h", "50 nX@0h", r"line 15: Unknown unit .*`nX`.*Known: nM"),
        ("50 nM@0h", "-5 nM@0h", r"line 15: .* must not be negative, got -5"),
        ("50 nM@0h", "50 nM@12h", r"line 15: the dose .* at or after the last of"),
        ("50 nM@0h", "50 nM@0 parsecs", r"line 15: .*`parsecs`"),
        ('["6 h", 12]', '["6 parsecs"]', r"line 4: Unknown unit of time `parsecs`"),
        ('["6 h", 12]', "[]", r"line 4: `times` needs 1 or more, got none"),
        ('["6 h", 12]', "[-1, 12]", r"line 4: A time must be 0 h or later"),
        ('["6 h", 12]', "[12, 12]", r"line 4: a time stands twice"),
        ('"12 h"', '"9 h"', r"line 21: .*reads at 9 h.* `times`: 6 h, 12 h"),
        ("seed = 3", "seed = -3", r"line 5: `seed` must be greater than or equal to 0"),
        ("seed = 3", 'seed = "x"', r"line 5: `seed` must be a valid integer.*got 'x'"),
        ("seed = 3", "seed = true", r"line 5: `seed` must be a valid integer"),
        ("seed = 3", 'noise = "off"', r"line 5: `noise` must be a valid boolean"),
        ("cells = 4", 'cells = "4"', r"line 8: `population, cells` must be a valid"),
        ("seed = 3", 'test = "wlch"', r"line 5: unknown test `wlch`.*`welch`"),
        ("seed = 3", "replicates = 1", r"line 5: .*has 1 replicate, and a test needs"),
        (
            'kind = "caspase"',
            'kind = "caspase"\nreplicates = 1',
            r"line 28: .*`caspase` has 1 replicate",
        ),
        ('"control", "mimic"]', '"contrl"]', r"line 28: Unknown sample.*`control`"),
        (
            'kind = "caspase"',
            'kind = "caspase"\ncontrol = "anti"',
            r"line 28: Unknown control.*`anti`. Known: control, mimic",
        ),
        (
            'kind = "caspase"',
            'kind = "western"',
            r"line 26: two assays are called `western`",
        ),
        (
            'doses = ["anti',
            'over = "miR21=1,2"\ndoses = ["anti',
            r"line 17: `over` names `miR21`, which must have one dose",
        ),
        ("cells = 4", "cells = 0", r"line 8: `population, cells` must be greater"),
        ("cells = 4", "cells = 4\ncv = nan", r"line 9: `population, cv`"),
        ('["6 h", 12]', '"12 h"', r"line 4: `times` must be a list, got '12 h'"),
        ("[population]\ncells = 4", "population = 4", r"line 7: .* must be a table"),
        (
            "cells = 4",
            'cells = 4\ncorrelations = [["BCL2", "BAX"]]',
            r"line 9: entry 3 of `population, correlations 1` is missing",
        ),
        (
            'name = "control"',
            'name = "control"\nclamp = { PTEN = [1] }',
            r"line 12: A clamp is molecules or text .* got \[1\]",
        ),
        (
            'kind = "caspase"',
            'kind = "caspase"\nplate = 3',
            r"line 28: `assays 2, plate` must be the name of a file",
        ),
        (
            'kind = "caspase"',
            'kind = "flow"\ngates = { scater = 1, annexin = 1, pi = 1 }',
            r"line 28: unknown key `scater`. Did you mean `scatter`",
        ),
        (
            '"control", "mimic"]',
            '"control", "control"]',
            r"line 28: the sample `control` stands twice in `caspase`",
        ),
        (
            'name = "mimic"',
            'name = "a b"\n[[samples]]\nname = "a_b"',
            r"line 16: two samples are `a b` and `a_b`",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 30 else "",
)
def test_a_mistake_is_named_by_file_line_and_near_name(old, new, message):
    with pytest.raises(ModelError, match=message):
        read.parse(changed(old, new), "s.toml")


def test_zero_samples_and_an_assay_before_any_dose_are_refused():
    nothing = re.sub(r"\[\[samples\]\]\n(.+\n)+", "", SMALL)
    with pytest.raises(ModelError, match="`samples` is missing"):
        read.parse(nothing)
    late = SMALL.replace("@0h", "@8h").replace('time = "12 h"', 'time = "6 h"')
    with pytest.raises(ModelError, match=r"line 21: .*reads at 6 h, before anything"):
        read.parse(late)


def test_the_first_of_several_mistakes_is_told_with_the_number_of_others():
    text = changed("cells = 4", "cels = 4", changed("seed", "sed"))
    with pytest.raises(ModelError, match=r"line 5: .*\(1 more mistake"):
        read.parse(text)


def test_no_toml_no_text_no_file(tmp_path):
    with pytest.raises(ModelError, match=r"s.toml is not valid TOML"):
        read.parse("a = = 1", "s.toml")
    with pytest.raises(InputError, match=r"does not exist; `mir21sim study new`"):
        read.plan(tmp_path / "none.toml")
    with pytest.raises(InputError, match="is a folder; a study is a file"):
        read.plan(tmp_path)
    (tmp_path / "s.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not UTF-8"):
        read.plan(tmp_path / "s.toml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"mir21_core"', '"mir21_cor"', r"line 2: .*`mir21_cor`.*`mir21_core`"),
        ('"MCF-7"', '"MCF7"', r"line 3: Unknown context.*`MCF7`.*`MCF-7`"),
        ("miR21_mimic=", "miR21_mimik=", r"line 15: .*`miR21_mimik`.*`miR21_mimic`"),
        ('"PDCD4"]', '"PDCD5"]', r"line 23: Unknown antibody `PDCD5`.*`PDCD4`"),
        ('"western"\nproteins = ["PTEN", "PDCD4"]', '"flow"', r"line 21: .*PS_exposed"),
        (
            'name = "control"',
            'name = "control"\nclamp = { PTEEN = "0.1x" }',
            r"line 12: .*`PTEEN`. Did you mean `PTEN`",
        ),
        (
            "cells = 4",
            "cells = 4\n[population.proteins]\nXIAPP = { cv = 1 }",
            r"line 10: Unknown protein or pool `XIAPP`.*`XIAP`",
        ),
        (
            'kind = "caspase"',
            'kind = "caspase"\nplate = "no.csv"',
            r"line 26: The plate map .*no.csv` does not exist",
        ),
        (
            'kind = "caspase"',
            'kind = "caspase"\nreplicates = 60',
            r"line 26: 3 samples .* in 60 replicates need 180 wells; a plate of 96",
        ),
        (
            'kind = "caspase"',
            'kind = "caspase"\nedge = -2',
            r"line 28: `edge` must be above -1",
        ),
        ('"PDCD4"]', '"A/B/C"]', r"line 21: A ratio is one protein over another"),
    ],
    ids=[
        "model",
        "context",
        "dose",
        "antibody",
        "lacks",
        "clamp",
        "protein",
        "plate",
        "wells",
        "edge",
        "ratio",
    ],
)
def test_what_the_model_lacks_is_named_before_anything_runs(
    tmp_path, old, new, message
):
    with pytest.raises(ModelError, match=message):
        read.plan(written(tmp_path, changed(old, new)), backend="numpy")


def test_contents_of_a_plate_are_checked_before_anything_runs(tmp_path):
    wells = [(r, c) for r in "ABCDEFGH" for c in range(1, 13)]
    lines = [f"{r},{c},{'mimik' if (r, c) == ('B', 2) else 'empty'}," for r, c in wells]
    (tmp_path / "p.csv").write_text("row,column,contents,dose\n" + "\n".join(lines))
    text = changed('kind = "caspase"', 'kind = "caspase"\nplate = "p.csv"')
    with pytest.raises(ModelError, match=r"well B2 `mimik`. Did you mean `mimic`"):
        read.plan(written(tmp_path, text), backend="numpy")


def test_a_byte_order_mark_is_no_mistake_and_an_empty_file_is(tmp_path):
    path = tmp_path / "s.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SMALL.replace("\n", "\r\n").encode())
    assert read.plan(path, backend="numpy").study.seed == 3
    with pytest.raises(ModelError, match=r"s.toml says nothing; `mir21sim study new`"):
        read.parse("# nothing\n", "s.toml")


def test_the_published_schema_is_that_of_the_code():
    file = ROOT / "mir21sim" / "studies" / "study.schema.json"
    assert file.read_text(encoding="utf-8") == study.schema_text()
    published = json.loads(study.schema_text())
    assert published["additionalProperties"] is False
    assert set(published["properties"]) == set(schema.Study.model_fields)


@pytest.mark.parametrize(
    "path",
    [
        ROOT / "mir21sim" / "studies" / "example.toml",
        *sorted((ROOT / "examples").glob("*.toml")),
    ],
    ids=lambda p: p.stem,
)
def test_shipped_studies_have_no_mistake(path):
    planned = read.plan(path, backend="numpy")
    assert planned.study.samples


# ---------------------------------------------------------------------------- the run
class Page(html.parser.HTMLParser):
    """What a page holds: its tags, where its links go, and its text."""

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


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The small study, run once; its folder."""
    folder = tmp_path_factory.mktemp("study")
    study.run_study(written(folder), folder / "results", backend="numpy")
    return folder / "results"


def files_of(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


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
    assert cells.sizes == {"sample": 3, "cell": 4, "time": 3}
    assert {"PTEN_total", "CASP3_active"} <= set(cells.data_vars)
    assert "<sbml" in dataset.read_source(done / run.CELLS)["sbml"]


def test_the_same_seed_gives_the_same_bytes(done, tmp_path):
    study.run_study(written(tmp_path), tmp_path / "again", backend="numpy")
    one, two = files_of(done), files_of(tmp_path / "again")
    told_when = {"report.html", "provenance.json"}
    assert {k: v for k, v in one.items() if k not in told_when} == {
        k: v for k, v in two.items() if k not in told_when
    }


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


def test_results_are_not_replaced_unasked(done, tmp_path):
    before = files_of(done)
    with pytest.raises(InputError, match=r"holds results already.*--overwrite"):
        study.run_study(written(tmp_path), done, backend="numpy")
    assert files_of(done) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not lose")
    with pytest.raises(InputError, match="not the results of a study"):
        study.run_study(
            written(tmp_path), tmp_path / "mine", overwrite=True, backend="numpy"
        )
    assert (tmp_path / "mine" / "thesis.txt").is_file()
    with pytest.raises(InputError, match="is a file"):
        run.check_folder(tmp_path / "s.toml")


def test_overwriting_replaces_the_whole_folder(done, tmp_path):
    path = written(tmp_path)
    shutil.copytree(done, tmp_path / "r")
    (tmp_path / "r" / "stale.csv").write_text("old")
    study.run_study(path, tmp_path / "r", overwrite=True, backend="numpy")
    assert not (tmp_path / "r" / "stale.csv").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r", "s.toml"]


class Stopping:
    """A solver of dishes that counts them and stops at one, by what was asked."""

    def __init__(self, monkeypatch, at=None, error=KeyboardInterrupt):
        self.seen, self.at, self.error = [], at, error
        self.dish = experiment._dish
        monkeypatch.setattr(experiment, "_dish", self)

    def __call__(self, model, cells, sample, *others, **options):
        if len(self.seen) == self.at:
            raise self.error
        self.seen.append(sample.name)
        return self.dish(model, cells, sample, *others, **options)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_a_stopped_study_goes_on_and_ends_with_the_same_bytes(
    done, tmp_path, monkeypatch, stop
):
    path = written(tmp_path)
    with monkeypatch.context() as patch:
        Stopping(patch, at=2, error=stop)
        with pytest.raises(stop):
            study.run_study(path, tmp_path / "r", backend="numpy")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.partial", "s.toml"]
    with monkeypatch.context() as patch:
        rest = Stopping(patch)
        with pytest.raises(InputError, match=r"r\.partial` holds an unfin.*--resume"):
            study.run_study(path, tmp_path / "r", backend="numpy")
        told = []
        study.run_study(
            path,
            tmp_path / "r",
            backend="numpy",
            resume=True,
            progress=lambda cells, total: told.append((cells, total)),
        )
    assert rest.seen == ["anti"]  # the two dishes before it are not run again
    assert told[0] == (4, 12)
    assert told[-1] == (12, 12)
    one, two = files_of(done), files_of(tmp_path / "r")
    told_when = {"report.html", "provenance.json"}
    assert {k: v for k, v in one.items() if k not in told_when} == {
        k: v for k, v in two.items() if k not in told_when
    }
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r", "s.toml"]


def test_only_the_study_that_was_stopped_goes_on(tmp_path, monkeypatch):
    folder = tmp_path / "r"
    with monkeypatch.context() as patch:
        Stopping(patch, at=1)
        with pytest.raises(KeyboardInterrupt):
            study.run_study(written(tmp_path), folder, backend="numpy")
    for old, new, other in (
        ("seed = 3", "seed = 4", "population"),
        ("50 nM", "60 nM", "samples"),
        ('"6 h", 12', '"6 h", 12, 18', "times"),
        ('["PTEN", "PDCD4"]', '["PTEN"]', "quantities"),
    ):
        path = written(tmp_path, changed(old, new))
        with pytest.raises(InputError, match=rf"another study \(other {other}\)"):
            study.run_study(path, folder, backend="numpy", resume=True)
    # How assays read does not decide the cells.
    path = written(tmp_path, changed("seed = 3", "seed = 3\nnoise = false"))
    with monkeypatch.context() as patch:
        rest = Stopping(patch)
        study.run_study(path, folder, backend="numpy", resume=True)
        assert rest.seen == ["mimic", "anti"]


def test_a_damaged_dish_is_named_and_starting_anew_needs_no_old_dish(
    tmp_path, monkeypatch
):
    path, folder = written(tmp_path), tmp_path / "r"
    with monkeypatch.context() as patch:
        Stopping(patch, at=2)
        with pytest.raises(KeyboardInterrupt):
            study.run_study(path, folder, backend="numpy")
    dish = folder_for(folder) / "000001.npz"
    dish.write_bytes(dish.read_bytes()[:100])
    with pytest.raises(InputError, match=r"000001\.npz` is damaged; delete it"):
        study.run_study(path, folder, backend="numpy", resume=True)
    with monkeypatch.context() as patch:
        whole = Stopping(patch)
        study.run_study(path, folder, backend="numpy", overwrite=True)
        assert whole.seen == ["control", "mimic", "anti"]


def test_a_stop_before_the_first_dish_leaves_nothing(tmp_path, monkeypatch):
    path = written(tmp_path)
    Stopping(monkeypatch, at=0)
    with pytest.raises(KeyboardInterrupt):
        study.run_study(path, tmp_path / "r", backend="numpy")
    assert [p.name for p in tmp_path.iterdir()] == ["s.toml"]


def test_an_error_after_the_cells_leaves_old_results_and_the_dishes(
    done, tmp_path, monkeypatch
):
    path = written(tmp_path)
    shutil.copytree(done, tmp_path / "r")
    before = files_of(tmp_path / "r")

    def stopped(*_, **__):
        raise RuntimeError

    monkeypatch.setattr(study.report, "render", stopped)
    with pytest.raises(RuntimeError):
        study.run_study(path, tmp_path / "r", overwrite=True, backend="numpy")
    assert files_of(tmp_path / "r") == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r", "r.partial", "s.toml"]


HANGS = """
import time
from mir21sim import cli
from mir21sim.assays import experiment

dish, done = experiment._dish, []

def hanging(*given, **options):
    if len(done) == 2:
        time.sleep(120)
    done.append(1)
    return dish(*given, **options)

experiment._dish = hanging
cli.main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to a process")
def test_ctrl_c_on_the_command_line_keeps_the_dishes_and_resumes(tmp_path, capsys):
    arguments = ["run", str(written(tmp_path)), "-o", str(tmp_path / "r")]
    arguments += ["-q", "--backend", "numpy"]
    second = tmp_path / "r.partial" / "000001.npz"
    running = subprocess.Popen(
        [sys.executable, "-c", HANGS, "study", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job ignores SIGINT and would pass that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    deadline = time.monotonic() + 60
    while not second.is_file() and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "interrupted; the dishes that are done are kept in" in err
    assert "--resume" in err
    assert not (tmp_path / "r").exists()
    assert len(list(second.parent.glob("*.npz"))) == 2
    assert command(*arguments) == 2
    assert "--resume" in capsys.readouterr().err
    assert command(*arguments, "--resume") == 0
    assert f"report: {tmp_path / 'r' / run.REPORT}" in capsys.readouterr().out
    assert not second.parent.exists()


def test_what_an_assay_cannot_read_is_told_by_line_and_costs_no_dish(
    tmp_path, monkeypatch
):
    def nothing(*_, **__):
        raise InputError("The gates leave no cells of `control`.")

    path, folder = written(tmp_path), tmp_path / "r"
    with monkeypatch.context() as patch:
        patch.setattr(PlateAssay, "read", nothing)
        with pytest.raises(ModelError, match=r"s\.toml, line 26: The gates leave no"):
            study.run_study(path, folder, backend="numpy")
    rest = Stopping(monkeypatch)
    study.run_study(path, folder, backend="numpy", resume=True)
    assert rest.seen == []
    assert (folder / run.REPORT).is_file()


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
        coords={"sample": names, "time": [48.0], "dish": ("sample", np.array([""]))},
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


def test_progress_counts_the_cells_of_all_dishes(tmp_path):
    seen = []
    planned = read.plan(written(tmp_path), backend="numpy")
    run.run(planned, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (12, 12)


# ------------------------------------------------------------------- the command line
def command(*arguments):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["study", *arguments])
    return stopped.value.code or 0


def test_new_check_run_from_the_command_line(tmp_path, capsys):
    path = tmp_path / "a.toml"
    assert command("new", str(path)) == 0
    assert path.read_text(encoding="utf-8") == example.example_text()
    assert command("new", str(path)) == 2
    assert "exists; give another name" in capsys.readouterr().err
    small = written(tmp_path)
    assert command("check", str(small)) == 0
    assert "nothing is wrong" in capsys.readouterr().out
    arguments = [str(small), "-o", str(tmp_path / "r"), "--backend", "numpy", "-q"]
    assert command("run", *arguments) == 0
    out = capsys.readouterr().out
    assert "western:" in out
    assert f"report: {tmp_path / 'r' / 'report.html'}" in out
    assert command("run", *arguments) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_the_schema_is_printed(capsys):
    assert command("schema") == 0
    assert capsys.readouterr().out == study.schema_text()


def test_a_mistake_is_one_line_on_the_command_line(tmp_path, capsys):
    path = written(tmp_path, changed("cells = 4", "cels = 4"))
    assert command("run", str(path), "-o", str(tmp_path / "r")) == 2
    err = capsys.readouterr().err.strip()
    assert err.startswith("mir21sim: s.toml, line 8: unknown key `cels`")
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "r").exists()


def test_an_interrupt_is_told(tmp_path, monkeypatch, capsys):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(study.run, "run", stopped)
    path = written(tmp_path)
    arguments = ["run", str(path), "-o", str(tmp_path / "r"), "--backend", "numpy"]
    assert command(*arguments) == 130
    assert (
        f"no dish was done, and `{tmp_path / 'r'}` is as it was"
        in capsys.readouterr().err
    )
