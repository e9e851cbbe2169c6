"""Measure mir21sim and its peers side by side: time against achieved error.

Run: python benchmarks/peers.py --model earm2_m1a --cells 256 --out peers.jsonl \
         [--figure peers.png] [--repeats 3] [--solvers NAME ...]

Every solver gets the same SBML, the same cells (lognormal amounts, CV 0.25, one seed),
the same doses and the same output times, and returns all species. One JSON line a
solver and tolerance pair; repeats are interleaved and the best counts, so that what
else runs on the machine hits all alike. Compiling and loading are not timed, nor is
turning what a peer returns into arrays. ``cpu_ms_per_run`` is the process's CPU time,
for AMICI that of its solver; ``call_cpu_ms_per_run`` is the process's for all, which is
what to compare where others keep the machine busy. A peer that is not installed is left
out.

Also: --scaling (cost in runs, threads and species) and --profile (where a step's time
goes), which measure mir21sim alone.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import sys
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from mir21sim.compiler import cache
from mir21sim.compiler import load as library
from mir21sim.compiler.model import CompiledModel
from mir21sim.model import files as model_files
from mir21sim.solvers.problem import Problem
from mir21sim.solvers.solve import subset
from mir21sim.validation import benchmark
from mir21sim.validation.simulators import kept_locale

MAX_STEPS = 1_000_000
COLOURS = {  # Okabe and Ito 2008
    "mir21sim Rodas5P": "#0072B2",
    "mir21sim Rodas4": "#56B4E9",
    "SciPy LSODA": "#000000",
    "libRoadRunner": "#009E73",
    "AMICI": "#D55E00",
    "AMICI, solver's CPU time": "#D55E00",
    "COPASI": "#CC79A7",
}
MARKS = dict(zip(COLOURS, "osDv^^P", strict=True))


def say(text):
    print(text, file=sys.stderr, flush=True)


def version(package):
    return importlib.metadata.version(package)


@dataclass(frozen=True)
class Given:
    """What every solver integrates."""

    files: model_files.ModelFiles
    model: CompiledModel
    runs: Problem
    truth: np.ndarray
    note: dict

    def doses(self, run):
        """Yield (index of the output time, state, amount); doses add at once."""
        schedule = self.runs.schedule
        for k, t in enumerate(schedule.time):
            index = int(np.searchsorted(self.runs.times, t))
            assert self.runs.times[index] == t, "a dose off the output times"
            assert schedule.kind[k] == 0, "only doses that add at once"
            yield index, int(schedule.state[k]), float(schedule.value[run, k])


def problem(name, context, n_cell, n_radau):
    files = model_files.find(name, context)
    model = library.assemble(files)
    assert not cache.lane_kernels(model.network).has_time, "peers restart their clocks"
    runs = benchmark.cells(model, n_cell)
    n_radau = min(n_radau, n_cell)
    say(f"reference: {n_radau} of {n_cell} cells by Radau at {benchmark.TIGHT:g}")
    truth, gap = benchmark.reference(model, runs, n_radau)
    note = {
        "model": name,
        "context": files.context,
        "cells": n_cell,
        "reference_cells_radau": n_radau,
        "reference_gap": float(f"{gap:.1e}"),
    }
    say(f"the batch solver at {benchmark.TIGHT:g} differs from it by {gap:.1e}")
    return Given(files, model, runs, truth, note)


class Scipy:
    """SciPy's LSODA on mir21sim's compiled right-hand side and Jacobian."""

    def __init__(self, given):
        self.given, self.version = given, version("scipy")

    def measure(self, rtol):
        done = benchmark.timed(self.given.model, self.given.runs, "LSODA", rtol)
        return done.wall_s, done.cpu_s, done.values, done.failed


class Batch:
    """mir21sim's batch solver on one thread: start values in, all states out."""

    def __init__(self, given, method):
        self.given, self.method, self.version = given, method, version("mir21sim")

    def measure(self, rtol):
        return batch_alone(self.given.model, self.given.runs, self.method, rtol)[:4]


