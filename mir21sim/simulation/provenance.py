"""Provenance of a result: versions, plan and options, and back from the record."""

import base64
import functools
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np

from mir21sim import __version__
from mir21sim._typing import FloatArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError
from mir21sim.simulation.options import Options
from mir21sim.simulation.plan import Plan, checked_times
from mir21sim.simulation.translate import Translated
from mir21sim.simulation.treatment import Treatment
from mir21sim.solvers.settings import Settings

CORE = (
    "numpy", "scipy", "sympy", "numba", "matplotlib", "python-libsbml", "xarray",
    "pandas", "h5netcdf", "h5py", "pint", "pydantic", "jinja2", "typer", "rich",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Return the version of this package and of each that it stands on."""
    return {name: version_of(name) for name in ("mir21sim", *CORE)}


def numerical_versions() -> dict[str, str]:
    """Return the versions of the packages that the numbers depend on."""
    return {name: version_of(name) for name in ("mir21sim", "numpy", "scipy", "numba")}


@functools.cache  # a package cannot change under a running process; 2 ms to look up
def version_of(package: str) -> str:
    """Return the installed version of a package, or "missing"."""
    if package == "mir21sim":
        return __version__
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def attributes(
    model: CompiledModel, settings: Settings, record: dict[str, Any], line: str
) -> dict[str, Any]:
    """Return the root attributes of a result."""
    return {
        "title": model.info.title or model.id,
        "summary": line,
        "model_id": model.id,
        "model_sha256": model.digest,
        "context": model.context,
        "cell_volume_pL": model.cell_volume_pL,
        "method": settings.method,
        "rtol": settings.rtol,
        "mir21sim_version": version_of("mir21sim"),
        "provenance": _text(record),
    }


def _text(record: dict[str, Any]) -> str:
    """Return a record as JSON; the text of its times is kept for the next run."""
    # In a string the quotes would have backslashes, so that only the key reads so.
    bare = json.dumps(record | {"times_h": None})
    times = _list_text(tuple(record["times_h"]))
    return bare.replace('"times_h": null', f'"times_h": {times}', 1)


@functools.lru_cache(maxsize=8)
def _list_text(numbers: tuple[float, ...]) -> str:
    """Return some numbers as JSON."""
    return json.dumps(numbers)


def provenance(
    model: CompiledModel,
    plan: Plan,
    translated: Translated,
    options: Options,
    settings: Settings,
    *,
    kind: str,
) -> dict[str, Any]:
    """Return all values that are needed to run again, as plain JSON values.

    ``atol`` is that of the options, None where it follows ``rtol``.
    """
    atol = None if options.atol is None else np.asarray(options.atol).tolist()
    return {
        "kind": kind,
        "model": model.id,
        "model_sha256": model.digest,
        "context": model.context,
        "backend": model.kernels.backend,
        "times_h": plan.times_h.tolist(),
        "doses": translated.protocol.to_records(),
        "over": {
            axis.name: {"values": axis.values.tolist(), "unit": plan.over[axis.name][1]}
            for axis in translated.axes
            if axis.kind != "cell"
        },
        "cells": {name: _packed(values) for name, values in plan.cells.items()},
        "rest_from": dict(plan.rest_from),
        "perturb": plan.treatment.perturbations.to_record(),
        "parameters": dict(plan.treatment.parameters),
        "initials": dict(plan.treatment.initials),
        "observe": list(plan.observe),
        "method": settings.method,
        "rtol": settings.rtol,
        "atol": atol,
        "max_steps": settings.max_steps,
        "max_step": options.max_step,
        "timeout": settings.timeout,
        "equilibrate": settings.equilibrate,
        "allow_negative": settings.allow_negative,
        "versions": numerical_versions() | {"python": platform.python_version()},
        **({} if options.features is None else {"features": options.features}),
    }


def _packed(values: FloatArray) -> str:
    """Return an array as text: base64 of its little-endian doubles.

    A population has a million numbers, which as digits would take longer than its runs.
    """
    return base64.b64encode(np.asarray(values, dtype="<f8").tobytes()).decode("ascii")


def _unpacked(text: str) -> FloatArray:
    """Return the array that ``_packed`` wrote."""
    try:
        values = np.frombuffer(base64.b64decode(text, validate=True), dtype="<f8")
    except ValueError as error:
        raise InputError(
            f"The numbers of the cells in the result are damaged ({error})."
        ) from error
    if not (values.size and np.isfinite(values).all()):
        raise InputError("The numbers of the cells in the result are not finite.")
    return values.astype(float)


def plan_from(record: Mapping[str, Any]) -> tuple[Plan, Options]:
    """Return the plan and options that a provenance record was made from."""
    plan = Plan(
        treatment=Treatment.from_record(record),
        times_h=checked_times(record["times_h"]),
        over={
            name: (np.array(entry["values"], dtype=float), entry["unit"])
            for name, entry in record["over"].items()
        },
        observe=tuple(record["observe"]),
        cells={name: _unpacked(text) for name, text in record.get("cells", {}).items()},
        rest_from=record.get("rest_from", {}),
    )
    options = Options(
        method=record["method"],
        rtol=record["rtol"],
        atol=record["atol"],
        max_steps=record["max_steps"],
        max_step=record.get("max_step"),
        timeout=record["timeout"],
        equilibrate=record["equilibrate"],
        allow_negative=record["allow_negative"],
        features=record.get("features"),
    )
    return plan, options
