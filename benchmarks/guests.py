"""A folder of SBML files: which load, run, and agree with other simulators, how fast.

    python benchmarks/guests.py FOLDER [--end 100] [--points 101] [--tools roadrunner]

Every file is loaded and run at default options to the same end. A file agrees with a
tool where every species differs by at most 1e-4 of its value, or of a thousandth of its
largest value. Times are of the processor, in one process after the import of all
packages and the compilation of the general solvers; kernels of the models are compiled
anew in a folder of their own. ``first`` is the time to load, compile and run,
``second`` that of one more run: the best of five, each beside one of roadrunner's.
``error`` is the largest difference to roadrunner at rtol 1e-9, over the largest value
of a species, of the run that is timed.
"""

import argparse
import contextlib
import csv
import os
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

AGREES = 1e-4
FLOOR = 1e-3
LEAST = 1e-15  # species below this share of the largest are rounding in some tools
RTOL = 1e-6
FIELDS = (
    "file", "loads", "runs", "events", "roadrunner", "copasi", "worst", "first_s",
    "second_s", "rr_first_s", "rr_second_s", "error", "rr_error", "note",
)  # fmt: skip


def sbml_files(folder):
    """Return the SBML files below a folder, by the beginning of their text."""
    found = []
    for path in sorted(Path(folder).rglob("*")):
        if path.suffix.lower() in {".xml", ".sbml"} and path.is_file():
            head = path.read_bytes()[:4000]
            if b"<sbml" in head:
                found.append(path)
    return found


def timed(work):
    """Return the result of a call and its time of the processor, s."""
    start = time.process_time()
    made = work()
    return made, time.process_time() - start


def interleaved(works, times=5):
    """Return the last results of some calls, in turn, and the shortest time of each."""
    best = [float("inf")] * len(works)
    made = [None] * len(works)
    for _ in range(times):
        for k, work in enumerate(works):
            made[k], took = timed(work)
            best[k] = min(best[k], took)
    return made, best


def with_roadrunner(path, end, points):
    """Return the names, a run as a function, exact curves, and the first time."""
    import roadrunner

    roadrunner.Logger.disableLogging()

    def first():
        runner = roadrunner.RoadRunner(str(path))
        runner.integrator.relative_tolerance = RTOL
        model = runner.model
        names = [*model.getFloatingSpeciesIds(), *model.getBoundarySpeciesIds()]
        runner.timeCourseSelections = ["time", *names]
        runner.simulate(0, end, points)
        return runner, names

    (runner, names), first_s = timed(first)

    def again():
        runner.reset(roadrunner.SelectionRecord.ALL)
        return runner.simulate(0, end, points).copy()

    def exact():
        # For the comparison, with tolerances that fit any unit.
        runner.integrator.relative_tolerance = 1e-9
        runner.integrator.absolute_tolerance = 1e-30
        return again()

    return names, again, exact, first_s


def with_copasi(path, end, points):
    """Return {species: amounts}; raises what COPASI says of a file it cannot run."""
    import numpy as np

    from mir21sim.model import read
    from mir21sim.validation import simulators

    network, _ = read.understand(read.find(path))
    names = [s.id for s in network.species]
    text = path.read_text(encoding="utf-8")
    times = np.linspace(0.0, end, points)
    table = simulators.TOOLS["copasi"](text, names, times, rtol=1e-9, atol=1e-30)
    return {name: table[:, k] for k, name in enumerate(names)}


def difference(mine, theirs):
    """Return the largest difference of two curves, relative as the head says."""
    import numpy as np

    scale = np.maximum(np.abs(theirs), FLOOR * np.nanmax(np.abs(theirs), initial=0.0))
    with np.errstate(all="ignore"):
        apart = np.abs(mine - theirs) / np.where(scale > 0, scale, 1.0)
    apart[(mine == theirs) | (np.isnan(mine) & np.isnan(theirs))] = 0.0
    return float(np.nan_to_num(apart, nan=np.inf).max(initial=0.0))


def judged(mine, theirs):
    """Return the verdict and the worst (difference, species)."""
    sizes = {name: float(abs(theirs[name]).max(initial=0.0)) for name in theirs}
    least = LEAST * max(sizes.values(), default=0.0)
    shared = [name for name in theirs if name in mine and sizes[name] >= least]
    worst = max(((difference(mine[n], theirs[n]), n) for n in shared), default=(0, ""))
    return ("agrees" if worst[0] <= AGREES else "differs"), worst


def amounts(result, model, species):
    """Return {species: amounts} of a result, in the units of the file."""
    from mir21sim.simulation.dataset import variable_name

    sized = {*model.param_names, *model.state_names, *model.assigned_names}
    found = {}
    for pool in species:
        curve = result[variable_name(pool.id)].values
        if model.border.means_concentration(pool) and pool.compartment in sized:
            curve = curve * result[variable_name(pool.compartment)].values
        found[pool.id] = curve
    return found


