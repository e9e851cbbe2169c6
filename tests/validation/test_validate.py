"""Claims and measurements: questions, verdicts, and messages of mistakes."""

import csv
import math
from dataclasses import replace

import numpy as np
import pytest
import support
import xarray as xr

from mir21sim import cli
from mir21sim.analysis import model_report, network_plot, plots
from mir21sim.analysis.cell_death import crossing_times
from mir21sim.compiler.load import load
from mir21sim.errors import InputError, ModelError, ModelWarning
from mir21sim.model import files as model_files
from mir21sim.model import metadata as model_metadata
from mir21sim.model import read as model_read
from mir21sim.simulation.perturbations import Perturbations
from mir21sim.validation import pathway_arms, validate, verdicts
from mir21sim.validation.claims import validation_rows
from mir21sim.validation.features import FEATURES, RunCurves, switch_times
from mir21sim.validation.readouts import Quantity, Readout
from mir21sim.validation.rows import CLAIM_COLUMNS, OBSERVATION_COLUMNS, vocabulary
from mir21sim.validation.trial import Trial

CLAIM = {
    "id": "C1",
    "what": "mimic lowers PTEN",
    "context": "MCF-7",
    "treatment": '--dose "miR21_mimic=50 nM@0h" --end 24h',
    "readout": "end(PTEN)",
    "comparison": "down",
    "against": "--end 24h",
}
OBSERVED = {
    "id": "O1",
    "what": "PTEN after mimic",
    "context": "MCF-7",
    "treatment": '--dose "miR21_mimic=50 nM@0h" --end 24h',
    "readout": "end(PTEN)",
    "against": "--end 24h",
    "observed": "0.7",
    "error": "0.69",
    "unit": "fold",
    "use": "fit",
    "source": "nobody",
}


def write(folder, claims=(), observations=(), words=()):
    """Write validation tables and return their folder."""
    for name, columns, rows in (
        ("claims.csv", CLAIM_COLUMNS, claims),
        ("observations.csv", OBSERVATION_COLUMNS, observations),
        ("quantities.csv", ("id", "meaning"), [{"id": w} for w in words]),
    ):
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, columns, restval="")
            table.writeheader()
            table.writerows(rows)
    return folder


def judged(tmp_path, **given):
    return validate.validate("mir21_core", folder=write(tmp_path, **given))


# ------------------------------------------------------------------- what can be asked
def test_quantities_are_sums_and_ratios():
    assert Quantity.parse("(A + B)/C") == Quantity(("A", "B"), ("C",))
    with pytest.raises(InputError, match=r"A quantity reads .* got `A\*B`"):
        Quantity.parse("A*B")


def test_readouts_read_features_and_constants():
    assert Readout.parse("at(PTEN, 48h)").number == 48.0
    assert Readout.parse("0.05") == Readout("constant", (), 0.05)
    assert Readout.parse("dead(M)").many
    with pytest.raises(InputError, match=r"read-out `pek`. Did you mean `peak`"):
        Readout.parse("pek(A)")


TIMES_H = np.arange(0.0, 10.0, 0.01)
CELLS = np.stack([np.clip((TIMES_H - t) / 2, 0, top) for t, top in
                  ((1.0, 1.0), (3.0, 1.0), (2.0, 1.0), (2.0, 0.2))])  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("switch_time(A)", 1.6),  # from 10 to 90 %, at half a unit an hour
        ("after(A, B, 0.5h)", 0.75),
        ("hold(C)", 2.0),  # a peak at 5 h, half of it an hour before and after
        ("mean_switch(A)", 1.6),
        ("mean_area(A)", 5.64),  # (8 + 6 + 7 + 1.56)/4
        ("mean_after(A, B, 0.5h)", 0.75),
    ],
)
def test_readouts_of_absolute_levels(text, expected):
    readout = Readout.parse(text)
    curves = CELLS if readout.many else CELLS[0]
    triangle = np.clip(1 - np.abs(TIMES_H - 5) / 2, 0, 1)
    names = {"A": curves, "B": curves, "C": triangle}
    result = xr.Dataset(
        {
            name: (("cell", "time")[-values.ndim :], values)
            for name, values in names.items()
        },
        {"time": TIMES_H},
    )
    treatment = Trial.parse('--dose "TRAIL=1 ng/ml@0h" --end 10h')
    assert readout.of(result, treatment.last_dose_h) == pytest.approx(
        expected, abs=0.01
    )


def test_a_switch_that_never_reaches_90_percent_takes_forever():
    assert switch_times(RunCurves(TIMES_H, (CELLS[3],), 0.0)) == np.inf


