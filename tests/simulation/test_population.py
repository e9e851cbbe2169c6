"""Virtual populations: lognormal, seeded, and through the ordinary run path."""

import numpy as np
import pytest
import support
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from mir21sim.analysis.cell_death import (
    crossing_times,
    death_quantity,
    death_records,
    death_times,
    fraction_dead,
    kill_curve,
)
from mir21sim.analysis.dead_share import dead_share
from mir21sim.analysis.death_plots import plot_population
from mir21sim.analysis.tables import death_text
from mir21sim.compiler import load as library
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.simulation import dataset as results
from mir21sim.simulation.options import Options
from mir21sim.simulation.perturbations import Perturbations
from mir21sim.simulation.population import (
    Fixed,
    LogNormal,
    Population,
    simulate_population,
)
from mir21sim.simulation.rerun import rerun
from mir21sim.simulation.simulate import simulate
from mir21sim.simulation.varied import varied

GENES = '[genes.A]\nprotein = ["A"]\nsynthesis = ["k_A"]\n'
REST = Options(equilibrate=True)


@pytest.fixture(scope="module")
def cascade():
    return support.compiled(support.CASCADE, toml="equilibrate = true\n" + GENES)


def test_factors_have_mean_one_and_the_cv_asked_for():
    (column,) = Population(200_000, cv=0.28, seed=3).factors(["A"]).values()
    assert column.mean() == pytest.approx(1.0, abs=0.003)
    assert column.std() == pytest.approx(0.28, abs=0.003)
    assert np.log(column).mean() == pytest.approx(-np.log1p(0.28**2) / 2, abs=0.003)


@given(st.integers(1, 40), st.integers(0, 2**32), st.sets(st.text(max_size=3)))
def test_a_cell_depends_on_no_other_cell_and_no_other_protein(n, seed, others):
    alone = Population(n, seed=seed).factors(["XIAP"])["XIAP"]
    among = Population(40, seed=seed).factors([*others, "XIAP", "BAX"])
    assert np.array_equal(alone, among["XIAP"][:n])
    assert not np.array_equal(among["BAX"], among["XIAP"])


def test_a_protein_may_have_a_distribution_of_its_own():
    given_ = {"A": LogNormal(0.5, mean=2.0), "B": Fixed(3.0), "C": [1, 2, 3], "D": 0.0}
    few = Population(3, distributions=given_).factors(["A", "B", "C", "D"])
    assert few["B"].tolist() == [3, 3, 3]
    assert few["C"].tolist() == [1, 2, 3]
    assert few["D"].tolist() == [1, 1, 1]
    many = Population(100_000, distributions={"A": LogNormal(0.5, 2.0)}).factors(["A"])
    assert many["A"].mean() == pytest.approx(2.0, abs=0.02)
    assert many["A"].std() == pytest.approx(1.0, abs=0.03)


def test_correlated_proteins_go_together_and_leave_the_others_alone():
    pairs = {("A", "B"): 0.8, ("B", "C"): -0.5}
    tied = Population(100_000, correlations=pairs, seed=5).factors(["A", "B", "C", "D"])
    logs = np.corrcoef([np.log(tied[name]) for name in "ABCD"])
    assert logs[0, 1] == pytest.approx(0.8, abs=0.01)
    assert logs[1, 2] == pytest.approx(-0.5, abs=0.01)
    assert logs[0, 2] == pytest.approx(0.0, abs=0.01)
    assert tied["B"].std() == pytest.approx(0.28, abs=0.01)
    free = Population(100_000, seed=5).factors(["D"])
    assert np.array_equal(tied["D"], free["D"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "1 cell or more, and at most 1000000, got 0"),
        ({"n": 3, "cv": -1.0}, "`cv` must be.*got -1.0"),
        ({"n": 3, "seed": -1}, "`seed` must be 0 or more"),
        ({"n": 3, "distributions": {"A": float("nan")}}, "`cv` must be finite"),
        ({"n": 3, "distributions": {"A": Fixed}}, "`A`"),
        ({"n": 3, "distributions": {"A": [1, 2]}}, "levels of `A` must be 3"),
        ({"n": 3, "distributions": {"A": [1, 2, -1]}}, "levels of `A` must be 3"),
        ({"n": 3, "correlations": {("A", "B"): 1.5}}, "between -1 and 1.*`A` and `B`"),
        (
            {
                "n": 3,
                "distributions": {"A": Fixed(1.0)},
                "correlations": {("A", "B"): 0.5},
            },
            "`A` is given cell by cell or fixed",
        ),
    ],
    ids=lambda v: "" if isinstance(v, str) else "-".join(v),
)
def test_numbers_out_of_range_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Population(**arguments)


