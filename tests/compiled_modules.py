"""Modules whose functions are compiled when they are imported, and their compilation.

From an empty cache that takes longer than most files of tests.
"""

import subprocess
import sys

HALVES = (
    (
        "mir21sim.solvers.batch.adjoint",
        "mir21sim.solvers.batch.driver",
        "mir21sim.solvers.batch.output_tangents",
        "mir21sim.solvers.batch.rate_tangents",
    ),
    (
        "mir21sim.solvers.batch.tangents",
        "mir21sim.solvers.batch.outputs",
        "mir21sim.solvers.batch.feature_kernel",
        "mir21sim.solvers.batch.step_features",
        "mir21sim.solvers.single.one_driver",
        "mir21sim.solvers.single.reduction_compiled",
    ),
)
"""The modules in two halves of about equal work, one for each core."""

_IMPORT = "import importlib, sys; [*map(importlib.import_module, sys.argv[1:])]"


def compile_all():
    """Compile all functions of the solvers into the cache, by two processes.

    A mistake in one of them is reported by the tests that import it.
    """
    command = [sys.executable, "-c", _IMPORT]
    running = [subprocess.Popen([*command, *names]) for names in HALVES]
    for process in running:
        process.wait()
