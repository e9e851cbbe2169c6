"""Rows of the validation tables over the parameter sets of an ensemble."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import support

import mir21sim as ms
from mir21sim.errors import InputError
from mir21sim.simulation.ensemble import Ensemble
from mir21sim.validation import set_rows, validate, verdicts
from mir21sim.validation.row_runs import Batch, Sets
from mir21sim.validation.set_rows import Asked, add_sets, shares_of

MODEL = "mir21_core"

CLAIM = """id,what,context,treatment,readout,comparison,against,against_context,\
against_readout,effect_of,conflict
C1,mimic lowers PTEN,MCF-7,"--dose ""miR21_mimic=50 nM@0h"" --end 24h",end(PTEN),\
down,--end 24h,,,,
"""
OBSERVED = """id,what,context,treatment,readout,against,observed,error,unit,use,\
source,note
O1,PTEN after mimic,MCF-7,"--dose ""miR21_mimic=50 nM@0h"" --end 24h",end(PTEN),\
--end 24h,0.7,0.69,fold,fit,nobody,
"""


def tables(folder, claims=CLAIM):
    (folder / "claims.csv").write_text(claims, encoding="utf-8")
    (folder / "observations.csv").write_text(OBSERVED, encoding="utf-8")
    words = "id,meaning\nmagic,nothing\n"
    (folder / "quantities.csv").write_text(words, encoding="utf-8")
    return folder


@pytest.fixture
def asked(tmp_path):
    """Return a claim and an observation of one cell line, that PTEN falls."""
    return Asked(MODEL, folder=tables(tmp_path))


@pytest.fixture
def plain(asked):
    return validate.validate(asked.model, folder=asked.folder)


def sets(factors, name="k_tx_miR21", **about):
    return Ensemble((name,), np.array(factors, float)[:, np.newaxis], about, True)


def test_factors_of_one_give_the_numbers_of_the_verdicts(asked, plain):
    for outcome in add_sets(plain, asked, sets([1.0] * 10)):
        spread, wanted = outcome.sets, outcome.predicted
        if outcome.kind == "claim":
            wanted = outcome.predicted / outcome.reference - 1.0
        assert spread.median == pytest.approx(wanted, rel=5e-3)
        assert spread.low_95 == pytest.approx(spread.high_95, rel=1e-6)
        assert (spread.n, spread.known, spread.agree) == (10, 10, 1.0)


def test_each_set_gives_what_a_run_with_its_numbers_gives(asked, plain):
    model = ms.load(MODEL, "MCF-7")
    own = model.p0[model.param_names.index("k_tx_miR21")]
    wanted = []
    for factor in (0.2, 5.0):
        common = {
            "end": "24h",
            "observe": ["PTEN"],
            "parameters": {"k_tx_miR21": own * factor},
        }
        with_mimic = ms.simulate(model, doses=["miR21_mimic=50 nM@0h"], **common)
        without = ms.simulate(model, doses=[], **common)
        wanted.append(float(with_mimic["PTEN"][-1] / without["PTEN"][-1]))
    found = add_sets(plain, asked, sets([0.2, 5.0]))
    ratio = next(o.sets for o in found if o.kind == "observation")
    ends = (ratio.low_95, ratio.high_95)
    assert sorted(wanted) == pytest.approx(ends, rel=5e-3)
    assert ends[0] < 0.95 * ends[1]


@pytest.mark.parametrize(
    ("comparison", "agree", "direction", "against"),
    [
        ("up", 0.3, 0.4, 0.2),
        ("down", 0.1, 0.2, 0.4),
        ("near", 0.5, 0.5, 0.4),
        ("same", 0.4, 0.4, 0.5),
    ],
)
def test_shares_count_sets_and_one_without_a_number_does_not_agree(
    asked, comparison, agree, direction, against
):
    row = replace(asked.rows()[0], comparison=comparison)
    values = np.array([50, 95, 99.9, 100, 100.5, 106, 115, 200, 1e9, np.nan])
    found = shares_of(row, values, np.full(10, 100.0), 0.0)
    assert (found.n, found.known) == (10, 9)
    assert (found.agree, found.direction, found.against) == (agree, direction, against)
    assert found.of_seen == pytest.approx(direction / (direction + against))
    assert (found.low_95, found.high_95) == pytest.approx((-0.5, 1e7))


def test_two_doses_without_an_end_say_nothing_of_a_direction(asked):
    row = replace(asked.rows()[0], comparison="down")
    ends = np.array([math.inf, math.inf, 5.0, 20.0])
    found = shares_of(row, ends, np.array([math.inf, 5.0, math.inf, 20.1]), 0.0)
    assert (found.direction, found.against, found.seen) == (0.25, 0.25, 0.5)
    none = shares_of(row, np.full(2, math.inf), np.full(2, math.inf), 0.0)
    assert math.isnan(none.of_seen)


def test_a_time_that_never_comes_is_an_end_of_the_interval(asked):
    row = next(row for row in asked.rows() if row.kind == "observation")
    ends = shares_of(row, np.array([1.0, 2.0, 3.0, np.inf]), np.ones(4), 0.0)
    assert (ends.low_95, ends.median, ends.high_95) == (1.0, 2.0, math.inf)


def test_the_summary_counts_rows_and_lists_claims_below_the_goal(asked, plain):
    made = []
    for outcome, direction in zip(plain, (0.9, math.nan), strict=True):
        spread = verdicts.SetShares(
            50, 50, 0.7, 0.6, 0.65, 0.5, 0.9, 0.8, direction, 0.02
        )
        made.append(replace(outcome, sets=spread))
    text = "\n".join(verdicts.set_summary(made))
    assert "inside the 50 % interval in 0, inside the 95 % interval in 1 of 1" in text
    assert "in 0 of 1 rows" in text
    assert "have the direction in 1 of 1 rows" in text
    shares = "90% (no effect 8%, against 2%)"
    assert f"{shares}  C1 MCF-7: mimic lowers PTEN" in text
    assert f"80%, direction {shares}" in verdicts.outcome_text(made)
    assert verdicts.set_summary(plain) == []
    report = verdicts.set_markdown(made)
    assert (
        "| C1 | MCF-7 | mimic lowers PTEN | 90% | 8% | 2% | 80% | +70 (+50 to +90) |"
        in report
    )
    assert "| O1 | fit | 0.01–1.39 fold | 0.7 (0.6 to 0.65) [0.5 to 0.9] |" in report


def test_a_row_that_the_model_cannot_run_gets_nothing(tmp_path):
    folder = tables(tmp_path, CLAIM.replace("end(PTEN)", "end(magic)"))
    asked = Asked(MODEL, folder=folder)
    found = add_sets(validate.validate(MODEL, folder=folder), asked, sets([1.0] * 4))
    assert [o.sets is None for o in found] == [True, False]


def test_a_ratio_that_is_0_over_0_before_a_dose_is_read_after_it(tmp_path):
    treated = CLAIM.replace("miR21_mimic=50 nM@0h", "TRAIL=50 ng/ml@1h")
    claim = treated.replace("end(PTEN)", "end(TRAIL/TRAIL)").replace("down", "near")
    asked = Asked(MODEL, folder=tables(tmp_path, claim.replace(",--end 24h", ",")))
    (row, _) = asked.rows()
    ready = replace(row, against=replace(row.case), comparison="near")
    value = asked.runs([ready]).predict(Sets((), np.ones((1, 0))))
    assert value == pytest.approx(np.zeros((1, 1)), abs=1e-12)


# ---------------------------------------------------------------------- stop and resume
def test_sets_that_were_done_are_not_run_again(asked, plain, tmp_path, monkeypatch):
    monkeypatch.setattr(set_rows, "PART", 1)
    ran, numbers = [], Batch.numbers

    def counted(self, place):
        if len(ran) == 1 and "stop" not in ran:
            ran.append("stop")
            raise KeyboardInterrupt
        ran.append(place)
        return numbers(self, place)

    monkeypatch.setattr(Batch, "numbers", counted)
    output = tmp_path / "v.csv"
    with pytest.raises(KeyboardInterrupt):
        add_sets(plain, asked, sets([0.5, 2.0]), output=output)
    done = add_sets(plain, asked, sets([0.5, 2.0]), output=output, resume=True)
    assert ran == [0, "stop", 1]
    whole = add_sets(plain, asked, sets([0.5, 2.0]))
    assert repr([o.sets for o in done]) == repr([o.sets for o in whole])
    assert not list(tmp_path.glob("*.partial"))


def test_parts_of_other_sets_are_refused(asked, plain, tmp_path, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    output = tmp_path / "v.csv"
    with monkeypatch.context() as patched:
        patched.setattr(Batch, "numbers", stopped)
        with pytest.raises(KeyboardInterrupt):
            add_sets(plain, asked, sets([0.5, 2.0]), output=output)
    with pytest.raises(InputError, match=r"another validation \(other parameter"):
        add_sets(plain, asked, sets([0.5, 3.0]), output=output, resume=True)


# --------------------------------------------------------------------------- bad input
def test_sets_that_cannot_be_used_are_refused(asked, plain):
    with pytest.raises(InputError, match="two parameter sets or more, got 1"):
        add_sets(plain, asked, sets([1.0, 1.1]), draws=1)
    with pytest.raises(InputError, match="numbers of one cell line"):
        add_sets(plain, asked, Ensemble(("k_tx_miR21",), [[1.0], [2.0]]))
    stale = sets([1.0, 1.1], model=MODEL, digests={"MCF-7": "1" * 64})
    with pytest.raises(InputError, match=r"version of mir21_core \(MCF-7\)"):
        add_sets(plain, asked, stale)


def test_the_command_writes_what_the_sets_say(asked, tmp_path, capsys):
    stored = sets(np.linspace(0.5, 2.0, 8)).save(tmp_path / "sets.nc")
    path = tmp_path / "verdicts.csv"
    words = ["validate", MODEL, "--data", str(asked.folder), "-o", str(path)]
    assert support.run_cli(*words, "--ensemble", str(stored), "--draws", "8") == 0
    assert "over 8 parameter sets:" in capsys.readouterr().out
    table = pd.read_csv(path, index_col="id")
    assert table["sets_n"].tolist() == [8, 8]
    assert support.run_cli(*words, "--no-ensemble") == 0
    assert "parameter sets" not in capsys.readouterr().out
    assert "sets_n" not in pd.read_csv(path)


@pytest.mark.parametrize("kind", ["--arms", "--assays"])
@pytest.mark.parametrize("unused", [["--resume"], ["--report", "r.md"]])
def test_options_of_sets_are_refused_where_no_sets_are_read(kind, unused, capsys):
    assert support.run_cli("validate", MODEL, kind, *unused) == 2
    message = capsys.readouterr().err
    assert "do nothing" in message
    assert f"{kind} reads" in message


@pytest.mark.parametrize("kind", [[], ["--assays"], ["--arms"]])
def test_an_unknown_model_is_one_sentence_and_no_table(kind, capsys):
    assert support.run_cli("validate", "no_such_model", *kind) == 2
    said = capsys.readouterr()
    assert "Unknown model `no_such_model`" in said.err
    assert not said.out
