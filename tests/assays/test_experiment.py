"""The virtual bench: the same cells in every dish, and the doses asked for."""

import json
import math

import numpy as np
import pytest
import support

from mir21sim.assays.antibodies import Antibody
from mir21sim.assays.assay import run_assays
from mir21sim.assays.experiment import (
    Experiment,
    Sample,
    dose_series,
    experiment_record,
    run_experiment,
)
from mir21sim.assays.signals import at_time, noise_of, of_replicate
from mir21sim.assays.western import WesternBlot
from mir21sim.errors import FailedRunsWarning, InputError, UnknownNameError
from mir21sim.simulation import steady_state as resting
from mir21sim.simulation.options import Options
from mir21sim.simulation.perturbations import Perturbations
from mir21sim.simulation.population import RTOL, Population, simulate_population
from mir21sim.simulation.randomness import stream
from mir21sim.simulation.treatment import Treatment

GENES = '[genes.A]\nprotein = ["A"]\nsynthesis = ["k_A"]\n'
CELLS = Population(4, seed=2)


@pytest.fixture(scope="module")
def cascade():
    return support.compiled(support.CASCADE, toml="equilibrate = true\n" + GENES)


@pytest.fixture(scope="module")
def found(cascade):
    samples = (
        Sample("plain"),
        Sample("more B", "B=50 molecule@0h"),
        Sample("less A", Treatment.of(perturb=Perturbations(knockdown={"A": 0.5}))),
        Sample("all alike", Treatment(parameters={"k_A": 2.0})),
    )
    return run_experiment(cascade, Experiment(samples, CELLS, (0, 1, 5)), ["A", "B"])


def test_a_dish_has_the_dimensions_and_only_the_quantities_asked_for(found):
    assert found["B"].dims == ("sample", "cell", "time")
    assert dict(found.sizes) == {"sample": 4, "cell": 4, "time": 3}
    assert set(found.data_vars) == {"A", "B", "status"}
    assert found["time"].attrs["units"] == "h"


def test_every_dish_holds_the_same_cells(found):
    a = found["A"].values
    assert a[1] == pytest.approx(a[0], rel=1e-9)  # what B gets does not change A
    assert a[2, :, -1] == pytest.approx(0.5 * a[0, :, -1], rel=1e-5)
    assert len(np.unique(a[0, :, 0])) == 4


def test_a_dose_acts_by_the_closed_form(found):
    extra = found["B"].values[1] - found["B"].values[0]
    largest = found["B"].values.max()
    for k, time in ((1, 1.0), (2, 5.0)):
        exact = 50 * math.exp(-0.5 * time)
        assert extra[:, k] == pytest.approx(exact, abs=RTOL * largest)


def test_what_a_sample_sets_is_alike_in_all_its_cells(found):
    assert found["A"].values[3] == pytest.approx(2.0, rel=1e-3)


def test_a_dish_is_what_simulate_population_gives(cascade, found):
    alone = simulate_population(
        cascade, CELLS, times=[0, 1, 5], observe="B", doses="B=50 molecule@0h"
    )
    assert np.array_equal(found["B"].values[1], alone["B"].values)


def test_the_rest_of_the_cells_is_sought_once_for_all_doses(
    cascade, monkeypatch, tmp_path
):
    sought = []
    monkeypatch.setenv("MIR21SIM_CACHE", str(tmp_path))  # no rest of a run before

    def counted(model, y0, *others, **options):
        sought.append(len(y0))
        return settle(model, y0, *others, **options)

    settle = resting.settle
    monkeypatch.setattr(resting, "settle", counted)
    samples = dose_series("B", "B=1 molecule@0h", [0, 1, 10, 100])
    run_experiment(cascade, Experiment(samples, Population(7, seed=91), (0, 1)), ["B"])
    assert sum(n for n in sought if n > 1) == 7