def batch_alone(model, runs, method, rtol):
    """Return wall s, CPU s, states, failed runs and steps of the batch solver.

    Without what a sweep does with the states afterwards (select, scale, label, try a
    failed run again), as the peers' times are without what is done with theirs.
    """
    from mir21sim.solvers.batch import integrate as batch
    from mir21sim.solvers.batch.rodas4 import RODAS4
    from mir21sim.solvers.batch.rodas5p import RODAS5P
    from mir21sim.solvers.settings import Settings

    n = len(model.state_names)
    values = np.empty((len(runs), len(runs.times), n))

    def keep(first, last, states, _):
        values[first:last] = states

    wall, cpu = time.perf_counter(), time.process_time()
    found, _ = batch.integrate_runs(
        cache.lane_kernels(model.network),
        runs,
        Settings(method, rtol, np.full(n, rtol), MAX_STEPS),
        tableau={"Rodas4": RODAS4, "Rodas5P": RODAS5P}[method],
        need=np.arange(n),
        keep=keep,
    )
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    failed = int((found.status != 0).sum())
    return wall, cpu, values, failed, int(found.n_steps.sum())


class Peer:
    """A simulator that runs cell by cell: start values in, states at times out.

    `start` and `go` are timed; `states` is not.
    """

    def __init__(self, given):
        self.given = given
        self.names = given.model.state_names

    def measure(self, rtol):
        given, runs = self.given, self.given.runs
        self.tolerances(rtol)
        values = np.full((len(runs), len(runs.times), len(self.names)), np.nan)
        wall = cpu = self.call_cpu_s = 0.0
        failed = 0
        for run in range(len(runs)):
            y, start = runs.y0[run], 0
            doses = [*given.doses(run), (len(runs.times) - 1, 0, 0.0)]
            for stop, state, amount in doses:
                times = runs.times[start : stop + 1] - runs.times[start]
                if len(times) > 1:
                    began, began_cpu = time.perf_counter(), time.process_time()
                    done = self.go(y, times)
                    wall += time.perf_counter() - began
                    used = time.process_time() - began_cpu
                    self.call_cpu_s += used
                    cpu += self.own_cpu_s() if done and self.own_clock else used
                    if not done:
                        failed += 1
                        break
                    values[run, start : stop + 1] = self.states()
                    y = values[run, stop].copy()
                y[state] += amount
                values[run, stop] = y
                start = stop
        return wall, cpu, values, failed

    own_clock = False


class RoadRunner(Peer):
    def __init__(self, given):
        super().__init__(given)
        import roadrunner

        self.version = version("libroadrunner")
        roadrunner.Logger.setLevel(roadrunner.Logger.LOG_FATAL)
        self.runner = roadrunner.RoadRunner(given.files.texts["sbml"])
        constants = zip(given.model.param_names, given.model.p0, strict=True)
        for name, value in constants:
            self.runner.setValue(name, float(value))
        ids = list(self.runner.model.getFloatingSpeciesIds())
        self.order = [self.names.index(name) for name in ids]
        self.rows = range(len(ids))
        self.runner.timeCourseSelections = list(self.names)

    def tolerances(self, rtol):
        self.runner.integrator.relative_tolerance = rtol
        self.runner.integrator.absolute_tolerance = rtol
        self.runner.integrator.maximum_num_steps = MAX_STEPS

    def go(self, y, times):
        # After reset, so that nothing is compiled anew; all amounts in one call.
        self.runner.reset()
        self.runner.model.setFloatingSpeciesAmounts(self.rows, y[self.order])
        try:
            self.table = self.runner.simulate(0.0, times[-1], len(times))
        except RuntimeError:
            return False
        return True

    def states(self):
        return np.asarray(self.table)


