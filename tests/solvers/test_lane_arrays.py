"""Arrays of eight lanes: where they lie, and what is compiled of their helpers."""

import numba
import numpy as np
import pytest
from numba import typeof, types

from mir21sim.solvers.batch import records, replay
from mir21sim.solvers.batch.lane_arrays import HELPER, UNCOUNTED, copy_rows, zeros_of
from mir21sim.solvers.batch.rodas5p import RODAS5P

SHAPES = [((1, 8),), ((3, 8), (0, 8), (2, 5, 8), (8,)), ((7, 8),) * 5]
ROWS = types.Array(types.float64, 2, "C")


@pytest.mark.parametrize("shapes", SHAPES)
def test_arrays_begin_at_a_line_of_the_cache_and_share_no_number(shapes):
    made = zeros_of(*shapes)
    assert [array.shape for array in made] == [*shapes]
    for number, array in enumerate(made, 1):
        assert not array.any()
        assert array.flags.c_contiguous
        assert not array.size or array.ctypes.data % 64 == 0
        array.fill(number)
    for number, array in enumerate(made, 1):
        assert (array == number).all()


def test_new_arrays_have_the_types_that_the_drivers_are_compiled_for():
    size = records.Sizes(n_rate=5, n_a=2, n_w=7, has_time=False)
    assert typeof(records.new_state(4, 3, 0)) == records.STATE
    assert typeof(records.new_step(8, 4, 2, size)) == records.STEP
    assert typeof(records.new_lanes()) == records.LANE_RECORDS
    no_index, some_times = np.zeros(0, np.int64), np.zeros((2, 3))
    steps = replay.Steps(
        np.zeros((2, 4)),
        np.zeros((2, 3)),
        np.zeros(5),
        np.zeros(0),
        no_index,
        no_index,
        np.zeros((2, 0)),
        no_index,
        some_times,
        some_times,
        np.full(2, 3),
    )
    rows = replay.Sizes(False, 5, 2, 7, 3, 4, 2, 1)
    made = replay.new_repeated_step(replay.method(RODAS5P), rows, steps)
    assert typeof(made) == replay.REPEATED
    assert typeof(replay.new_places()) == replay.PLACES


def functions(options):
    """Return the names of the functions that are compiled of a helper."""
    compiled = numba.njit(**options)(copy_rows.py_func)
    compiled.compile((ROWS, ROWS))
    (found,) = compiled.overloads.values()
    return [f.name for f in found.library.get_defined_functions()]


def test_a_helper_of_compiled_code_is_one_function_without_unpacking_for_python():
    assert len(functions(HELPER)) == 1
    assert len(functions(UNCOUNTED)) > 1
