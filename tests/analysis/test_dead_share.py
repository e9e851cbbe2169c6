"""Who is dead by when: one computation behind every table and picture."""

import numpy as np
import pytest
import xarray as xr

from mir21sim.analysis.dead_share import dead_share, fates
from mir21sim.analysis.death_plots import plot_population
from mir21sim.analysis.dish import dish
from mir21sim.analysis.tables import death_text
from mir21sim.assays.prediction import predicted_fate

DIED = np.array(
    [  # h; two doses, two sets of three cells, one that was dead, one not known
        [0.0, np.inf, np.inf, np.inf, np.inf, np.nan],
        [0.0, 2.0, np.inf, 1.0, 3.0, np.nan],
    ]
)


@pytest.fixture(scope="module")
def cells():
    """Return cells that die at known times, over two parameter sets."""
    t = np.linspace(0.0, 4.0, 5)
    exposed = np.where(t >= DIED[..., np.newaxis], 1.0, 0.0)
    exposed[np.isnan(DIED), 1:] = np.nan
    over = ("sample", "cell", "time")
    data = {"PS_exposed": (over, exposed), "A": (over, np.ones_like(exposed))}
    data["status"] = (over[:2], np.isnan(DIED).astype(int))
    times = ("time", t, {"units": "h"})
    sets = ("cell", [0, 0, 0, 1, 1, 1])
    return xr.Dataset(
        data, {"sample": [0.0, 1.0], "time": times, "parameter_set": sets}
    )


def test_dish_table_and_prediction_of_a_study_have_the_same_dead_cells(cells):
    share = dead_share(cells, "PS_exposed").isel(after=-1)
    found = dish(cells, ["A"], "PS_exposed")
    study = predicted_fate(cells, 0.5).isel(time=-1)
    # Set 0: one of two at the second dose; set 1: both.
    assert share["dead"].values == pytest.approx([0.0, 75.0])
    for end in ("", "_low", "_high", "_low50", "_high50"):
        expected = pytest.approx(share[f"dead{end}"].values)
        assert found[f"dead_end{end}"].values == expected
        assert study[f"dead{end}"].values == expected
        change = pytest.approx(found[f"dead_change{end}"].values)
        assert study[f"dead_change{end}"].values == change


def test_the_change_counts_cells_that_lived_at_first_at_both_doses(cells):
    alone = cells.isel(cell=[1, 2, 4]).drop_vars("parameter_set")
    change, draws = fates(alone, "PS_exposed").change_by(np.array([1.0, 4.0]), 0)
    assert change == pytest.approx(np.array([[0.0, 0.0], [0.0, 200 / 3]]))
    assert draws.shape == (400, 2, 2)
    known = np.array([[True, True, False], [True, True, True]])
    less, _ = fates(alone, "PS_exposed", known=known).change_by(np.array([4.0]), 0)
    assert less[1] == pytest.approx([50.0])


def test_the_table_of_doses_shows_the_mean_over_sets_that_the_picture_draws(cells):
    uneven = cells.isel(cell=[1, 1, 1, 2, 2, 4, 4])
    uneven["parameter_set"] = ("cell", [0, 0, 0, 0, 0, 1, 1])
    share = dead_share(uneven, "PS_exposed")
    middle = float(share["dead"][1, -1])
    assert middle == pytest.approx((60 + 100) / 2)  # of the cells 5 of 7 die
    text = death_text(uneven, share=share)
    assert text == death_text(uneven)
    assert "80" in text.splitlines()[3].split()
    left, _ = plot_population(uneven, "PS_exposed", share=share).axes
    assert left.lines[1].get_ydata()[-1] == pytest.approx(middle)
