"""Rates and slopes straight from a network; shares no code with the package."""

import cmath
import math

import numpy as np

from mir21sim.model import expressions as ex

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
