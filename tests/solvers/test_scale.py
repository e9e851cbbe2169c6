"""Absolute tolerances follow the sizes of a run, whatever its units are."""

import math
import warnings

import numpy as np
import pytest
import support
from support import reaction

import mir21sim as ms
from mir21sim.errors import ModelWarning, SolverError
from mir21sim.validation.verify import verify

METHODS = ["LSODA", "BDF", "Radau"]
EXACT = ms.Options(rtol=1e-10, atol=1e-36)


def difference(model, name, end, *, options, **more):
    """Return the largest error of a curve over its largest value."""
    more = {"points": 41, "observe": [name], "doses": []} | more
    got = ms.simulate(model, end, options=options, **more)[name]
    right = ms.simulate(model, end, options=EXACT, **more)[name]
    return float(np.abs(got - right).max() / np.abs(right).max())


def oscillator(size, *, water=0.0):
    """Return the repressilator with concentrations of a size, all zero at the start."""
    others = {"water": water, "salt": 0.9 * water} if water else {}
    names = [f"{kind}{i}" for i in (1, 2, 3) for kind in "mp"]
    reactions = []
    for i, by in ((1, 3), (2, 1), (3, 2)):
        reactions += [
            reaction(f"R{i}", f"-> m{i}", f"{4 - i}*a0 + a/(1 + (p{by}/K)**2)"),
            reaction(f"D{i}", f"m{i} ->", f"m{i}"),
            reaction(f"T{i}", f"-> p{i}", f"5*m{i}"),
            reaction(f"E{i}", f"p{i} ->", f"5*p{i}"),
        ]
    numbers = {"a0": 0.2 * size, "a": 200 * size, "K": size}
    return compiled(
        support.network(dict.fromkeys(names, 0.0) | others, numbers, reactions)
    )


def compiled(net):
    """Return the network as a file without units."""
    text = support.to_sbml(net, units="")
    for unit in ("time", "substance", "volume", "extent"):
        text = text.replace(f' {unit}Units="u_{unit}"', "")
    return support.compiled_text(text)


@pytest.mark.parametrize(("size", "water"), [(1e-12, 0.0), (1e-9, 55.0)])
def test_a_model_that_starts_at_zero_is_right_in_any_unit(size, water):
    model = oscillator(size, water=water)
    assert difference(model, "p1", 30, options=ms.Options()) < 1e-3
    # Sizes are looked at between the outputs too.
    assert difference(model, "p1", 30, options=ms.Options(), points=2) < 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_a_cell_of_a_picolitre_beside_a_millilitre(method):
    """Glucose of 5 µmol feeds a pool of 1e-20 mol through a transporter."""
    net = support.network(
        {"G": 5e-6, "T": 0.0, "R": 0.0},
        {"k": 1e-17, "d": 0.1, "s": 0.05},
        [
            reaction("up", "G -> T", "k*G"),
            reaction("turn", "T -> R", "d*T"),
            reaction("lose", "R ->", "s*R"),
        ],
    )
    model = compiled(net)
    run = ms.simulate(
        model, 100, points=11, observe=["T"], options=ms.Options(method=method)
    )
    right = 5e-23 / 0.1 * (1 - np.exp(-0.1 * run["time"]))
    np.testing.assert_allclose(run["T"], right, rtol=1e-4, atol=0.0)


@pytest.mark.parametrize("method", METHODS)
def test_a_dose_below_a_threshold_stays_below_it(method):
    """dA/dt = A²/(K² + A²) - A/4 with K = 0.4 nmol: two stable states."""
    n = 1e-9
    net = support.network(
        {"A": 0.0}, {"K": 1.5 * n, "v": n},
        [reaction("on", "-> A", "v*A**2/(K**2 + A**2)"),
         reaction("off", "A ->", "0.25*A")],
    )  # fmt: skip
    model = compiled(net)
    for dose, switched in (("A=0.6e-9@1", False), ("A=0.8e-9@1", True)):
        run = ms.simulate(
            model, 200, points=21, doses=[dose], observe=["A"],
            options=ms.Options(method=method),
        )  # fmt: skip
        assert (float(run["A"][-1]) > n) == switched


