"""mir21sim behind the judge of the SBML packs: ``simulate(path, settings) -> table``.

Everything goes through the public API. The kernels are plain Python: compiling them
would take longer than the run of a case.
"""

import warnings

import mir21sim as ms
from mir21sim.errors import ModelWarning
from mir21sim.simulation.dataset import variable_name

RTOL, ATOL = 1e-9, 1e-13
MAX_STEPS = 10_000_000
"""Some cases have 100,000 events, and every event is the end of a step."""


def load(path):
    """Return the model of a file; NotImplementedError where it is unsupported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelWarning)
        return ms.load(path, backend="numpy", unit_policy="ignore")


def simulate(path, settings):
    """Return (column names, rows) at the times and of the variables asked for."""
    model = load(path)
    sizes = {*model.param_names, *model.state_names, *model.assigned_names}
    powers = {}  # of the compartment's size, from a name's meaning to the one asked for
    for pool in model.network.species:
        if pool.id in settings.variables and pool.compartment in sizes:
            power = int(model.border.means_concentration(pool))
            power -= settings.kind(pool.id) == "concentration"
            powers[pool.id] = pool.compartment, power
    times = settings.times()
    homes = sorted(home for home, power in powers.values() if power)
    run = ms.simulate(
        model,
        times=[t / model.border.per_time for t in times],
        observe=tuple(dict.fromkeys([*settings.variables, *homes])),
        doses=[],
        options=ms.Options(
            rtol=RTOL, atol=ATOL, max_steps=MAX_STEPS, allow_negative=True
        ),
    )
    columns = [times]
    for name in settings.variables:
        values = run[variable_name(name)].values
        home, power = powers.get(name, ("", 0))
        if power:
            values = values * run[variable_name(home)].values ** power
        columns.append(values)
    return ("time", *settings.variables), list(zip(*columns, strict=True))