def test_correlations_that_contradict_each_other_are_refused():
    pairs = {("A", "B"): 0.9, ("B", "C"): 0.9, ("A", "C"): -0.9}
    with pytest.raises(InputError, match="A, B, C contradict each other"):
        Population(3, correlations=pairs).factors(["A"])


def test_an_unknown_protein_is_named_with_the_near_one(cascade):
    with pytest.raises(UnknownNameError, match=r"`Aa`.*Did you mean `A`"):
        Population(3, distributions={"Aa": 0.5}).cells(cascade)


def test_genes_and_conserved_pools_differ(cascade):
    assert varied(cascade) == {"A": ("k_A", "A")}
    binding = support.compiled(support.BINDING)
    assert set(varied(binding)) == {"A", "B"}


def test_lipids_membranes_and_site_pools_are_alike_in_all_cells():
    model = library.load("mir21_apoptosis", "HeLa")
    names = {name for group in varied(model).values() for name in group}
    assert not names & {"PIP2", "PS_in", "membrane", "site"}
    assert {"BAX", "BID", "AGO2", "MTORC2_a"} <= names


def test_each_cell_rests_by_its_own_synthesis(cascade):
    cells = Population(4, seed=2).cells(cascade)
    result = simulate_population(cascade, cells, 5, observe=["A", "B"])
    assert result["A"].dims == ("cell", "time")
    assert result["A"].values[:, -1] == pytest.approx(cells["k_A"], rel=1e-6)
    assert result["B"].values[:, 0] == pytest.approx(6 * cells["k_A"], rel=1e-6)


def test_a_cell_is_the_single_run_with_its_numbers(cascade):
    cells = Population(3, seed=2).cells(cascade)
    both = simulate_population(cascade, cells, 5, observe="B")
    alone = simulate(
        cascade, 5, points=201, observe="B", parameters={"k_A": float(cells["k_A"][1])}
    )
    assert both["B"].values[1] == pytest.approx(alone["B"].values, rel=1e-9)


def test_cells_die_within_a_second_of_their_exact_time_at_the_tolerance_of_cells():
    hela, cells = library.load("mir21_apoptosis", "HeLa"), Population(40, seed=3)

    def found(**chosen):
        result = simulate_population(
            hela,
            cells,
            times=np.linspace(0.0, 34.0, 2041),
            observe=["MOMP_fraction"],
            doses="TRAIL=50 ng/ml@24h",
            options=Options(n_jobs=2, **chosen),
        )
        return result, death_times(result, "MOMP_fraction", since=24.0)

    (loose, by_default), (tight, exact) = found(), found(rtol=1e-8)
    assert (loose.attrs["rtol"], tight.attrs["rtol"]) == (1e-3, 1e-8)
    assert 10 < np.isfinite(exact).sum() < 40
    np.testing.assert_array_equal(np.isfinite(by_default), np.isfinite(exact))
    dying = np.isfinite(exact)
    assert np.abs(by_default - exact)[dying].max() < 1.0 / 3600.0


def test_rerun_repeats_a_population(tmp_path):
    from mir21sim.compiler.load import load

    model = load("earm2_m1a", "base", backend="numpy")
    cells = Population(2).cells(model)
    result = simulate_population(model, cells, "1 min", times=[0, 0.01], observe="C8")
    path = results.save(result, tmp_path / "cells.nc", model.source)
    assert rerun(path)[1] == 0.0


