"""Cells made up for the tests, so that the right reading of an assay is known."""

import json

import numpy as np
import pytest
import xarray as xr


def cells_of(
    samples,
    *,
    times=(48.0,),
    treatment=None,
    dose=None,
    dish=None,
    genes=None,
    line="a line",
    done=None,
):
    """Return virtual cells from sample → quantity → one value, or one a cell."""
    names = list(samples)
    quantities = list(next(iter(samples.values())))
    n_cell = max(np.size(v) for s in samples.values() for v in s.values())
    data = {
        q: (
            ("sample", "cell", "time"),
            np.array(
                [
                    np.broadcast_to(np.asarray(samples[s][q], float), n_cell)
                    for s in names
                ]
            )[:, :, np.newaxis]
            * np.ones(len(times)),
        )
        for q in quantities
    }
    data["status"] = (("sample", "cell"), np.zeros((len(names), n_cell), int))

    def text(values):
        return "sample", np.array(list(values), dtype=object)

    coords = {
        "sample": text(names),
        "treatment": text(treatment or names),
        "dose": ("sample", np.array(dose or [np.nan] * len(names), float)),
        "dose_unit": text(["ng/ml" if dose else ""] * len(names)),
        "dish": text(dish or [""] * len(names)),
        "cells": text([line] * len(names)),
        "done": text(done or names),
        "cell": np.arange(n_cell),
        "time": np.array(times),
    }
    return xr.Dataset(data, coords=coords, attrs={"genes": json.dumps(genes or {})})


@pytest.fixture(name="cells_of")
def _cells_of():
    return cells_of