@pytest.mark.parametrize(
    ("method", "points"), [("LSODA", 2), ("LSODA", 101), ("BDF", 2), ("Radau", 2)]
)
def test_what_grows_back_from_a_trough_keeps_its_time(method, points):
    """V falls by e^-60 until 20 and grows at 2 from then on: V(60) = e^20."""
    net = support.network(
        {"V": 1.0}, {},
        [reaction("grow", "-> V", "V*2/(1 + exp(-20*(time - 20)))"),
         reaction("die", "V ->", "V*3/(1 + exp(20*(time - 20)))")],
    )  # fmt: skip
    run = ms.simulate(
        compiled(net), 60, points=points, observe=["V"],
        options=ms.Options(method=method),
    )  # fmt: skip
    assert math.log(float(run["V"][-1])) == pytest.approx(20.0, abs=0.02)


def test_noise_below_zero_is_no_failure_and_emptying_is():
    """A tiny pool between large ones takes over their rounding errors."""
    net = support.network(
        {"A": 1.0, "B": 0.0, "C": 0.0},
        {"f": 1e4, "b": 1e9},
        [
            reaction("ab", "A -> B", "f*A - b*B"),
            reaction("bc", "B -> C", "0.3*B"),
        ],
    )
    run = ms.simulate(compiled(net), 1e7, points=11, observe=["A", "B", "C"])
    assert int(run["status"]) == 0
    empties = support.network({"A": 1.0}, {}, [reaction("out", "A ->", "0.5")])
    with pytest.raises(SolverError, match="negative"):
        ms.simulate(compiled(empties), 3)


def test_verify_measures_a_curve_by_its_own_size():
    """A loose absolute tolerance of the user is found out."""
    model = oscillator(1e-9)
    good = verify(model, 30, points=31, tools=[])
    assert good.passed
    loose = verify(model, 30, points=31, tools=[], options=ms.Options(atol=1e-9))
    assert not loose.passed


def test_a_sweep_whose_error_is_larger_than_asked_says_so():
    model = oscillator(1e-9)
    over = {"a0": np.linspace(0.1e-9, 0.3e-9, 8)}
    options = ms.Options(method="LSODA")
    with warnings.catch_warnings():
        warnings.simplefilter("error", ModelWarning)
        ms.sweep(model, over, 30, points=31, observe="p1", options=options)
    loose = ms.Options(method="LSODA", atol=1e-9)
    with pytest.warns(ModelWarning, match="in `p1`: the error is larger than"):
        ms.sweep(model, over, 30, points=31, observe="p1", options=loose)


GROWS = """
model grows
  y = 1
  y' = {rate}*(y - cos(time)) - sin(time)
  z = 0; at (time >= 1): z = 1
end
"""
"""The right curve is cos t; an error grows as exp(rate t)."""


def test_a_first_run_of_a_file_whose_error_is_larger_than_asked_says_so(tmp_path):
    file = tmp_path / "grows.ant"
    file.write_text(GROWS.format(rate=5))
    model = ms.load(file, backend="numpy")
    with pytest.warns(ModelWarning, match="in `y`: the error is larger than"):
        first = ms.simulate(model, 6, points=7, observe=["y", "z"])
    assert abs(float(first["y"][-1]) - math.cos(6)) > 1.0
    ms.simulate(
        model, 6, points=7, observe=["y", "z"]
    )  # said once: warnings are errors


def test_a_first_run_that_is_right_says_nothing(tmp_path):
    file = tmp_path / "shrinks.ant"
    file.write_text(GROWS.format(rate=-5))
    model = ms.load(file, backend="numpy")
    run = ms.simulate(model, 6, points=7, observe=["y", "z"])  # z jumps at an output
    assert float(run["y"][-1]) == pytest.approx(math.cos(6), abs=1e-5)


def test_a_longest_step_sees_a_smooth_pulse():
    """exp(-((t - 500)/0.1)²) has the area 0.1·sqrt(pi)."""
    net = support.network(
        {"S": 0.0}, {}, [reaction("pulse", "-> S", "exp(-((time - 500)/0.1)**2)")]
    )
    model = compiled(net)
    for method in ("LSODA", "Rodas5P"):
        options = ms.Options(method=method, max_step=0.1)
        run = ms.simulate(model, 1000, points=2, observe=["S"], options=options)
        right = 0.1 * math.sqrt(math.pi)
        assert float(run["S"][-1]) == pytest.approx(right, rel=1e-4)
