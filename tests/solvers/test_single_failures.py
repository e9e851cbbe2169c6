"""One run at a time: failures, threads, Ctrl-C, odd shapes."""

import contextlib
import dataclasses
import itertools
import signal
import warnings
from pathlib import Path

import numpy as np
import pytest
import support
from single_runs import TIMES, each_method
from support import integrate, reaction, scaled_error

import mir21sim as ms
from mir21sim.errors import FailedRunsWarning, InputError, SolverError, SolverStatus
from mir21sim.model.network import Rule
from mir21sim.simulation import failures
from mir21sim.simulation.options import Options
from mir21sim.simulation.simulate import simulate
from mir21sim.simulation.sweep import sweep
from mir21sim.solvers.methods import NAMES

ROOT = Path(__file__).parents[2]


# -------------------------------------------------------------------------- failures
def failing(rate, arrow="A ->", **parameters):
    """Return a model with a quiet first reaction and a second one that fails."""
    reactions = [reaction("quiet", "B ->", "k*B"), reaction("culprit", arrow, rate)]
    return support.compiled(
        support.network(
            {"A": 10.0, "B": 5.0}, {"k": 0.1} | parameters, reactions, name="broken"
        )
    )


@pytest.fixture(scope="module")
def dividing():
    """A model whose second reaction divides by zero from the start where K is 0."""
    return failing("k*A/K", K=1.0)


@pytest.fixture(scope="module")
def bursting():
    """A model that reaches infinity at t = 1/(k·A0) = 1 h: dA/dt = k·A²."""
    return failing("k*A**2", "A -> 2 A")


@pytest.fixture(scope="module")
def exhausting():
    """A model with a zero-order loss, empty after 2 h."""
    return failing("K", K=5.0)


def test_a_division_by_zero_is_named_with_its_reaction(dividing):
    with pytest.raises(
        SolverError, match=r"broken: .*`culprit`.*not a number"
    ) as caught:
        simulate(dividing, 1.0, parameters={"K": 0.0})
    assert caught.value.status == SolverStatus.NON_FINITE
    assert caught.value.t == 0.0


def test_a_zero_order_loss_is_named_with_its_species_and_reaction(exhausting):
    words = (
        r"At 2\.\d+ h, species `A` .* in reaction `culprit`: A species became negative"
    )
    with pytest.raises(SolverError, match=words) as caught:
        simulate(exhausting, 5.0)
    assert caught.value.status == SolverStatus.NEGATIVE


def test_negative_amounts_may_be_allowed(exhausting):
    result = simulate(exhausting, 5.0, options=Options(allow_negative=True))
    assert float(result["A"][-1]) == pytest.approx(-15.0)


def test_too_few_steps_are_named_with_the_fastest_reaction(bursting):
    words = r"`culprit` changes `A` fastest: The maximum number of steps.*`max_steps`"
    with pytest.raises(SolverError, match=words) as caught:
        simulate(bursting, 0.9, options=Options(max_steps=20))
    assert caught.value.status == SolverStatus.MAX_STEPS
    assert 0.0 < caught.value.t < 0.9


def test_a_run_that_bursts_ends_near_the_pole(bursting):
    with pytest.raises(SolverError, match=r"`culprit`") as caught:
        simulate(bursting, 3.0)
    assert caught.value.status in {
        SolverStatus.STEP_TOO_SMALL,
        SolverStatus.NON_FINITE,
        SolverStatus.MAX_STEPS,
    }
    assert caught.value.t == pytest.approx(1.0, abs=1e-3)


def test_a_run_out_of_time_says_so(robertson):
    """The clock is read every 32 steps, so that any limit is hit by then."""
    words = r"time allowed for one run was used up; raise `timeout`"
    with pytest.raises(SolverError, match=words) as caught:
        simulate(robertson, 1e5, options=Options(timeout=1e-9))
    assert caught.value.status == SolverStatus.TIMEOUT


@each_method
def test_a_failed_run_keeps_what_it_reached_and_is_nan_after(exhausting, method):
    done = integrate(exhausting, np.linspace(0.0, 5.0, 11), method=method)
    a = done.values[0, :, 0]
    assert done.results.status[0] == SolverStatus.NEGATIVE
    reached = np.isfinite(a)
    assert reached[:4].all()
    assert not reached[5:].any()
    np.testing.assert_allclose(a[:4], 10.0 - 5.0 * np.linspace(0.0, 1.5, 4), rtol=1e-9)


def test_a_run_that_never_started_is_nan_and_not_zero(dividing):
    done = integrate(dividing, TIMES, over={"K": [0.0, 1.0]})
    assert np.isnan(done.values[0, 1:]).all()
    assert np.isfinite(done.values[1]).all()


