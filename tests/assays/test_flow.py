"""Annexin V/PI: expectation without noise, compensation, gates, bad input."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mir21sim.assays.flow import FlowCytometry
from mir21sim.assays.gates import QUADRANTS, Gates, compensated, quadrants
from mir21sim.assays.noise import FlowNoise
from mir21sim.compiler.load import load
from mir21sim.errors import InputError

FLOW = FlowCytometry()
PS = np.repeat([0.003, 0.95], [60, 40])
RUPTURED = np.repeat([0.005, 0.0, 0.4], [60, 15, 25])


@pytest.fixture
def cells(cells_of):
    """60 living cells of 100; of the 40 that expose PS, 25 are ruptured at 40 %."""
    return cells_of(
        {
            "nc": {"PS_exposed": np.full(100, 0.003), "membrane_ruptured": 0.005},
            "TRAIL": {"PS_exposed": PS, "membrane_ruptured": RUPTURED},
        }
    )


def test_without_noise_percentages_are_the_expectation_over_the_cells(cells):
    row = FLOW.read(cells, noise=False).raw.set_index("sample").loc["TRAIL"]
    assert row["late apoptotic"] == pytest.approx(25 * 0.4, rel=1e-12)
    assert row["early apoptotic"] == pytest.approx(15 + 25 * 0.6, rel=1e-12)
    assert row["necrotic"] == pytest.approx(60 * 0.005, rel=1e-12)
    assert row["viable"] == pytest.approx(60 * 0.995, rel=1e-12)
    summary = FLOW.read(cells, noise=False).summary
    dead = summary.query("quadrant == 'dead' & sample == 'TRAIL'")["mean"].item()
    assert dead == pytest.approx(40.0, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_compensation_recovers_the_true_fractions(cells, seed):
    raw = FLOW.read(cells, seed=seed).raw
    for quadrant in QUADRANTS:
        off = np.abs(raw[quadrant] - raw[f"true {quadrant}"])
        assert off.max() < 1.0  # points


def test_where_exposure_is_graded_the_gate_falls_near_the_true_boundary(cells_of):
    graded = cells_of({"nc": {"PS_exposed": np.geomspace(0.001, 1.0, 400)}})
    graded["membrane_ruptured"] = graded["PS_exposed"] * 0.4
    raw = FLOW.read(graded, seed=1, test="none").raw
    for quadrant in QUADRANTS:
        # One cell in twelve lies within a staining CV of the gate, on either side.
        assert np.abs(raw[quadrant] - raw[f"true {quadrant}"]).max() < 2.0


def test_without_compensation_they_are_not_recovered(cells):
    strong = FlowCytometry(noise=FlowNoise(fitc_into_pi=0.4))
    reading = strong.read(cells, seed=1)
    tube = reading.tubes[-1]
    with_ = quadrants(tube.events, reading.spillover, reading.gates)
    without = quadrants(tube.events, np.eye(2), reading.gates)
    true = reading.raw.iloc[-1]
    assert abs(with_["late apoptotic"] - true["true late apoptotic"]) < 1.0
    assert without["late apoptotic"] > true["true late apoptotic"] + 5.0


def test_beads_find_the_overlap(cells):
    spill = FLOW.read(cells, seed=2).spillover
    noise = FLOW.noise
    assert spill[0, 1] == pytest.approx(noise.fitc_into_pi, abs=0.005)
    assert spill[1, 0] == pytest.approx(noise.pi_into_fitc, abs=0.005)


@given(
    st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e5)), min_size=1, max_size=9),
    st.floats(0, 0.9),
    st.floats(0, 0.9),
)
def test_compensation_undoes_overlap(light, a, b):
    spill = np.array([[1.0, a], [b, 1.0]])
    stain = np.array(light)
    back = compensated(stain @ spill, spill)
    assert back == pytest.approx(stain, rel=1e-6, abs=1e-4)


def test_debris_is_gated_out(cells):
    reading = FLOW.read(cells, seed=1)
    share = 1 - reading.raw["gated"] / reading.raw["events"]
    assert share.to_numpy() == pytest.approx(FLOW.noise.debris, abs=0.015)


def test_a_seed_fixes_every_event_whatever_else_is_read(cells):
    one, again = FLOW.read(cells, seed=3), FLOW.read(cells, seed=3)
    assert np.array_equal(one.tubes[4].events, again.tubes[4].events)
    alone = FLOW.read(cells.isel(sample=[1]), seed=3, test="none")
    assert np.array_equal(one.tubes[4].events, alone.tubes[1].events)
    assert not np.array_equal(
        one.tubes[4].events, FLOW.read(cells, seed=4).tubes[4].events
    )


def test_mean_sd_and_n_agree_with_the_raw_csv(cells, tmp_path):
    reading = FLOW.read(cells, seed=5, replicates=4)
    reading.raw.to_csv(tmp_path / "raw.csv", index=False)
    raw = pd.read_csv(tmp_path / "raw.csv").query("sample == 'TRAIL'")
    row = reading.summary.query("quadrant == 'early apoptotic' & sample == 'TRAIL'")
    assert row["mean"].item() == pytest.approx(raw["early apoptotic"].mean(), rel=1e-12)
    assert row["sd"].item() == pytest.approx(raw["early apoptotic"].std(), rel=1e-9)
    assert row["n"].item() == 4


# ---------------------------------------------------------------------------- bad input
def test_gates_that_leave_no_cells_say_so(cells):
    closed = FlowCytometry(gates=Gates(1e9, 2000.0, 2000.0))
    with pytest.raises(InputError, match=r"leave no cells of `nc`.*1e\+09"):
        closed.read(cells)


def test_no_cell_in_the_controls_quadrant_is_said(cells):
    clean = cells.copy()
    clean["membrane_ruptured"] = clean["membrane_ruptured"] * 0.0
    reading = FLOW.read(clean, noise=False)
    assert any("no signal of late apoptotic" in note for note in reading.notes)
    late = reading.summary.query("quadrant == 'late apoptotic'")
    assert late["relative"].isna().all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FlowCytometry(events=0), "`events` must be 1 to 1,000,000, got 0"),
        (lambda: FlowCytometry(positive_ps=1.0), "between 0 and 1, got 1"),
        (lambda: Gates(float("nan"), 1.0, 1.0), "gate `scatter` must be finite"),
        (lambda: FlowNoise(debris=float("nan")), "`debris` must be finite"),
    ],
    ids=["events", "ps", "gate", "noise"],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_stain_that_does_not_light_up_cannot_be_compensated(cells):
    with pytest.raises(InputError, match="Annexin V-FITC beads are not brighter"):
        FlowCytometry(noise=FlowNoise(annexin_full=0.0)).read(cells, seed=3)


def test_cells_that_could_not_be_run_are_left_out(cells):
    lost = cells.copy(deep=True)
    lost["PS_exposed"][1, :60] = np.nan
    row = FLOW.read(lost, noise=False).raw.set_index("sample").loc["TRAIL"]
    assert row["viable"] == 0.0
    lost["PS_exposed"][1] = np.nan
    with pytest.raises(InputError, match="No cell of `TRAIL`"):
        FLOW.read(lost)


def test_a_model_without_ps_is_refused():
    with pytest.raises(InputError, match="`PS_exposed`, and earm_1_3 has none"):
        FLOW.needs(load("earm_1_3", backend="numpy"))


def test_the_picture_shows_each_sample_with_its_percentages(cells):
    figure = FLOW.plot(FLOW.read(cells, seed=1))
    titles = [ax.get_title() for ax in figure.axes]
    gated = FLOW.read(cells, seed=1).raw.query("replicate == 1")["gated"]
    expected = zip(("nc", "TRAIL"), gated, strict=True)
    assert titles == [f"{name} ({n:,} cells)" for name, n in expected]
    texts = [t.get_text() for t in figure.axes[1].texts]
    assert any(t.startswith("late apoptotic\n") and t.endswith("%") for t in texts)
