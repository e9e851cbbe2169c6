"""Tiny networks, SBML texts and an evaluator that shares no code with the package."""

import ast
import cmath
import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from mir21sim import cli
from mir21sim.compiler import load as library
from mir21sim.model import expressions as ex
from mir21sim.model import files as model_files
from mir21sim.model import network as ir
from mir21sim.simulation.options import absolute_tolerances
from mir21sim.simulation.plan import Plan, checked_times
from mir21sim.simulation.translate import translate
from mir21sim.simulation.treatment import Treatment
from mir21sim.solvers.settings import Settings, Workers
from mir21sim.solvers.solve import solve

HOUR = (("second", 1.0, 0, 3600.0),)
ITEM = (("item", 1.0, 0, 1.0),)
PICOLITRE = (("litre", 1.0, -12, 1.0),)
UNITS = ir.ModelUnits(HOUR, ITEM, PICOLITRE, ITEM)
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
    return ir.Reaction(name, sides[0], sides[1], (), math_)


def event(name, trigger, sets, *, delay=None, priority=None, **flags):
    """Return an event; `sets` is ``"x = 1; y = 2*x"``, the flags those of ir.Event."""
    pairs = [part.split("=", 1) for part in filter(str.strip, sets.split(";"))]
    return ir.Event(
        name,
        expr(trigger),
        None if delay is None else expr(str(delay)),
        None if priority is None else expr(str(priority)),
        tuple(ir.Assignment(v.strip(), expr(math.strip())) for v, math in pairs),
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
    reactions: Iterable[ir.Reaction],
    *,
    rules: Mapping[str, str] | None = None,
    rate_rules: Mapping[str, str] | None = None,
    starts: Mapping[str, str] | None = None,
    events: Iterable[ir.Event] = (),
    size: float = 1.0,
    units: ir.ModelUnits = UNITS,
    name: str = "tiny",
) -> ir.Network:
    """Return a network in one compartment `cell`; rules and starts are texts."""
    rules, rate_rules, starts = rules or {}, rate_rules or {}, starts or {}
    events = tuple(events)
    variable = {*rules, *rate_rules} - {*species}
    variable |= {a.variable for e in events for a in e.assignments}
    values = dict(parameters) | {v: None for v in rules if v not in species}
    return ir.Network(
        id=name,
        name="",
        compartments=(
            ir.Compartment("cell", size, units.volume, constant="cell" not in variable),
        ),
        species=tuple(
            ir.Species(s, "cell", value, unit=units.substance)
            for s, value in species.items()
        ),
        parameters=tuple(
            ir.Parameter(p, value, constant=p not in variable)
            for p, value in values.items()
        ),
        reactions=tuple(reactions),
        rules=tuple(ir.Rule("assignment", v, expr(f)) for v, f in rules.items())
        + tuple(ir.Rule("rate", v, expr(f)) for v, f in rate_rules.items()),
        initial_assignments=tuple(
            ir.InitialAssignment(v, expr(f)) for v, f in starts.items()
        ),
        units=units,
        events=events,
    )


# ------------------------------------------------------------------ networks to SBML
SBML = (
    '<sbml xmlns="http://www.sbml.org/sbml/level3/version2/core" level="3" version="2">'
)
MATH = '<math xmlns="http://www.w3.org/1998/Math/MathML">'
_TIME = (
    '<csymbol encoding="text" definitionURL="http://www.sbml.org/sbml/symbols/time">'
    "t</csymbol>"
)


def mathml(e):
    """Return the MathML of an expression, without the outer element."""
    if isinstance(e, ex.Number):
        return f"<cn>{e.value!r}</cn>"
    if isinstance(e, ex.Symbol):
        return f"<ci>{e.name}</ci>"
    if e.op == "time":
        return _TIME
    inner = [mathml(arg) for arg in e.args]
    if e.op == "piecewise":
        pieces = "".join(
            f"<piece>{value}{test}</piece>"
            for value, test in zip(inner[0::2], inner[1::2], strict=False)
        )
        return f"<piecewise>{pieces}<otherwise>{inner[-1]}</otherwise></piecewise>"
    return f"<apply><{e.op}/>{''.join(inner)}</apply>"


