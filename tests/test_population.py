"""Virtual populations: lognormal, seeded, and through the ordinary run path."""

import numpy as np
import pytest
import support

from mir21sim import results
from mir21sim.errors import InputError
from mir21sim.execute import Options
from mir21sim.population import (
    lognormal_factors,
    population,
    simulate_population,
    varied,
)
from mir21sim.rerun import rerun
from mir21sim.simulate import simulate

GENES = '[genes.A]\nprotein = ["A"]\nsynthesis = ["k_A"]\n'
REST = Options(equilibrate=True)


@pytest.fixture(scope="module")
def cascade():
    return support.compiled(support.CASCADE, toml="equilibrate = true\n" + GENES)


def test_factors_have_mean_one_and_the_cv_asked_for():
    (column,) = lognormal_factors(200_000, ["A"], cv=0.28, seed=3).values()
    assert column.mean() == pytest.approx(1.0, abs=0.003)
    assert column.std() == pytest.approx(0.28, abs=0.003)
    assert np.log(column).mean() == pytest.approx(-np.log1p(0.28**2) / 2, abs=0.003)


def test_the_first_cells_do_not_depend_on_how_many_follow():
    few = lognormal_factors(3, ["A", "B"], seed=7)
    many = lognormal_factors(30, ["A", "B"], seed=7)
    assert np.array_equal(few["B"], many["B"][:3])
    assert not np.array_equal(few["A"], few["B"])


@pytest.mark.parametrize(
    ("n", "cv", "message"),
    [(0, 0.3, "1 cell or more, got 0"), (3, -1.0, "`cv` must be.*got -1.0")],
    ids=["cells", "cv"],
)
def test_sizes_out_of_range_are_refused(n, cv, message):
    with pytest.raises(InputError, match=message):
        lognormal_factors(n, ["A"], cv=cv)


def test_genes_and_conserved_pools_differ(cascade):
    assert varied(cascade) == {"A": ("k_A", "A")}
    binding = support.compiled(support.BINDING)
    assert set(varied(binding)) == {"A", "B"}


def test_each_cell_rests_by_its_own_synthesis(cascade):
    cells = population(cascade, 4, seed=2)
    result = simulate_population(cascade, cells, 5, observe=["A", "B"])
    assert result["A"].dims == ("cell", "time")
    assert result["A"].values[:, -1] == pytest.approx(cells["k_A"], rel=1e-6)
    assert result["B"].values[:, 0] == pytest.approx(6 * cells["k_A"], rel=1e-6)


def test_a_cell_is_the_single_run_with_its_numbers(cascade):
    cells = population(cascade, 3, seed=2)
    both = simulate_population(cascade, cells, 5, observe="B")
    alone = simulate(
        cascade, 5, observe="B", parameters={"k_A": float(cells["k_A"][1])}
    )
    assert both["B"].values[1] == pytest.approx(alone["B"].values, rel=1e-9)


def test_rerun_repeats_a_population(tmp_path):
    from mir21sim.library import load

    model = load("earm2_m1a", "base", backend="numpy")
    cells = population(model, 2)
    result = simulate_population(model, cells, "1 min", times=[0, 0.01], observe="C8")
    path = results.save(result, tmp_path / "cells.nc", model.source)
    assert rerun(path)[1] == 0.0


def test_cells_and_fixed_numbers_do_not_mix(cascade):
    cells = population(cascade, 2)
    with pytest.raises(InputError, match="`k_A` cannot differ between cells"):
        simulate_population(cascade, cells, 1, parameters={"k_A": 1.0})
    with pytest.raises(InputError, match="All cells must have all numbers"):
        simulate_population(cascade, cells | {"k_B": np.ones(5)}, 1)
    with pytest.raises(InputError, match="`cells` must hold one varied number"):
        simulate_population(cascade, {}, 1)
