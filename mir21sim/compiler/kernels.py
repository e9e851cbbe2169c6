"""Records of compiled functions: rates, Jacobian, events."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mir21sim._typing import BoolArray, FloatArray, IntArray, Kernel

RELATIONS = ("==", "!=", "<", "<=", ">", ">=")
"""Kinds of relations; generated code and solvers number them by their place here."""


@dataclass(frozen=True, eq=False)
class EventKernels:
    """The events of one network, and the relations that make its functions jump.

    A relation compares two expressions; its root function is their difference. A kernel
    is ``(t, y, p, out)`` and fills ``out``.

    Attributes
    ----------
    names : ids of the events
    initial : bool array, shape (n_event,), the value of each trigger before the start
    persistent : bool array, executed though the trigger is false again
    early : bool array, values of the moment of firing are assigned
    ranked : bool array, has a priority
    first : int array, shape (n_event + 1,), where the assignments of each event begin
    is_state, index : of every assignment, shape (n_assignment,): whether a state or a
        parameter is set, and which one
    kind : int array, shape (n_relation,), index into ``RELATIONS``
    user : int array, an event whose trigger has the relation, -1 where a rate has it
    moving : bool array, the root function changes while no event does anything
    timed : bool array, it is known when the relation may turn: ``moments`` says it
        where it is linear in time, ``pieces`` and ``jumps`` where it jumps between
    pieced : bool array, the relation is linear in time between jumps
    from_left : bool array, at a jump it has the value before it, as of a ceiling
    piece_of : int array, shape (n_piece,), the relation of each linear piece
    n_jump : jumps that ``jumps`` gives
    make : compiles ``roots`` on its first use
    roots, moments : kernels, out (n_relation,)
    pieces : kernel, out (n_piece,), the times at which linear pieces are zero
    jumps : kernel, out (n_jump,), the next times after t at which root functions jump
    triggers : kernel ``(t, r, p, out)``, out (n_event,), of the truths ``r`` as 0 or 1
    delays, priorities : kernels, out (n_event,)
    values, sizes : kernels per event, out (assignments of the event,); a concentration
        times its size is the amount that the state holds, other sizes are 1
    """

    names: tuple[str, ...]
    initial: BoolArray
    persistent: BoolArray
    early: BoolArray
    ranked: BoolArray
    first: IntArray
    is_state: BoolArray
    index: IntArray
    kind: IntArray
    user: IntArray
    moving: BoolArray
    timed: BoolArray
    pieced: BoolArray
    from_left: BoolArray
    piece_of: IntArray
    n_jump: int
    make: Callable[[str], Kernel]
    moments: Kernel
    pieces: Kernel
    jumps: Kernel
    triggers: Kernel
    delays: Kernel
    priorities: Kernel
    values: tuple[Kernel, ...]
    sizes: tuple[Kernel, ...]

    @cached_property
    def roots(self) -> Kernel:
        """The root functions of the relations."""
        return self.make("roots")

    @cached_property
    def roots_by_address(self) -> Kernel:
        """The root functions, of the addresses of their arrays; not for NumPy."""
        return self.make("roots_by_address")

    @cached_property
    def watched(self) -> BoolArray:
        """Relations that may turn at a time not known before, shape (n_relation,)."""
        return self.moving & ~self.timed

    @cached_property
    def either(self) -> BoolArray:
        """Relations ``==`` and ``!=``, which turn at zero only, shape (n_relation,)."""
        return np.isin(self.kind, [RELATIONS.index("=="), RELATIONS.index("!=")])

    @cached_property
    def holds_at_zero(self) -> BoolArray:
        """Relations that at zero are as above zero, shape (n_relation,)."""
        return np.isin(self.kind, [RELATIONS.index("<"), RELATIONS.index(">=")])

    def wrapped(self, wrap: Callable[[Kernel], Kernel]) -> "EventKernels":
        """Return the events with every kernel that reads states and parameters wrapped.

        The triggers stay: they read truths of relations, whose root functions are
        wrapped.
        """
        make = self.make
        return replace(
            self,
            make=lambda name: wrap(make(name)),
            moments=wrap(self.moments),
            pieces=wrap(self.pieces),
            jumps=wrap(self.jumps),
            delays=wrap(self.delays),
            priorities=wrap(self.priorities),
            values=tuple(map(wrap, self.values)),
            sizes=tuple(map(wrap, self.sizes)),
        )


@dataclass(frozen=True, eq=False)
class Kernels:
    """The functions of one network; each fills its last array and returns nothing.

    A compiled kernel is compiled, or read from the cache, when it is first asked for:
    a run of the batch solver asks for none of them.

    Attributes
    ----------
    make : returns the kernel of a name, the same one to whichever thread asks
    rhs : ``(t, y, p, out)``, out (n_state,) = dy/dt
    jac : ``(t, y, p, out)``, out (n_nonzero,) = d rhs/dy at ``j_row``, ``j_col``
    dfdt : ``(t, y, p, out)``, out (n_state,) = explicit d rhs/dt
    rates : ``(t, y, p, out)``, out (n_rate,)
    assigned : ``(t, y, p, out)``, out (n_assigned,)
    initial : ``(t, y, p, keep_y, keep_p)``, sets start values that are formulas
    j_row, j_col : int arrays, shape (n_nonzero,), sorted by column, then row
    n_row, n_col, n_value : stoichiometry, state × rate
    term_rate : int array, the rate that each term is of: a rate is a sum of terms
    factor_term, factor_state : int arrays, a term and a state that makes it zero
    total_row, total_state, total_value : a basis of the conserved totals × state
    events : events and relations, None where a network has neither
    backend : "numba" or "numpy"
    """

    make: Callable[[str], Kernel]
    initial: Kernel
    j_row: IntArray
    j_col: IntArray
    n_row: IntArray
    n_col: IntArray
    n_value: FloatArray
    term_rate: IntArray
    factor_term: IntArray
    factor_state: IntArray
    total_row: IntArray
    total_state: IntArray
    total_value: FloatArray
    n_state: int
    n_rate: int
    n_assigned: int
    events: EventKernels | None
    backend: str

    @property
    def n_term(self) -> int:
        """Number of terms of all rates."""
        return len(self.term_rate)

    @cached_property
    def rhs(self) -> Kernel:
        """The right-hand side."""
        return self.make("rhs")

    @cached_property
    def jac(self) -> Kernel:
        """The non-zeros of the Jacobian."""
        return self.make("jac")

    @cached_property
    def dfdt(self) -> Kernel:
        """The explicit derivative of the right-hand side by the time."""
        return self.make("dfdt")

    @cached_property
    def rates(self) -> Kernel:
        """The reaction rates."""
        return self.make("rates")

    @cached_property
    def assigned(self) -> Kernel:
        """The rule variables."""
        return self.make("assigned")