def _attributes(**values):
    shown = {True: "true", False: "false"}
    return " ".join(
        f'{key}="{shown.get(v, v) if isinstance(v, bool) else v}"'
        for key, v in values.items()
        if v is not None
    )


def _unit_definitions(units):
    texts = []
    for key in ("time", "substance", "volume", "extent"):
        parts = "".join(
            f"<unit {_attributes(kind=k, exponent=x, scale=s, multiplier=m)}/>"
            for k, x, s, m in getattr(units, key)
        )
        texts.append(
            f'<unitDefinition id="u_{key}"><listOfUnits>{parts}</listOfUnits>'
            "</unitDefinition>"
        )
    return _list("UnitDefinitions", texts)


def _list(name, texts):
    texts = list(texts)
    return f"<listOf{name}>{''.join(texts)}</listOf{name}>" if texts else ""


def _references(kind, pairs):
    texts = [
        f'<speciesReference species="{s}" stoichiometry="{n!r}" constant="true"/>'
        for s, n in pairs
    ]
    return _list(kind, texts)


def _reaction_xml(item, species):
    """Write a reaction; SBML wants species that only its rate uses as modifiers."""
    named = {name for name, _ in (*item.reactants, *item.products)}
    used = [s for s in dict.fromkeys(ex.symbols(item.rate)) if s in species - named]
    modifiers = [f'<modifierSpeciesReference species="{s}"/>' for s in used]
    return (
        f'<reaction id="{item.id}" reversible="false">'
        f"{_references('Reactants', item.reactants)}"
        f"{_references('Products', item.products)}"
        f"{_list('Modifiers', modifiers)}"
        f"<kineticLaw>{MATH}{mathml(item.rate)}</math></kineticLaw></reaction>"
    )


def sbml_model(net: ir.Network) -> dict[str, str]:
    """Return the lists of a network as SBML elements, in the order of a model."""
    compartments = [
        f"<compartment {_attributes(id=c.id, size=c.size, constant=c.constant)}/>"
        for c in net.compartments
    ]
    species = []
    for s in net.species:
        kind = "initialConcentration" if s.initial_is_concentration else "initialAmount"
        given = _attributes(
            id=s.id,
            compartment=s.compartment,
            hasOnlySubstanceUnits=s.only_amount,
            boundaryCondition=s.boundary,
            constant=s.constant,
            **{kind: s.initial},
        )
        species.append(f"<species {given}/>")
    parameters = [
        f"<parameter {_attributes(id=p.id, value=p.value, constant=p.constant)}/>"
        for p in net.parameters
    ]
    ids = {s.id for s in net.species}
    reactions = [_reaction_xml(item, ids) for item in net.reactions]
    starts = [
        f'<initialAssignment symbol="{a.variable}">{MATH}{mathml(a.math)}</math>'
        "</initialAssignment>"
        for a in net.initial_assignments
    ]
    rules = [
        f'<{r.kind}Rule variable="{r.variable}">{MATH}{mathml(r.math)}</math>'
        f"</{r.kind}Rule>"
        for r in net.rules
    ]
    return {
        "functions": "",
        "units": _unit_definitions(net.units),
        "compartments": _list("Compartments", compartments),
        "species": _list("Species", species),
        "parameters": _list("Parameters", parameters),
        "starts": _list("InitialAssignments", starts),
        "rules": _list("Rules", rules),
        "constraints": "",
        "reactions": _list("Reactions", reactions),
        "events": _list("Events", map(_event_xml, net.events)),
    }


def _event_xml(item):
    """Write an event with all its attributes."""

    def part(tag, math_, **attributes):
        inner = f"{MATH}{mathml(math_)}</math>"
        return f"<{tag} {_attributes(**attributes)}>{inner}</{tag}>"

    texts = [
        part("eventAssignment", a.math, variable=a.variable) for a in item.assignments
    ]
    given = _attributes(
        id=item.id, useValuesFromTriggerTime=item.values_from_trigger_time
    )
    trigger = part(
        "trigger",
        item.trigger,
        initialValue=item.initial_value,
        persistent=item.persistent,
    )
    return (
        f"<event {given}>{trigger}"
        f"{part('priority', item.priority) if item.priority else ''}"
        f"{part('delay', item.delay) if item.delay else ''}"
        f"{_list('EventAssignments', texts)}</event>"
    )


