"""Tiny networks, the models made of them, and calls below the labels."""

import ast
import itertools
import math
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from evaluator import complex_step as complex_step
from evaluator import environment as environment
from evaluator import slopes as slopes
from evaluator import value as value
from sbml_of_networks import MATH as MATH
from sbml_of_networks import SBML as SBML
from sbml_of_networks import to_sbml as to_sbml

from mir21sim import cli
from mir21sim.compiler import load as library
from mir21sim.model import expressions as ex
from mir21sim.model import files as model_files
from mir21sim.model.network import (
    Assignment,
    Compartment,
    Event,
    InitialAssignment,
    ModelUnits,
    Network,
    Parameter,
    Reaction,
    Rule,
    Species,
)
from mir21sim.simulation.options import absolute_tolerances
from mir21sim.simulation.plan import Plan, checked_times
from mir21sim.simulation.translate import translate
from mir21sim.simulation.treatment import Treatment
from mir21sim.solvers.settings import Settings, Workers
from mir21sim.solvers.solve import solve

HOUR = (("second", 1.0, 0, 3600.0),)
ITEM = (("item", 1.0, 0, 1.0),)
PICOLITRE = (("litre", 1.0, -12, 1.0),)
UNITS = ModelUnits(HOUR, ITEM, PICOLITRE, ITEM)
"""Hours inside as well, so that rate constants read as they act on the output times."""

_OPERATORS = {
    ast.Add: "plus", ast.Sub: "minus", ast.Mult: "times", ast.Div: "divide",
    ast.Pow: "power", ast.Gt: "gt", ast.Lt: "lt", ast.GtE: "geq", ast.LtE: "leq",
    ast.Eq: "eq", ast.NotEq: "neq",
}  # fmt: skip


def scaled_error(y, ref, *, rtol, atol):
    """Return the largest error in units of the tolerance ``atol + rtol*|ref|``."""
    y, ref = np.asarray(y, float), np.asarray(ref, float)
    return float(np.max(np.abs(y - ref) / (atol + rtol * np.abs(ref))))


# ------------------------------------------------------------------- writing networks
def expr(text):
    """Return an expression of ours from Python-like text; `time` is the time."""
    return _from_ast(ast.parse(text, mode="eval").body)


def _from_ast(node):
    if isinstance(node, ast.Constant):
        return ex.Number(float(node.value))
    if isinstance(node, ast.Name):
        return ex.Call("time", ()) if node.id == "time" else ex.Symbol(node.id)
    if isinstance(node, ast.UnaryOp):
        op = "not" if isinstance(node.op, ast.Not) else "minus"
        return ex.Call(op, (_from_ast(node.operand),))
    if isinstance(node, ast.BoolOp):
        op = "and" if isinstance(node.op, ast.And) else "or"
        return ex.Call(op, tuple(map(_from_ast, node.values)))
    if isinstance(node, ast.BinOp):
        operands = (node.left, node.right)
        return ex.Call(_OPERATORS[type(node.op)], tuple(map(_from_ast, operands)))
    if isinstance(node, ast.Compare):
        operands = (node.left, *node.comparators)
        return ex.Call(_OPERATORS[type(node.ops[0])], tuple(map(_from_ast, operands)))
    return ex.Call(node.func.id, tuple(map(_from_ast, node.args)))


def reaction(name, arrow, rate):
    """Return a reaction from ``"2 A + B -> C"`` and its rate."""
    sides = [_side(side) for side in arrow.split("->")]
    math_ = expr(rate) if isinstance(rate, str) else rate
    return Reaction(name, sides[0], sides[1], (), math_)


def event(name, trigger, sets, *, delay=None, priority=None, **flags):
    """Return an event; `sets` is ``"x = 1; y = 2*x"``, the flags those of Event."""
    pairs = [part.split("=", 1) for part in filter(str.strip, sets.split(";"))]
    return Event(
        name,
        expr(trigger),
        None if delay is None else expr(str(delay)),
        None if priority is None else expr(str(priority)),
        tuple(Assignment(v.strip(), expr(math.strip())) for v, math in pairs),
        **flags,
    )


def _side(text):
    pairs = []
    for part in filter(None, (p.strip() for p in text.split("+"))):
        count, _, name = part.rpartition(" ")
        pairs.append((name, float(count or 1)))
    return tuple(pairs)


