"""One run of one model."""

import warnings
from collections.abc import Mapping, Sequence

import numpy.typing as npt
import xarray as xr

from mir21sim.compiler.load import loaded
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import ModelWarning, SolverError, SolverStatus
from mir21sim.simulation.doses import DosesLike
from mir21sim.simulation.draws import draws_of
from mir21sim.simulation.ensemble import EnsembleLike
from mir21sim.simulation.options import Options
from mir21sim.simulation.outputs import amount_unit
from mir21sim.simulation.perturbations import Perturbations
from mir21sim.simulation.plan import Plan, doses_or_default, output_times
from mir21sim.simulation.run import Executed, execute
from mir21sim.simulation.treatment import Treatment


# The keywords that `sweep` shares are written out in both, for completion and help.
def simulate(
    model: CompiledModel | str,
    end: float | str | None = None,
    *,
    start: float | str = 0.0,
    points: int = 601,
    times: npt.ArrayLike | None = None,
    observe: Sequence[str] | str | None = None,
    doses: DosesLike | None = None,
    parameters: Mapping[str, float] | None = None,
    initials: Mapping[str, float] | None = None,
    perturb: Perturbations | None = None,
    options: Options | None = None,
    ensemble: EnsembleLike | None = None,
) -> xr.Dataset:
    """Integrate one run of a model under a dosing protocol.

    The local error of every accepted step is below ``atol + rtol*abs(y)`` in the norm
    of the method; dose times are hit exactly and an output at a dose time shows the
    state just after it.

    Parameters
    ----------
    model : from ``load``, or the name of a shipped model
    start, end : h, or text such as ``"30 min"``; the end is the model's default
    points : number of equally spaced output times; without ``options.features`` a peak
        is the largest of them: the default misses up to a tenth of the sharpest spikes
        of caspase-3 in 48 h
    times : float array, shape (n_time,), h, instead of start, end and points
    observe : names to keep: ``A`` in molecules, ``[A]`` in nM, parameters, rule
        variables, compartments, stoichiometries with an id, reactions (their rates); by
        default the model's observables. A name that every result uses, such as
        ``time``, gets an underscore behind it
    doses : doses or texts like ``"TRAIL=50 ng/ml@24h"``; by default the model's own
        protocol; an empty list for none
    parameters : overrides, in the units of the model
    initials : initial amounts, in the model's units; where the model starts from its
        resting state, they are where the search for it starts
    perturb : clamps, knock-downs, over-expression, missing miR-21 sites
    options : method, tolerances, limits (see ``Options``)
    ensemble : draws of parameters, or their file: one run for each draw; failed draws
        are NaN

    Returns
    -------
    Dataset with the dimension ``time`` (h); with an ensemble ``draw`` and ``time``,
    see ``bands``

    Raises
    ------
    InputError
        For an unknown name, a negative dose, an end before the start, …
    SolverError
        When the integration fails, with the time and the reaction.

    Examples
    --------
    >>> from mir21sim.compiler.load import load
    >>> model = load("earm_1_3", backend="numpy")
    >>> result = simulate(model, "10 min", points=2, observe="L")
    >>> bool(result["L"][-1] < result["L"][0])  # the receptor takes up ligand
    True
    """
    model = loaded(model)
    treatment = Treatment.of(
        doses_or_default(model, doses),
        parameters=parameters,
        initials=initials,
        perturb=perturb,
    )
    times = output_times(model, start, end, points, times)
    plan = Plan.of(model, treatment, times, observe=observe)
    if ensemble is not None:
        return draws_of(model, plan, options or Options(), ensemble)
    done = execute(model, plan, options or Options(), "simulate")
    if done.interrupted:
        raise KeyboardInterrupt
    status = SolverStatus(done.status[0])
    if status != SolverStatus.OK:
        raise SolverError(
            f"{model.id}: {done.messages[0]}", status, t=float(done.t_end[0])
        )
    _warn_of_dead_initials(model, plan.treatment.initials, done)
    return done.dataset


def _warn_of_dead_initials(
    model: CompiledModel, initials: Mapping[str, float], done: Executed
) -> None:
    """Say so where synthesis and decay overrule an initial amount asked for."""
    if done.resting is None:
        return
    for name, value in initials.items():
        rest = float(done.resting[0, model.state_index(name)])
        if abs(rest - value) > 0.01 * max(abs(value), abs(rest)):
            warnings.warn(
                f"`{name}` starts at {rest:.6g} {amount_unit(model)}, not at the "
                f"{value:.6g} asked for: the model's reactions bring it there before "
                "the run. Use equilibrate=False, or change the rates that set it.",
                ModelWarning,
                stacklevel=3,
            )