def own(path, end, points, row):
    """Load and run a file; return the model and a run of it, filling in the row."""
    import mir21sim as ms

    def first():
        model = ms.load(path)
        species = model.network.species
        sized = {*model.param_names, *model.state_names, *model.assigned_names}
        homes = {s.compartment for s in species} & sized
        kept = [*(s.id for s in species), *sorted(homes)] or None
        last = end / model.border.per_time

        def run():
            return ms.simulate(model, last, points=points, observe=kept, doses=[])

        row["loads"], row["events"] = 1, len(model.network.events)
        run()
        return model, run

    (model, run), row["first_s"] = timed(first)
    row["runs"] = 1
    return model, run


def against_roadrunner(found, row, model, run):
    """Fill in the row; return the exact curves of roadrunner.

    Parameters
    ----------
    found : of ``with_roadrunner``
    """
    names, again, exact, row["rr_first_s"] = found
    (mine, theirs), (row["second_s"], row["rr_second_s"]) = interleaved([run, again])
    right = columns(exact(), names)
    curves = amounts(mine, model, model.network.species)
    row["error"] = largest_error(curves, right)
    row["rr_error"] = largest_error(columns(theirs, names), right)
    return right


def columns(table, names):
    """Return {species: curve} of a table of roadrunner."""
    return {name: table[:, k + 1].copy() for k, name in enumerate(names)}


def largest_error(mine, right):
    """Return the largest difference over the largest value of each species."""
    found = 0.0
    for name in right:
        size = abs(right[name]).max(initial=0.0)
        if name in mine and size > 0:
            found = max(found, abs(mine[name] - right[name]).max() / size)
    return float(found)


def one(path, end, points, tools):
    """Return the row of one file."""
    row = dict.fromkeys(FIELDS, "") | {"file": path.name, "loads": 0, "runs": 0}
    try:
        model, run = own(path, end, points, row)
    except Exception as error:  # noqa: BLE001  one row a file, whatever happens
        row["note"] = f"{type(error).__name__}: {error}"[:300]
        return row
    for tool in tools:
        try:
            if tool == "roadrunner":
                found = with_roadrunner(path, end, points)
                theirs = against_roadrunner(found, row, model, run)
            else:
                theirs = with_copasi(path, end, points)
        except Exception as error:  # noqa: BLE001  the tools raise many kinds
            row[tool] = "cannot"
            row["note"] += f" {tool}: {error}"[:150]
            continue
        mine = amounts(run(), model, model.network.species)
        row[tool], worst = judged(mine, theirs)
        if row[tool] == "differs":
            row["worst"] += f"{tool} {worst[1]} {worst[0]:.2g} "
    return row


def ratio(rows, mine, theirs, events):
    """Return the median ratio of two times over the files with or without events."""
    found = [
        row[mine] / row[theirs]
        for row in rows
        if row[mine] and row[theirs] and bool(row["events"]) == events
    ]
    return statistics.median(found) if found else float("nan")


def median_error(rows, name):
    """Return the median of the errors of the files that were run by both."""
    found = [row[name] for row in rows if row[name] != ""]
    return statistics.median(found) if found else float("nan")


def report(rows, tools):
    """Print the sums."""
    n = len(rows)
    loads, runs = (sum(row[k] for row in rows) for k in ("loads", "runs"))
    print(f"files {n}; load {loads}; run {runs}")
    for tool in tools:
        verdicts = [row[tool] for row in rows]
        words = ", ".join(
            f"{verdict} {verdicts.count(verdict)}"
            for verdict in ("agrees", "differs", "cannot")
        )
        print(f"{tool}: {words}")
    for events in (False, True):
        kind = "with" if events else "without"
        print(
            f"median CPU time over roadrunner's, {kind} events: "
            f"second run {ratio(rows, 'second_s', 'rr_second_s', events):.2f}, load, "
            f"compile and first run {ratio(rows, 'first_s', 'rr_first_s', events):.2f}"
        )
    mine, theirs = median_error(rows, "error"), median_error(rows, "rr_error")
    print(
        "median error over the largest value, of the runs that were timed: "
        f"{mine:.1e}, roadrunner {theirs:.1e}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--end", type=float, default=100.0, help="model time")
    parser.add_argument("--points", type=int, default=101)
    parser.add_argument("--tools", default="roadrunner,copasi")
    parser.add_argument("--output", type=Path, help="CSV of the rows")
    parser.add_argument("--match", default="", help="part of the file names to take")
    given = parser.parse_args()
    tools = [tool for tool in given.tools.split(",") if tool]
    os.environ["MIR21SIM_CACHE"] = tempfile.mkdtemp(prefix="guests-")
    import mir21sim as ms

    # Imports and general solvers, which are compiled once on a machine.
    ms.simulate(ms.load("earm_1_3"), 1, points=2)
    one_run = ms.Options(method="Rodas5P-one")
    ms.simulate(ms.load("earm_1_3"), 1, points=2, options=one_run)
    rows = []
    for path in sbml_files(given.folder):
        if given.match not in path.name:
            continue
        with warnings.catch_warnings(), contextlib.redirect_stderr(sys.stdout):
            warnings.simplefilter("ignore")
            rows.append(one(path, given.end, given.points, tools))
        row = rows[-1]
        shown = (f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values())
        print("\t".join(shown), flush=True)
    if given.output:
        with given.output.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, FIELDS)
            table.writeheader()
            table.writerows(rows)
    report(rows, tools)


if __name__ == "__main__":
    main()