def network(
    species: Mapping[str, float],
    parameters: Mapping[str, float],
    reactions: Iterable[Reaction],
    *,
    rules: Mapping[str, str] | None = None,
    rate_rules: Mapping[str, str] | None = None,
    starts: Mapping[str, str] | None = None,
    events: Iterable[Event] = (),
    size: float = 1.0,
    units: ModelUnits = UNITS,
    name: str = "tiny",
) -> Network:
    """Return a network in one compartment `cell`; rules and starts are texts."""
    rules, rate_rules, starts = rules or {}, rate_rules or {}, starts or {}
    events = tuple(events)
    variable = {*rules, *rate_rules} - {*species}
    variable |= {a.variable for e in events for a in e.assignments}
    values = dict(parameters) | {v: None for v in rules if v not in species}
    return Network(
        id=name,
        name="",
        compartments=(
            Compartment("cell", size, units.volume, constant="cell" not in variable),
        ),
        species=tuple(
            Species(s, "cell", value, unit=units.substance)
            for s, value in species.items()
        ),
        parameters=tuple(
            Parameter(p, value, constant=p not in variable)
            for p, value in values.items()
        ),
        reactions=tuple(reactions),
        rules=tuple(Rule("assignment", v, expr(f)) for v, f in rules.items())
        + tuple(Rule("rate", v, expr(f)) for v, f in rate_rules.items()),
        initial_assignments=tuple(
            InitialAssignment(v, expr(f)) for v, f in starts.items()
        ),
        units=units,
        events=events,
    )


def compiled(net: Network, backend="numpy", unit_policy="check", **texts):
    """Return a network as the library loads it; `texts` adds a toml and the like."""
    files = model_files.ModelFiles(net.id, {"sbml": to_sbml(net)} | texts)
    return library.assemble(files, backend=backend, unit_policy=unit_policy)


def compiled_text(text: str, name="guest", backend="numpy", unit_policy="ignore"):
    """Return an SBML text as the library loads it."""
    files = model_files.ModelFiles(name, {"sbml": text})
    return library.assemble(files, backend=backend, unit_policy=unit_policy)


# ------------------------------------------------------------------------ tiny models
DECAY = network({"A": 100.0}, {"k": 0.5}, [reaction("decay", "A ->", "k*A")])
BINDING = network(
    {"A": 100.0, "B": 60.0, "C": 0.0},
    {"kf": 0.01, "kr": 0.3},
    [reaction("bind", "A + B -> C", "kf*A*B - kr*C")],
)
BIRTH_DEATH = network(
    {"A": 5.0},
    {"s": 20.0, "d": 0.4},
    [reaction("birth", "-> A", "s"), reaction("death", "A ->", "d*A")],
)
CASCADE = network(
    {"A": 1.0, "B": 1.0},
    {"k_A": 2.0, "r_A": 1.0, "k_B": 3.0, "d_B": 0.5},
    [
        reaction("A_synthesis", "-> A", "k_A"),
        reaction("A_decay", "A ->", "r_A*A"),
        reaction("B_synthesis", "-> B", "k_B*A"),
        reaction("B_decay", "B ->", "d_B*B"),
    ],
    name="cascade",
)
"""A rests at k_A/r_A = 2 per cell, B at k_B*A/d_B = 12."""
DRIVEN = network(
    {"A": 1.0}, {"k": 2.0, "w": 1.0}, [reaction("drive", "-> A", "k*time*exp(-w*time)")]
)
CHAIN = network(
    {"A": 10.0, "B": 2.0},
    {"k": 0.3, "K": 4.0},
    [reaction("use", "A -> B", "k*free")],
    rules={"free": "A/(1 + load)", "load": "B/K", "both": "free + load"},
)
HILL = network(
    {"S": 10.0, "P": 0.0},
    {"Vmax": 3.0, "K": 2.0, "n": 2.5},
    [reaction("turnover", "S -> P", "Vmax*S**n/(K**n + S**n)")],
)
ROBERTSON = network(
    {"A": 1.0, "B": 0.0, "C": 0.0},
    {"k1": 0.04, "k2": 3e7, "k3": 1e4},
    [
        reaction("slow", "A -> B", "k1*A"),
        reaction("fast", "2 B -> B + C", "k2*B*B"),
        reaction("back", "B + C -> A + C", "k3*B*C"),
    ],
)


def binding_closed_form(t, a0, b0, kf, kr):
    """Return C(t) of A + B <-> C from C = 0: a Riccati equation with two fixed points.

    C' = kf·(C − r1)·(C − r2), so (C − r1)/(C − r2) decays at kf·(r2 − r1).
    """
    total = a0 + b0 + kr / kf
    root = math.sqrt(total**2 - 4 * a0 * b0)
    low, high = (total - root) / 2, (total + root) / 2
    ratio = low / high * np.exp(-kf * (high - low) * np.asarray(t))
    return (low - high * ratio) / (1 - ratio)


# ------------------------------------------------------------------------ integration
@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """Values (run, time, species) with the solver's counts of its work."""

    values: np.ndarray
    results: object
    interrupted: bool


