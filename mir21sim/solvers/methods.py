"""All methods of integration: one line each."""

from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import UnknownNameError
from mir21sim.solvers.batch import rodas4, rodas5p
from mir21sim.solvers.method import BATCH, Method
from mir21sim.solvers.single import scipy_methods

METHODS: tuple[Method, ...] = (
    rodas5p.METHOD,
    rodas4.METHOD,
    scipy_methods.LSODA,
    scipy_methods.BDF,
    scipy_methods.RADAU,
)
"""In the order of their numbers in ``Solution.method``: new ones come last."""

ONE, MANY = scipy_methods.LSODA, rodas5p.METHOD
"""Default methods of one run and of many."""

FALLBACK = scipy_methods.LSODA
"""Takes the place of a method that does not support a model."""

SECOND_TRY = scipy_methods.RADAU
"""A run that failed by another method is tried once more by this one."""

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
    """Return the method, or LSODA where it does not support the model."""
    return FALLBACK if method.supports(model) is not None else method


def is_batch(name: str) -> bool:
    """Return whether the batch solver runs a method: eight runs at a time."""
    return method_of(name).family == BATCH
