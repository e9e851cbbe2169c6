"""mir21sim behind the judge of the SBML packs: ``simulate(path, settings) -> table``.

Everything goes through the public API. The kernels are plain Python: compiling them
would take longer than the run of a case.
"""

import warnings

import mir21sim as ms
from mir21sim.errors import ModelWarning
from mir21sim.simulation.dataset import variable_name

SECONDS_PER_HOUR = 3600.0
RTOL, ATOL = 1e-9, 1e-13
MAX_STEPS = 10_000_000
"""Some cases have 100,000 events, and every event is the end of a step."""


def load(path):
    """Return the model of a file; what is not supported raises NotImplementedError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelWarning)
        return ms.load(path, backend="numpy", unit_policy="ignore")


def simulate(path, settings):
    """Return (column names, rows) at the times and of the variables asked for."""
    model = load(path)
    homes = {s.id: s.compartment for s in model.network.species}
    divided = {v for v in settings.variables if settings.kind(v) == "concentration"}
    wanted = [*settings.variables, *(homes[v] for v in sorted(divided))]
    times = settings.times()
    run = ms.simulate(
        model,
        times=[t * model.seconds_per_time / SECONDS_PER_HOUR for t in times],
        observe=tuple(dict.fromkeys(wanted)),
        doses=[],
        options=ms.Options(
            rtol=RTOL, atol=ATOL, max_steps=MAX_STEPS, allow_negative=True
        ),
    )
    columns = [times]
    for name in settings.variables:
        values = run[variable_name(name)].values
        if name in homes:  # reported in molecules where the unit of amount is known
            values = values / (model.molecules_per_amount or 1.0)
        if name in divided:
            values = values / run[variable_name(homes[name])].values
        columns.append(values)
    return ("time", *settings.variables), list(zip(*columns, strict=True))