# ------------------------------------------------------------ every function there is
FUNCTIONS = {
    "exp": ("exp(-x)", lambda x, q: np.exp(-x)),
    "ln": ("ln(x)", lambda x, q: np.log(x)),
    "log10": ("log(10, x)", lambda x, q: np.log10(x)),
    "sqrt": ("root(2, x)", lambda x, q: np.sqrt(x)),
    "cube_root": ("root(3, x)", lambda x, q: np.cbrt(x)),
    "sin": ("sin(x)", lambda x, q: np.sin(x)),
    "cos": ("cos(x)", lambda x, q: np.cos(x)),
    "tan": ("tan(x)", lambda x, q: np.tan(x)),
    "arcsin": ("arcsin(x/20)", lambda x, q: np.arcsin(x / 20)),
    "arccos": ("arccos(x/20)", lambda x, q: np.arccos(x / 20)),
    "arctan": ("arctan(x)", lambda x, q: np.arctan(x)),
    "sinh": ("sinh(x)", lambda x, q: np.sinh(x)),
    "cosh": ("cosh(x)", lambda x, q: np.cosh(x)),
    "tanh": ("tanh(x)", lambda x, q: np.tanh(x)),
    "arcsinh": ("arcsinh(x)", lambda x, q: np.arcsinh(x)),
    "arccosh": ("arccosh(1 + x)", lambda x, q: np.arccosh(1 + x)),
    "arctanh": ("arctanh(x/20)", lambda x, q: np.arctanh(x / 20)),
    "floor": ("floor(x)", lambda x, q: np.floor(x)),
    "ceiling": ("ceiling(x)", lambda x, q: np.ceil(x)),
    "quotient": ("quotient(-x, q)", lambda x, q: np.trunc(-x / q)),
    "abs": ("abs(q - x)", lambda x, q: np.abs(q - x)),
    "min": ("min(x, q)", np.minimum),
    "max": ("max(x, q)", np.maximum),
    "square": ("x**2", lambda x, q: x**2),
    "inverse": ("x**(-3)", lambda x, q: x**-3.0),
    "ninth": ("x**9", lambda x, q: x**9),
    "half": ("x**(-0.5)", lambda x, q: 1 / np.sqrt(x)),
    "hill": ("x**q/(1 + x**q)", lambda x, q: x**q / (1 + x**q)),
    "branches": (
        "piecewise(x, x < 1, 2*x, x < q, 0 - x)",
        lambda x, q: np.where(x < 1, x, np.where(x < q, 2 * x, -x)),
    ),
    "both": (
        "piecewise(1, _and(x > 1, x <= q), 2)",
        lambda x, q: np.where((x > 1) & (x <= q), 1.0, 2.0),
    ),
    "either": (
        "piecewise(1, _or(x < 1, x >= q), 2)",
        lambda x, q: np.where((x < 1) | (x >= q), 1.0, 2.0),
    ),
    "one_of": (
        "piecewise(1, xor(x < 3, x < q), 2)",
        lambda x, q: np.where((x < 3) ^ (x < q), 1.0, 2.0),
    ),
    "unless": (
        "piecewise(1, _not(x == q), 2)",
        lambda x, q: np.where(x != q, 1.0, 2.0),
    ),
}


def functions():
    """Return a network with a rate for every function of a parameter-like state x."""
    net = network(
        {},
        {"x": 1.0, "q": 2.5} | dict.fromkeys((f"z{i}" for i in range(40)), 0.0),
        [],
        rate_rules={"x": "0*x"},
    )
    rules = tuple(
        Rule("rate", f"z{i}", _formula(text))
        for i, (text, _) in enumerate(FUNCTIONS.values())
    )
    parameters = tuple(replace(p, constant=p.id == "q") for p in net.parameters)
    return replace(net, parameters=parameters, rules=(*net.rules, *rules))


def _formula(text):
    """Return an expression; Python's own words carry an underscore."""
    return _renamed(expr(text))


def _renamed(e):
    if not isinstance(e, ex.Call):
        return e
    return ex.Call(e.op.lstrip("_"), tuple(_renamed(arg) for arg in e.args))


def integrate(
    model,
    times,
    *,
    method="LSODA",
    rtol=1e-6,
    atol=1e-6,
    doses=(),
    over=None,
    observe=None,
    n_jobs=1,
    progress=None,
    **limits,
):
    """Run a model below the labels, so that the work counts are at hand."""
    plan = Plan.of(
        model,
        Treatment.of(list(doses)),
        checked_times(times),
        observe=observe or list(model.state_names),
        over={k: (np.asarray(v, float), "") for k, v in (over or {}).items()},
    )
    atols = absolute_tolerances(model, rtol, atol)
    problem = translate(model, plan).problem
    results, interrupted = solve(
        model,
        problem,
        Settings(method, rtol, atols, **limits),
        Workers(n_jobs, progress=progress),
    )
    return Solved(results.values, results, interrupted)


def run_cli(*arguments):
    """Return the exit code of a command."""
    try:
        cli.main(list(arguments))
    except SystemExit as stopped:
        return stopped.code or 0
    raise AssertionError("the command line must end in an exit code")


def pairs(items):
    """Return every pair of different items, for parametrised comparisons."""
    return list(itertools.combinations(items, 2))


def unpack(pack: Path, folder: Path) -> None:
    """Unpack an archive; since Python 3.11.4 paths out of it are refused."""
    with tarfile.open(pack) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(folder)