def test_one_bad_run_does_not_change_the_others_by_a_bit(dividing):
    good = integrate(dividing, TIMES, over={"K": [1.0, 2.0]}).values
    mixed = integrate(dividing, TIMES, over={"K": [1.0, 0.0, 2.0]})
    assert list(mixed.results.status) == [0, SolverStatus.NON_FINITE, 0]
    np.testing.assert_array_equal(mixed.values[[0, 2]], good)


def test_a_sweep_masks_and_warns_once_by_name(dividing):
    with pytest.warns(FailedRunsWarning, match=r"1 of 3 runs failed.*K = 0") as caught:
        result = sweep(dividing, {"K": [1.0, 0.0, 2.0]}, 1.0)
    assert len(caught) == 1
    assert list(result["status"]) == [0, SolverStatus.NON_FINITE, 0]
    assert "culprit" in str(result["message"].values[1])


def test_a_sweep_raises_on_request_with_the_run(dividing):
    with pytest.raises(
        SolverError, match=r"1 of 2 runs failed; first: run 1"
    ) as caught:
        sweep(dividing, {"K": [1.0, 0.0]}, 1.0, on_failure="raise")
    assert caught.value.run == 1


def test_a_run_that_fails_is_tried_again_by_radau(dividing):
    done = integrate(dividing, TIMES, method="BDF", over={"K": [1.0, 0.0]})
    assert [NAMES[m] for m in done.results.method] == ["BDF", "Radau"]


# ------------------------------------------------------------------ threads, Ctrl-C
@pytest.fixture(scope="module")
def alone(binding):
    return integrate(binding, TIMES, over={"kf": np.geomspace(1e-3, 1.0, 9)})


@pytest.mark.parametrize("n_jobs", [2, 5])
def test_results_do_not_depend_on_threads_by_a_bit(binding, alone, n_jobs):
    over = {"kf": np.geomspace(1e-3, 1.0, 9)}
    together = integrate(binding, TIMES, over=over, n_jobs=n_jobs)
    np.testing.assert_array_equal(together.values, alone.values)
    np.testing.assert_array_equal(together.results.n_steps, alone.results.n_steps)