def test_observations_are_counted_by_their_use(tmp_path):
    rows = [OBSERVED, OBSERVED | {"id": "O2", "use": "test", "observed": "5"}]
    outcomes = judged(tmp_path, observations=rows)
    assert [o.use for o in outcomes] == ["fit", "test"]
    assert verdicts.summary(outcomes)[-1] == (
        "observations within their error: 1 of 1 fit rows, 0 of 1 test rows"
    )


@pytest.mark.parametrize(
    "words",
    [
        "--end 24h",
        '--dose "TRAIL=50 ng/ml@24h" --dose "anti_miR21=1 nM@0h" --cells 40',
        "--set k_A=2.0 --clamp PTEN=0.1x --knockdown PDCD4=0.8 --overexpress BCL2=3.0",
        "--no-site PTEN --no-site BCL2 --uniform BCL2 --end 16h --points 99",
    ],
)
def test_a_treatment_reads_as_it_is_written(words):
    treatment = Trial.parse(words)
    assert Trial.parse(str(treatment)) == treatment


def test_treatments_use_the_words_of_the_command_line():
    treatment = Trial.parse(
        '--dose "TRAIL=? ng/ml@24h" --clamp PTEN=0.1x --knockdown PDCD4=0.8 '
        "--overexpress BCL2=3 --no-site BCL2 --end 48h --cells 10"
    )
    assert treatment.searched == ("dose", 0)
    assert treatment.with_amount(7.0).treatment.doses[0].amount == 7.0
    assert treatment.end_h == 48.0
    assert treatment.treatment.perturbations == Perturbations(
        {"PTEN": "0.1x"}, {"PDCD4": 0.8}, {"BCL2": 3.0}, ("BCL2",)
    )
    with pytest.raises(InputError, match=r"`--dos`.*Did you mean `--dose`"):
        Trial.parse("--dos A=1@0h")


def test_shipped_tables_ask_every_claim_and_calibration_row():
    rows = validation_rows()
    claims = {row.id for row in rows if row.kind == "claim"}
    assert claims == {f"Q{k}" for k in range(1, 27)}
    seen = [r for r in rows if r.kind == "observation" and not r.conflict]
    uses = [row.use for row in seen]
    assert len(seen) == len({row.id for row in seen}) >= 70
    assert uses.count("test") >= len(uses) / 4


# ----------------------------------------------------------------------- how it judges
@pytest.mark.parametrize(
    ("comparison", "value", "reference", "holds"),
    [
        ("up", 110.0, 100.0, True),
        ("up", 109.0, 100.0, False),
        ("down", 90.0, 100.0, True),
        ("down", 110.0, 100.0, False),
        ("same", 104.0, 100.0, True),
        ("same", 106.0, 100.0, False),
        ("near", 109.0, 100.0, True),
        ("up", 0.9, 0.1, False),
        ("up", 5.0, 0.0, True),
        ("down", 3.0, math.inf, True),
        ("up", math.inf, math.inf, False),
        ("up", math.nan, 1.0, False),
    ],
)
def test_a_claim_needs_its_direction_ten_percent_and_a_molecule(
    comparison, value, reference, holds
):
    assert validate.claim_holds(comparison, value, reference, 1.0)[0] is holds


@pytest.mark.parametrize(
    ("readout", "floor"),
    [
        ("mean(CASP3_active)", 1.0),
        ("mean(MOMP_fraction)", 0.01),
        ("dead(MOMP_fraction)", 0.01),
        ("end(CASP3_active)", 1.0),
        ("end(MOMP_fraction)", 1e-3),
    ],
)
def test_the_least_that_counts_is_in_the_unit_of_the_readout(readout, floor):
    row = next(r for r in validation_rows("mir21_apoptosis") if r.kind == "claim")
    row = replace(row, case=replace(row.case, readout=Readout.parse(readout)))
    assert validate.floor_of(load("mir21_apoptosis", row.context), row) == floor


def test_curve_features_of_a_readout():
    times = np.linspace(0.0, 10.0, 101)
    curve = np.clip((times - 2.0) / 4.0, 0.0, 1.0)
    assert crossing_times(times, curve, since=1.0) == pytest.approx(3.0)
    assert crossing_times(times, 0.1 * curve) == math.inf


def test_features_of_a_population_count_the_cells_alive_at_the_last_dose():
    times = np.linspace(0.0, 4.0, 401)
    death = np.array([-1.0, 1.0, 2.0, 3.0, math.inf])[:, np.newaxis]  # one died before
    run = RunCurves(times, (np.clip(times - death + 0.5, 0.0, 1.0),), 0.0)
    read = {name: FEATURES[name].read(run) for name in ("dead", "mean_time", "cv_time")}
    assert read == pytest.approx({"dead": 0.75, "mean_time": 2.0, "cv_time": 0.5})


