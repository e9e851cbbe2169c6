"""Fits from a table: recovered values, resumed paths, refusals."""

import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import fit_cases
import numpy as np
import pandas as pd
import pytest

import mir21sim as ms
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.estimation.engine import Engine
from mir21sim.estimation.evaluations import EvaluationLog, LoggedObjective, run_digest
from mir21sim.estimation.fit import start_points
from mir21sim.estimation.objective import Objective

pytest.importorskip("petab")

BOUNDS = {"k1": (0.01, 10.0), "k2": (0.01, 10.0)}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return fit_cases.load(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def problem(model):
    return ms.Problem(model, fit_cases.data(), {"signal": "B"}, BOUNDS)


@pytest.fixture(scope="module")
def result(problem):
    return ms.fit(problem, 3, seed=1, optimizer="scipy")


def test_the_values_behind_the_data_are_found(result):
    assert result.values["k1"] == pytest.approx(0.5, rel=0.05)
    assert result.values["k2"] == pytest.approx(0.2, rel=0.05)
    assert result.values["sd_signal"] == pytest.approx(0.05, rel=0.6)
    assert result.n_same >= 1


def test_a_fit_shows_its_outcome_and_its_table_with_names_escaped(result):
    named = replace(result, problem=replace(result.problem, id="<b>fit</b>"))
    shown = named._repr_html_()
    assert shown.count("<table") == 1
    assert "sd_signal" in shown
    assert "<b>" not in shown


def test_the_objective_is_that_of_the_closed_form(problem):
    objective = Objective(problem, Engine.of(problem.model, rtol=1e-9))
    theta = np.array([0.4, 0.3, 0.1])
    found = objective(np.log10(theta)).value
    rows = problem.data
    r = (fit_cases.amount_b(rows.time, 0.4, 0.3) - rows.value) / 0.1
    wanted = np.sum(0.5 * r**2 + 0.5 * np.log(2 * np.pi * 0.01))
    assert found == pytest.approx(wanted, rel=1e-7)


def test_the_gradient_equals_differences(problem):
    objective = Objective(problem, Engine.of(problem.model, rtol=1e-9))
    x = np.log10([0.4, 0.3, 0.1])
    gradient = objective(x).gradient
    for k in range(3):
        step = np.zeros(3)
        step[k] = 1e-4
        ends = [objective(x + s * step, slopes=False).value for s in (-1, 1)]
        assert gradient[k] == pytest.approx((ends[1] - ends[0]) / 2e-4, rel=1e-4)


def test_fides_finds_the_same_optimum(problem, result):
    pytest.importorskip("fides")
    other = ms.fit(problem, 1, optimizer="fides")
    assert other.best.value == pytest.approx(result.best.value, abs=1e-3)


def test_a_scale_and_an_offset_are_found(model):
    table = fit_cases.data(scale=3.0)
    table["signal"] += 2.0
    problem = ms.Problem(model, table, {"signal": "B"}, BOUNDS, scale=True, offset=True)
    assert problem.names[2:] == ("scale_signal", "offset_signal", "sd_signal")
    found = ms.fit(problem, 1, optimizer="scipy").values
    assert found["scale_signal"] == pytest.approx(3.0, rel=0.1)
    assert found["offset_signal"] == pytest.approx(2.0, abs=0.6)


def test_every_plate_has_a_scale_of_its_own(model):
    first, second = fit_cases.data(), fit_cases.data(scale=4.0, seed=1)
    first["plate"], second["plate"] = "p1", "p2"
    table = pd.concat([first, second])
    problem = ms.Problem(model, table, {"signal": "B"}, BOUNDS, scale="plate")
    assert {"scale_signal_p1", "scale_signal_p2"} < set(problem.names)
    values = {p.id: p.value for p in problem.parameters}
    ratio = values["scale_signal_p2"] / values["scale_signal_p1"]
    assert ratio == pytest.approx(4.0, rel=0.05)


def test_log_normal_and_multiplicative_noise(model):
    for noise, spread in (("log-normal", 1.0), ("multiplicative", None)):
        problem = ms.Problem(
            model, fit_cases.data(sd=0.0), {"signal": "B"}, BOUNDS, noise=noise
        )
        objective = Objective(problem, Engine.of(model, rtol=1e-9))
        fit, reason = objective.fit(problem.nominal)
        assert not reason
        sd = problem.parameters[-1].value
        wanted = sd if spread else sd * fit.simulated
        np.testing.assert_allclose(fit.noise, wanted)


# ------------------------------------------------------------------------- resuming
def path_of(folder, problem):
    return ms.fit(problem, 2, seed=3, folder=folder, optimizer="scipy", iterations=3)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.71, 0.999])
