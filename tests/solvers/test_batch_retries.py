"""The batch solver in whole calls: second tries, singular matrices, rests."""

import warnings

import numpy as np
import pytest
import support
from batch_runs import (
    FAULTY,
    TIMES,
    drive,
    each_method,
    solve,
    some,
    spoilt,
    translated,
)
from support import scaled_error

from mir21sim.compiler import load as library
from mir21sim.compiler.cache import lane_kernels
from mir21sim.errors import FailedRunsWarning, SolverStatus
from mir21sim.simulation import steady_state as resting
from mir21sim.simulation.options import Options
from mir21sim.simulation.simulate import simulate
from mir21sim.simulation.sweep import sweep
from mir21sim.solvers.batch import control
from mir21sim.solvers.batch import integrate as batch
from mir21sim.solvers.methods import NAMES


# --------------------------------------------------------------------- second tries
@pytest.fixture(scope="module")
def retried(driven):
    """Of two runs the first takes Rodas4 254 steps and Radau 210; it may take 230."""
    problem = translated(driven, over={"k": [2.0, 0.0]})
    accuracy = {"rtol": 1e-9, "atol": 1e-9, "max_steps": 230}
    return {
        "alone": drive(driven, problem, method="Rodas4", **accuracy).results,
        "Rodas4": solve(driven, problem, method="Rodas4", **accuracy),
        "Radau": solve(driven, problem, method="Radau", **accuracy),
    }


def test_a_failed_run_has_a_second_try_by_radau(retried):
    first, both = retried["alone"], retried["Rodas4"]
    assert list(first.status) == [SolverStatus.MAX_STEPS, SolverStatus.OK]
    assert list(both.status) == [SolverStatus.OK, SolverStatus.OK]
    assert [NAMES[m] for m in both.method] == ["Radau", "Rodas4"]
    want = 1.0 + 2.0 * (1.0 - (1.0 + TIMES) * np.exp(-TIMES))
    assert scaled_error(both.values[0, :, 0], want, rtol=1e-9, atol=1e-9) < 10


@pytest.mark.parametrize("name", ["n_steps", "n_rejected", "n_rhs", "n_jac", "t_end"])
def test_the_work_of_a_second_try_is_that_of_radau(retried, name):
    radau, both = getattr(retried["Radau"], name), getattr(retried["Rodas4"], name)
    assert both[0] == radau[0]


def test_a_negative_amount_is_not_tried_again(faulty):
    results = solve(faulty, translated(faulty, over={"z": [50.0]}))
    assert results.status[0] == SolverStatus.NEGATIVE
    assert NAMES[results.method[0]] == "Rodas5P"


def test_a_second_try_changes_no_bit_of_the_others(faulty, cells):
    few = some(cells, np.arange(12))
    problem = spoilt(faulty, few, {5: "divides"})
    good = np.arange(12) != 5
    np.testing.assert_array_equal(
        solve(faulty, problem).values[good], solve(faulty, few).values[good]
    )


# --------------------------------------------------- a factorisation without digits
@pytest.fixture(scope="module")
def hidden():
    """A hidden constraint, y + 2z = 0, held by a pivot that long steps make tiny.

    x has no slope of its own, so W starts with 1/(hγ), under and beside which stand P
    and 2P. All three states are coupled: the order of elimination is that of the names,
    and the first pivot leaves the others 1/(hγ) + 1 + P²hγ and the like, in which all
    digits of what decides drown.
    """
    net = support.network(
        {},
        {"x": 0.0, "y": 0.0, "z": 0.0, "P": 1.0, "w": 1.0},
        [],
        rate_rules={
            "x": "P*y + 2*P*z",
            "y": "0 - P*x - y + z + sin(w*time)",
            "z": "0 - 2*P*x - y - 2*z + cos(w*time)",
        },
        name="hidden",
    )
    return support.compiled(net)


def hidden_y(t):
    """Return y for P → ∞: y = 2s, z = −s, 5 ds/dt = −6 s + 2 sin t − cos t."""
    a, b = 2 * (1.2 * 0.4 - 0.2) / 2.44, 2 * (-0.4 - 1.2 * 0.2) / 2.44
    return a * np.sin(t) + b * np.cos(t) - b * np.exp(-1.2 * t)


HUGE = np.array([1e8, 1e9, 1e10, 1e11, 1e12])