def test_mean_reads_all_cells_at_the_end():
    times = np.array([0.0, 1.0])
    curves = np.array([[0.0, 0.2], [0.5, 0.6]])
    result = xr.Dataset({"A": (("cell", "time"), curves)}, coords={"time": times})
    read = Readout.parse("mean(A)")
    assert read.many
    assert read.of(result, 0.0) == pytest.approx(0.4)


def test_verdicts_pass_fail_and_conflict(tmp_path):
    claims = [CLAIM, CLAIM | {"id": "C2", "comparison": "up"}]
    claims += [CLAIM | {"id": "C3", "conflict": "reports disagree"}]
    rows = [OBSERVED, OBSERVED | {"id": "O2", "error": "2..3", "observed": "2.5"}]
    rows += [OBSERVED | {"id": "O3", "use": "context", "note": "in vivo"}]
    found = judged(tmp_path, claims=claims, observations=rows)
    each = {o.id: o.verdict for o in found}
    assert each == {
        "C1": "pass",
        "C2": "fail",
        "C3": "conflict",
        "O1": "pass",
        "O2": "fail",
        "O3": "conflict",
    }
    text = verdicts.outcome_text(found)
    assert "1 of 3 claims pass, 1 fail (C2), 1 conflict (C3)" in text
    assert "below 2 fold" in text


def test_what_a_model_lacks_fails_by_name(tmp_path):
    claim = CLAIM | {"readout": "end(SPRY1)"}
    (found,) = judged(tmp_path, claims=[claim], words=["SPRY1"])
    assert (found.verdict, found.reason) == ("fail", "the model has no `SPRY1`")


def test_a_threshold_is_found_between_the_ends(tmp_path):
    row = OBSERVED | {
        "treatment": '--dose "TRAIL=? ng/ml@0h" --end 24h',
        "readout": "threshold(MOMP_fraction)",
        "against": "",
        "unit": "ng/ml",
        "observed": "10",
        "error": "1e-9..1e6",
    }
    (found,) = judged(tmp_path, observations=[row], words=["MOMP_fraction"])
    lacking = "MOMP_fraction" not in load("mir21_core").assigned_names
    assert lacking or math.isfinite(found.predicted)


@pytest.mark.parametrize(
    ("kind", "changed", "message"),
    [
        ("observations", {"unit": "furlong"}, "line 2: unknown unit `furlong`"),
        ("observations", {"unit": "minute"}, "line 2: .*`minute`. Did you mean `min`"),
        ("observations", {"readout": "ned(PTEN)"}, "line 2: Unknown read-out `ned`"),
        ("observations", {"readout": "end(PTENN)"}, "line 2: .*`PTENN`. Did you mean"),
        ("observations", {"context": "MCF7"}, "line 2: .*`MCF7`. Did you mean `MCF-7`"),
        ("observations", {"observed": "many"}, "line 2: observed and error .*`many`"),
        ("observations", {"error": "2..3"}, "line 2: 0.7 lies outside 2 to 3"),
        ("observations", {"use": "CAL"}, "line 2: use must be fit, test or context"),
        ("claims", {"comparison": "upp"}, "line 2: .*`upp`. Did you mean `up`"),
        ("claims", {"treatment": "--cells"}, "line 2: A treatment is a list"),
        ("claims", {"readout": "dead(PTEN)"}, "line 2: `dead` needs --cells"),
        ("claims", {"readout": "threshold(PTEN)"}, "line 2: a threshold.* one `\\?`"),
        ("claims", {"treatment": "--set k_zz=1"}, "line 2: unknown parameter `k_zz`"),
    ],
)
def test_mistakes_in_a_table_are_named_by_file_and_line(
    tmp_path, kind, changed, message
):
    row = (CLAIM if kind == "claims" else OBSERVED) | changed
    with pytest.raises(ModelError, match=f"{kind}.csv, {message}"):
        judged(tmp_path, **{kind: [row]})


def test_mistakes_name_the_file_first(tmp_path):
    (write(tmp_path) / "claims.csv").write_text("id,claim\n", encoding="utf-8")
    with pytest.raises(ModelError, match=r"claims.csv, line 1: the columns must be"):
        validation_rows("mir21_core", folder=tmp_path)


def test_unknown_ids_and_contexts_are_named_with_the_near_one():
    with pytest.raises(InputError, match=r"id `Q27`. Did you mean `Q"):
        validation_rows(only=["Q27"])
    with pytest.raises(InputError, match=r"context `HeLaa`. Did you mean `HeLa`"):
        validation_rows(contexts=["HeLaa"])


