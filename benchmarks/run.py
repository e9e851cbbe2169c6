"""Measure start-up, compile and run times, and accuracy against another simulator.

Run: python benchmarks/run.py [--out FILE] [--models NAME ...]

Writes one JSON line a case. Cold (empty cache), cached (a later process) and warm (a
later run in one process) are three numbers; a time never stands without the error
achieved. The reference is libRoadRunner (CVODE) at rtol 1e-12 on the same SBML, where
it is installed (extra `bench`); otherwise SciPy Radau at rtol 1e-11.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import mir21sim as ms
from mir21sim.model import files as model_files

CASES = (
    ("earm_1_3", "base", 10.0),
    ("earm2_m1a", "base", 20000 / 3600),
    ("earm2_m1a", "fitted", 20000 / 3600),
    ("mir21_core", "MCF-7", 48.0),
    ("mir21_apoptosis", "MCF-7", 48.0),
)
PROTOCOLS = {  # of mir21_apoptosis, 48 h, as `simulate` runs it: 601 times, LSODA
    "TRAIL": ["TRAIL=50 ng/ml@24h"],
    "anti-miR-21 and TRAIL": ["anti_miR21=100 nM@0h", "TRAIL=50 ng/ml@24h"],
}
FLOOR = 1e-3  # molecules: below it, relative errors are those of solver noise
POINTS = 101
BEFORE = {"simulate": 18.6 / 6.0}
"""Ratio of a call to its integration before models were compiled once and run many
times: 18.6 ms a call, of which 6 ms were integration (same run, version 0.1)."""


def timed_process(code, cache):
    """Return wall seconds of a fresh Python process, its start included."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        env=os.environ | {"MIR21SIM_CACHE": cache},
    )
    return time.perf_counter() - start


def start_up():
    """Time `import mir21sim` beyond a bare interpreter, best of five."""
    with tempfile.TemporaryDirectory() as cache:
        bare = min(timed_process("pass", cache) for _ in range(5))
        full = min(timed_process("import mir21sim", cache) for _ in range(5))
    return {"case": "import mir21sim", "import_s": round(full - bare, 4)}


def first_results(name, context):
    """Time from process start to the first result: empty cache, then full cache."""
    code = (
        "import mir21sim as ms\n"
        f"m = ms.load({name!r}, {context!r})\n"
        "ms.simulate(m, points=11)\n"
    )
    with tempfile.TemporaryDirectory() as cache:
        cold = timed_process(code, cache)
        cached = min(timed_process(code, cache) for _ in range(3))
    return {"cold_s": round(cold, 2), "cached_s": round(cached, 2)}


def reference(model, name, context, end_h):
    """Return (label, states at the output times) from an independent solver."""
    if model.info.equilibrate:
        label, options = (
            "SciPy Radau 1e-11",
            ms.Options(method="Radau", rtol=1e-11, atol=1e-9),
        )
        return label, states(model, end_h, options)
    try:
        import roadrunner  # optional
    except ImportError:
        options = ms.Options(method="Radau", rtol=1e-11, atol=1e-9)
        return "SciPy Radau 1e-11", states(model, end_h, options)
    runner = roadrunner.RoadRunner(model_files.find(name, context).texts["sbml"])
    for key, value in zip(model.param_names, model.p0, strict=True):
        runner.setValue(key, float(value))
    runner.integrator.relative_tolerance = 1e-12
    runner.integrator.absolute_tolerance = 1e-14
    runner.integrator.maximum_num_steps = 10_000_000
    table = runner.simulate(0, end_h * 3600, POINTS, list(model.state_names))
    version = importlib.metadata.version("libroadrunner")
    return f"libRoadRunner {version} 1e-12", np.asarray(table)


def states(model, end_h, options, doses=None):
    """Return all states at the output times, shape (time, state)."""
    result = ms.simulate(
        model,
        end_h,
        points=POINTS,
        observe=model.state_names,
        doses=doses,
        options=options,
    )
    return np.stack([result[name].values for name in model.state_names], axis=1)


def measure(model, end_h, truth, method, rtol):
    """Return warm time, work and error of one method at one tolerance."""
    options = ms.Options(method=method, rtol=rtol)
    states(model, end_h, options)
    times, steps = [], 0
    for _ in range(5):
        start = time.perf_counter()
        result = ms.simulate(model, end_h, points=POINTS, options=options)
        times.append(time.perf_counter() - start)
        steps = int(result["n_steps"])
    found = states(model, end_h, options)
    error = np.max(np.abs(found - truth) / np.maximum(np.abs(truth), FLOOR))
    mixed = np.max(np.abs(found - truth) / (1 + np.abs(truth)))
    return {
        "method": method,
        "rtol": rtol,
        "warm_ms_per_run": round(1e3 * min(times), 2),
        "n_steps": steps,
        "max_relative_error": float(f"{error:.2e}"),
        "max_mixed_error": float(f"{mixed:.2e}"),
    }


