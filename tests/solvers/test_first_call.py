"""The first run of a process starts in several threads at a time."""

import subprocess
import sys

CODE = """
import mir21sim as ms
import mir21sim.solvers.batch.integrate
from numba.core.typing.typeof import typeof_impl

model = ms.load("earm_1_3")
before = set(typeof_impl.registry)
over = {model.param_names[1]: [1e-7, 2e-7]}
ms.sweep(model, over, "10 min", options=ms.Options(method="Rodas4"))
late = set(typeof_impl.registry) - before
assert not late, late
"""


def test_no_type_is_registered_by_the_threads():
    """Numba registers some types at its first call, while threads look them up."""
    subprocess.run([sys.executable, "-c", CODE], check=True)