# ------------------------------------------------------------- the shipped model, shown
def test_the_shipped_model_lacks_nothing_that_a_claim_needs():
    rows = [row for row in validation_rows() if row.kind == "claim"]
    runs = validate._Runs(
        model_files.DEFAULT_MODEL, Perturbations(), None, validate.Options(), rows
    )
    known = vocabulary()
    assert [r.id for r in rows if validate.lacking(runs, r, known)] == []


@pytest.mark.slow
def test_claims_on_targets_hold_in_two_cell_lines():
    found = validate.validate(
        only=["Q1", "Q2", "Q3", "Q5", "Q12", "Q20"], contexts=["HeLa", "MCF-7"]
    )
    assert [(o.id, o.context, o.reason) for o in found if o.verdict == "fail"] == []


def test_command_writes_table_and_picture(tmp_path, capsys):
    data = write(tmp_path, claims=[CLAIM], observations=[OBSERVED])
    out, png = tmp_path / "t.csv", tmp_path / "t.png"
    code = support.run_cli(
        *["validate", "mir21_core", "--data", str(data), "-q"],
        *["-o", str(out), "--plot", str(png)],
    )
    assert code == 0
    assert "1 of 1 claims pass" in capsys.readouterr().out
    assert "verdict" in out.read_text().splitlines()[0]
    assert png.stat().st_size > 10_000


def test_command_names_the_unknown_id(capsys):
    assert support.run_cli("validate", "--only", "Q99") == cli.EXIT_INPUT
    assert "Unknown id `Q99`" in capsys.readouterr().err


def test_arms_need_their_genes():
    with pytest.raises(InputError, match="The arms need `PTEN`, and earm_1_3 has none"):
        pathway_arms.pathway_arms("earm_1_3")


def test_arm_table_says_what_it_shows():
    text = pathway_arms.arm_text(
        [pathway_arms.Arm("HeLa", "PDCD4", 0.1, 0.3, 0.5, 0.4)]
    )
    assert "HeLa" in text
    assert "50%" in text
    assert "10% → 30%" in text


# --------------------------------------------------------- sources, pools, the network
def test_sources_shows_every_number_and_the_context_in_its_place():
    files = model_files.find("mir21_core", "MCF-7")
    rows = {row["id"]: row for row in model_report.source_rows(files)}
    assert set(model_metadata.parameter_table(files)) <= set(rows)
    assert rows["k_tx_miR21"]["from"] == "MCF-7"
    assert rows["k_tx_miR21"]["value"] == 0.28
    text = model_report.source_text(files)
    assert "[MCF-7] copies per cell recalled" in " ".join(text.split())
    assert f"{len(rows)} numbers: " in text


def test_sources_command_writes_a_table(tmp_path, capsys):
    path = tmp_path / "sources.csv"
    assert support.run_cli("sources", "mir21_core", "-o", str(path)) == 0
    assert "derived (" in capsys.readouterr().out
    assert path.read_text().startswith("id,value,unit,status,source,note,from")


def test_info_lists_conserved_pools(capsys):
    assert support.run_cli("info", "mir21_core", "--context", "MCF-7") == 0
    assert "AKT + pAKT = 100000" in capsys.readouterr().out


def test_network_counts_what_crosses_between_modules():
    network = support.CASCADE
    count = network_plot.crossings(network, {"first": ("A",), "second": ("B",)})
    assert count == {("first", "second"): 1}
    binding = support.BINDING  # A + B use each other up; both act on C
    count = network_plot.crossings(binding, {"a": ("A",), "b": ("B",), "c": ("C",)})
    assert count[("a", "c")] == 1
    assert ("a", "b") not in count


def test_network_picture_names_every_module(tmp_path):
    network, info = model_read.understand(model_files.find("mir21_apoptosis", "HeLa"))
    figure = network_plot.plot_network(network, info)
    words = " ".join(t.get_text().replace("\n", " ") for t in figure.axes[0].texts)
    for name in network_plot.modules_of(network, info):
        assert name[:20] in words
    plots.save(figure, tmp_path / "n.png")


def test_the_mean_of_cells_leaves_out_cells_without_a_value_and_counts_them():
    curves = np.array([[0.0, 2.0], [0.0, 4.0], [np.nan, np.nan]])
    mean = FEATURES["mean"].read
    with pytest.warns(ModelWarning, match="1 of 3 cells have no value"):
        assert mean(RunCurves(np.array([0.0, 1.0]), (curves,), 0.0)) == 3.0