def test_elimination_without_pivots_can_lose_all_digits(hidden):
    """At the steps that the accuracy alone would allow, 1/(hγ) = 30."""
    kernels, hg, lanes = lane_kernels(hidden.network), 30.0, batch.LANES
    p, zero = np.ones((kernels.n_param, lanes)), np.zeros((3, lanes))
    p[hidden.param_names.index("P"), : len(HUGE)] = HUGE
    a, w = np.zeros((kernels.n_a, lanes)), np.zeros((kernels.n_w, lanes))
    out = np.tile([[0.0], [1.0], [0.0]], lanes)
    kernels.matrix(np.zeros((1, lanes)), zero, p, a, w, np.full((3, lanes), hg))
    kernels.solve(w, out)
    matrix = [[[hg, -q, -2 * q], [q, hg + 1, -1], [2 * q, 1, hg + 2]] for q in HUGE]
    want = [np.linalg.solve(m, [0.0, 1.0, 0.0])[1] for m in np.array(matrix)]
    error = np.abs(out[1, : len(HUGE)] / want - 1.0)
    assert (error[2:] > 0.5).all()
    assert (a[-1, : len(HUGE)][error > 1e-3] < control.GROWN).all()
    assert a[-1, -1] > 0.01  # of a lane with P = 1


@pytest.mark.parametrize("rtol", [1e-4, 1e-6])
@each_method
def test_a_step_with_lost_digits_is_refused(hidden, method, rtol):
    """Steps get shorter until the digits suffice; a run is right or has failed.

    Judged by the estimate of the error alone, some would be 50 tolerances off.
    """
    problem = translated(hidden, over={"P": HUGE})
    done = drive(hidden, problem, method=method, rtol=rtol, atol=rtol, max_steps=30_000)
    assert done.results.status[:2].tolist() == [SolverStatus.OK] * 2
    assert done.results.status[3:].tolist() == [SolverStatus.MAX_STEPS] * 2
    found = done.states[:, :, hidden.state_names.index("y")]
    want = np.where(np.isfinite(found), hidden_y(TIMES), np.nan)
    assert np.nanmax(np.abs(found - want) / (rtol + rtol * np.abs(want))) < 1.0
    assert (done.results.n_rejected[1:] > 20).all()


def test_a_run_that_needs_pivots_gets_them_in_its_second_try(hidden):
    """SciPy's Radau factorises with pivots."""
    problem = translated(hidden, over={"P": HUGE[[0, 3]]}, observe=["y"])
    found = solve(hidden, problem, rtol=1e-6, atol=1e-6, max_steps=10_000)
    assert found.status.tolist() == [SolverStatus.OK] * 2
    assert [NAMES[k] for k in found.method] == ["Rodas5P", "Radau"]
    got = found.values[:, :, 0]
    assert scaled_error(got, hidden_y(TIMES), rtol=1e-6, atol=1e-6) < 5.0


@pytest.mark.parametrize("name", ["earm_1_3", "earm2_m1a", "mir21_apoptosis"])
def test_no_step_of_a_shipped_model_is_refused_for_its_factors(name):
    """At the start, where most changes, for steps of up to three years."""
    model = library.load(name)
    kernels, lanes = lane_kernels(model.network), batch.LANES
    per_h = np.geomspace(1e-8, 1e2, lanes) * model.seconds_per_time
    a, w = np.zeros((kernels.n_a, lanes)), np.zeros((kernels.n_w, lanes))
    y, p = (np.tile(v[:, np.newaxis], lanes) for v in (model.y0, model.p0))
    hg = np.tile(per_h, (kernels.n_state, 1))
    kernels.matrix(np.zeros((1, lanes)), y, p, a, w, hg)
    assert (a[-1] > 1e4 * control.GROWN).all()


# ----------------------------------------------------------- the way a user sees it
@pytest.fixture(scope="module")
def compiled():
    return support.compiled(FAULTY, backend="numba")


def test_the_batch_solver_is_what_sweeps_use(compiled):
    result = sweep(compiled, {"K": [1.0, 2.0]}, times=[0.0, 1.0])
    assert result.attrs["method"] == "Rodas5P"
    assert list(result["method"]) == ["Rodas5P", "Rodas5P"]
    assert (result["n_steps"] > 0).all()


@each_method
def test_a_sweep_over_two_names_is_laid_out_as_scipy_lays_it_out(compiled, method):
    over = {"K": [1.0, 2.0, 4.0], "f": [0.1, 0.2]}
    ours, theirs = (
        sweep(compiled, over, times=TIMES, options=Options(method=m, rtol=1e-8))
        for m in (method, "LSODA")
    )
    assert ours.sizes == theirs.sizes
    for name in ("A", "B", "C"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-6, atol=1e-6)


def test_one_run_without_any_override_can_be_run(compiled):
    """Its arrays are views of the model's, which nobody may write to."""
    ours, theirs = (
        simulate(compiled, times=TIMES, options=Options(method=m, rtol=1e-8))
        for m in ("Rodas5P", "LSODA")
    )
    np.testing.assert_allclose(ours["A"], theirs["A"], rtol=1e-6, atol=1e-6)


def test_one_run_of_a_swept_dose_can_be_run(compiled):
    result = sweep(compiled, {"A": [3.0]}, times=[0.0, 1.0], observe="C")
    assert list(result["status"]) == [SolverStatus.OK]


