"""The option --cluster, and clusters that are not there."""

import pytest
from commands import run, sentence

from mir21sim.cli import cluster

SWEEP = ["sweep", "earm_1_3", "--over", "L=0,10", "--end", "1h", "--points", "5"]


def test_a_cluster_that_is_not_there_is_one_sentence(monkeypatch, capsys):
    pytest.importorskip("distributed", reason="the extra `dask` is not installed")
    monkeypatch.setattr(cluster, "PATIENCE_S", 0.5)
    assert run(*SWEEP, "--backend", "numpy", "--cluster", "tcp://127.0.0.1:9") == 2
    assert "No dask scheduler answers at `tcp://127.0.0.1:9`" in sentence(capsys)


def test_an_address_of_another_kind_is_one_sentence(monkeypatch, capsys):
    pytest.importorskip("distributed", reason="the extra `dask` is not installed")
    monkeypatch.setattr(cluster, "PATIENCE_S", 0.5)
    assert run(*SWEEP, "--backend", "numpy", "--cluster", "moon://here") == 2
    assert "No dask scheduler answers at `moon://here`" in sentence(capsys)
