"""The way of an anti-miR through a dish, read from a model's numbers."""

import math

import pytest

from mir21sim.analysis.oligonucleotide import (
    pharmacokinetic_lines,
    pharmacokinetic_records,
    way_in,
)
from mir21sim.model.files import find
from mir21sim.model.read import understand


@pytest.fixture(scope="module")
def network():
    return understand(find("mir21_apoptosis", "base"))[0]


def test_half_times_and_affinity_come_from_the_rates(network):
    rates = {p.id: p.value for p in network.parameters}
    rows = {
        row["chemistry"]: row for row in pharmacokinetic_records(network, volume_pL=2.0)
    }
    first = rows["LNA, phosphorothioate"]
    assert first["cytosol (h)"] == pytest.approx(
        math.log(2) / rates["k_deg_LNA"] / 3600
    )
    per_nM = 602.214076 * 2.0
    expected = rates["kr_LNA"] / rates["kf_anti_miR21_RISC"] / per_nM
    assert first["K_d (nM)"] == pytest.approx(expected)
    assert [row["used"] for row in rows.values()].count("yes") == 1


def test_chemistry_and_way_in_follow_the_switches(network):
    values = {p.id: p.value for p in network.parameters}
    assert way_in(values) == "LNA, phosphorothioate, with a lipid"
    changed = values | {"anti_LNA": 0.0, "anti_OMe": 1.0, "transfection": 0.0}
    assert way_in(changed) == "2'-O-methyl, unassisted uptake"
    assert way_in({"k": 1.0}) == ""


def test_other_models_have_no_such_lines():
    network = understand(find("earm_1_3", "base"))[0]
    assert pharmacokinetic_lines(network, 1.0) == []
