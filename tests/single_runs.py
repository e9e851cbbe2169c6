"""Runs by SciPy's integrators, for the tests of the single-run solver."""

import numpy as np
import pytest

TIMES = np.linspace(0.0, 8.0, 17)

METHODS = ("LSODA", "BDF", "Radau")
each_method = pytest.mark.parametrize("method", METHODS)
