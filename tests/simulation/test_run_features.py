"""Peaks, times and areas by the dense output, whatever the output times are."""

import numpy as np
import pytest
import support
from commands import run
from support import reaction

from mir21sim.analysis.cell_death import death_times
from mir21sim.analysis.curves import compare, quantity
from mir21sim.errors import FailedRunsWarning, UnknownNameError
from mir21sim.simulation import dataset as results
from mir21sim.simulation import stored_features
from mir21sim.simulation.options import Options
from mir21sim.simulation.population import Population, simulate_population
from mir21sim.simulation.rerun import rerun
from mir21sim.simulation.simulate import simulate
from mir21sim.simulation.stored_features import FEATURES, NOTE
from mir21sim.simulation.sweep import sweep
from mir21sim.solvers.panels import ACCURACY

RISE, FALL, END = 60.0, 2.0, 10.0
METHODS = ("Rodas5P", "LSODA", "Radau")


@pytest.fixture(scope="module")
def chain():
    """A -> B -> nothing: B has a sharp maximum of closed form."""
    net = support.network(
        {"A": 100.0, "B": 0.0},
        {"rise": RISE, "fall": FALL},
        [reaction("turn", "A -> B", "rise*A"), reaction("drop", "B ->", "fall*B")],
    )
    return support.compiled(net, "numba")


def options(method="Rodas5P", **others):
    return Options(method=method, rtol=1e-8, equilibrate=False, features=True, **others)


def level(t):
    """B in closed form."""
    factor = 100.0 * RISE / (RISE - FALL)
    return factor * (np.exp(-FALL * t) - np.exp(-RISE * t))


@pytest.mark.parametrize("method", METHODS)
def test_features_have_their_closed_form_at_any_output_times(chain, method):
    top = np.log(RISE / FALL) / (RISE - FALL)
    inside = (1 - np.exp(-FALL * END)) / FALL - (1 - np.exp(-RISE * END)) / RISE
    area = 100.0 * RISE / (RISE - FALL) * inside
    tables = []
    for points in (61, 2401):
        result = simulate(
            chain, END, points=points, observe="B", options=options(method)
        )
        table = compare(result, "B").squeeze()
        assert float(table["peak"]) == pytest.approx(level(top), rel=3e-6)
        assert float(table["peak_time_h"]) == pytest.approx(top, rel=1e-3)
        assert float(table["area_h"]) == pytest.approx(area, rel=3e-6)
        half = level(float(table["t_half_h"]))
        assert half == pytest.approx(level(top) / 2, rel=3e-6)
        assert table.attrs["resolution_h"] == 0.0
        assert result.attrs["features"] == NOTE
        tables.append(table)
    for name in FEATURES:
        assert float(tables[0][name]) == pytest.approx(
            float(tables[1][name]), rel=10 * ACCURACY, abs=1e-9
        )


def test_features_of_the_output_times_miss_a_sharp_maximum(chain):
    plain = Options(method="Rodas5P", rtol=1e-8, equilibrate=False, features=False)
    result = simulate(chain, END, points=61, observe="B", options=plain)
    assert "features" not in result.attrs
    top = np.log(RISE / FALL) / (RISE - FALL)
    assert float(compare(result, "B")["peak"].squeeze()) < 0.9 * level(top)


@pytest.mark.parametrize("method", ["Rodas5P", "LSODA"])
def test_features_are_found_by_default_of_few_quantities(chain, method, monkeypatch):
    def attributes():
        plain = Options(method=method, rtol=1e-6, equilibrate=False)
        return simulate(chain, END, points=5, observe=["A", "B"], options=plain).attrs

    assert attributes()["features"] == NOTE
    monkeypatch.setattr(stored_features, "MOST", 1)
    assert "features" not in attributes()