class Copasi(Peer):
    def __init__(self, given):
        super().__init__(given)
        with kept_locale():
            import COPASI

        self.version = version("python-copasi")
        self.data = COPASI.CRootContainer.addDatamodel()
        assert self.data.importSBMLFromString(given.files.texts["sbml"])
        self.copasi = self.data.getModel()
        self.framework = COPASI.CCore.Framework_ParticleNumbers
        species = self.copasi.getMetabolites()
        found = [species.get(i) for i in range(species.size())]
        by_id = {s.getSBMLId(): s for s in found}
        self.species = [by_id[name] for name in self.names]
        self.factor = self.copasi.getQuantity2NumberFactor()
        values = self.copasi.getModelValues()
        constants = dict(zip(given.model.param_names, given.model.p0, strict=True))
        for i in range(values.size()):
            if values.get(i).getSBMLId() in constants:
                values.get(i).setInitialValue(
                    float(constants[values.get(i).getSBMLId()])
                )
        self.task = self.data.getTask("Time-Course")
        self.task.setMethodType(COPASI.CTaskEnum.Method_deterministic)
        self.task.getProblem().setTimeSeriesRequested(True)
        self.columns = None

    def tolerances(self, rtol):
        method = self.task.getMethod()
        method.getParameter("Relative Tolerance").setDblValue(rtol)
        method.getParameter("Absolute Tolerance").setDblValue(rtol)
        method.getParameter("Max Internal Steps").setIntValue(MAX_STEPS)

    def go(self, y, times):
        self.start = y
        for species, value in zip(self.species, y, strict=True):
            species.setInitialValue(float(value) * self.factor)
        self.copasi.updateInitialValues(self.framework)
        self.task.getProblem().setDuration(float(times[-1]))
        self.task.getProblem().setStepNumber(len(times) - 1)
        self.n_time = len(times)
        return self.task.process(True)

    def states(self):
        series = self.task.getTimeSeries()
        if self.columns is None:
            found = range(1, series.getNumVariables())
            ids = {series.getSBMLId(j, self.data): j for j in found}
            # A species that no reaction changes has no series: it keeps its start.
            self.columns = [(k, ids.get(name)) for k, name in enumerate(self.names)]
        return np.array(
            [
                [
                    self.start[k] if j is None else series.getData(i, j)
                    for k, j in self.columns
                ]
                for i in range(self.n_time)
            ]
        )


class Amici(Peer):
    own_clock = True

    def __init__(self, given):
        super().__init__(given)
        import amici
        from amici.sim import sundials

        self.sundials, self.version = sundials, version("amici")
        # AMICI's build finds the SWIG that was installed with it, not an older one.
        here = str(Path(sys.executable).parent)
        os.environ["PATH"] = here + os.pathsep + os.environ["PATH"]
        name = f"peer_{cache.key(given.model.network)}"
        folder = cache.folder() / "amici" / name
        if not (folder / name).is_dir():
            say("AMICI compiles the model")
            path = cache.folder() / f"{name}.xml"
            text = given.files.texts["sbml"]
            if not text.startswith("<?xml"):  # AMICI's reader insists on it
                text = f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'
            path.write_text(text, encoding="utf-8")
            amici.SbmlImporter(str(path)).sbml2amici(
                name,
                str(folder),
                compute_conservation_laws=False,
                generate_sensitivity_code=False,
            )
        self.amici = amici.import_model_module(name, str(folder)).get_model()
        free = set(self.amici.get_free_parameter_ids())
        for key, value in zip(given.model.param_names, given.model.p0, strict=True):
            if key in free:
                self.amici.set_free_parameter_by_id(key, float(value))
        ids = list(self.amici.get_state_ids())
        self.back = [ids.index(name) for name in self.names]
        self.order = [self.names.index(name) for name in ids]
        self.solver = self.amici.create_solver()
        self.solver.set_max_steps(MAX_STEPS)
        self.solver.set_sensitivity_order(sundials.SensitivityOrder.none)
        kind = sundials.RDataReporting.observables_likelihood
        self.solver.set_return_data_reporting_mode(kind)
        self.times = None

    def tolerances(self, rtol):
        self.solver.set_relative_tolerance(rtol)
        self.solver.set_absolute_tolerance(rtol)

    def go(self, y, times):
        self.amici.set_timepoints(times)
        self.amici.set_initial_state(y[self.order])
        self.found = self.sundials.run_simulation(self.amici, self.solver)
        return self.found.status == 0

    def own_cpu_s(self):
        return 1e-3 * self.found.cpu_time

    def states(self):
        # Every species is an observable where the file names none.
        return np.array(self.found.y)[:, self.back]