def test_a_log_cut_anywhere_gives_the_same_path(problem, tmp_path, share):
    whole = path_of(tmp_path / "a", problem)
    log = tmp_path / "a" / "evaluations.log"
    text = log.read_bytes()
    first = text.index(b"\n") + 1
    (tmp_path / "b").mkdir()
    cut = tmp_path / "b" / "evaluations.log"
    cut.write_bytes(text[: first + int(share * (len(text) - first))])
    again = path_of(tmp_path / "b", problem)
    assert cut.read_bytes() == text  # the same evaluations to the last bit
    assert again.best.value == whole.best.value
    assert again.n_new + again.n_replayed == whole.n_new + whole.n_replayed


def test_a_killed_fit_loses_at_most_one_evaluation(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys
            from pathlib import Path
            sys.path.insert(0, {str(Path(__file__).parents[1])!r})
            import fit_cases, mir21sim as ms
            folder = Path({str(tmp_path)!r})
            problem = ms.Problem(
                fit_cases.load(folder), fit_cases.data(), {{"signal": "B"}}, {BOUNDS!r}
            )
            ms.fit(problem, 50, seed=3, folder=folder, optimizer="scipy")
            """
        )
    )
    run = subprocess.Popen([sys.executable, str(script)], env=dict(os.environ))
    log = tmp_path / "evaluations.log"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and run.poll() is None:
        if log.exists() and log.stat().st_size > 1500:
            break
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    kept = log.read_bytes()
    problem = ms.Problem(
        fit_cases.load(tmp_path), fit_cases.data(), {"signal": "B"}, BOUNDS
    )
    objective = Objective(problem, Engine.of(problem.model))
    found = EvaluationLog(log, run_digest(objective), 3)
    found.close()
    size = (len(kept) - kept.index(b"\n")) / len(found)
    assert len(found) >= 2
    assert len(kept) - log.stat().st_size < size  # less than one record was cut off


def test_a_log_of_another_problem_is_refused(problem, model, tmp_path):
    path_of(tmp_path, problem)
    other = ms.Problem(model, fit_cases.data(seed=5), {"signal": "B"}, BOUNDS)
    with pytest.raises(InputError, match="belongs to another problem"):
        path_of(tmp_path, other)


def test_a_file_that_is_no_log_is_refused(problem, tmp_path):
    (tmp_path / "evaluations.log").write_text("hello\n")
    with pytest.raises(InputError, match="is not a log"):
        path_of(tmp_path, problem)


def test_a_full_disk_loses_nothing(problem, tmp_path, small_files):
    whole = path_of(tmp_path / "a", problem)
    size = (tmp_path / "a" / "evaluations.log").stat().st_size
    with small_files(size // 2), pytest.raises(InputError, match="make room"):
        path_of(tmp_path / "b", problem)
    again = path_of(tmp_path / "b", problem)
    assert again.n_replayed > 0
    assert again.best.value == whole.best.value


def test_ctrl_c_keeps_the_starts_that_ended(problem, tmp_path):
    calls = []

    def stop(done, total, best):
        calls.append(done)
        raise KeyboardInterrupt

    found = ms.fit(problem, 3, folder=tmp_path, optimizer="scipy", progress=stop)
    assert found.interrupted
    assert 1 <= len(found.starts) < 3
    again = ms.fit(problem, 3, folder=tmp_path, optimizer="scipy")
    assert again.n_replayed > 0
    assert calls == [1]


def test_failures_are_counted(problem):
    objective = Objective(problem, Engine.of(problem.model))
    logged = LoggedObjective(objective)
    found = logged(np.array([400.0, 0.0, math.log10(0.1)]))
    assert not found.ok
    assert found.value == math.inf
    assert logged.failures == {"`k1` is not a finite number": 1}


# ------------------------------------------------------------------------ bad input
def test_starts_are_within_the_bounds(problem):
    points = start_points(problem, 40, seed=2)
    lower, upper = problem.bounds
    assert ((points >= lower) & (points <= upper)).all()
    assert len(np.unique(points, axis=0)) == 40


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.assign(time=t["time"] - 3), r"Data row \d+ is at time"),
        (lambda t: t.assign(signal=np.nan), "`signal` has no number at all"),
        (lambda t: t.assign(error=0.0), "the noise must be positive"),
        (lambda t: t.drop(columns="time"), "need a column `time`"),
        (lambda t: t.rename(columns={"time": "time [kg]"}), "kg"),
        (lambda t: t.assign(k3=1.0), "Unknown column of the data `k3`"),
    ],
)
def test_bad_data_is_one_sentence(model, change, message):
    with pytest.raises(InputError, match=message):
        ms.fit(ms.Problem(model, change(fit_cases.data()), {"signal": "B"}, BOUNDS), 1)


def test_an_unknown_observable_is_named(model):
    with pytest.raises(UnknownNameError, match="Did you mean"):
        ms.Problem(model, fit_cases.data(), {"signal": "Bb"}, BOUNDS)


def test_an_unknown_parameter_is_named(model):
    with pytest.raises(UnknownNameError, match="Unknown parameter to estimate `k9`"):
        ms.Problem(model, fit_cases.data(), {"signal": "B"}, ["k9"])


def test_bounds_that_exclude_the_start_are_refused(model):
    with pytest.raises(InputError, match=r"`k1` starts at 0\.5, outside its bounds"):
        ms.Problem(model, fit_cases.data(), {"signal": "B"}, {"k1": (1.0, 2.0)})


def test_an_observable_may_have_the_name_of_a_rule(tmp_path):
    path = tmp_path / "ruled.ant"
    path.write_text(fit_cases.TEXT.replace("end", "double := 2*B;\nend"))
    model = ms.load(path, backend="numpy", unit_policy="ignore")
    frame = fit_cases.data(sd=0).rename(columns={"signal": "double"})
    frame["double"] *= 2
    problem = ms.Problem(model, frame, ["double"], BOUNDS)
    objective = Objective(problem, Engine.of(model, rtol=1e-9))
    fit, _ = objective.fit(np.log10([0.5, 0.2, 0.1]), slopes=False)
    assert fit.simulated == pytest.approx(frame["double"].to_numpy(), rel=1e-7)


def test_a_noise_that_is_no_name_is_refused(model):
    with pytest.raises(UnknownNameError, match="noise"):
        ms.Problem(model, fit_cases.data(), {"signal": "B"}, ["k1"], noise=0.1)


def test_a_parameter_without_influence_is_named(model):
    problem = ms.Problem(model, fit_cases.data(), {"signal": "B"}, ["k1", "unused"])
    with pytest.raises(
        InputError, match="Nothing that is measured depends on `unused`"
    ):
        ms.fit(problem, 1, optimizer="scipy")


def test_a_missing_extra_is_said(problem, monkeypatch):
    monkeypatch.setitem(sys.modules, "fides", None)
    with pytest.raises(InputError, match=r"mir21sim\[fit\]"):
        ms.fit(problem, 1, optimizer="fides")
    assert ms.fit(problem, 1, iterations=2).optimizer == "scipy"


def test_a_tolerance_that_is_none_is_refused(problem):
    with pytest.raises(InputError, match="`rtol` must be from 1e-14 to below 1, got 5"):
        ms.fit(problem, 1, rtol=5.0)


def test_a_parameter_next_to_zero_has_steps_of_the_width_of_its_bounds(problem):
    """By chance a shift on a linear scale is 1e-22: differences need a longer step."""
    shift = replace(problem.parameters[0], value=1e-22, lower=-3.0, scale="lin")
    moved = replace(problem, parameters=(shift, *problem.parameters[1:]))
    runs = Objective(moved, Engine.of(moved.model)).runs
    sizes = moved.step_sizes(moved.natural(moved.nominal))[runs.dynamic]
    assert sizes[0] == pytest.approx(0.1)
    assert sizes[1] == pytest.approx(moved.parameters[1].value)


@pytest.mark.parametrize("column", ["time", "value"])
def test_an_infinite_number_in_the_data_is_refused(tmp_path, column):
    model = fit_cases.load(tmp_path)
    data = pd.DataFrame({"time": [1.0, 2.0], "value": [1.0, 2.0], "observable": "B"})
    data.loc[1, column] = np.inf
    with pytest.raises(InputError, match=f"Data row 2: {column} must be a finite"):
        ms.Problem(model, data, ["B"], ["k1"], equilibrate=False)
