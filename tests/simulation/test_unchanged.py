"""Results of earlier versions: the same bits by every method, and files that rerun."""

import hashlib
import json
import platform
from pathlib import Path

import numba
import numpy as np
import pytest
import scipy
import xarray as xr

import mir21sim as ms

BEFORE = Path(__file__).parents[1] / "data" / "before"
RECORD = json.loads((BEFORE / "checksums.json").read_text())
OBSERVED = ("CASP3_active", "CASP8", "CASP3_XIAP")


@pytest.fixture(scope="module")
def switch():
    return ms.load(BEFORE / "caspase_switch.xml")


def machine():
    """Return the versions on which last bits depend besides the code."""
    return [platform.machine(), numba.__version__, scipy.__version__, np.__version__]


@pytest.mark.parametrize("method", RECORD["methods"])
def test_results_are_those_of_the_version_before(switch, method):
    options = ms.Options(method=method, rtol=1e-6, atol=1e-5, equilibrate=False)
    over = {"CASP8_active": [50.0, 100.0, 1000.0], "XIAP": [2000.0, 4000.0]}
    result = ms.sweep(switch, over, "6 h", points=13, observe=OBSERVED, options=options)
    got = np.stack([result[name].values for name in OBSERVED])
    want = RECORD["methods"][method]
    last = [float.fromhex(text) for text in want["last"]]
    np.testing.assert_allclose(got[..., -1].ravel(), last, rtol=1e-6)
    if machine() == RECORD["machine"]:  # elsewhere libraries round the last bits
        bits = np.ascontiguousarray(got, "<f8").tobytes()
        assert hashlib.sha256(bits).hexdigest() == want["sha256"]


def test_a_result_file_of_version_0_1_runs_again():
    before = BEFORE / "sweep_0_1.nc"
    again, difference = ms.rerun(before)
    assert difference < 1e-9
    with xr.open_dataset(before, engine="h5netcdf") as saved:
        np.testing.assert_allclose(again["CASP8"], saved["CASP8"], rtol=1e-9)