def test_a_row_of_a_sweep_is_the_single_run_by_a_bit(binding, alone):
    one = integrate(binding, TIMES, over={"kf": np.geomspace(1e-3, 1.0, 9)[4:5]})
    np.testing.assert_array_equal(one.values[0], alone.values[4])


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_progress_counts_up_to_all_runs(binding, n_jobs):
    seen = []
    integrate(
        binding, TIMES, over={"kf": [0.1, 0.2, 0.3]}, n_jobs=n_jobs,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert seen == sorted(seen)
    assert seen[-1] == (3, 3)


def interrupt_at(count):
    def progress(done, total):
        if done >= count:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_interrupt_keeps_the_finished_runs(binding, alone, n_jobs):
    over = {"kf": np.geomspace(1e-3, 1.0, 9)}
    done = integrate(binding, TIMES, over=over, n_jobs=n_jobs, progress=interrupt_at(4))
    finished = done.results.status == SolverStatus.OK
    assert done.interrupted
    assert finished.sum() >= 4
    np.testing.assert_array_equal(done.values[finished], alone.values[finished])
    assert np.isnan(done.values[~finished]).all()
    assert (done.results.status[~finished] == SolverStatus.NOT_RUN).all()


@pytest.fixture
def ctrl_c_interrupts():
    """Set Python's own handler: a background job starts with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_interrupts")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_key_that_a_callback_swallows_interrupts_all_the_same(binding, n_jobs):
    def swallow(done, total):
        if done >= 4:
            with contextlib.suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    over = {"kf": np.geomspace(1e-3, 1.0, 9)}
    done = integrate(binding, TIMES, over=over, n_jobs=n_jobs, progress=swallow)
    assert done.interrupted
    assert (done.results.status == SolverStatus.OK).sum() >= 4
    assert n_jobs > 1 or (done.results.status[4:] == SolverStatus.NOT_RUN).all()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_key_that_is_ignored_stays_ignored(binding):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        done = integrate(
            binding, TIMES, over={"kf": [0.1, 0.2]},
            progress=lambda *_: signal.raise_signal(signal.SIGINT),
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, before)
    assert not done.interrupted


def test_an_interrupted_sweep_warns_with_the_count_of_finished_runs(binding):
    options = Options(progress=interrupt_at(2))
    with pytest.warns(
        FailedRunsWarning, match=r"Interrupted: 2 of 4 runs are finished"
    ):
        result = sweep(binding, {"kf": [0.1, 0.2, 0.3, 0.4]}, 1.0, options=options)
    assert list(result["status"]) == [0, 0, -1, -1]


def test_an_interrupted_simulation_is_an_interrupt(binding):
    with pytest.raises(KeyboardInterrupt):
        simulate(binding, 1.0, options=Options(progress=interrupt_at(1)))


# ----------------------------------------------------------------------- odd shapes
def test_a_model_without_species_still_has_its_rules():
    net = support.network({}, {"k": 2.0}, [], rules={"wave": "k*time"})
    result = simulate(support.compiled(net), times=[0.0, 1.0, 3.0], observe="wave")
    assert list(result["wave"]) == [0.0, 2.0, 6.0]


def test_a_large_sparse_chain_follows_its_closed_form():
    """300 states take the sparse Jacobian: a gamma-distributed delay."""
    n, k = 300, 40.0
    names = [f"S{i}" for i in range(n)]
    links = itertools.pairwise(names)
    net = support.network(
        dict.fromkeys(names, 0.0) | {"S0": 1.0},
        {"k": k},
        [reaction(f"r{i}", f"{a} -> {b}", f"k*{a}") for i, (a, b) in enumerate(links)],
    )
    model = support.compiled(net)
    got = integrate(model, [0.0, 1.0], method="BDF", rtol=1e-7, atol=1e-9).values[0, 1]
    steps = np.arange(n - 1)
    logs = -k + steps * np.log(k) - np.cumsum(np.log(np.maximum(steps, 1)))
    assert scaled_error(got[:-1], np.exp(logs), rtol=1e-7, atol=1e-9) < 60


def test_outputs_are_states_concentrations_rules_rates_and_parameters(chain):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        names = ["A", "[A]", "free", "use", "K"]
        result = simulate(chain, times=[0.0, 1.0], observe=names)
    a, b = 10.0, 2.0
    free = a / (1 + b / 4.0)
    want = [a, a / 602.214076, free, 0.3 * free, 4.0]
    assert [float(result[n][0]) for n in names] == pytest.approx(want, rel=1e-12)
    assert [result[n].attrs["units"] for n in names[:2]] == ["molecule", "nM"]


@pytest.fixture(scope="module")
def swelling():
    """A model whose only compartment grows with time: nM has no fixed meaning."""
    net = support.network(
        {"A": 1.0}, {"k": 0.1, "v": 1.0}, [reaction("r", "A ->", "k*A")]
    )
    cell = dataclasses.replace(net.compartments[0], constant=False)
    rule = Rule("assignment", "cell", support.expr("v + k*time"))
    return support.compiled(
        dataclasses.replace(net, compartments=(cell,), rules=(rule,))
    )


def test_a_dose_in_nM_into_a_changing_volume_is_refused(swelling):
    with pytest.raises(InputError, match=r"`A`.*`cell`"):
        simulate(swelling, 1.0, doses="A=1 nM@0h")


def test_a_concentration_in_a_changing_volume_follows_the_volume(swelling):
    run = simulate(swelling, 1.0, points=3, observe=["A", "[A]", "cell"])
    volume = 1.0 + 0.1 * run.time.values
    np.testing.assert_allclose(run["cell"], volume, rtol=1e-12)
    # 1 molecule in 1 pL is 1/602.2 nM.
    expected = np.exp(-0.1 * run.time.values) / (volume * 602.214076)
    np.testing.assert_allclose(run["[A]"], expected, rtol=1e-5)


@pytest.mark.parametrize("method", ["LSODA", "BDF", "Radau", "Rodas5P"])
def test_a_dose_sweep_runs_by_every_method_on_compiled_kernels(method):
    """Runs that differ in doses only share one row of start values, read-only."""
    model = ms.load(ROOT / "examples" / "caspase_switch.xml")
    options = ms.Options(method=method, max_steps=10_000)
    call = {"end": "1 h", "points": 3, "observe": "CASP3_active", "options": options}
    swept = ms.sweep(
        model, {"CASP8_active": [0.0, 1e3]}, doses="CASP8_active=0 molecule@0h", **call
    )
    single = ms.simulate(model, doses="CASP8_active=1000 molecule@0h", **call)
    assert set(swept["method"].values) == {method}
    last = float(single["CASP3_active"][-1])
    assert float(swept["CASP3_active"][1, -1]) == pytest.approx(last, rel=1e-6)


def test_a_failed_run_on_compiled_kernels_is_described():
    model = ms.load(ROOT / "examples" / "caspase_switch.xml")
    options = ms.Options(max_steps=3)
    with pytest.raises(SolverError, match="where reaction `"):
        ms.simulate(model, "1 h", doses="CASP8_active=100 molecule@0h", options=options)


def test_a_derivative_that_is_not_finite_is_named_with_its_formula():
    """`make` is the faster reaction; the one to blame is `turn`."""
    net = support.network(
        {"A": 0.0, "B": 0.0},
        {"k": 1.0, "q": 0.5},
        [
            support.reaction("make", "-> A", "k"),
            support.reaction("turn", "-> B", "q*A**0.5"),
        ],
    )
    model = support.compiled(net)
    found = failures.suspect(
        model, SolverStatus.NON_FINITE, 0.0, model.y0, p=model.p0, atol=model.atol
    )
    assert found.startswith(", reaction `turn` = q")
    assert found.endswith("whose derivative by `A` is not finite at A = 0")