def test_cells_and_fixed_numbers_do_not_mix(cascade):
    cells = Population(2).cells(cascade)
    with pytest.raises(InputError, match="`k_A` cannot differ between cells"):
        simulate_population(cascade, cells, 1, parameters={"k_A": 1.0})
    with pytest.raises(InputError, match="All cells must have all numbers"):
        simulate_population(cascade, cells | {"k_B": np.ones(5)}, 1)
    with pytest.raises(InputError, match="`cells` must hold one varied number"):
        simulate_population(cascade, {}, 1)


def test_a_population_stands_for_its_cells_and_takes_doses_as_a_dimension(cascade):
    both = Population(3, seed=2)
    result = simulate_population(
        cascade, both, 5, observe="[B]", doses="B=1 nM@0h", over={"B": [0, 9]}
    )
    assert result["[B]"].dims == ("cell", "B", "time")
    alone = simulate_population(cascade, both.cells(cascade), 5, observe="[B]")
    alone = alone["[B]"].values
    assert result["[B]"].values[:, 0] == pytest.approx(alone, rel=1e-6)
    assert (result["[B]"].values[:, 1, 0] > alone[:, 0]).all()


# ------------------------------------------------------------------- who dies, and when
TIMES = np.array([0.0, 1.0, 2.0, 4.0])
CURVES = np.array(
    [
        [0.0, 0.0, 1.0, 1.0],  # dies half way between 1 and 2 h
        [0.0, 0.0, 0.0, 1.0],  # at 3 h
        [0.0, 0.1, 0.2, 0.3],  # lives
        [0.9, 0.9, 0.9, 0.9],  # dead from the start
        [0.0, 0.2, np.nan, np.nan],  # its run stopped
    ]
)


@pytest.fixture
def fates():
    return xr.Dataset(
        {"PS_exposed": (("cell", "time"), CURVES)}, coords={"time": TIMES}
    )


def test_death_is_where_the_line_between_outputs_crosses_one_half(fates):
    assert death_times(fates).values == pytest.approx(
        [1.5, 3.0, np.inf, 0.0, np.nan], nan_ok=True
    )
    late = death_times(fates, since="1h").values
    assert late == pytest.approx([0.5, 2.0, np.inf, 0.0, np.nan], nan_ok=True)


def test_shares_count_the_cells_that_lived_at_the_start_and_were_followed(fates):
    share = fraction_dead(fates, [1, 2, 4])
    assert share.values == pytest.approx([0.0, 1 / 3, 2 / 3])
    assert share["at"].attrs["units"] == "h"


def test_a_kill_curve_has_one_share_for_each_dose(fates):
    both = xr.concat([fates, fates.isel(cell=[2, 2, 2, 2, 2])], dim="dose")
    assert kill_curve(both, at=4).values == pytest.approx([2 / 3, 0.0])
    with pytest.raises(InputError, match="needs a swept dose"):
        kill_curve(fates, at=4)


def test_words_and_picture_say_who_dies(fates):
    text = death_text(fates)
    assert "share that dies: 0 to 100 % (95 % of 400 resamplings of the cells)" in text
    assert text.splitlines()[0] == "3 of 5 cells live at 0 h"
    assert "2 of them (66.7%) die within 4 h" in text
    assert "mean 2.25 h" in text
    assert "1 cells could not be followed" in text
    left, right = plot_population(fates, "PS_exposed").axes
    assert left.get_title().startswith("2 of 3 cells die; mean 2.25 h")
    assert right.lines[0].get_ydata()[-1] == pytest.approx(200 / 3)
    (band,) = {c.get_paths()[0].get_extents().y1 for c in right.collections}
    assert band == pytest.approx(100)


def test_a_population_over_parameter_sets_has_their_bands(fates):
    cells = fates.isel(cell=[0, 1, 0, 1, 2, 2, 2, 2])
    sets = cells.assign_coords(parameter_set=("cell", [0, 0, 0, 0, 1, 1, 1, 1]))
    share = dead_share(sets, "PS_exposed")
    last = share.isel(after=-1)
    # No cell of a set differs from the others in its end: nothing is taken out.
    assert float(last["dead"]) == pytest.approx(50)
    ends = float(last["dead_low"]), float(last["dead_high"])
    assert ends == pytest.approx((2.5, 97.5))
    assert "2 parameter sets" in death_text(sets)
    assert "2 parameter sets" in plot_population(sets, "PS_exposed").get_supxlabel()


