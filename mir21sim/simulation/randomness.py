"""Random numbers that belong to a name, and lognormal factors."""

import hashlib

import numpy as np

from mir21sim._typing import FloatArray
from mir21sim.errors import InputError


def stream(seed: int, *labels: object) -> np.random.Generator:
    """Return the random generator of some labels.

    Its numbers do not depend on the order in which generators are used.

    Examples
    --------
    >>> a = stream(1, "western", "PTEN", 0).random()
    >>> a == stream(1, "western", "PTEN", 0).random()
    True
    """
    if seed < 0:
        raise InputError(f"`seed` must be 0 or more, got {seed}.")
    digest = hashlib.sha256("\0".join(map(str, labels)).encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])


def lognormal_factors(cv: float | FloatArray, normal: FloatArray) -> FloatArray:
    """Return lognormal factors of mean 1 from standard normal numbers.

    Parameters
    ----------
    cv : coefficient of variation, 0 or more; one number or the shape of `normal`
    """
    spread = np.sqrt(np.log1p(np.square(cv)))
    return np.asarray(np.exp(spread * normal - spread**2 / 2), dtype=np.float64)
