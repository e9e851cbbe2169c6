"""All methods of integration: one line each."""

from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import UnknownNameError
from mir21sim.solvers.batch import rodas4, rodas5p
from mir21sim.solvers.method import BATCH, Method
from mir21sim.solvers.single import delayed, implicit, one_rodas, scipy_methods

METHODS: tuple[Method, ...] = (
    rodas5p.METHOD,
    rodas4.METHOD,
    scipy_methods.LSODA,
    scipy_methods.BDF,
    scipy_methods.RADAU,
    one_rodas.METHOD,
    delayed.METHOD,
    implicit.METHOD,
)
"""In the order of their numbers in ``Solution.method``: new ones come last."""

ONE, MANY = one_rodas.METHOD, rodas5p.METHOD
"""Default methods of one run and of many."""

FALLBACKS = (ONE, scipy_methods.LSODA, delayed.METHOD, implicit.METHOD)
"""The first that supports a model takes the place of a method that does not."""

SECOND_TRY = scipy_methods.RADAU
"""A run that failed by another method is tried once more by this one."""

SECOND_TRIES = {ONE.name: scipy_methods.LSODA}
"""Methods whose failed runs are tried by another one first."""

NAMES = tuple(method.name for method in METHODS)


def listed() -> str:
    """Return the names of the methods, with the defaults, for a help text."""
    notes = {ONE.name: " (default of one run)", MANY.name: " (default of many)"}
    return ", ".join(name + notes.get(name, "") for name in NAMES)


def method_of(name: str) -> Method:
    """Return the method of a name, in upper or lower case.

    Raises
    ------
    UnknownNameError
        For any other name, with the near name and the list.
    """
    for method in METHODS:
        if method.name.lower() == name.lower():
            return method
    raise UnknownNameError("method", name, NAMES)


def usable(model: CompiledModel, method: Method) -> Method:
    """Return the method, or the first of ``FALLBACKS`` where it does not fit."""
    return next(m for m in (method, *FALLBACKS) if m.supports(model) is None)


def second_try(method: Method) -> Method | None:
    """Return the method that tries a failed run once more, None for no other try."""
    if method in (SECOND_TRY, delayed.METHOD, implicit.METHOD):
        return None
    return SECOND_TRIES.get(method.name, SECOND_TRY)


def is_batch(name: str) -> bool:
    """Return whether the batch solver runs a method: eight runs at a time."""
    return method_of(name).family == BATCH
