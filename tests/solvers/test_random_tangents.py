"""Tangents and adjoint of random networks: each other, and central differences."""

from dataclasses import replace

import numpy as np
import pytest
import support
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from mir21sim.solvers.problem import Action, Problem, Schedule, Selection
from mir21sim.solvers.sensitivities import Seeds, record, solve_tangents
from mir21sim.solvers.settings import Settings
from mir21sim.solvers.solve import solve

SPECIES = ("A", "B", "C", "D")


@st.composite
def random_networks(draw):
    """Return a network of mass action, saturation and repression, and a seed."""
    share = st.floats(0.1, 2.0)
    pick = st.sampled_from(SPECIES)
    n = draw(st.integers(3, 4))
    reactions, numbers = [support.reaction("make", "-> A", "k0")], {"k0": draw(share)}
    for r in range(1, n):
        a, b, c = (draw(pick) for _ in range(3))
        numbers[f"k{r}"] = draw(share)
        numbers[f"K{r}"] = 10.0 * draw(share)
        rate = draw(
            st.sampled_from(
                [f"k{r}*{a}", f"k{r}*{a}*{b}/K{r}", f"k{r}*{a}/(K{r} + {b})",
                 f"k{r}*{a}*K{r}/(K{r} + {c}**2)"]
            )
        )  # fmt: skip
        second = f" + {b}" if f"{a}*{b}" in rate and b != a else ""
        reactions.append(support.reaction(f"r{r}", f"{a}{second} -> {c}", rate))
    reactions.append(support.reaction("fall", f"{draw(pick)} ->", "k0*A/(1 + A)"))
    starts = {name: 10.0 * draw(share) for name in SPECIES}
    return support.network(starts, numbers, reactions), draw(st.integers(0, 99))


def problem_of(model):
    """Return a run with a dose, an infusion and a value that is set."""
    n, index = len(model.y0), np.arange(len(model.y0))
    schedule = Schedule(
        np.array([0.5, 1.0, 1.5]),
        np.array([0, 1, 2]),
        np.array([Action.ADD, Action.RATE, Action.SET]),
        np.array([[5.0, 1.0, 3.0]]),
    )
    return Problem(
        y0=np.array(model.y0)[np.newaxis],
        p=np.array(model.p0)[np.newaxis],
        times=np.array([0.0, 0.4, 1.0, 1.2, 2.0]),
        schedule=schedule,
        selection=Selection(0 * index, index, 0 * index, index * 0 - 1, np.ones(n)),
        amounts=np.zeros(n, bool),
    )


def moved(problem, seeds, step):
    """Return the problem a step along the first column of some seeds."""
    doses = problem.schedule
    return replace(
        problem,
        y0=problem.y0 + step * seeds.y0[:, 0],
        p=problem.p + step * seeds.p[:, 0],
        schedule=replace(doses, value=doses.value + step * seeds.dose[:, 0]),
    )


@pytest.mark.filterwarnings("ignore")
# Each network is compiled: two of them, and no search for a smaller one.
@settings(max_examples=2, deadline=None, derandomize=True, phases=[Phase.generate])
@given(random_networks())
def test_both_ways_are_the_derivative_of_any_network(made):
    network, seed = made
    model = support.compiled(network, "numba")
    problem, rng = problem_of(model), np.random.default_rng(seed)
    tight = Settings("Rodas5P", 1e-9, np.array(model.atol) * 1e-3)
    seeds = Seeds.of(
        problem,
        rng.standard_normal((1, len(model.p0))) * model.p0,
        rng.standard_normal((1, len(model.y0))) * model.y0,
        rng.standard_normal((1, 3)),
    )
    tangents = solve_tangents(model, problem, tight, seeds)
    assert tangents.reasons == ("",)
    # The adjoint: Σ weights · tangent = gradient · direction.
    kept = record(model, problem, tight)
    weights = rng.standard_normal(kept.solution.values.shape)
    gradient = kept.adjoint(weights)
    parts = [
        (gradient.p[0, 0], seeds.p[0, 0]),
        (gradient.y0[0, 0], seeds.y0[0, 0]),
        (gradient.dose[0, 0], seeds.dose[0, 0]),
    ]
    backward = sum(float(a @ b) for a, b in parts)
    forward = float(np.sum(weights[0] * tangents.tangents[0, :, :, 0]))
    size = float(np.sum(np.abs(weights[0] * tangents.tangents[0, :, :, 0])))
    size += sum(float(np.abs(a) @ np.abs(b)) for a, b in parts)
    assert abs(forward - backward) <= 1e-12 * size
    # Central differences of whole runs, of fourth order.
    runs = {
        s: solve(model, moved(problem, seeds, s * 1e-3), tight)[0].values[0]
        for s in (-2, -1, 1, 2)
    }
    change = (8.0 * (runs[1] - runs[-1]) - (runs[2] - runs[-2])) / (12.0 * 1e-3)
    scale = np.abs(change).max() + np.abs(runs[1]).max()
    assert np.abs(tangents.tangents[0, :, :, 0] - change).max() <= 1e-6 * scale
