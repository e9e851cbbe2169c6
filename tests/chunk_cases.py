"""A sweep of 300 runs, in three parts, for the tests of parts and pools."""

import sys
from pathlib import Path

import numpy as np
import pytest

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
ROOT = Path(__file__).parents[1]
OVER = {"k_bind": np.geomspace(2e-7, 2e-5, 300)}
CALL = {"end": "6 h", "points": 13, "doses": "CASP8_active=100 molecule@1h"}
OBSERVE = ["CASP3_active", "[XIAP]", "activate_3"]


def same(a, b):
    return all(np.array_equal(a[name].values, b[name].values) for name in OBSERVE)
