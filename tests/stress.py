"""Damage caches, kill processes and workers, fill disks: nothing wrong, nothing lost.

Run by hand, with the number of trials of each kind (all of the issue: 300 100 60 20):

    python tests/stress.py --files 300 --kills 100 --workers 60 --disks 20

A full disk is a small file system in memory where the user may mount one (Linux, as
root), else a limit on the size of files. Figures are in benchmarks/README.md.
"""

import argparse
import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "examples" / "caspase_switch.xml"
OBSERVE = "CASP3_active"
CALL = {
    "end": "6 h",
    "points": 13,
    "observe": [OBSERVE],
    "doses": "CASP8_active=100 molecule@1h",
}

FORK = multiprocessing.get_context("fork")


def numbers(cache):
    """Return the numbers of a small sweep and a single run: every kind of kernel."""
    import numpy as np

    import mir21sim as ms

    os.environ["MIR21SIM_CACHE"] = str(cache)
    model = ms.load(MODEL)
    swept = ms.sweep(model, {"k_bind": np.geomspace(2e-7, 2e-5, 16)}, **CALL)
    single = ms.simulate(model, **CALL)
    return (swept[OBSERVE].values.tobytes() + single[OBSERVE].values.tobytes()).hex()


def swept(path, n_jobs, *, resume):
    """Write a sweep to a file."""
    import numpy as np

    import mir21sim as ms

    over = {"k_bind": np.geomspace(2e-7, 2e-5, N_RUN)}
    options = ms.Options(n_jobs=n_jobs)
    model = ms.load(MODEL)
    ms.sweep(model, over, output=path, resume=resume, options=options, **CALL)
    return ""


N_RUN = 12_000


def _child(record, function, arguments, named):
    warnings.simplefilter("ignore")
    try:
        text = f"right {function(*arguments, **named)}"
    except Exception as error:  # noqa: BLE001 - written down, whatever it is
        text = f"{type(error).__module__} {type(error).__name__}: {error}"
    record.write_text(text)


def started(record, function, *arguments, **named):
    """Start a function in a process that has the libraries, but no kernels."""
    record.unlink(missing_ok=True)
    process = FORK.Process(target=_child, args=(record, function, arguments, named))
    process.start()
    return process


def outcome(process, record, wanted):
    """Return "right", "wrong", "crash", "sentence" or "no sentence" of a process.

    A failure without a sentence of ours is returned with its own words.
    """
    process.join(600)
    if process.exitcode != 0:
        process.kill()
        return "crash"
    kind, _, text = record.read_text().partition(" ")
    if kind == "right":
        return "right" if text == wanted else "wrong"
    if kind == "mir21sim.errors":
        return "sentence"
    return f"no sentence ({kind} {' '.join(text.split())[:200]})"


def verdict(done):
    """Return "crash", "sentence" or "no sentence" for a command that failed."""
    if done.returncode < 0 or done.returncode > 128:
        return "crash"
    last = done.stderr.strip().splitlines()[-1:] or [""]
    told = last[0].startswith("mir21sim: ") and "internal error" not in last[0]
    return "sentence" if told else "no sentence"


def damaged(data, rng):
    """Return data with one bit changed, or, one time in five, cut."""
    if not data or rng.random() < 0.2:
        return data[: rng.randrange(len(data) + 1)]
    changed = bytearray(data)
    changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def damage_files(n, rng, home, found):
    """Damage one file of the cache before each start."""
    cache, record = home / "cache", home / "record"
    started(record, numbers, cache).join()
    wanted = record.read_text().removeprefix("right ")
    names = [p.relative_to(cache) for p in cache.rglob("*") if p.stat().st_size]
    names = sorted(name for name in names if (cache / name).is_file())
    whole = {name: (cache / name).read_bytes() for name in names}
    found["files in the cache"] = len(names)
    for k in range(n):
        name = names[k % len(names)]
        (cache / name).write_bytes(damaged(whole[name], rng))
        found[outcome(started(record, numbers, cache), record, wanted)] += 1
        (cache / name).write_bytes(whole[name])


def values_of(path):
    import xarray as xr

    with xr.open_dataset(path, engine="h5netcdf") as kept:
        return kept[OBSERVE].values.tobytes(), int((kept["status"] != 0).sum())


def kill_and_resume(n, rng, home, found):
    """Kill a sweep at a random moment, then resume it with another number of jobs."""
    first, record = home / "first.nc", home / "record"
    for _ in range(2):  # the second time from the cache
        began = time.monotonic()
        started(record, swept, first, 1, resume=False).join()
        length = time.monotonic() - began
    wanted = values_of(first)
    for k in range(n):
        path = home / f"k{k}.nc"
        running = started(record, swept, path, 1, resume=False)
        running.join(rng.uniform(0.1, 1.1) * length)
        running.kill()  # SIGKILL, unless it has ended
        running.join()
        parts = list((home / f"k{k}.nc.partial").glob("runs-*.npz"))
        found["killed with parts" if parts else "killed without parts"] += 1
        if parts and rng.random() < 0.25:
            part = rng.choice(parts)
            part.write_bytes(damaged(part.read_bytes(), rng))
            found["with a part damaged besides"] += 1
        again = started(record, swept, path, rng.choice([1, 2]), resume=True)
        ended = outcome(again, record, "")
        if ended == "right" and values_of(path) != wanted:
            ended = "wrong"
        found[ended] += 1
        path.unlink(missing_ok=True)
        left = {p.name for p in home.iterdir()} - {"first.nc", "record"}
        found["files left"] += len(left)


