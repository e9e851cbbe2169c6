"""Networks and their lane programs, for the tests of both."""

from functools import cache as remembered

import numpy as np
import support
from support import reaction

from mir21sim.compiler import cache, symbolic
from mir21sim.compiler import lane_programs as lanes
from mir21sim.compiler import load as library
from mir21sim.compiler.llvm_lanes import LANES

HG = 3.7
"""1/(hγ) at which systems are solved unless a test says otherwise."""


def amounts(net):
    return frozenset(s.id for s in net.species)


def lane_programs(net):
    return lanes.programs(symbolic.build(net), amounts(net))


_BINARY = {
    "+": np.add, "*": np.multiply, "-": np.subtract, "/": np.divide, "pow": np.power,
    "<": np.less, ">": np.greater, "<=": np.less_equal, ">=": np.greater_equal,
    "and": np.logical_and, "or": np.logical_or, "least": np.fmin,
}  # fmt: skip
_UNARY = {
    "neg": np.negative, "exp": np.exp, "log": np.log, "sqrt": np.sqrt,
    "not": np.logical_not, "fabs": np.abs,
}  # fmt: skip


def value(node, arrays):
    """Return the value of an expression, one number or one for each lane."""
    op, *rest = node
    if op == "c":
        return rest[0]
    if op in arrays:
        return arrays[op][rest[0]]
    parts = [value(part, arrays) for part in rest]
    if op == "select":
        return np.where(*parts)
    if op == "max0":
        return np.maximum(parts[0], 0.0)
    if op in _UNARY:
        return _UNARY[op](*parts)
    result = parts[0]
    for part in parts[1:]:
        result = _BINARY[op](result, part)
    return result


def run(program, **arrays):
    """Run a program on one cell; rows are numbers."""
    for array, row, how, node in program:
        start = arrays[array][row] if how == "+=" else 0.0
        arrays[array][row] = start + value(node, arrays)


def cell_of(net, t=0.7):
    """Return the programs of a network with the arrays of one cell at its start."""
    system, made = symbolic.build(net), lane_programs(net)
    start = {s.id: s.initial for s in net.species} | {"cell": 1.0}
    start |= {p.id: p.value for p in net.parameters}
    arrays = {
        "t": [t],
        "y": [start[name] for name in system.state_names],
        "p": [start[name] for name in system.param_names],
        "a": np.zeros(made.n_a),
    }
    return made, arrays, system.state_names


def rows(*shape, seed=0, low=0.1, high=10.0):
    """Return positive numbers, spread evenly over their logarithms."""
    spread = np.random.default_rng(seed).uniform(np.log(low), np.log(high), shape)
    return np.exp(spread)


def rates(kernels, t, y, p):
    """Return the rates and the slopes of eight cells."""
    v = np.zeros((kernels.n_rate, LANES))
    out = np.zeros((kernels.n_state, LANES))
    kernels.rates(t, y, p, v, np.zeros((kernels.n_a, LANES)), out)
    return v, out


def solved(kernels, t, y, p, right, *, hg=HG):
    """Return W⁻¹·right of eight cells."""
    w, out = np.zeros((kernels.n_w, LANES)), right.copy()
    a, hg = np.zeros((kernels.n_a, LANES)), np.full((kernels.n_state, LANES), hg)
    kernels.matrix(t, y, p, a, w, hg)
    kernels.solve(w, out)
    return out


CHAIN_OF_RULES = support.network(
    {"A": 10.0, "B": 2.0},
    {"k": 0.3, "K": 4.0, "n": 2.5, "X": 1.0},
    [
        reaction("use", "A -> B", "k*free*exp(-time/K)"),
        reaction("back", "B -> A", "k*gate*B*X"),
    ],
    rules={"free": "A/(1 + load)", "load": "B/K", "gate": "free**n/(1 + free**n)"},
    rate_rules={"X": "k*(load - X)*time"},
)
TINY = {
    "chain": CHAIN_OF_RULES,
    "hill": support.HILL,
    "robertson": support.ROBERTSON,
}
SHIPPED = ("earm_1_3", "earm2_m1a", "mir21_core", "mir21_apoptosis")


@remembered
def model_of(name):
    """Return a model whose scalar kernels are plain Python."""
    if name in TINY:
        return support.compiled(TINY[name])
    return library.load(name, backend="numpy")


@remembered
def point_of(name, seed=0):
    """Return a model with random times, states and parameters for eight cells."""
    model = model_of(name)
    scale_y = np.where(model.y0 > 0, model.y0, 1.0)[:, np.newaxis]
    scale_p = model.p0[:, np.newaxis]
    return (
        model,
        cache.lane_kernels(model.network),
        rows(1, LANES, seed=seed),
        scale_y * rows(len(model.y0), LANES, seed=seed + 1),
        scale_p * rows(len(model.p0), LANES, seed=seed + 2, low=0.5, high=2.0),
    )
