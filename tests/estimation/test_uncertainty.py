"""Identifiability, profiles, draws, bands, PEtab out."""

import math

import fit_cases
import numpy as np
import pytest
import xarray as xr

import mir21sim as ms
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.estimation import fit_report, identifiability
from mir21sim.estimation.engine import Engine
from mir21sim.estimation.objective import Objective
from mir21sim.estimation.petab_check import check
from mir21sim.estimation.petab_write import formula_text, write_petab
from mir21sim.estimation.priors import Prior
from mir21sim.model import expressions as ex

pytest.importorskip("petab")

BOUNDS = {"k1": (0.01, 10.0), "k2": (0.01, 10.0)}


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    model = fit_cases.load(tmp_path_factory.mktemp("model"))
    problem = ms.Problem(model, fit_cases.data(), {"signal": "B"}, BOUNDS)
    return ms.fit(problem, 2, seed=1, optimizer="scipy", iterations=60)


@pytest.fixture(scope="module")
def early(tmp_path_factory):
    """A fit to the first moments, where only k1 has an influence worth naming."""
    model = fit_cases.load(tmp_path_factory.mktemp("early"))
    table = fit_cases.data(sd=0.02)
    table["time"] *= 0.01
    table["signal"] = fit_cases.amount_b(table["time"]) + 0.02 * np.cos(
        np.arange(len(table)) * 2.0
    )
    problem = ms.Problem(model, table, {"signal": "B"}, BOUNDS)
    return ms.fit(problem, 1, optimizer="scipy", iterations=60)


def test_what_is_held_and_what_is_free(result, early):
    assert all(c.verdict == "held" for c in identifiability.spectrum(result)[:2])
    last = identifiability.spectrum(early)[-1]
    assert next(iter(last.weights)) == "k2"
    assert last.verdict != "held"
    text = identifiability.words(result)[0]
    wanted = (
        "Of 3 combinations of parameters, the data alone hold 3 within a factor of 2:"
    )
    assert text == wanted


def test_widths_are_those_of_the_fisher_information(result):
    objective = result.objective
    per = math.log(10.0)
    found = {w.name: w for w in identifiability.widths(result)}
    inverse = np.linalg.inv(objective(result.x).hessian)
    assert found["k1"].posterior_sd == pytest.approx(inverse[0, 0] ** 0.5, rel=1e-3)
    assert found["k1"].learned > 0.9
    table = fit_report.parameter_table(result).set_index("id")
    assert table.loc["k1", "factor"] == pytest.approx(
        math.exp(per * found["k1"].posterior_sd)
    )


def test_a_profile_has_the_interval_of_its_curvature(result, tmp_path):
    found = ms.profiles(result, ["k1"], folder=tmp_path, iterations=30)["k1"]
    sd = math.sqrt(result.covariance()[0, 0])
    middle = math.log10(result.values["k1"])
    assert not found.open_low
    assert not found.open_high
    assert math.log10(found.high) - middle == pytest.approx(1.96 * sd, rel=0.25)
    assert middle - math.log10(found.low) == pytest.approx(1.96 * sd, rel=0.25)
    assert "(95 %)" in str(found)


def test_an_end_that_the_bound_cuts_off_is_open(early):
    found = ms.profiles(early, ["k2"], iterations=20)["k2"]
    assert found.open_low
    assert "open below (tried down to 0.01)" in str(found)


def test_profiles_of_unknown_names_are_refused(result):
    with pytest.raises(UnknownNameError, match="estimated parameter `k3`"):
        ms.profiles(result, ["k3"])


def test_laplace_draws_have_the_covariance(result):
    found = ms.laplace(result, 4000, seed=3)
    x = np.log10(found.values)
    wanted = result.covariance()
    np.testing.assert_allclose(np.cov(x.T), wanted, atol=0.06 * np.diag(wanted).max())
    assert found.provenance["how"].startswith("Laplace")


def test_laplace_draws_stay_within_the_bounds(early):
    found = ms.laplace(early, 200, seed=3)
    k2 = found.values[:, 1]
    assert (k2 >= 0.01 - 1e-12).all()
    assert (k2 <= 10.0 + 1e-12).all()
    assert k2.max() / k2.min() > 30  # free, so spread over the range


@pytest.mark.slow
def test_mcmc_agrees_with_laplace_where_the_data_hold_all(result):
    pytest.importorskip("emcee")
    chains = ms.mcmc(result, 150, seed=2)
    found = np.log10(chains.ensemble(400).values)
    wanted = np.sqrt(np.diag(result.covariance()))[:2]
    np.testing.assert_allclose(found.std(axis=0)[:2], wanted, rtol=0.35)