SOLVERS = {
    "mir21sim Rodas5P": lambda given: Batch(given, "Rodas5P"),
    "mir21sim Rodas4": lambda given: Batch(given, "Rodas4"),
    "SciPy LSODA": Scipy,
    "libRoadRunner": RoadRunner,
    "AMICI": Amici,
    "COPASI": Copasi,
}


def installed(names, given):
    """Return the solvers that can be had, ready to run."""
    ready = {}
    for name in names:
        try:
            ready[name] = SOLVERS[name](given)
        except ImportError as error:
            say(f"{name} left out, not installed: {error}")
        except Exception as error:  # noqa: BLE001 - a peer may fail to build
            say(f"{name} left out, does not start: {error}")
    return ready


def compare(given, names, repeats, file):
    """Write one line a solver and tolerance pair; return the lines."""
    ready = installed(names, given)
    found = {}
    for repeat in range(repeats):
        for name, solver in ready.items():
            for rtol in benchmark.LADDER:
                wall, cpu, values, failed = solver.measure(rtol)
                call = getattr(solver, "call_cpu_s", cpu)
                say(f"{repeat + 1}/{repeats} {name} {rtol:g}: {wall:.2f} s")
                before = found.get((name, rtol))
                error = benchmark.max_error(values, given.truth)
                if before:
                    wall, cpu = min(wall, before[0]), min(cpu, before[1])
                    call = min(call, before[4])
                found[name, rtol] = wall, cpu, error, failed, call
    lines = []
    for (name, rtol), (wall, cpu, error, failed, call) in found.items():
        n_cell = len(given.runs)
        line = {
            "solver": name,
            "rtol": rtol,
            "atol": rtol,
            "ms_per_run": float(f"{1e3 * wall / n_cell:.4g}"),
            "cpu_ms_per_run": float(f"{1e3 * cpu / n_cell:.4g}"),
            "max_error": float(f"{error:.3g}"),
            "failed": failed,
            "call_cpu_ms_per_run": float(f"{1e3 * call / n_cell:.4g}"),
            "version": ready[name].version,
            **given.note,
            "repeats": repeats,
            "machine": benchmark.machine(),
            "python": platform.python_version(),
        }
        lines.append(line)
        write(line, file)
    return lines


def write(line, file):
    file.write(json.dumps(line) + "\n")
    file.flush()
    print(json.dumps(line), flush=True)


