"""Prior against posterior of the numbers that an ensemble moves."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import support

import mir21sim as ms
from mir21sim.errors import InputError
from mir21sim.simulation import ensemble as ensembles
from mir21sim.simulation.ensemble import Ensemble


@pytest.fixture(scope="module")
def hela():
    return ms.load("mir21_apoptosis", "HeLa", backend="numpy")


def drawn(sd, shift=0.0, **about):
    """Return draws of two numbers, one of them free in HeLa on its own as well."""
    names = ("k_syn_XIAP", "k_tx_miR21", "k_tx_miR21@HeLa", "k_tx_miR21@A549")
    z = np.random.default_rng(1).standard_normal((40_000, 4))
    prior = dict.fromkeys(names, 0.5)
    values = np.exp(shift + z * np.array(sd))
    return Ensemble(names, values, {"prior_sd": prior, **about}, True)


def test_draws_of_the_prior_have_the_widths_of_the_prior(hela):
    table = ms.prior_posterior(hela, drawn([0.5, 0.5, 0.5, 9.0]))
    assert table["width_ratio"].to_numpy() == pytest.approx(1.0, abs=0.02)
    for end in ("prior", "prior_low", "prior_high"):
        found = table[end.replace("prior", "posterior", 1)]
        assert found.to_numpy() == pytest.approx(table[end].to_numpy(), rel=0.04)


def test_factors_of_a_number_and_of_its_line_multiply(hela):
    own = dict(zip(hela.param_names, hela.p0, strict=True))
    table = ms.prior_posterior(hela, drawn([0.1, 0.3, 0.4, 9.0], shift=0.2))
    xiap, mir = table.loc["k_syn_XIAP"], table.loc["k_tx_miR21"]
    assert xiap["width_ratio"] == pytest.approx(0.2, rel=0.03)
    assert mir["width_ratio"] == pytest.approx(np.hypot(0.3, 0.4) / 0.5**0.5, rel=0.03)
    assert xiap["posterior"] == pytest.approx(own["k_syn_XIAP"] * np.exp(0.2), rel=0.01)
    assert mir["posterior"] == pytest.approx(own["k_tx_miR21"] * np.exp(0.4), rel=0.02)
    assert list(table.index) == ["k_syn_XIAP", "k_tx_miR21"]  # most learnt first


def test_sets_of_another_version_or_without_priors_are_refused(hela):
    with pytest.raises(InputError, match="says no priors"):
        ms.prior_posterior(hela, Ensemble(("k_syn_XIAP",), [[1.0], [1.1]]))
    other = replace(hela, digest="0" * 64)
    with pytest.raises(InputError, match="another version of mir21_apoptosis"):
        ms.prior_posterior(other)
    with pytest.raises(InputError, match="without an ensemble"):
        ms.prior_posterior(ms.load("mir21_core", "MCF-7", backend="numpy"))


def test_sources_prints_prior_and_posterior_and_writes_them(hela, tmp_path, capsys):
    path = tmp_path / "sources.csv"
    words = ["mir21_apoptosis", "--context", "HeLa", "-o", str(path)]
    assert support.run_cli("sources", *words) == 0
    printed = capsys.readouterr().out
    wanted = ms.prior_posterior(hela)
    assert f"of {len(wanted)} numbers" in printed
    read = pd.read_csv(path, index_col="id")
    found = read.loc[wanted.index, list(wanted.columns)]
    assert found.to_numpy() == pytest.approx(wanted.to_numpy(), rel=1e-6)
    assert read["width_ratio"].isna().sum() == len(read) - len(wanted)


def test_sources_of_a_changed_model_says_why_there_is_no_posterior(monkeypatch, capsys):
    stale = replace(
        Ensemble.load(ensembles.shipped_path("mir21_apoptosis")),
        provenance={"model": "mir21_apoptosis", "digests": {"HeLa": "1" * 64}},
    )
    monkeypatch.setattr(Ensemble, "load", lambda path: stale)
    assert support.run_cli("sources", "mir21_apoptosis", "--context", "HeLa") == 0
    printed = capsys.readouterr()
    assert "another version of mir21_apoptosis (HeLa)" in printed.err
    assert "posterior" not in printed.out


def test_sources_without_sets_is_the_table_alone(capsys):
    words = ["sources", "mir21_apoptosis", "--context", "HeLa", "--no-ensemble"]
    assert support.run_cli(*words) == 0
    assert "posterior" not in capsys.readouterr().out