def kill_workers(n, rng, home, found):
    """Kill a process of a pool at a random moment of a sweep."""
    import numpy as np

    import mir21sim as ms

    del home
    warnings.simplefilter("ignore")
    model = ms.load(MODEL)
    over = {"k_bind": np.geomspace(2e-7, 2e-5, 1500)}
    wanted = ms.sweep(model, over, **CALL)[OBSERVE].values
    spawn = multiprocessing.get_context("spawn")
    for _ in range(n):
        pool = ProcessPoolExecutor(2, spawn)
        pids = {pool.submit(os.getpid).result() for _ in range(4)}
        killer = threading.Timer(
            rng.choice([0.0, rng.uniform(0.0, 0.3), rng.uniform(0.0, 3.0)]),
            os.kill,
            (rng.choice(sorted(pids)), signal.SIGKILL),
        )
        killer.start()
        try:
            made = ms.sweep(model, over, options=ms.Options(executor=pool), **CALL)
            good = np.array_equal(made[OBSERVE].values, wanted)
            found["right" if good else "wrong"] += 1
        except Exception as error:  # noqa: BLE001 - counted, whatever it is
            found[f"lost ({type(error).__name__})"] += 1
        killer.cancel()
        for process in list((pool._processes or {}).values()):
            process.kill()
        pool.shutdown(wait=False, cancel_futures=True)


@contextlib.contextmanager
def small_disk(folder, kilobytes):
    """Give a folder on a file system of a size; False where it cannot be mounted."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    mounted = (
        sys.platform == "linux"
        and subprocess.run(
            ["mount", *options], check=False, capture_output=True
        ).returncode
        == 0
    )
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


def fill_disks(n, rng, home, found):
    """Run commands whose output or cache does not fit on the disk."""
    kinds = ("sweep.nc", "run.nc", "run.csv", "run.png", "run.omex", "model.xml")
    kinds += ("cache",)
    for k in range(n):
        disk = home / f"disk{k}"
        with small_disk(disk, rng.choice([4, 12, 40, 100, 250])) as mounted:
            found["by a mounted file system" if mounted else "by a limit"] += 1
            kind = kinds[k % len(kinds)]
            limit = {} if mounted else {"preexec_fn": limit_files}
            if kind == "cache":
                limit["env"] = {**os.environ, "MIR21SIM_CACHE": str(disk)}
            done = subprocess.run(
                disk_command(disk / kind),
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
                **limit,
            )
            whole = done.returncode == 0
            found["fitted" if whole else verdict(done)] += 1
            if kind == "cache":
                found["full cache" if whole else "stopped by a full cache"] += 1
            if not whole and (disk / kind).exists():
                found["half a file"] += 1


def limit_files():
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


def disk_command(path):
    """Return a command that writes a file of the kind of a path."""
    run = [sys.executable, "-m", "mir21sim.cli"]
    if path.name == "sweep.nc":
        over = ["--over", "k_bind=log:2e-7:2e-5:2000", "--points", "13", "-q"]
        return [*run, "sweep", str(MODEL), *over, "-o", str(path)]
    if path.name == "cache":
        return [*run, "simulate", str(MODEL)]
    if path.suffix == ".xml":
        return [*run, "convert", "mir21_core", "-o", str(path)]
    output = "--plot" if path.suffix == ".png" else "-o"
    return [*run, "simulate", str(MODEL), "--points", "5001", output, str(path)]


KINDS = {
    "files": damage_files,
    "kills": kill_and_resume,
    "workers": kill_workers,
    "disks": fill_disks,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in KINDS:
        parser.add_argument(f"--{name}", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    given = vars(parser.parse_args())
    import numba  # noqa: F401 - in all children then
    import xarray  # noqa: F401

    import mir21sim  # noqa: F401

    for name, test in KINDS.items():
        if not given[name]:
            continue
        home = Path(tempfile.mkdtemp(prefix="mir21sim-stress-"))
        began, found = time.monotonic(), Counter()
        with contextlib.suppress(KeyboardInterrupt):  # show the trials so far
            test(given[name], random.Random(given["seed"]), home, found)
        shutil.rmtree(home, ignore_errors=True)
        counts = ", ".join(f"{n} {what}" for what, n in sorted(found.items()))
        print(f"{name}: {counts} ({time.monotonic() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