def draw(lines, path):
    """Draw time against achieved error, a line a solver."""
    from matplotlib.figure import Figure

    groups = {}
    for line in lines:
        curve = groups.setdefault(line["solver"], [])
        curve.append((line["max_error"], line["ms_per_run"], line["failed"]))
        if line["solver"] == "AMICI":
            curve = groups.setdefault("AMICI, solver's CPU time", [])
            curve.append((line["max_error"], line["cpu_ms_per_run"], line["failed"]))
    figure = Figure(figsize=(8, 5.2), layout="constrained")
    ax = figure.add_subplot()
    ends = []
    for name, points in groups.items():
        colour, dashed = COLOURS[name], "CPU" in name
        good = [(error, ms) for error, ms, failed in points if not failed]
        bad = [(error, ms) for error, ms, failed in points if failed]
        if not good:
            continue
        error, ms = zip(*sorted(good), strict=True)
        style = {"color": colour, "marker": MARKS[name], "ms": 5, "lw": 1.6}
        ax.plot(error, ms, ls="--" if dashed else "-", **style)
        if bad:
            ax.plot(*zip(*bad, strict=True), ls="", **style | {"mfc": "white"})
        ends.append((ms[-1], error[-1], name, colour))
    ax.set(xscale="log", yscale="log")
    _label(ax, ends)
    ax.axvline(benchmark.TARGET, color="0.6", lw=0.9, ls=":")
    ax.annotate(
        f"{benchmark.TARGET:g}",
        (benchmark.TARGET, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(3, -12),
        textcoords="offset points",
        color="0.35",
        fontsize=8,
    )
    first = lines[0]
    ax.set_xlabel("largest error |y − ref| / (1 + |ref|), all species, times and cells")
    ax.set_ylabel("time of one run (ms)")
    context = f" ({first['context']})" if first["context"] else ""
    ax.set_title(
        f"{first['model']}{context}, {first['cells']} cells, one core of\n"
        f"{first['machine']}: left and low is good",
        fontsize=10,
        loc="left",
    )
    ax.grid(visible=True, which="major", color="0.92", lw=0.6)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    figure.savefig(path, dpi=150, facecolor="white")
    say(f"picture: {path}")


def _label(ax, ends):
    """Write each line's name in a column on the right, beside its loose end."""
    low, high = ax.get_ylim()
    gap = (high / low) ** 0.05
    at = 0.0
    for ms, error, name, colour in sorted(ends):
        at = max(ms, at * gap)
        ax.annotate(
            name,
            (error, ms),
            xytext=(1.02, at),
            textcoords=("axes fraction", "data"),
            color=colour,
            fontsize=8.5,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.5, "alpha": 0.6},
        )


def table(lines):
    """Print the cheapest pair of each solver that reaches the target, with ratios."""
    cheapest = {}
    for line in lines:
        if not line["failed"] and line["max_error"] <= benchmark.TARGET:
            best = cheapest.get(line["solver"])
            if best is None or line["cpu_ms_per_run"] < best["cpu_ms_per_run"]:
                cheapest[line["solver"]] = line
    own = [v for k, v in cheapest.items() if k.startswith("mir21sim")]
    if not own:
        return
    ours = min(own, key=lambda line: line["cpu_ms_per_run"])
    for name, line in cheapest.items():
        wall = line["ms_per_run"] / ours["ms_per_run"]
        cpu = line["cpu_ms_per_run"] / ours["cpu_ms_per_run"]
        say(
            f"{name:18s} {line['rtol']:.0e} {line['ms_per_run']:8.3f} ms "
            f"({line['cpu_ms_per_run']:.3f} CPU) error {line['max_error']:.1e} "
            f"ratio {wall:.1f} (CPU {cpu:.1f})"
        )


def scaling(file):
    """Measure how the cost of the batch solver grows: runs, threads, species."""
    model = library.load("earm2_m1a", "base")
    runs = benchmark.cells(model, 10_000)
    chosen = replace(
        runs.selection,
        **{
            field.name: getattr(runs.selection, field.name)[:5]
            for field in fields(runs.selection)
        },
    )
    runs = replace(runs, selection=chosen)
    costs = {1_000: [], 10_000: []}
    for _ in range(5):
        for n_run, found in costs.items():
            some = subset(runs, np.arange(n_run))
            found.append(benchmark.timed(model, some, "Rodas5P", 1e-5).cpu_s / n_run)
    for n_run, found in costs.items():
        ms = float(f"{1e3 * min(found):.4g}")
        write({"case": "runs", "runs": n_run, "cpu_ms_per_run": ms}, file)
    threads = [benchmark.threads(model, runs) for _ in range(3)]
    found = max(threads, key=lambda t: t["one_s"] / t["two_s"])
    ratio = round(found["one_s"] / found["two_s"], 3)
    write({"case": "threads", **found, "ratio": ratio}, file)
    sizes, costs = (50, 100, 200, 500, 1000), []
    for n in sizes:
        start = time.perf_counter()
        model = library.assemble(
            model_files.ModelFiles(f"chain_{n}", {"sbml": chain(n)}),
            unit_policy="ignore",
        )
        cache.lane_kernels(model.network)
        compiled = time.perf_counter() - start
        runs = benchmark.cells(model, 64)
        done = [benchmark.timed(model, runs, "Rodas5P", 1e-5) for _ in range(5)]
        costs.append(min(timing.cpu_s for timing in done) / len(runs))
        line = {
            "case": "chain",
            "species": n,
            "cpu_ms_per_run": float(f"{1e3 * costs[-1]:.4g}"),
            "steps_per_run": round(done[0].n_steps / len(runs), 1),
            "failed": done[0].failed,
            "load_and_compile_s": round(compiled, 2),
        }
        write(line, file)
    power = np.polyfit(np.log(sizes), np.log(costs), 1)[0]
    write({"case": "chain", "exponent": round(float(power), 3)}, file)