def test_progress_counts_the_cells_of_all_dishes(cascade):
    seen = []
    run_experiment(
        cascade,
        Experiment((Sample("a"), Sample("b")), CELLS, (0, 1)),
        ["A"],
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (8, 8)
    assert seen == sorted(seen)


def test_the_record_says_what_was_done(found):
    record = json.loads(found.attrs["experiment"])
    assert record["samples"][1]["doses"] == ["B=50 molecule@0h"]
    assert record["population"]["seed"] == 2
    assert json.loads(found.attrs["genes"]) == {"A": ["A"]}


@pytest.mark.parametrize(
    "changed",
    [
        {"atol": 1e-3},
        {"atol": [1e-3, 1e-4]},
        {"max_steps": 99},
        {"max_step": "1 min"},
        {"rtol": 1e-5},
        {"method": "BDF"},
        {"equilibrate": False},
        {"allow_negative": True},
    ],
    ids=str,
)
def test_the_record_has_all_settings_that_decide_the_numbers(cascade, changed):
    dishes = Experiment((Sample("plain"),), CELLS, (0, 1))
    usual, other = (
        json.dumps(experiment_record(cascade, dishes, ["A"], Options(**made)))
        for made in ({}, changed)
    )
    assert usual != other


def test_a_dose_series_shares_its_treatment():
    series = dose_series(
        "TRAIL", "TRAIL=1 ng/ml@24h", [0, 10], treatment="anti=5 nM@0h"
    )
    assert [s.dose for s in series] == [0.0, 10.0]
    assert {s.group for s in series} == {"TRAIL"}
    assert [d.target for d in series[1].done.doses] == ["anti", "TRAIL"]


def test_times_are_kept_from_the_start():
    assert Experiment((Sample("a"),), CELLS, (24, 48)).times_h == (0.0, 24.0, 48.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Experiment((), CELLS, (0, 1)), "one sample or more"),
        (
            lambda: Experiment((Sample("a"), Sample("a")), CELLS, (0, 1)),
            "Two samples are called `a`",
        ),
        (lambda: Experiment((Sample("a"),), CELLS, (0, 2, 1)), "strictly increasing"),
        (lambda: Sample(" "), "must have a name"),
        (lambda: stream(-1, "a"), "`seed` must be 0 or more"),
    ],
    ids=["none", "twice", "times", "name", "seed"],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_unknown_names_and_results_too_large_are_refused(cascade):
    one = Experiment((Sample("a"),), CELLS, (0, 1))
    with pytest.raises(UnknownNameError, match="`AA`"):
        run_experiment(cascade, one, ["AA"])
    large = Experiment((Sample("a"),), Population(10**6), range(200))
    with pytest.raises(InputError, match=r"take 1\.5 GiB, more than 1: keep fewer"):
        run_experiment(cascade, large, ["A"])


def test_failed_cells_are_counted_and_left_as_nan(cascade):
    with pytest.warns(FailedRunsWarning, match="4 of 4 cells .*cell 0 of `a`"):
        found = run_experiment(
            cascade,
            Experiment((Sample("a", "B=5 molecule@0h"),), CELLS, (0, 1)),
            ["B"],
            options=Options(max_steps=1),
        )
    assert np.isnan(found["B"].values[0, :, 1]).all()


def test_assays_share_one_run_and_keep_what_they_need(cascade):
    blots = [WesternBlot((Antibody(name, (name,), 20),)) for name in "AB"]
    cells = run_assays(
        cascade,
        Experiment((Sample("a"), Sample("b", "B=50 molecule@0h")), CELLS, (1,)),
        blots,
    )
    assert set(cells.data_vars) == {"A", "B", "status"}
    table = blots[1].read(cells, noise=False).summary.set_index("sample")
    b = cells["B"].values[:, :, -1].mean(axis=1)
    assert table.loc["b", "relative"] == pytest.approx(b[1] / b[0], rel=1e-12)


def test_replicates_are_dishes_of_other_cells(cascade):
    population = Population(12, seed=3)
    experiment = Experiment((Sample("a"),), population, (0, 1), replicates=3)
    found = run_experiment(cascade, experiment, ["A"])
    assert found["replicate"].values.tolist() == [1] * 4 + [2] * 4 + [3] * 4
    means = [float(of_replicate(found, k)["A"].isel(time=0).mean()) for k in (1, 2, 3)]
    assert len(set(means)) == 3
    assert of_replicate(found, 5).equals(of_replicate(found, 2))
    with pytest.raises(InputError, match="12 cells cannot be dealt to 5 replicates"):
        Experiment((Sample("a"),), population, (0, 1), replicates=5)


def test_initial_amounts_of_a_sample_hold_for_all_its_cells():
    plain = support.compiled(support.CASCADE, toml=GENES)
    more = Sample("more B", Treatment(initials={"B": 7.0}))
    found = run_experiment(plain, Experiment((more,), CELLS, (0, 1)), ["B"])
    assert found["B"].isel(time=0).values == pytest.approx(np.full((1, 4), 7.0))


def test_a_dish_says_its_line_the_seed_of_its_cells_and_what_was_done(cascade):
    found = [
        run_experiment(
            cascade,
            Experiment((Sample("control"), Sample(name, dose)), cells, (0, 1)),
            ["A"],
        )
        for name, dose, cells in (
            ("treated", "A=5 molecule@0h", Population(2, seed=1)),
            ("treated", "A=6 molecule@0h", Population(2, seed=1)),
            ("treated", "A=5 molecule@0h", Population(2, seed=2)),
        )
    ]
    first, other_dose, other_cells = (
        [noise_of(1, at_time(cells, None), k, "x").random() for k in (0, 1)]
        for cells in found
    )
    assert first[0] == other_dose[0]
    assert first[1] != other_dose[1]
    assert not set(first) & set(other_cells)
