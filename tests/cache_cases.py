"""A small network and its cache, for the tests of the cache."""

import numpy as np
import support
from support import reaction

from mir21sim.compiler import cache

NET = support.network({"A": 3.0}, {"k": 0.5}, [reaction("r1", "A ->", "k*A")])


def slope(net=NET, backend="numpy"):
    """Return dA/dt at A = 3 through the cache."""
    module = cache.kernels(net, backend)
    out = np.full(1, np.nan)
    p = np.array([1.0, *(p.value for p in net.parameters)])
    module.kernels.rhs(0.0, np.array([3.0]), p, out)
    return out[0]


def module_file(folder):
    (path,) = folder.glob("m_*.py")
    return path