def chain(n):
    """Return the SBML of A1 ⇌ A2 ⇌ … ⇌ An with rate constants over two decades."""
    rng = np.random.default_rng(n)
    species = "".join(
        f'<species id="A{i}" compartment="c" initialAmount="{rng.uniform(10, 1000)!r}" '
        'hasOnlySubstanceUnits="true" boundaryCondition="false" constant="false"/>'
        for i in range(n)
    )
    numbers = "".join(
        f'<parameter id="{kind}{i}" value="{10 ** rng.uniform(-3, -1)!r}" '
        'constant="true"/>'
        for kind in ("f", "b")
        for i in range(n - 1)
    )
    reactions = "".join(
        f'<reaction id="r{i}" reversible="true" fast="false"><listOfReactants>'
        f'<speciesReference species="A{i}" stoichiometry="1" constant="true"/>'
        "</listOfReactants><listOfProducts>"
        f'<speciesReference species="A{i + 1}" stoichiometry="1" constant="true"/>'
        "</listOfProducts><kineticLaw>"
        '<math xmlns="http://www.w3.org/1998/Math/MathML"><apply><minus/>'
        f"<apply><times/><ci>f{i}</ci><ci>A{i}</ci></apply>"
        f"<apply><times/><ci>b{i}</ci><ci>A{i + 1}</ci></apply>"
        "</apply></math></kineticLaw></reaction>"
        for i in range(n - 1)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" '
        f'version="1"><model id="chain_{n}" timeUnits="second" '
        'substanceUnits="item" volumeUnits="litre" extentUnits="item">'
        '<listOfCompartments><compartment id="c" size="1" constant="true"/>'
        f"</listOfCompartments><listOfSpecies>{species}</listOfSpecies>"
        f"<listOfParameters>{numbers}</listOfParameters>"
        f"<listOfReactions>{reactions}</listOfReactions></model></sbml>"
    )


def profile(name, file):
    """Say where the time of a Rodas5P step of eight lanes goes."""
    model = library.load(name)
    runs = benchmark.cells(model, 256)
    rtol = 1e-5
    parts, flops = kernel_times(model, runs, rtol)
    whole = [benchmark.timed(model, runs, "Rodas5P", rtol) for _ in range(7)]
    blind = replace(runs, times=runs.times[[0, -1]])
    bare = [benchmark.timed(model, blind, "Rodas5P", rtol) for _ in range(7)]

    def per_step(found):
        return 1e6 * min(t.cpu_s for t in found) / (found[0].n_steps / 8)

    step, quiet = per_step(whole), per_step(bare)
    alone = [batch_alone(model, runs, "Rodas5P", rtol) for _ in range(7)]
    dense = 1e6 * min(a[1] for a in alone) / (alone[0][4] / 8) - quiet
    control = quiet - sum(parts.values())
    parts["dense output"] = dense
    parts["selecting and scaling outputs"] = step - quiet - dense
    parts["step control, refill, all else"] = control
    for part, us in parts.items():
        line = {"case": "profile", "model": name, "part": part}
        line |= {"us_per_step": round(us, 3), "share": round(us / step, 3)}
        if part in flops:
            line["gflops"] = round(1e-3 * flops[part] / us, 2)
        write(line, file)
    peak = vector_peak()
    total = sum(flops.values())
    line = {
        "case": "profile",
        "model": name,
        "part": "whole step",
        "us_per_step": round(step, 3),
        "steps_per_run": round(whole[0].n_steps / len(runs), 1),
        "flop_per_step": total,
        "gflops": round(1e-3 * total / step, 2),
        "fma_peak_gflops": round(peak, 1),
        "share_of_peak": round(1e-3 * total / step / peak, 3),
    }
    write(line, file)


