"""Other simulators behind one call, for a second opinion.

They get SBML in which everything is said (``snapshot``) and give amounts back.
"""

import contextlib
import importlib.util
import locale
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from mir21sim._typing import FloatArray
from mir21sim.errors import InputError, SolverError, SolverStatus, UnknownNameError
from mir21sim.model.formats import sbml_writer
from mir21sim.model.network import Network

Tool: TypeAlias = Callable[..., FloatArray]
"""``(sbml, names, times, rtol, atol)`` → values, shape (n_time, n_name)."""

MAX_STEPS = 1_000_000


def run(
    tool: str,
    network: Network,
    names: Sequence[str],
    times: FloatArray,
    *,
    rtol: float,
    atol: float,
) -> FloatArray:
    """Return the curves that another simulator computes for a network.

    Parameters
    ----------
    tool : a key of ``TOOLS``
    names : species (amounts), parameters, compartments, rule variables
    times : float array, shape (n_time,), equally spaced, model time; the first is the
        start
    rtol, atol : tolerances; `atol` in model units

    Returns
    -------
    float array, shape (n_time, n_name), in model units

    Raises
    ------
    InputError
        When the tool is not installed.
    SolverError
        When the tool cannot read or run the model, with its own words.
    """
    if tool not in TOOLS:
        raise UnknownNameError("tool", tool, tuple(TOOLS))
    if not installed(tool):
        raise InputError(how_to_install(tool))
    text = sbml_writer.write_sbml(network)
    try:
        return TOOLS[tool](text, names, times, rtol=rtol, atol=atol)
    except (RuntimeError, ValueError) as error:
        words = " ".join(str(error).split())[:300]
        raise SolverError(f"{tool}: {words}", SolverStatus.NOT_RUN) from error


def installed(tool: str) -> bool:
    """Say whether a tool can be run here."""
    return importlib.util.find_spec(_MODULES[tool]) is not None


def how_to_install(tool: str) -> str:
    """Return the sentence that tells how to get a tool."""
    return f"{tool} is not installed: pip install {_PACKAGES[tool]}."


def _roadrunner(
    text: str,
    names: Sequence[str],
    times: FloatArray,
    *,
    rtol: float,
    atol: float,
) -> FloatArray:
    """Run libRoadRunner (CVODE)."""
    import roadrunner

    roadrunner.Logger.setLevel(roadrunner.Logger.LOG_FATAL)
    runner = roadrunner.RoadRunner(text)
    integrator = runner.getIntegrator()
    integrator.setValue("relative_tolerance", rtol)
    integrator.setValue("absolute_tolerance", atol)
    integrator.setValue("maximum_num_steps", MAX_STEPS)
    with _quiet():
        table = runner.simulate(
            float(times[0]), float(times[-1]), len(times), ["time", *names]
        )
    return np.array(table, dtype=float)[:, 1:]


@contextlib.contextmanager
def kept_locale() -> Iterator[None]:
    """Restore the locale of the process: COPASI sets it to C as it is imported."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress output of C code on the terminal: CVODE warns of each event."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = {fd: os.dup(fd) for fd in (1, 2)}
    try:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            for fd in kept:
                os.dup2(nowhere.fileno(), fd)
        yield
    finally:
        for fd, copy in kept.items():
            os.dup2(copy, fd)
            os.close(copy)


def _copasi(
    text: str,
    names: Sequence[str],
    times: FloatArray,
    *,
    rtol: float,
    atol: float,
) -> FloatArray:
    """Run COPASI (LSODA)."""
    with kept_locale():
        import COPASI

    data = COPASI.CRootContainer.addDatamodel()
    try:
        if not data.importSBMLFromString(text):
            raise RuntimeError(COPASI.CCopasiMessage.getAllMessageText())
        model = data.getModel()
        model.setInitialTime(float(times[0]))
        handler, factors = _copasi_outputs(COPASI, model, names)
        task = data.getTask("Time-Course")
        task.setMethodType(COPASI.CTaskEnum.Method_deterministic)
        problem = task.getProblem()
        problem.setAutomaticStepSize(False)
        problem.setDuration(float(times[-1] - times[0]))
        problem.setStepNumber(len(times) - 1)
        method = task.getMethod()
        method.getParameter("Relative Tolerance").setDblValue(rtol)
        method.getParameter("Absolute Tolerance").setDblValue(atol)
        method.getParameter("Max Internal Steps").setIntValue(MAX_STEPS)
        data.addInterface(handler)
        if not (
            task.initializeRaw(COPASI.CCopasiTask.OUTPUT_UI) and task.processRaw(True)
        ):
            raise RuntimeError(COPASI.CCopasiMessage.getAllMessageText())
        task.restore(True)
        rows = [handler.getNthRow(i) for i in range(handler.getNumRowsDuring())]
    finally:
        COPASI.CRootContainer.removeDatamodel(data)
    return np.array(rows, dtype=float) * factors


def _copasi_outputs(
    copasi: Any, model: Any, names: Sequence[str]
) -> tuple[Any, FloatArray]:
    """Return the collector of quantities, and the factors from counts to amounts."""
    per_count = 1.0 / model.getQuantity2NumberFactor()
    pools = {item.getSBMLId(): item for item in model.getMetabolites()}
    others = {item.getSBMLId(): item for item in model.getModelValues()}
    others |= {item.getSBMLId(): item for item in model.getCompartments()}
    handler, factors = copasi.CDataHandler(), []
    for name in names:
        if name not in pools and name not in others:
            raise RuntimeError(f"COPASI has no `{name}`")
        item = pools.get(name) or others[name]
        handler.addDuringName(
            copasi.CRegisteredCommonName(item.getValueReference().getCN())
        )
        factors.append(per_count if name in pools else 1.0)
    model.compileIfNecessary()
    model.applyInitialValues()
    return handler, np.array(factors)


TOOLS: dict[str, Tool] = {"roadrunner": _roadrunner, "copasi": _copasi}
_MODULES = {"roadrunner": "roadrunner", "copasi": "COPASI"}
_PACKAGES = {
    "roadrunner": '"mir21sim[bench]"',
    "copasi": '"mir21sim[copasi]"',
}