def one_run(model, doses):
    """Return warm times of a whole call by LSODA with all defaults, and its error."""
    exact = ms.Options(method="Radau", rtol=1e-11, atol=1e-9)
    options = ms.Options(method="LSODA")
    truth = states(model, 48.0, exact, doses)
    found = states(model, 48.0, options, doses)
    wall, cpu = [], []
    for _ in range(30):
        start = time.perf_counter(), time.process_time()
        result = ms.simulate(model, 48.0, doses=doses, options=options)
        wall.append(time.perf_counter() - start[0])
        cpu.append(time.process_time() - start[1])
    mixed = np.max(np.abs(found - truth) / (1 + np.abs(truth)))
    return {
        "reference": "SciPy Radau 1e-11",
        "method": "LSODA",
        "rtol": options.rtol,
        "points": result.sizes["time"],
        "warm_ms_per_run": round(1e3 * min(wall), 1),
        "warm_cpu_ms_per_run": round(1e3 * min(cpu), 1),
        "load": round(os.getloadavg()[0], 1),
        "n_steps": int(result["n_steps"]),
        "max_mixed_error": float(f"{mixed:.2e}"),
    }


def overhead(model, doses):
    """Return the time of whole calls beside that of their integration, as a ratio.

    Warm, Rodas5P at rtol 1e-3, one thread, CPU time. Integration is the compiled work
    of every run, timed inside the same calls: the driver and the evaluation of the
    outputs. The check of one run of many by LSODA at a hundredth of the tolerance is
    integration too, of its own kind: it is timed and left out of the ratio.
    """
    from mir21sim.simulation import run as running
    from mir21sim.solvers.batch import integrate as batch
    from mir21sim.solvers.batch import outputs

    drive, observe, check = batch.drive, outputs._observe, running.warn_of_errors
    spent, evaluated, checked = [], [], []

    def timed(function, times):
        def call(*arguments, **others):
            start = time.process_time()
            function(*arguments, **others)
            times.append(time.process_time() - start)

        return call

    options = ms.Options(method="Rodas5P", rtol=1e-3, n_jobs=1)
    given = {"doses": doses, "options": options}
    swept = {"anti_miR21": np.linspace(0.0, 100.0, 16)}
    cells = {model.state_names[0]: model.y0[0] * np.linspace(0.9, 1.1, 16)}
    calls = {
        "simulate": lambda: ms.simulate(model, 48.0, **given),
        "simulate, one output": lambda: ms.simulate(
            model, 48.0, observe=model.state_names[0], **given
        ),
        "sweep of 16": lambda: ms.sweep(model, swept, 48.0, **given),
        "population of 16": lambda: ms.simulate_population(model, cells, 48.0, **given),
    }
    batch.drive = timed(drive, spent)
    outputs._observe = timed(observe, evaluated)
    running.warn_of_errors = timed(check, checked)
    try:
        for label, call in calls.items():
            call()
            rows = []
            for _ in range(30):
                spent.clear()
                evaluated.clear()
                checked.clear()
                start = time.process_time()
                call()
                whole = time.process_time() - start
                rows.append((whole, sum(spent), sum(evaluated), sum(checked)))
            whole, inside, values, second = (1e3 * np.median(rows, axis=0)).tolist()
            yield {
                "case": f"overhead of {label}",
                "call_ms": round(whole, 2),
                "driver_ms": round(inside, 2),
                "outputs_ms": round(values, 2),
                "check_ms": round(second, 2),
                "ratio": round((whole - second) / (inside + values), 2),
                "ratio_before": round(BEFORE[label], 2) if label in BEFORE else None,
                "over_1.3_ms": round(whole - second - 1.3 * (inside + values), 2),
            }
    finally:
        batch.drive, outputs._observe = drive, observe
        running.warn_of_errors = check


def machine():
    """Return what the numbers were measured on."""
    versions = {p: importlib.metadata.version(p) for p in ("numpy", "scipy", "numba")}
    return {
        "case": "machine",
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **versions,
    }


def main():
    """Run all cases and write their lines as they come."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results.jsonl"))
    parser.add_argument("--models", nargs="*", help="only these models")
    arguments = parser.parse_args()
    with arguments.out.open("w", encoding="utf-8") as file:

        def write(line):
            file.write(json.dumps(line) + "\n")
            file.flush()
            print(json.dumps(line), flush=True)

        write(machine())
        write(start_up())
        if not arguments.models or "mir21_apoptosis" in arguments.models:
            model = ms.load("mir21_apoptosis")
            for label, doses in PROTOCOLS.items():
                write({"case": f"one run, {label}", **one_run(model, doses)})
            for line in overhead(model, PROTOCOLS["TRAIL"]):
                write(line)
        for name, context, end_h in CASES:
            if arguments.models and name not in arguments.models:
                continue
            case = f"{name} ({context})"
            write({"case": case, **first_results(name, context)})
            model = ms.load(name, context)
            label, truth = reference(model, name, context, end_h)
            for method in ("LSODA", "BDF", "Radau"):
                for rtol in (1e-6, 1e-10):
                    line = measure(model, end_h, truth, method, rtol)
                    write({"case": case, "reference": label, **line})


if __name__ == "__main__":
    main()
