"""Claims through assays: the questions of a row, and verdicts from replicates."""

import csv
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mir21sim import cli
from mir21sim.errors import InputError, ModelError
from mir21sim.validation import assay_claims, validate, validate_assays, verdicts
from mir21sim.validation.assay_claims import AssayReadout
from mir21sim.validation.claims import validation_rows
from mir21sim.validation.rows import ASSAY_COLUMNS, tables_folder
from mir21sim.validation.validate_assays import Work

MIMIC = '--dose "miR21_mimic=50 nM@0h"'
CLAIM = {
    "id": "C1",
    "what": "mimic lowers PTEN",
    "context": "MCF-7",
    "treatment": f"{MIMIC} --end 12h",
    "readout": "western(PTEN)",
    "comparison": "down",
    "against": "--end 12h",
}


def write(folder, *rows):
    """Write a table of claims and return its folder."""
    with (folder / "assays.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, ASSAY_COLUMNS, restval="")
        table.writeheader()
        table.writerows(rows)
    return folder


def judged(tmp_path, *rows, **options):
    folder = write(tmp_path, *rows)
    return validate_assays.validate_assays(
        "mir21_core", folder=folder, cells=4, **options
    )


# ------------------------------------------------------------------- what can be asked
def test_readouts_name_an_assay_and_what_it_shows():
    assert AssayReadout.parse("western(p-AKT/AKT)").arguments == ("p-AKT/AKT",)
    assert AssayReadout.parse("luciferase(PDCD4, WT)").arguments == ("PDCD4", "WT")
    half = AssayReadout.parse("ic50(viability)")
    assert (half.assay, half.series, str(half)) == (
        "viability",
        True,
        "ic50(viability)",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("westen(PTEN)", r"Unknown assay `westen`. Did you mean `western`"),
        ("western()", r"`western` takes protein in brackets, got `western\(\)`"),
        ("western", r"A read-out reads ASSAY\(ARGUMENTS\), got `western`"),
        ("ic50(viabilty)", r"Unknown assay `viabilty`. Did you mean `viability`"),
    ],
)
def test_an_unknown_readout_is_named(text, message):
    with pytest.raises(InputError, match=message):
        AssayReadout.parse(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"comparison": "lower"}, r"assays.csv, line 2: unknown comparison `lower`"),
        ({"readout": "blot(PTEN)"}, r"assays.csv, line 2: Unknown assay `blot`"),
        ({"context": "MCF7"}, r"line 2: unknown context `MCF7`.*`MCF-7`"),
        ({"treatment": MIMIC}, r"line 2: a treatment needs --end"),
        ({"treatment": "--dos A=1@0h"}, r"line 2: Unknown option .* `--dos`"),
        ({"treatment": f"{MIMIC} --end 6h"}, r"line 2: the lanes of one blot"),
        ({"readout": "ic50(viability)"}, r"line 2: an ic50 needs one dose `\?`"),
        (
            {"against": '--dose "TRAIL=? ng/ml@0h" --end 12h'},
            r"line 2: both sides, or none, have a dose `\?`",
        ),
        ({"against": "--cells 5 --end 12h"}, r"line 2: all assays read one population"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path, change, message):
    with pytest.raises(ModelError, match=message):
        judged(tmp_path, CLAIM | change)


def test_ids_contexts_and_replicates_are_checked(tmp_path):
    with pytest.raises(InputError, match=r"Unknown id `C2`. Known: C1"):
        judged(tmp_path, CLAIM, only=["C2"])
    with pytest.raises(InputError, match=r"Unknown context `MCF7`"):
        judged(tmp_path, CLAIM, contexts=["MCF7"])
    with pytest.raises(InputError, match=r"2 replicates or more, got 1"):
        judged(tmp_path, CLAIM, replicates=1)


def test_the_shipped_table_has_every_claim_that_names_an_assay():
    rows = assay_claims.assay_rows()
    asked = {row.id for row in rows}
    blot = {"Q1", "Q5", "Q8", "Q9", "Q11", "Q12", "Q18", "Q19", "Q23"}
    assert blot <= asked
    assert {"Q6", "Q15", "Q17", "Q20", "Q21", "Q22", "Q24", "Q25"} <= asked
    used = {row.treated.readout.assay for row in rows}
    assert used == set(assay_claims.CLAIMS)
    whole = {(r.id, r.case.context) for r in validation_rows() if r.kind == "claim"}
    assert {(row.id, row.context) for row in rows} <= whole


# ----------------------------------------------------------------------- how it judges
def test_verdicts_pass_fail_and_conflict_with_n_and_p(tmp_path):
    rows = [
        CLAIM,
        CLAIM | {"id": "C2", "comparison": "up"},
        CLAIM | {"id": "C3", "conflict": "reports disagree"},
        CLAIM | {"id": "C4", "readout": "flow(dead)"},
        CLAIM | {"id": "C5", "context": "HeLa|MCF-7"},
    ]
    found = judged(tmp_path, *rows)
    assert [(o.id, o.context, o.verdict) for o in found] == [
        ("C1", "MCF-7", "pass"),
        ("C2", "MCF-7", "fail"),
        ("C3", "MCF-7", "conflict"),
        ("C4", "MCF-7", "fail"),
        ("C5", "HeLa", "pass"),
        ("C5", "MCF-7", "pass"),
    ]
    assert "needs the quantity `PS_exposed`" in found[3].reason
    assert (found[3].n, found[0].n) == (0, 3)
    assert 0 < found[0].p < 1
    text = verdicts.outcome_text(found)
    assert text.splitlines()[0].split()[-4:] == ["n", "p", "verdict", "reason"]
    assert "2 of 5 claims pass, 2 fail (C2, C4), 1 conflict (C3)" in text


