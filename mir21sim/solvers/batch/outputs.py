"""States at output times → the selected quantities, eight times at once."""

from dataclasses import dataclass

import numpy as np
from numba import types

from mir21sim._typing import FloatArray, IntArray
from mir21sim.compiler import machine_code
from mir21sim.compiler.build_lane_kernels import RATES, ROWS, LaneKernels
from mir21sim.compiler.llvm_lanes import LANES
from mir21sim.solvers.problem import Selection, Source

ASSIGNED = types.FunctionType(types.void(ROWS, ROWS, ROWS, ROWS))

_F1, _I1 = types.Array(types.float64, 1, "C"), types.Array(types.int64, 1, "C")
_F3 = types.Array(types.float64, 3, "C")


@machine_code.solver(
    types.void(
        ASSIGNED, RATES, types.boolean, types.boolean, _I1, _F1, _F3, _I1, ROWS,
        _I1, _I1, _F1, types.int64, _F3,
    ),
    nogil=True,
    error_model="numpy",
)  # fmt: skip
def _observe(
    assigned, rates, use_assigned, use_rates, first_row, times, states, need, p0,
    row, divisor_row, scale, first_run, out,
):  # fmt: skip
    """Fill out (select, run, time) from `first_run` on; the lanes are times of one run.

    Every quantity is a row of one array (row, lane): states, rule variables, rates,
    parameters, which begin at the rows `first_row`.
    """
    # y, a, v and p are views of the rows of one array (rows, 8): a quantity is one row
    # number. slopes (n, 8) is filled by `rates` and not used.
    n_run, n_time, n_need = states.shape
    n_select = row.size
    rows = np.zeros((first_row[4], LANES))
    y = rows[first_row[0] : first_row[1]]
    a = rows[first_row[1] : first_row[2]]
    v = rows[first_row[2] : first_row[3]]
    p = rows[first_row[3] : first_row[4]]
    slopes = np.zeros((first_row[1], LANES))
    t = np.zeros((1, LANES))
    for run in range(n_run):
        for i in range(p.shape[0]):
            p[i, :] = p0[run, i]
        for start in range(0, n_time, LANES):
            # Lanes behind the last time hold old numbers; they are not read.
            count = min(LANES, n_time - start)
            for lane in range(count):
                t[0, lane] = times[start + lane]
                for m in range(n_need):
                    y[need[m], lane] = states[run, start + lane, m]
            if use_assigned:
                assigned(t, y, p, a)
            if use_rates:
                rates(t, y, p, v, a, slopes)
            for k in range(n_select):
                for lane in range(count):
                    # out = scale · quantity, over the divisor where there is one.
                    value = rows[row[k], lane] * scale[k]
                    if divisor_row[k] >= 0:
                        value /= rows[divisor_row[k], lane]
                    out[k, first_run + run, start + lane] = value
            for lane in range(count):
                # A run that stopped has no states, so parameters are NaN there too.
                if np.isnan(states[run, start + lane, 0]):
                    out[:, first_run + run, start + lane] = np.nan


@dataclass(frozen=True, slots=True, eq=False)
class Observer:
    """Fills selected quantities from the states that they need.

    Attributes
    ----------
    need : int array, shape (n_need,): the states that are given, 1 or more
    row, divisor_row : int arrays, shape (n_select,), rows of the array of all
        quantities of a lane; −1 for no divisor
    first_row : int array, shape (5,), where states, rule variables, rates and
        parameters begin there, and the end
    """

    kernels: LaneKernels
    selection: Selection
    need: IntArray
    row: IntArray
    divisor_row: IntArray
    first_row: IntArray

    @classmethod
    def of(
        cls, kernels: LaneKernels, selection: Selection, need: IntArray
    ) -> "Observer":
        """Return the observer of a selection."""
        sizes = kernels.n_state, kernels.n_a, kernels.n_rate, kernels.n_param
        first_row = np.cumsum([0, *sizes])
        place = np.zeros(len(Source), dtype=np.int64)
        for kind, k in (
            (Source.STATE, 0), (Source.ASSIGNED, 1), (Source.RATE, 2),
            (Source.PARAM, 3),
        ):  # fmt: skip
            place[kind] = first_row[k]
        divides = selection.divisor >= 0
        divisor_row = place[selection.divisor_source] + selection.divisor
        return cls(
            kernels,
            selection,
            need,
            place[selection.source] + selection.index,
            np.where(divides, divisor_row, -1),
            first_row,
        )

    def fill(
        self,
        times: FloatArray,
        states: FloatArray,
        p: FloatArray,
        first_run: int,
        out: FloatArray,
    ) -> None:
        """Fill the selected quantities of a chunk of runs from its needed states.

        Parameters
        ----------
        states : float array, shape (n_run, n_time, n_need); NaN where a run had stopped
        p : float array, shape (n_run, n_param)
        first_run : place of the chunk's first run in `out`
        out : float array, shape (n_select, all runs, n_time), filled for the chunk
        """
        _observe(
            self.kernels.assigned,
            self.kernels.rates,
            self.selection.uses(Source.ASSIGNED),
            self.selection.uses(Source.RATE),
            self.first_row,
            times,
            states,
            self.need,
            np.array(p, order="C"),
            self.row,
            self.divisor_row,
            np.array(self.selection.scale),
            first_run,
            out,
        )
