"""Read a stranger's file in a process of its own, within bounds of time and memory.

A file that ends the reader, or that takes it too long or too much memory, costs this
process alone: the explorer says so in one sentence and goes on. A file that passes is
read again by the explorer: the same code reads the same bytes.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from mir21sim.errors import InputError, Mir21simError, ModelError

CPU_SECONDS = 60
"""Processor time that a file may take to be read, s."""

WALL_SECONDS = 240.0
"""Time on the clock, s: a busy computer may take some times the processor time."""

MEMORY = 4_000_000_000
"""Address space of the process, bytes; the reader alone takes about a third of it."""


def read_apart(
    path: Path, *, cpu_seconds: int = CPU_SECONDS, memory: int = MEMORY
) -> None:
    """Read a model file in a process of its own.

    Parameters
    ----------
    path : an .xml, .sbml or .ant file
    cpu_seconds, memory : bounds, s and bytes; on Windows the time on the clock alone

    Raises
    ------
    ModelError, InputError
        With the sentence of the reader, or the bound that was met.
    """
    command = [sys.executable, "-m", "mir21sim.web.trial", str(path)]
    try:
        done = subprocess.run(
            [*command, str(cpu_seconds), str(memory)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=WALL_SECONDS,
            check=False,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"Reading {path.name} took more than {WALL_SECONDS:.0f} s and was stopped: "
            f"{_LESS}"
        ) from error
    lines = done.stdout.decode(errors="replace").strip().splitlines()
    told = json.loads(lines[-1]) if done.returncode == 0 and lines else None
    if told is None:
        _ended(path.name, done.returncode, cpu_seconds, memory)
    if told["error"]:
        kind = InputError if told["kind"] == "InputError" else ModelError
        raise kind(told["error"])


_LESS = "leave out what is not simulated, or run it on the command line."


def _ended(name: str, code: int, cpu_seconds: int, memory: int) -> NoReturn:
    """Raise the sentence about a reader that ended without an answer."""
    if code in (-getattr(signal, "SIGXCPU", 0), -getattr(signal, "SIGKILL", 0)):
        raise ModelError(
            f"Reading {name} took more than {cpu_seconds} s of processor time and was "
            f"stopped: {_LESS}"
        )
    if code == _NO_MEMORY or code == -signal.SIGABRT:
        raise ModelError(
            f"Reading {name} needs more than {memory / 1e9:.3g} GB of memory: {_LESS}"
        )
    raise ModelError(
        f"{name} ended the process that read it (code {code}), so it is not opened "
        "here: check it with another tool first."
    )


_NO_MEMORY = 12
"""Exit code of a reader that ran out of memory."""


def _bound(cpu_seconds: int, memory: int) -> None:
    """Bound this process, where the system can."""
    if sys.platform == "win32":
        return
    import resource

    for kind, most in (
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (soft, hard))


def main(path: str, cpu_seconds: str, memory: str) -> int:
    """Read a file, and print one line of JSON: the error and its kind, or none."""
    _bound(int(cpu_seconds), int(memory))
    told = {"error": "", "kind": ""}
    try:
        from mir21sim.web.models import read_facts

        read_facts(Path(path).name, Path(path), "")
    except Mir21simError as error:
        kind = "InputError" if isinstance(error, InputError) else "ModelError"
        told = {"error": " ".join(str(error).split()), "kind": kind}
    except MemoryError:
        return _NO_MEMORY
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