def test_features_count_from_the_last_dose(chain):
    result = simulate(
        chain, END, points=11, observe="B", doses=["A=100@4.5"], options=options()
    )
    top = np.log(RISE / FALL) / (RISE - FALL)
    table = compare(result, "B", since=4.5).squeeze()
    left = level(4.5)
    given = 602.214076  # 100 nM in 1 pL, over 100 molecules
    expected = given * level(top) + left * np.exp(-FALL * top)
    assert float(table["peak"]) == pytest.approx(expected, rel=3e-6)
    assert float(table["baseline"]) == pytest.approx(left, rel=1e-4)
    # Since the start, the default of `compare`, they are the solver's too.
    whole = compare(result, "B").squeeze()
    assert whole.attrs["resolution_h"] == 0.0
    assert float(whole["baseline"]) == pytest.approx(0.0, abs=1e-9)
    assert float(whole["peak_time_h"]) == pytest.approx(4.5 + top, rel=1e-3)
    # Of another reference time or a part of the times: read from the outputs.
    assert compare(result, "B", since=2.0).attrs["resolution_h"] == 1.0
    assert compare(result.isel(time=slice(0, 9)), "B").attrs["resolution_h"] == 1.0


def test_features_of_a_sweep_belong_to_their_runs(chain):
    found = sweep(
        chain,
        {"fall": [1.0, 2.0, 4.0]},
        END,
        points=13,
        observe=["A", "B"],
        options=options(),
    )
    for place, fall in enumerate((1.0, 2.0, 4.0)):
        top = np.log(RISE / fall) / (RISE - fall)
        assert float(found["B__peak_time_h"][place]) == pytest.approx(top, rel=1e-3)
    with pytest.raises(UnknownNameError, match="A, B"):
        quantity(found, "B__peak")


def test_times_of_death_do_not_depend_on_the_output_times():
    cells, found = Population(6, seed=3), []
    for points in (25, 385):
        result = simulate_population(
            "mir21_core",
            cells,
            times=np.linspace(0.0, 48.0, points),
            doses=["TRAIL=50 ng/ml@1h"],
            observe="MOMP_fraction",
            options=Options(features=True),
        )
        found.append(death_times(result, "MOMP_fraction", since=1.0).values)
    assert np.isfinite(found[0]).any()
    assert found[0] == pytest.approx(found[1], rel=1e-9)


def test_a_run_that_failed_has_no_features(chain):
    over = {"rise": [1.0, 60.0]}
    arguments = {"points": 5, "observe": "B"}
    steps = sweep(chain, over, END, options=options(), **arguments)["n_steps"].values
    assert steps[0] != steps[1]
    with pytest.warns(FailedRunsWarning, match="1 of 2"):
        found = sweep(
            chain, over, END, options=options(max_steps=int(steps.mean())), **arguments
        )
    failed = found["status"].values != 0
    assert np.isnan(found["B__peak"].values[failed]).all()
    assert np.isfinite(found["B__peak"].values[~failed]).all()


def test_the_features_are_saved_and_made_again(tmp_path):
    from mir21sim.compiler.load import load

    model = load("earm_1_3", "base", backend="numba")
    path = tmp_path / "a.nc"
    found = simulate(model, "6 h", points=7, options=Options(features=True))
    results.save(found, path, model.source)
    kept = results.read(path)
    again, difference = rerun(path)
    assert difference == 0.0
    names = [name for name in found.data_vars if str(name).endswith("__peak")]
    assert names
    for name in names:
        assert float(kept[name]) == float(found[name]) == float(again[name])


def test_the_peak_of_the_sweep_in_the_readme_stays_with_more_points(tmp_path):
    peaks = []
    for points in (601, 2401):
        path = tmp_path / f"{points}.nc"
        run(
            "sweep", "mir21_apoptosis", "--context", "MCF-7", "--cells", "1",
            "--over", "anti_miR21=0,1,100", "--dose", "TRAIL=50 ng/ml@24h",
            "--end", "48h", "--points", str(points), "--observe", "CASP3_active",
            "-o", str(path),
        )  # fmt: skip
        table = compare(results.read(path), "CASP3_active", since=24.0)
        peaks.append(table["peak"].values)
    assert peaks[0] == pytest.approx(peaks[1], rel=1e-6)


def test_features_of_curves_that_were_changed_are_not_used(chain):
    result = simulate(chain, END, points=61, observe="B", options=options())
    assert compare(result, "B").attrs["resolution_h"] == 0.0
    for changed in (result["B"] * 0 + 1.0, 2.0 * result["B"], result["B"] + 5.0):
        table = compare(result.assign(B=changed), "B")
        assert table.attrs["resolution_h"] > 0.0
        assert float(table["peak"].squeeze()) == float(changed.max())
