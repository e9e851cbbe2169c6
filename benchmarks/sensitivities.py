"""Cost and agreement of tangents and adjoint, per core.

Run as ``python benchmarks/sensitivities.py``.

Prints one table a model: tangents and adjoint in units of a plain run with full lanes,
and the largest difference between the two gradients. CPU time of one thread, best of
some tries; the ratio is what can be compared between machines.
"""

import time
from dataclasses import replace

import numpy as np

import mir21sim as ms
from mir21sim.simulation.options import absolute_tolerances
from mir21sim.solvers.problem import Problem, Schedule, Selection
from mir21sim.solvers.sensitivities import Seeds, record, solve_tangents
from mir21sim.solvers.settings import Settings
from mir21sim.solvers.solve import solve

RUNS, RTOL, HOURS = 32, 1e-4, {"earm2_m1a": 6.0, "mir21_apoptosis": 48.0}

FLOOR = 1e-9
"""Share of the largest effect of all numbers on a run below which an effect is compared
with that share: of a number next to no effect only rounding is left."""


def problem_of(model, hours, n_run):
    """Return runs with parameters that differ by 5 %, four states observed."""
    rng = np.random.default_rng(0)
    y0 = np.tile(model.y0, (n_run, 1))
    for name in ("L", "TRAIL"):
        if name in model.state_names:
            y0[:, model.state_index(name)] = 3000.0
    spread = np.exp(0.05 * rng.standard_normal((n_run, len(model.p0))))
    none, four = np.zeros(0, np.int64), np.arange(4)
    return Problem(
        y0=y0,
        p=model.p0 * spread,
        times=np.linspace(0.0, hours * 3600.0 / model.seconds_per_time, 25),
        schedule=Schedule(np.zeros(0), none, none, np.zeros((n_run, 0))),
        selection=Selection(0 * four, four, 0 * four, 0 * four - 1, np.ones(4)),
        amounts=np.zeros(y0.shape[1], bool),
    )


def best(work, tries=3):
    """Return the least CPU time of some tries, s, and the last result."""
    least, found = np.inf, None
    for _ in range(tries):
        start = time.process_time()
        found = work()
        least = min(least, time.process_time() - start)
    return least, found


def unit_columns(model, count):
    """Return relative directions of the first numbers of a model that are not 0."""
    moved = np.flatnonzero(model.p0)[:count]
    columns = np.zeros((len(moved), len(model.p0)))
    columns[np.arange(len(moved)), moved] = model.p0[moved]
    return columns


def measure(name, hours):
    """Print the costs of one model."""
    model = ms.load(name, "base")
    settings = Settings("Rodas5P", RTOL, absolute_tolerances(model, RTOL))
    problem = problem_of(model, hours, RUNS)
    plain, (solution, _) = best(lambda: solve(model, problem, settings))
    steps = solution.n_steps.mean()
    print(f"{name}: plain {1e3 * plain / RUNS:.3f} ms a run, {steps:.0f} steps")

    def tangents(some, count):
        seeds = Seeds.of(some, p=unit_columns(model, count))
        return best(lambda: solve_tangents(model, some, settings, seeds))

    for count in (8, 24, 48):
        cost, found = tangents(problem, count)
        each = (cost - plain) / plain / count
        print(f"  {count:3d} tangents: {cost / plain:.2f} plain runs, {each:.2f} each")
    kept_cost, kept = best(lambda: record(model, problem, settings))
    weights = np.random.default_rng(1).standard_normal((RUNS, 1, 25, 4))
    cost, gradient = best(lambda: kept.adjoint(weights))
    print(f"  adjoint: {(kept_cost + cost) / plain:.2f} plain runs")
    forward = np.einsum("rfts,rtsc->rfc", weights, found.tangents)
    backward = gradient.p @ unit_columns(model, 48).T
    size = np.einsum("rfts,rtsc->rfc", abs(weights), abs(found.tangents))
    floor = FLOOR * size.max(axis=2, keepdims=True)
    error = (abs(forward - backward) / np.maximum(size, floor)).max()
    print(f"  tangents against adjoint: {error:.1e}")
    one = replace(
        problem,
        y0=problem.y0[:1],
        p=problem.p[:1],
        schedule=replace(problem.schedule, value=problem.schedule.value[:1]),
    )
    cost, _ = tangents(one, 100)
    print(f"  one run with 100 columns over the lanes: {1e3 * cost:.1f} ms")


if __name__ == "__main__":
    for name, hours in HOURS.items():
        measure(name, hours)