@pytest.mark.parametrize(
    ("name", "number", "words"),
    [
        ("K", 0.0, r"\(NON_FINITE\) at K = 0\. At 0 h, reaction `divide` \(rate inf\)"),
        (
            "z",
            50.0,
            r"\(NEGATIVE\) at z = 50\. At .* h, species `C` .* reaction `loss`",
        ),
        (
            "w",
            1e6,
            r"\(MAX_STEPS\) at w = 1e\+06\. At .* h, where reaction `\w+` chang",
        ),
    ],
    ids=["divides", "empties", "endless"],
)
def test_a_failure_is_told_with_run_values_time_and_reaction(
    compiled, name, number, words
):
    options = Options(max_steps=300, rtol=1e-6)
    with pytest.warns(
        FailedRunsWarning, match=r"1 of 3 runs failed; first: run 1 " + words
    ) as caught:
        result = sweep(compiled, {name: [1.0, number, 2.0]}, 1.0, options=options)
    assert len(caught) == 1
    assert (result["status"] == SolverStatus.OK).values.tolist() == [True, False, True]
    assert np.isfinite(result["A"][[0, 2]]).all()
    assert np.isnan(result["A"][1, -1])


def test_an_endless_run_is_masked_and_the_others_stay_the_same(compiled):
    options = Options(max_steps=300, rtol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FailedRunsWarning)
        mixed = sweep(compiled, {"w": [1.0, 1e6, 2.0]}, 1.0, options=options)
    good = sweep(compiled, {"w": [1.0, 2.0]}, 1.0, options=options)
    assert list(mixed["status"]) == [0, SolverStatus.MAX_STEPS, 0]
    assert list(mixed["method"]) == ["Rodas5P", "Radau", "Rodas5P"]
    np.testing.assert_array_equal(mixed["A"][[0, 2]], good["A"])


def test_a_run_out_of_time_is_told_with_its_values_and_not_tried_again(compiled):
    options = Options(max_steps=10**9, timeout=0.5)
    words = (
        r"1 of 3 runs failed; first: run 1 \(TIMEOUT\) at w = 1e\+09\. At .* h, "
        r"where reaction `\w+` changes `\w` fastest: The time allowed for one run "
        r"was used up; raise `timeout`"
    )
    good = sweep(compiled, {"w": [1.0, 2.0]}, 1.0)
    with pytest.warns(FailedRunsWarning, match=words):
        mixed = sweep(compiled, {"w": [1.0, 1e9, 2.0]}, 1.0, options=options)
    assert list(mixed["status"]) == [0, SolverStatus.TIMEOUT, 0]
    assert set(mixed["method"].values) == {"Rodas5P"}
    np.testing.assert_array_equal(mixed["A"][[0, 2]], good["A"])
    assert np.isnan(mixed["A"][1, -1])


@pytest.mark.parametrize("n_jobs", [None, 1, 2, 3])
def test_a_sweep_is_the_same_to_the_bit_with_any_threads(compiled, n_jobs):
    over = {"f": np.geomspace(0.01, 1.0, 20)}
    one, more = (
        sweep(compiled, over, 8.0, options=Options(n_jobs=n)) for n in (1, n_jobs)
    )
    np.testing.assert_array_equal(one["A"], more["A"])


def test_negative_amounts_may_be_allowed(compiled):
    options = Options(allow_negative=True)
    result = sweep(compiled, {"z": [50.0]}, 1.0, options=options)
    assert list(result["status"]) == [SolverStatus.OK]
    assert list(result["method"]) == ["Rodas5P"]
    assert float(result["C"][0, -1]) < -1.0


def test_a_model_without_species_needs_no_second_try():
    net = support.network({}, {"k": 2.0}, [], rules={"wave": "k*time"}, name="empty")
    model = support.compiled(net, backend="numba")
    over = {"k": [1.0, 2.0, 3.0]}
    result = sweep(model, over, times=[0.0, 1.0, 3.0], observe="wave")
    np.testing.assert_allclose(result["wave"], np.outer([1, 2, 3], [0.0, 1.0, 3.0]))
    assert "Radau" not in list(result["method"])


# ------------------------------------------------------------------- resting states
def rest(model, problem, method):
    states, status = resting.resting_states(model, problem.y0, problem.p, method)
    assert (status == SolverStatus.OK).all()
    return states


@each_method
@pytest.mark.parametrize("which", ["binding", "birth_death", "chain"])
def test_resting_states_are_those_of_bdf(which, method, request):
    model = request.getfixturevalue(which)
    name = model.param_names[-1]
    problem = translated(
        model, over={name: model.p0[-1] * np.array([0.5, 1.0, 1.0, 3.0])}
    )
    ours, theirs = rest(model, problem, method), rest(model, problem, "BDF")
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
    assert len(np.unique(ours, axis=0)) == 3


@pytest.mark.parametrize("which", ["mir21_core", "mir21_apoptosis"])
def test_resting_states_of_shipped_models_are_those_of_bdf(which):
    model = library.load(which, backend="numpy")
    problem = translated(model, [0.0, 1.0])
    ours, theirs = rest(model, problem, "Rodas5P"), rest(model, problem, "BDF")
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
