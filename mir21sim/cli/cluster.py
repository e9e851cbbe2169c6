"""``--cluster``: a client of dask.distributed, or a sentence why there is none."""

import sys
from concurrent.futures import Executor
from typing import Any, cast

from mir21sim.errors import InputError

PATIENCE_S = 10.0
"""Time within which a scheduler must answer, s."""


def executor(address: str) -> Executor:
    """Return the executor of parts on the cluster at an address.

    Raises
    ------
    InputError
        Without the extra `dask`, for an address without a scheduler, or a cluster
        without workers.
    """
    if sys.modules.get("dask", ...) is None:
        del sys.modules["dask"]  # the command line hides it from xarray, for its start
    try:
        import distributed
    except ImportError as error:
        raise InputError(
            'A cluster needs the extra `dask`: pip install "mir21sim[dask]".'
        ) from error
    try:
        client: Any = distributed.Client  # has no types
        found = client(address, timeout=PATIENCE_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise InputError(
            f"No dask scheduler answers at `{address}` within {PATIENCE_S:g} s: start "
            "one (`dask scheduler`, `dask worker ADDRESS`), or leave --cluster out."
        ) from error
    if not found.scheduler_info()["workers"]:
        found.close()
        raise InputError(
            f"The dask scheduler at `{address}` has no workers: start one "
            f"(`dask worker {address}`), or leave --cluster out."
        )
    return cast("Executor", found.get_executor())