def kernel_times(model, runs, rtol):
    """Return microseconds and operations in each part of a step of eight lanes."""
    from mir21sim.compiler.llvm_lanes import LANES
    from mir21sim.solvers.batch.rodas5p import RODAS5P
    from mir21sim.solvers.batch.tableau import chained_stages

    kernels, programs = cache.lane_kernels(model.network), _programs(model)
    middle = benchmark.timed(model, subset(runs, np.arange(LANES)), "Rodas5P", rtol)
    n, s = kernels.n_state, len(RODAS5P.alpha)
    y = np.ascontiguousarray(middle.values[:, len(runs.times) // 2].T)
    p = np.ascontiguousarray(runs.p[:LANES].T)
    sizes = (kernels.n_rate, kernels.n_a, kernels.n_w, 1, n)
    v, a, w, one, out = (np.zeros((size, LANES)) for size in sizes)
    hg = np.full((y.shape[0], LANES), 0.1)
    stages = np.zeros((s, n, LANES))  # sums of zeros stay what they are
    chained = chained_stages(RODAS5P)
    A, C = np.array(RODAS5P.A), np.array(RODAS5P.C)
    fill, first = _without_factors(programs["matrix"])
    filling = _us(fill, one, y, p, a, w, hg)
    both = _us(kernels.matrix, one, y, p, a, w, hg)
    parts = {
        "rates": s * _us(kernels.rates, one, y, p, v, a, out),
        "matrix": filling,
        "factorisation": both - filling,
        "triangular solves": s * _us(kernels.solve, w, np.zeros((n, LANES))),
        "stage sums": _us(_sums(), y, stages, A, C, hg, chained),
        "error norm and taking over": _us(_ends(), y, rtol) / 10,
    }
    per_row = sum(2 * i + 1 if chained[i] else 4 * i for i in range(1, s))
    flops = {
        "rates": s * LANES * _operations(programs["rates"]),
        "matrix": LANES * _operations(programs["matrix"][:first]),
        "factorisation": LANES * _operations(programs["matrix"][first:]),
        "triangular solves": s * LANES * _operations(programs["solve"]),
        "stage sums": LANES * n * per_row,
        "error norm and taking over": LANES * n * 8,
    }
    return parts, flops


def _us(function, *arguments):
    """Return microseconds of one call within compiled code, the best of forty."""
    import numba

    @numba.njit(error_model="numpy")
    def loop(k, *given):
        for _ in range(k):
            function(*given)

    loop(10, *arguments)
    times = []
    for _ in range(40):
        start = time.perf_counter()
        loop(500, *arguments)
        times.append(time.perf_counter() - start)
    return 1e6 * min(times) / 500


def _sums():
    """Return a function that prepares all stages, one after the other."""
    import numba

    from mir21sim.solvers.batch.step import prepare_stage as prepare

    @numba.njit(error_model="numpy")
    def sums(y, stages, A, C, hg, chained):  # noqa: PLR0917 - arrays of one step
        for i in range(1, chained.size):
            prepare(i, chained[i] != 0, y, stages, A, C, hg, y, y.shape[0])

    return sums


def _ends():
    """Return a function that ends ten steps: error norm, next state."""
    import numba

    from mir21sim.solvers.batch import stages as rows

    finish, accept = rows.finish, rows.accept

    @numba.njit(error_model="numpy")
    def ends(y, rtol):
        n, lanes = y.shape
        last, ys, peak = np.zeros_like(y), y.copy(), y.copy()
        mask, error, low = np.ones((3, 1, lanes))
        small, relative = np.full(n, rtol), np.full(2, rtol)
        for _ in range(10):
            finish(y, last, ys, peak, small, small, relative, error, low, n)
            accept(y, ys, peak, mask, n)

    return ends


def _programs(model):
    """Return the straight-line programs of a model, as they lie in the cache."""
    import importlib.util

    from mir21sim.compiler import llvm_lanes as vector

    path = cache.folder() / f"l_{cache.key(model.network)}.py"
    spec = importlib.util.spec_from_file_location("profiled_lanes", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: vector.statements(t) for name, t in module.PROGRAMS.items()}


def _without_factors(program):
    """Compile the part of a matrix program before the elimination; say how long."""
    import numba

    from mir21sim.compiler import build_lane_kernels
    from mir21sim.compiler import llvm_lanes as vector

    first = next(
        k
        for k, (array, row, _, value) in enumerate(program)
        if array == "w" and value == ("/", ("c", 1.0), ("w", row))
    )
    names = ("t", "y", "p", "a", "w", "hg")
    emit = vector.emitter(names, vector.text(program[:first]), 400)

    def fill(t, y, p, a, w, hg):  # noqa: PLR0917 - as the kernel it stands for
        emit(t, y, p, a, w, hg)

    return numba.njit(build_lane_kernels.MATRIX.signature, error_model="numpy")(
        fill
    ), first


def _operations(program):
    """Count the arithmetic of a program on one lane; what is reused counts once."""
    seen = set()

    def count(node):
        if not isinstance(node, tuple) or node in seen or node[0] == "c":
            return 0
        if len(node) == 2 and isinstance(node[1], int):
            return 0
        inner = sum(count(part) for part in node[1:])
        if not {"w", "out"} & set(_arrays(node)):
            seen.add(node)
        own = len(node) - 2 if node[0] in {"+", "*"} else int(node[0] != "neg")
        return inner + own

    return sum(count(value) + (how == "+=") for _, _, how, value in program)


def _arrays(node):
    if isinstance(node, tuple) and node:
        if len(node) == 2 and isinstance(node[1], int):
            yield node[0]
        for part in node[1:]:
            yield from _arrays(part)


def vector_peak():
    """Return GFLOP/s of one core in fused multiply-adds that touch no memory."""
    import numba

    from mir21sim.compiler import build_lane_kernels
    from mir21sim.compiler import llvm_lanes as vector

    chains, length = 12, 60
    x, factor = ("x", 0), ("x", 1)
    program = [
        ("w", r, "=", ("+", ("*", ("w", r), factor), x))
        for _ in range(length)
        for r in range(chains)
    ]
    emit = vector.emitter(("w", "x"), vector.text(program), len(program))

    def multiply_add(w, x):
        emit(w, x)

    once = numba.njit(build_lane_kernels.SOLVE.signature, error_model="numpy")(
        multiply_add
    )
    w, x = np.ones((chains, vector.LANES)), np.full((2, vector.LANES), 0.5)
    us = _us(once, w, x)
    return 1e-3 * 2 * vector.LANES * chains * length / us


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="earm2_m1a")
    parser.add_argument("--context", help="default: the model's own")
    parser.add_argument("--cells", type=int, default=256)
    parser.add_argument("--radau-cells", type=int, default=32)
    parser.add_argument("--out", type=Path, default=Path("peers.jsonl"))
    parser.add_argument("--append", action="store_true", help="keep what is in --out")
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--solvers", nargs="*", choices=SOLVERS, default=list(SOLVERS))
    parser.add_argument("--scaling", action="store_true")
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    with arguments.out.open("a" if arguments.append else "w", encoding="utf-8") as file:
        if arguments.scaling or arguments.profile:
            if arguments.scaling:
                scaling(file)
            if arguments.profile:
                profile(arguments.model, file)
            return
        given = problem(
            arguments.model,
            arguments.context,
            arguments.cells,
            arguments.radau_cells,
        )
        lines = compare(given, arguments.solvers, arguments.repeats, file)
    table(lines)
    if arguments.figure:
        draw(lines, arguments.figure)


if __name__ == "__main__":
    main()
