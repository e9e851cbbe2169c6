"""Likelihood of single cells, each by its own level of one protein."""

import math

import numpy as np
import pytest
import support

from mir21sim.errors import InputError
from mir21sim.estimation.traces import Traces
from mir21sim.simulation.ensemble import Ensemble
from mir21sim.validation import single_cells
from mir21sim.validation.single_cells import (
    DRAWS,
    Film,
    described,
    film_likelihood,
    film_nll,
    film_text,
    read_film,
)

HEAD = ",".join(single_cells.COLUMNS)
LINES = ("# made", HEAD, "Bcl2,50,2.5,54900,30000,2.5,0", "Bcl2,50,2.5,9e5,30000,4,1")


def table(folder, lines=LINES):
    path = folder / "film.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def film(times, alive, levels=None):
    levels = np.ones(len(times)) if levels is None else np.array(levels)
    return Film("BCL2", levels, np.array(times), np.array(alive), "")


def test_a_film_is_read_with_levels_over_the_own_protein(tmp_path):
    found = read_film(table(tmp_path))
    assert found.gene == "BCL2"
    assert found.levels == pytest.approx([2.83, 31.0])
    assert found.alive.tolist() == [False, True]
    assert "TRAIL=50 ng/ml@0h" in found.treatment


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("a,b", "1,2"), "the column `gfp_protein` is missing"),
        ((*LINES, "Bcl2,10,2.5,1,30000,4,1"), "one protein and one treatment, got 2"),
        ((HEAD,), "one protein and one treatment, got 0"),
        ((*LINES, "Bcl2,50,2.5,x,30000,4,1"), "cell 3: `gfp_copies_per_cell`"),
        ((*LINES, "Bcl2,50,2.5,1,0,4,1"), "`endogenous_mean_copies` must be above 0"),
    ],
)
def test_mistakes_in_a_film_are_named(tmp_path, lines, words):
    with pytest.raises(InputError, match=words):
        read_film(table(tmp_path, lines))


def test_the_likelihood_is_that_of_the_term():
    """Straight curves cross at known times; one draw of each cell lives on."""
    seen = film([2.5, 4.0, 3.0], [False, True, False])
    cross = np.random.default_rng(1).uniform(1.5, 5.0, (3, DRAWS))
    cross[:, 0] = np.inf
    grid = np.linspace(0.0, seen.term().end, 200)
    curves = 0.5 + 0.1 * (grid - cross.reshape(-1, 1))
    curves = np.where(np.isfinite(curves), curves, 0.0)
    traces = Traces(grid, curves, np.zeros((*curves.shape, 0)))
    wanted = seen.term().contribution(traces).nll
    assert film_nll(seen, cross) == pytest.approx(wanted, rel=1e-6)


def test_a_failed_run_leaves_no_number():
    times = np.full((1, DRAWS), 2.5)
    times[0, 3] = np.nan
    assert math.isnan(film_nll(film([2.5], [False]), times))


def test_the_description_finds_the_share_and_times_that_were_drawn():
    random = np.random.default_rng(4)
    levels = np.exp(random.uniform(0.0, 3.5, 400))
    dies = random.random(400) < 1.0 / (1.0 + (levels / 9.0) ** 5)
    times = np.where(dies, random.normal(2.8, 0.5, 400), 16.0)
    seen = film(times, ~dies, levels)
    p = 1.0 / (1.0 + (levels / 9.0) ** 5)
    density = np.exp(-0.5 * ((times - 2.8) / 0.5) ** 2) / math.sqrt(2 * math.pi) / 0.5
    truth = -np.log(np.where(dies, p * density, 1.0 - p)).sum()
    assert truth - 8.0 < described(seen) < truth + 5.0


def test_sets_of_the_own_numbers_give_the_own_likelihood(tmp_path):
    seen = read_film(table(tmp_path))
    ones = Ensemble(("k_syn_BID",), np.ones((2, 1)), {}, True)
    found = film_likelihood(seen, "mir21_apoptosis", "HeLa", ones)
    assert found.sets == pytest.approx([found.own] * 2, rel=1e-9)
    assert 0.0 < found.own < 10.0  # one cell dies as seen, one lives as seen
    text = "\n".join(film_text(found))
    assert "2 single cells (1 alive when last seen)" in text
    assert "median of 2 parameter sets" in text


def test_a_model_without_the_gene_is_refused(tmp_path, capsys):
    path = table(tmp_path, [line.replace("Bcl2", "Mcl1") for line in LINES])
    words = ["validate", "--only", "COPY-Bid", "--no-ensemble"]
    assert support.run_cli(*words, "--single-cells", str(path)) == 2
    assert "no `w_basal_MCL1`" in capsys.readouterr().err