# ------------------------------------------------------------------------ ensembles
def test_an_ensemble_survives_its_file(result, tmp_path):
    made = ms.laplace(result, 20, seed=1)
    read = ms.Ensemble.load(made.save(tmp_path / "e.nc"))
    assert read.names == made.names
    np.testing.assert_array_equal(read.values, made.values)
    assert read.provenance["problem_sha256"] == result.problem.digest()


def test_bands_of_a_curve_are_quantiles_of_its_draws(result):
    draws = ms.laplace(result, 15, seed=1)
    found = ms.simulate(
        result.problem.model, times=[0.0, 2.0, 4.0], observe="B", ensemble=draws
    )
    assert found["B"].dims == ("draw", "time")
    k1, k2 = draws.values[:, 0], draws.values[:, 1]
    wanted = fit_cases.amount_b(4.0, k1, k2)
    np.testing.assert_allclose(found["B"][:, -1], wanted, rtol=1e-5)
    bands = ms.bands(found)
    np.testing.assert_allclose(
        bands["B"].sel(quantile=0.5)[-1], np.median(wanted), rtol=1e-5
    )


def test_a_value_that_is_set_holds_for_all_draws(result):
    model, draws = result.problem.model, ms.laplace(result, 3)
    found = ms.simulate(model, 1, parameters={"k1": 1.0}, ensemble=draws)
    for draw, k2 in enumerate(draws.values[:, 1]):
        own = ms.simulate(model, 1, parameters={"k1": 1.0, "k2": k2})
        assert found["B"].values[draw, -1] == pytest.approx(own["B"].values[-1], 1e-4)
    both = {"k1": 1.0, "k2": 1.0}
    with pytest.raises(InputError, match="All that the ensemble draws is also set"):
        ms.simulate(model, 1, parameters=both, ensemble=draws)


def test_an_ensemble_of_another_model_is_refused():
    draws = ms.Ensemble(("nobody",), np.ones((2, 1)))
    model = ms.load("earm_1_3", backend="numpy")
    with pytest.raises(UnknownNameError, match="parameter of the ensemble `nobody`"):
        ms.simulate(model, "1 min", ensemble=draws)


def test_a_file_that_is_no_ensemble_is_refused(tmp_path):
    path = tmp_path / "x.nc"
    xr.Dataset({"a": 1.0}).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(InputError, match="is not an ensemble of mir21sim"):
        ms.Ensemble.load(path)


def test_the_parameter_that_carries_a_prediction_is_named():
    random = np.random.default_rng(0)
    draws = ms.Ensemble(("a", "b"), np.exp(random.normal(size=(300, 2))))
    shares = ms.carriers(draws, draws.values[:, 1] ** 3 + 0.01 * draws.values[:, 0])
    assert list(shares) == ["b", "a"]
    assert shares["b"] > 0.99
    assert shares["a"] < 0.05
    with pytest.raises(InputError, match="one value for each of 300 draws"):
        ms.carriers(draws, np.ones(3))


# ------------------------------------------------------------------------ PEtab out
@pytest.mark.filterwarnings("ignore")
def test_a_problem_written_as_petab_is_clean_and_the_same(tmp_path):
    model = fit_cases.load(tmp_path)
    table = fit_cases.data()
    table["A"] = np.where(table["time"] > 5, 2.0, 0.0)
    prior = Prior("normal", (math.log10(0.5), 0.3), 10.0, 0.01, 10.0, on_scale=True)
    problem = ms.Problem(
        model,
        table,
        {"signal": "2*B + 1"},
        BOUNDS,
        scale=True,
        noise="multiplicative",
        priors={"k1": prior},
    )
    read, findings = check(write_petab(problem, tmp_path / "out"), "numpy")
    assert [f for f in findings if f.severity != "note"] == []
    values = []
    for one in (problem, read):
        objective = Objective(one, Engine.of(one.model), priors=False)
        values.append(objective(one.nominal, slopes=False).value)
    assert values[1] == pytest.approx(values[0], rel=1e-12)
    assert read.names == problem.names


def test_formulas_keep_all_digits():
    expr = ex.Call("minus", (ex.Number(-0.1), ex.Call("log", (ex.Number(2.0),) * 2)))
    assert formula_text(expr) == "((-0.1) - log(2.0, 2.0))"


def test_bands_of_a_curve_that_no_draw_has_are_absent_without_a_warning():
    """Warnings are errors in tests."""
    values = np.array([[1.0, np.nan], [3.0, np.nan]])
    bands = ms.bands(xr.Dataset({"A": (("draw", "time"), values)}))
    assert bands["A"].sel(quantile=0.5).values[0] == 2.0
    assert np.isnan(bands["A"].values[:, 1]).all()