def test_equal_rows_give_equal_numbers_whatever_stands_beside_them(tmp_path):
    (alone,) = judged(tmp_path, CLAIM)
    other = CLAIM | {"id": "C2", "readout": "western(PDCD4)"}
    assert judged(tmp_path, other, CLAIM)[1] == alone


def test_what_is_done_besides_is_done_on_both_sides(tmp_path):
    (plain,) = judged(tmp_path, CLAIM)
    clamped = validate.Perturbations(clamp={"PTEN": "1x"})
    (held,) = judged(tmp_path, CLAIM, perturb=clamped)
    assert plain.verdict == "pass"
    assert held.verdict == "fail"
    assert held.predicted == pytest.approx(held.reference, rel=0.35)


@pytest.mark.parametrize(
    ("readout", "expected"),
    [
        ("caspase()", lambda a, b: welch(np.log(b), np.log(a))),
        ("ic50(viability)", lambda a, b: welch(np.log(b), np.log(a))),
        (
            "flow(dead)",
            lambda a, b: welch(*(np.arcsin((v / 100) ** 0.5) for v in (b, a))),
        ),
        ("western(PTEN)", lambda a, b: stats.ttest_rel(np.log(b), np.log(a)).pvalue),
    ],
)
def test_p_is_that_of_the_assays_test(readout, expected):
    a, b = np.array([1.0, 1.1, 0.9]), np.array([2.0, 2.3, 1.8])
    asked = AssayReadout.parse(readout)
    assert validate_assays._p(a, b, asked) == pytest.approx(expected(a, b), rel=1e-9)
    b[0] = math.inf
    assert math.isnan(validate_assays._p(a, b, asked))


def welch(a, b):
    return stats.ttest_ind(a, b, equal_var=False).pvalue


@pytest.mark.parametrize(
    ("value", "reference", "holds"),
    [(900.0, -4.0, True), (-4.5, -4.0, False), (-1.0, -4.0, False)],
)
def test_a_reference_below_zero_is_noise_around_nothing(value, reference, holds):
    assert validate.claim_holds("up", value, reference, 45.0)[0] is holds


def test_the_table_is_written_by_the_command(tmp_path, capsys):
    folder, table = write(tmp_path, CLAIM), tmp_path / "out.csv"
    options = ["--assays", "--data", str(folder), "--cells", "4", "-o", str(table)]
    with pytest.raises(SystemExit) as stopped:
        cli.main(["validate", "mir21_core", *options])
    assert not stopped.value.code
    assert "1 of 1 claims pass" in capsys.readouterr().out
    frame = pd.read_csv(table)
    assert frame.loc[0, ["id", "n", "verdict"]].tolist() == ["C1", 3, "pass"]
    assert 0 < frame.loc[0, "p"] < 1


@pytest.mark.slow
def test_a_claim_is_shown_through_each_assay(tmp_path):
    shipped = tables_folder(None) / "assays.csv"
    wanted = {
        "western(PDCD4)", "luciferase(PDCD4, WT)", "luciferase(PDCD4, MUT)",
        "caspase()", "flow(early apoptotic)", "flow(late apoptotic)", "ic50(viability)",
    }  # fmt: skip
    with shipped.open(newline="", encoding="utf-8") as file:
        first = {
            row["readout"]: row
            for row in reversed(list(csv.DictReader(file)))
            if "HeLa" in row["context"] and row["readout"] in wanted
        }
    assert set(first) == wanted
    found = validate_assays.validate_assays(
        folder=write(tmp_path, *first.values()), contexts=["HeLa"], cells=30
    )
    assert [(o.id, o.what, o.reason) for o in found if o.verdict == "fail"] == []
    assert {o.n for o in found} == {3}


def test_lines_are_said_as_they_are_finished_and_a_stop_keeps_them(
    tmp_path, monkeypatch
):
    rows = [CLAIM, {**CLAIM, "id": "C2", "context": "HeLa"}]
    whole = judged(tmp_path, *rows)
    output, said = tmp_path / "table.csv", []

    def stop_at_the_second(outcomes):
        said.append([o.context for o in outcomes])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judged(tmp_path, *rows, work=Work(on_line=stop_at_the_second, output=output))
    assert said == [["MCF-7"]]
    again = Work(output=output, resume=True)
    with pytest.raises(InputError, match=r"holds another validation \(other rows\)"):
        judged(tmp_path, *rows, work=again, seed=2)
    run, lines = validate_assays.run_experiment, []
    monkeypatch.setattr(
        validate_assays,
        "run_experiment",
        lambda model, *rest, **named: (
            lines.append(model.context) or run(model, *rest, **named)
        ),
    )
    assert str(judged(tmp_path, *rows, work=again)) == str(whole)
    assert {*lines} == {"HeLa"}
    assert not (tmp_path / "table.csv.partial").exists()


def test_the_command_says_each_line_and_refuses_to_lose_a_stopped_one(tmp_path, capsys):
    folder = write(tmp_path, CLAIM)
    table = tmp_path / "table.csv"
    command = ["validate", "mir21_core", "--assays", "--data", str(folder)]
    command += ["--cells", "4", "-o", str(table)]
    with pytest.raises(SystemExit, match=r"^0$"):
        cli.main(command)
    assert "MCF-7: 1 of 1 rows pass" in capsys.readouterr().err
    left = tmp_path / "table.csv.partial"
    left.mkdir()
    (left / "000.npz").write_bytes(b"")
    with pytest.raises(SystemExit, match=r"^2$"):
        cli.main(command)
    assert "unfinished validation" in capsys.readouterr().err
