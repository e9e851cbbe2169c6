"""Values in the meaning of a file → amounts, which the states hold."""

from collections.abc import Mapping

import numpy as np

from mir21sim._typing import FloatArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.model import expressions as ex
from mir21sim.model.network import Network


def sizes_of_home(
    model: CompiledModel, name: str, y: FloatArray, p: FloatArray
) -> FloatArray:
    """Return the factor from the value of a state's name to its amount, shape (n_run,).

    It is the size of the compartment for a species of a guest's file that means its
    concentration, and 1 for all else.

    Parameters
    ----------
    y, p : float arrays, shapes (n_run, n_state) and (n_run, n_param)
    """
    pool = next((s for s in model.network.species if s.id == name), None)
    if pool is None or not model.border.means_concentration(pool):
        return np.ones(len(p))
    home = pool.compartment
    if home in model.param_names:
        return p[:, model.param_names.index(home)]
    if home in model.state_names:
        return y[:, model.state_names.index(home)]
    if home not in model.assigned_names:
        return np.ones(len(p))  # a point
    column = model.assigned_names.index(home)
    values = np.empty((len(p), len(model.assigned_names)))
    for row, (states, numbers) in enumerate(zip(y, p, strict=True)):
        model.kernels.assigned(0.0, states, numbers, values[row])
    return values[:, column]


def start_amounts(
    model: CompiledModel,
    n_run: int,
    parameters: Mapping[str, FloatArray | float],
    initials: Mapping[str, FloatArray | float],
) -> tuple[FloatArray, FloatArray]:
    """Return start values and parameters of runs whose initials are in users' meaning.

    Sizes of compartments may follow from parameters, so they are evaluated first.
    """
    pools = model.network.species if initials and model.border.is_guest else ()
    divided = [
        s.id for s in pools if s.id in initials and model.border.means_concentration(s)
    ]
    if divided:
        others = {n: v for n, v in initials.items() if n not in divided}
        y, p = model.start_values(n_run, parameters, others)
        found = {n: initials[n] * sizes_of_home(model, n, y, p) for n in divided}
        initials = {**initials, **found}
    return model.start_values(n_run, parameters, initials)


def unknown_name(
    model: CompiledModel, kind: str, name: str, known: tuple[str, ...]
) -> InputError:
    """Return the error for a name that cannot be set, with the reason if it has one."""
    network = model.network
    rule = next((r for r in network.rules if r.variable == name), None)
    if rule is None:
        return UnknownNameError(kind, name, known)
    if rule.kind == "rate":
        return InputError(
            f"`{name}` changes by a rate rule ({ex.text(rule.math)}): give its start "
            f"as an initial value (--init {name}=VALUE)."
        )
    return InputError(
        f"`{name}` is set by a rule ({ex.text(rule.math)}); change the values in it: "
        f"{', '.join(_settable(network, name))}."
    )


def _settable(network: Network, name: str) -> list[str]:
    """Return the ids without a rule that a rule's value comes from, in order."""
    rules = {r.variable: r for r in network.rules if r.kind == "assignment"}
    found: dict[str, None] = {}
    waiting, seen = [name], set()
    while waiting:
        current = waiting.pop(0)
        if current in seen:
            continue
        seen.add(current)
        if current in rules:
            waiting += ex.symbols(rules[current].math)
        else:
            found[current] = None
    return list(found) or ["none, it is a number"]
