"""Study files: tables, keys and mistakes by line."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from small_study import ROOT, SMALL, changed, written

from mir21sim.assays.flow import FlowCytometry
from mir21sim.errors import InputError, ModelError
from mir21sim.simulation.population import LogNormal
from mir21sim.studies import command as study
from mir21sim.studies import parse as read
from mir21sim.studies import schema
from mir21sim.studies.mistakes import StudyError


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
    assert {dish.group for dish in dishes} == {"mimic"}
    assert {len(dish.done.doses) for dish in dishes} == {2}


def test_proteins_and_correlations_make_the_population():
    text = changed(
        "cells = 4",
        'cells = 4\ncorrelations = [["BCL2", "BAX", 0.5]]\n'
        "[population.proteins]\nXIAP = { cv = 0.4, mean = 2.0 }",
    )
    made = read.parse(text).population.population(seed=7, dishes=1)
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
            r"line 19: `over` names `miR21`, which must have one dose",
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


def test_all_mistakes_are_found_by_line(tmp_path):
    text = changed("cells = 4", "cels = 4", changed("seed", "sed"))
    with pytest.raises(StudyError) as stopped:
        read.parse(text, "s.toml")
    first, second = stopped.value.mistakes
    assert re.match(r"s.toml, line 5: .*`sed`", first)
    assert "`cels`" in second
    # Contradictions, and names that the model lacks, in one go.
    text = SMALL.replace("miR21_mimic=", "miR21_mimc=").replace(
        'time = "12 h"', 'time = "7 h"'
    )
    (tmp_path / "s.toml").write_text(text, encoding="utf-8")
    with pytest.raises(StudyError) as stopped:
        read.plan(tmp_path / "s.toml", backend="numpy")
    found = stopped.value.mistakes
    assert any("`miR21_mimc`" in sentence for sentence in found)
    assert any("reads at 7 h" in sentence for sentence in found)
    lines = [int(re.search(r"line (\d+)", sentence)[1]) for sentence in found]
    assert lines == sorted(lines)


def test_mistakes_of_form_hide_none_of_content(tmp_path):
    text = SMALL
    for old, new in (
        ("[population]\ncells", "[populatoin]\ncells"),  # read as what it means
        ('["6 h", 12]', '["6 h", 12, "9 parsecs"]'),
        ("miR21_mimic=50 nM@0h", 'TRIAL=5 ng/ml@1h", "miR21_mimic=50 nX@0h'),
        ('"PDCD4"]', '"PDCD5", "PTENN"]\nreplicates = "x"'),
        ('"control", "mimic"]', '"contrl", "mimik"]'),
    ):
        assert old in text
        text = text.replace(old, new)
    text += '[[assays]]\nkind = "flow cytometry"\n'
    (tmp_path / "s.toml").write_text(text, encoding="utf-8")
    with pytest.raises(StudyError) as stopped:
        read.plan(tmp_path / "s.toml", backend="numpy")
    named = [
        re.search(r"`([^`]*)`", sentence)[1] for sentence in stopped.value.mistakes
    ]
    wrong = ["populatoin", "parsecs", "TRIAL", "miR21_mimic", "PDCD5", "PTENN"]
    assert sorted(named) == sorted(
        [*wrong, "assays 1, replicates", "contrl", "mimik", "flow cytometry"]
    ), stopped.value.mistakes


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


@pytest.mark.parametrize(
    ("samples", "added"),
    [
        ('[[samples]]\nname = "a"\ndoses = ["TRAIL=5 ng/ml@1h"]\n', ["a", "untreated"]),
        ('[[samples]]\nname = "a"\n', ["a"]),
        ('[[samples]]\nname = "a"\nknockdown = { PTEN = 0.5 }\n', ["a", "untreated"]),
        (
            '[[samples]]\nname = "untreated"\ndoses = ["TRAIL=5 ng/ml@1h"]\n',
            ["untreated", "untreated_"],
        ),
        (
            '[[samples]]\nname = "a"\ndoses = ["TRAIL=5 ng/ml@1h"]\nover="TRAIL=0,1"\n',
            ["a"],
        ),
    ],
)
def test_an_untreated_sample_is_added_where_none_is_one(samples, added):
    text = 'model = "mir21_core"\ntimes = [4]\n[[assays]]\nkind = "caspase"\n' + samples
    made = schema.Study(**tomllib.loads(text))
    assert [sample.name for sample in made.samples] == added
    alone = schema.Study(**tomllib.loads("untreated = false\n" + text))
    assert [sample.name for sample in alone.samples] == added[:1]
