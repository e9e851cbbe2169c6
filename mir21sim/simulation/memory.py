"""Refuse arrays that this machine cannot hold, before any work is done."""

import functools
import os

from mir21sim.errors import InputError

_UNKNOWN = 64 * 2**30
"""Bytes assumed where the system does not tell its memory."""


@functools.cache
def machine_bytes() -> int:
    """Return the memory of this machine, bytes."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return _UNKNOWN


def check_fits(numbers: int, kind: str, remedy: str) -> None:
    """Stop where an array of doubles is larger than the memory of the machine.

    Parameters
    ----------
    numbers : number of elements
    kind : the array, for the message
    remedy : a phrase that says how to need less

    Raises
    ------
    InputError
        Before the system ends the process for want of memory.
    """
    needed, there = 8 * numbers, machine_bytes()
    if needed > there:
        raise InputError(
            f"{kind} would take {needed / 2**30:.3g} GiB of memory, this machine has "
            f"{there / 2**30:.3g} GiB: {remedy}."
        )
