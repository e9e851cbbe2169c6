"""Periods of all experiments by depth, equal beginnings shared."""

from dataclasses import dataclass, field

import numpy as np

from mir21sim._typing import FloatArray, IntArray
from mir21sim.errors import InputError
from mir21sim.estimation.problem import REST, FitProblem, Period


@dataclass(slots=True, eq=False)
class Node:
    """One period of one experiment or of several that are alike so far.

    Attributes
    ----------
    depth : number of periods before it
    parent : index of the node before it at the depth above, −1 for none
    period : the period
    end : model time at which it ends
    times : model times of data rows within it
    rows : data rows within it
    has_next : whether another period follows
    """

    depth: int
    parent: int
    period: Period
    end: float
    times: set[float] = field(default_factory=set)
    rows: list[int] = field(default_factory=list)
    has_next: bool = False


def tree(problem: FitProblem) -> list[list[Node]]:
    """Return the periods of all experiments by depth, equal beginnings shared.

    Raises
    ------
    InputError
        For a data row outside the time of its experiment.
    """
    data = problem.data
    levels: list[list[Node]] = []
    known: dict[tuple[int, int, Period, float], int] = {}
    for e, experiment in enumerate(problem.experiments):
        rows = np.flatnonzero(data.experiment == e)
        if not len(rows):
            continue
        finite = data.time[rows][np.isfinite(data.time[rows])]
        starts = [p.start for p in experiment.periods]
        _check_rows(problem, rows, starts)
        last = float(finite.max(initial=starts[-1] if starts[-1] != REST else 0.0))
        ends = [
            b if a != REST else REST
            for a, b in zip(starts, [*starts[1:], max(last, starts[-1])], strict=True)
        ]
        parent = -1
        for depth, (period, end) in enumerate(
            zip(experiment.periods, ends, strict=True)
        ):
            if depth == len(levels):
                levels.append([])
            final = depth == len(starts) - 1
            # Runs without a following period may be longer for one than for another.
            key = (depth, parent, period, np.inf if final else end)
            if key not in known:
                known[key] = len(levels[depth])
                levels[depth].append(Node(depth, parent, period, end))
            node = levels[depth][known[key]]
            node.end = max(node.end, end)
            node.has_next |= not final
            _place_rows(node, data.time, rows, final=final, end=end)
            parent = known[key]
    return levels


def _check_rows(problem: FitProblem, rows: IntArray, starts: list[float]) -> None:
    """Raise for data before the start of the experiment."""
    first = next((s for s in starts if s != REST), REST)
    early = rows[problem.data.time[rows] < first] if first != REST else rows[:0]
    if len(early):
        row = int(early[0])
        name = problem.experiments[problem.data.experiment[row]].id
        raise InputError(
            f"Data row {row + 1} is at time {problem.data.time[row]:g}, before the "
            f"start of the experiment `{name}` at {first:g}: move the row or the start."
        )


def _place_rows(
    node: Node, time: FloatArray, rows: IntArray, *, final: bool, end: float
) -> None:
    at = time[rows]
    if node.period.start == REST:
        inside = np.ones(len(rows), bool) if final else np.zeros(len(rows), bool)
    elif final:
        inside = at >= node.period.start
    else:
        inside = (at >= node.period.start) & (at < end)
    node.rows += rows[inside].tolist()
    node.times |= {float(t) for t in at[inside]}
