"""Noise numbers: every one documented, listed, and off by one argument."""

from dataclasses import fields

import pytest

from mir21sim.assays.kinds import noise_classes, noise_table
from mir21sim.assays.noise import LuciferaseNoise


@pytest.mark.parametrize("kind", noise_classes())
def test_every_number_has_a_unit_a_meaning_and_a_status(kind):
    for entry in fields(kind):
        about = entry.metadata
        assert about["unit"]
        assert about["meaning"]
        assert about["status"] in ("seen", "recalled", "assumed")
        assert bool(about["source"]) == (about["status"] != "assumed"), entry.name


def test_the_table_lists_every_number_in_use():
    table = noise_table()
    assert len(table) == sum(len(fields(kind)) for kind in noise_classes())
    one = noise_table([LuciferaseNoise(reader_cv=0.5)]).set_index("name")
    assert one.loc["reader_cv", "value"] == 0.5
    assert set(one["assay"]) == {"luciferase"}
