"""Dishes that differ in anything are samples of their own, with noise of their own."""

import numpy as np
import pytest

from mir21sim.assays.flow import FlowCytometry
from mir21sim.assays.luciferase import LuciferaseAssay
from mir21sim.assays.plate import PlateAssay
from mir21sim.assays.signals import at_time, noise_of
from mir21sim.assays.western import WesternBlot

LEVELS = {
    "PTEN_protein": 2000.0,
    "BAX_protein": 3000.0,
    "CASP3_active": 1e4,
    "CASP7_active": 0.0,
    "PS_exposed": 0.4,
    "membrane_ruptured": 0.3,
    "luciferase_WT": 300.0,
    "luciferase_MUT": 900.0,
}
GENES = {"PTEN": ["PTEN_protein"], "BAX": ["BAX_protein"]}


def drawn(assay, cells, seed=1):
    """Return all numbers of a reading that hold noise, without blanks."""
    raw = assay.read(cells, seed=seed, replicates=2).raw
    raw = raw[raw["contents"] != "blank"] if "contents" in raw else raw
    columns = [
        name
        for name in ("signal", "loading", "net", "firefly", "renilla", "late apoptotic")
        if name in raw
    ]
    return raw[columns].to_numpy(dtype=float)


@pytest.fixture(name="one", params=["western", "flow", "caspase", "luciferase"])
def _one(request, cells_of):
    """Return an assay and the cells of one dish of it, from what identifies them."""
    assay = {
        "western": WesternBlot(("PTEN", "BAX")),
        "flow": FlowCytometry(2000),
        "caspase": PlateAssay("caspase"),
        "luciferase": LuciferaseAssay(("PTEN",)),
    }[request.param]

    def cells(name="control", **about):
        names = [name]
        if request.param == "luciferase":
            names = [f"{name} {c}" for c in ("WT", "MUT")]
            about["treatment"] = [name] * 2
            about["dish"] = [f"reporter PTEN {c} 100" for c in ("WT", "MUT")]
            if "done" in about:
                about["done"] = [f"{about['done'][0]} {c}" for c in ("WT", "MUT")]
        return cells_of(dict.fromkeys(names, LEVELS), genes=GENES, **about)

    return assay, cells


@pytest.mark.parametrize(
    "other",
    [{"line": "another line"}, {"times": (24.0,)}, {"done": ["more was done"]}],
    ids=lambda other: next(iter(other)),
)
def test_noise_is_drawn_anew_for_another_dish(one, other):
    assay, cells = one
    first, again, second = (drawn(assay, cells(**about)) for about in ({}, {}, other))
    assert np.array_equal(first, again)
    assert (first != second).all()


def test_replicates_have_noise_of_their_own(one):
    assay, cells = one
    raw = drawn(assay, cells())
    assert len(np.unique(raw, axis=0)) == len(raw)


def test_noise_of_blanks_and_stained_controls_belongs_to_line_and_day(cells_of):
    seen = {
        (line, when): noise_of(
            1,
            at_time(cells_of({"a": LEVELS}, line=line, times=(when,)), None),
            None,
            "caspase",
            "B2",
        ).random()
        for line in ("HeLa", "A549")
        for when in (24.0, 48.0)
    }
    assert len(set(seen.values())) == 4