def test_a_swept_dose_has_a_line_each_and_a_kill_curve(fates):
    both = xr.concat([fates.isel(cell=[2, 2, 2, 2, 2]), fates], dim="TRAIL")
    both = both.assign_coords(TRAIL=("TRAIL", [0.0, 50.0], {"units": "ng/ml"}))
    nobody, some = death_records(both)
    assert (nobody["TRAIL"], nobody["cells"], nobody["dead"]) == (0.0, 5, 0.0)
    assert np.isnan([nobody["mean_h"], nobody["CV"], nobody["half_h"]]).all()
    assert (some["TRAIL"], some["cells"]) == (50.0, 3)
    assert some["dead"] == pytest.approx(2 / 3)
    assert some["mean_h"] == some["half_h"] == pytest.approx(2.25)
    assert (some["p10_h"], some["p90_h"]) == pytest.approx((1.65, 2.85))
    assert (nobody["lost"], some["lost"]) == (0, 1)
    assert some["CV"] == pytest.approx(np.std([1.5, 3.0], ddof=1) / 2.25)
    first, names, none, fifty, band = death_text(both).splitlines()
    assert "within 4 h" in first
    assert names.split()[:5] == ["TRAIL", "[ng/ml]", "cells", "dead", "[%]"]
    assert none.split() == ["0", "5", "0", *["0", "to", "0"], *"–––––", "0"]
    fates_of_50 = ["2.25", "0.4714", "1.65", "2.25", "2.85", "1"]
    assert fifty.split() == ["50", "3", "66.67", *["0", "to", "100"], *fates_of_50]
    assert band == "band: 95 % of 400 resamplings of the cells"
    figure = plot_population(both, "PS_exposed")
    left, right = figure.axes
    assert left.lines[1].get_ydata() == pytest.approx([0.0, 200 / 3])
    assert [line.get_label() for line in right.lines] == ["0", "50"]
    assert right.lines[1].get_ydata()[-1] == pytest.approx(200 / 3)


def test_where_no_cell_dies_words_and_picture_say_so(fates):
    nobody = fates.isel(cell=[2, 2])
    assert death_text(nobody).splitlines() == [
        "2 of 2 cells live at 0 h",
        "no cell dies within 4 h",
    ]
    left, _ = plot_population(nobody, "PS_exposed").axes
    assert left.get_title() == "no cell dies"
    both = xr.concat([nobody, nobody], dim="TRAIL")
    both = both.assign_coords(TRAIL=("TRAIL", [0.0, 50.0], {"units": "ng/ml"}))
    assert death_text(both).splitlines()[-1] == "no cell dies at any of these doses"
    left, _ = plot_population(both, "PS_exposed").axes
    assert left.get_title() == "no cell dies at any of these doses"


def test_a_picture_of_two_swept_doses_is_refused(fates):
    both = xr.concat([fates, fates], dim="dose")
    with pytest.raises(InputError, match="one swept dose of a population, got the dim"):
        plot_population(xr.concat([both, both], dim="other"), "PS_exposed")


def test_the_quantity_of_death_is_the_one_a_model_has(cascade):
    from mir21sim.compiler.load import load

    assert death_quantity(load("mir21_apoptosis", backend="numpy")) == "PS_exposed"
    with pytest.raises(InputError, match=r"none of PS_exposed.*--death"):
        death_quantity(cascade)


@given(st.floats(0.01, 0.99), st.floats(0.1, 50))
def test_a_ramp_crosses_a_level_in_proportion(level, length):
    times = np.linspace(0.0, length, 7)
    found = crossing_times(times, times / length, level)
    assert found == pytest.approx(level * length, rel=1e-9)


def test_a_clamp_holds_in_every_cell(cascade):
    cells = Population(3, seed=2)
    held = Perturbations(clamp={"A": "0.5x"})
    found = simulate_population(cascade, cells, 5, observe=["A"], perturb=held)
    free = simulate_population(cascade, cells, 5, observe=["A"])
    half = 0.5 * free["A"].values[:, :1]
    assert np.allclose(found["A"].values, half, rtol=1e-6)