def to_sbml(net: ir.Network, **replaced: str) -> str:
    """Return SBML L3V2 of a network, with some of its lists replaced."""
    lists = sbml_model(net) | replaced
    model = (
        f'<model id="{net.id}" timeUnits="u_time" substanceUnits="u_substance" '
        'volumeUnits="u_volume" extentUnits="u_extent">'
    )
    return f"{SBML}{model}{''.join(lists.values())}</model></sbml>"


def compiled(net: ir.Network, backend="numpy", unit_policy="check", **texts):
    """Return a network as the library loads it; `texts` adds a toml and the like."""
    files = model_files.ModelFiles(net.id, {"sbml": to_sbml(net)} | texts)
    return library.assemble(files, backend=backend, unit_policy=unit_policy)


def compiled_text(text: str, name="guest", backend="numpy", unit_policy="ignore"):
    """Return an SBML text as the library loads it."""
    files = model_files.ModelFiles(name, {"sbml": text})
    return library.assemble(files, backend=backend, unit_policy=unit_policy)


# ------------------------------------------------------------- independent evaluation
_FUNCTIONS = {"exp": cmath.exp, "ln": cmath.log, "sin": cmath.sin, "cos": cmath.cos}
_FOLDS = {
    "divide": lambda a, b: a / b,
    "power": lambda a, b: a**b,
    "gt": lambda a, b: a.real > b.real,
    "lt": lambda a, b: a.real < b.real,
}


def value(e, env, t=0.0):
    """Return the value of an expression for complex numbers by id."""
    if isinstance(e, ex.Number):
        return complex(e.value)
    if isinstance(e, ex.Symbol):
        return env[e.name]
    if e.op == "time":
        return complex(t)
    args = [value(arg, env, t) for arg in e.args]
    if e.op == "plus":
        return sum(args)
    if e.op == "times":
        return math.prod(args)
    if e.op == "minus":
        return -args[0] if len(args) == 1 else args[0] - args[1]
    if e.op == "piecewise":
        return args[0] if args[1] else args[2]
    if e.op in _FUNCTIONS:
        return _FUNCTIONS[e.op](*args)
    return _FOLDS[e.op](*args)


def environment(net, amounts, t=0.0):
    """Return the value of every id, rules included; `amounts` wins over the start."""
    env = {c.id: complex(c.size) for c in net.compartments}
    env |= {p.id: complex(p.value) for p in net.parameters if p.value is not None}
    for s in net.species:
        amount = complex(amounts.get(s.id, s.initial))
        env[s.id] = amount if s.only_amount else amount / env[s.compartment]
    pools = {s.id for s in net.species}
    env |= {k: complex(v) for k, v in amounts.items() if k not in pools}
    waiting = [r for r in net.rules if r.kind == "assignment"]
    while waiting:
        rule = next(r for r in waiting if {*ex.symbols(r.math)} <= env.keys())
        env[rule.variable] = value(rule.math, env, t)
        waiting.remove(rule)
    return env


def slopes(net, names, y, t=0.0):
    """Return dy/dt of the named states as N·v, straight from the network."""
    env = environment(net, dict(zip(names, y, strict=True)), t)
    out = dict.fromkeys(names, 0j)
    for item in net.reactions:
        v = value(item.rate, env, t)
        for sign, side in ((-1, item.reactants), (1, item.products)):
            for name, count in side:
                out[name] += sign * count * v
    for rule in net.rules:
        if rule.kind == "rate":
            out[rule.variable] += value(rule.math, env, t)
    return np.array([out[name] for name in names])


def complex_step(net, names, y, t=0.0, step=1e-30):
    """Return the Jacobian d(dy/dt)/dy, exact to rounding, shape (n_state, n_state)."""
    columns = []
    for j in range(len(y)):
        bent = np.array(y, dtype=complex)
        bent[j] += 1j * step
        columns.append(slopes(net, names, bent, t).imag / step)
    return np.array(columns).T


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
    """Values (run, time, species) with what the solver says about its work."""

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
        ir.Rule("rate", f"z{i}", _formula(text))
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
