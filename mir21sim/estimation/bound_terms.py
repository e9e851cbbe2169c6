"""Likelihood terms with the runs that they need, in one problem."""

from dataclasses import replace

import numpy as np

from mir21sim._typing import FloatArray
from mir21sim.estimation.conditions import periods
from mir21sim.estimation.engine import Engine
from mir21sim.estimation.formulas import parsed
from mir21sim.estimation.likelihood import Likelihood
from mir21sim.estimation.problem import (
    Experiment,
    FitProblem,
    Measurements,
    Observable,
    Period,
)
from mir21sim.estimation.runs import Runs
from mir21sim.estimation.terms import (
    CellDeathTimes,
    Condition,
    Contribution,
    ShareDead,
    Term,
    average_cell,
)
from mir21sim.estimation.traces import Traces
from mir21sim.model import expressions as ex
from mir21sim.simulation.population import RTOL as CELL_RTOL
from mir21sim.simulation.treatment import Treatment

POINTS = 241
"""Times of a trace."""


class BoundTerm:
    """A term with the runs it needs, in one problem."""

    def __init__(self, term: Term, problem: FitProblem, engine: Engine) -> None:
        self.term = term
        if isinstance(term, (ShareDead, CellDeathTimes)):
            # As in populations: many runs, whose mean is wanted to a per cent.
            loose = max(engine.settings.rtol, CELL_RTOL)
            engine = engine.with_rtol(loose)
        self.time = np.linspace(0.0, term.end, POINTS)
        self.problem = _traced(term, problem, self.time)
        self.runs = Runs(self.problem, engine)
        self.likelihood = Likelihood(self.problem, self.runs)

    def contribution(self, theta: FloatArray) -> Contribution:
        """Return the part of the objective at linear parameter values."""
        at = self.runs.at_data(theta, slopes=True)
        fit = self.likelihood.evaluate(at, theta, slopes=True)
        assert fit.simulated_slope is not None
        shape = (-1, len(self.time))
        traces = Traces(
            self.time,
            fit.simulated.reshape(shape),
            fit.simulated_slope.reshape(*shape, len(theta)),
        )
        return self.term.contribution(traces)


def _traced(term: Term, problem: FitProblem, time: FloatArray) -> FitProblem:
    """Return the problem whose data rows are the traces of a term."""
    model = problem.model
    experiments = tuple(
        Experiment(str(k), _periods(problem, condition))
        for k, condition in enumerate(term.conditions(model))
    )
    n = len(experiments) * len(time)
    formula = parsed(term.quantity, "the quantity of a term")
    return replace(
        problem,
        observables=(Observable("trace", formula, ex.Number(1.0)),),
        experiments=experiments,
        data=Measurements(
            np.zeros(n, np.int64),
            np.repeat(np.arange(len(experiments)), len(time)),
            np.tile(time * problem.time_scale, len(experiments)),
            np.zeros(n),
            ((),) * n,
            ((),) * n,
        ),
        terms=(),
    )


def _periods(problem: FitProblem, condition: Condition) -> tuple[Period, ...]:
    """Return the periods of a condition; factors multiply estimated values too."""
    model = problem.model
    names = tuple(p.id for p in problem.parameters)
    made = periods(
        model,
        Treatment.parse(condition.treatment),
        rests=model.info.equilibrate,
        estimated=names,
    )
    if not condition.factors:
        return made
    own = average_cell(model)
    set_before = dict(made[0].changes)
    # Unlike cells look for their rest from that of the average one.
    factors: dict[str, ex.Expr] = {
        name: ex.Number(own[name])
        for name in model.state_names
        if name not in names and name not in set_before and model.info.equilibrate
    }
    for name, factor in condition.factors:
        before = set_before.get(name)
        if before is None and name in names:
            before = ex.Symbol(name)
        if before is None:
            before = ex.Number(own[name])
        factors[name] = ex.Call("times", (before, ex.Number(factor)))
    changes = tuple({**set_before, **factors}.items())
    return (replace(made[0], changes=changes), *made[1:])
