"""CompiledModel: kernels plus the names that give axes a meaning. Layer 2."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from mir21sim._typing import BoolArray, FloatArray, IntArray, Kernel
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.ir import Network

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
    initial : bool array, shape (n_event,), what a trigger counts as before the start
    persistent : bool array, executed though the trigger is false again
    early : bool array, values of the moment of firing are assigned
    ranked : bool array, has a priority
    first : int array, shape (n_event + 1,), where the assignments of each event begin
    is_state, index : of every assignment, shape (n_assignment,): whether a state or a
        parameter is set, and which one
    kind : int array, shape (n_relation,), index into ``RELATIONS``
    user : int array, an event whose trigger has the relation, -1 where a rate has it
    moving : bool array, the root function changes while no event does anything
    timed : bool array, the relation is linear in time; ``moments`` says when it turns
    make : compiles ``roots`` on its first use
    roots, moments : kernels, out (n_relation,)
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
    make: Callable[[str], Kernel]
    moments: Kernel
    triggers: Kernel
    delays: Kernel
    priorities: Kernel
    values: tuple[Kernel, ...]
    sizes: tuple[Kernel, ...]

    @cached_property
    def roots(self) -> Kernel:
        """The root functions of the relations."""
        return self.make("roots")


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


@dataclass(frozen=True, slots=True)
class Input:
    """A species that doses go into, and how a dose turns into molecules."""

    species: str
    label: str
    unit: str
    molecules_per_unit: float | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Observable:
    """A quantity worth looking at, with the label a figure prints."""

    id: str
    label: str
    commits: bool = False


@dataclass(frozen=True, slots=True)
class Gene:
    """A gene: what a perturbation of it acts on.

    Attributes
    ----------
    protein : species of its protein, the free form first
    mrna : species of its mRNA, "" where the model has none
    synthesis : parameters in proportion to which its protein is made
    site : parameter values that make its 3'UTR blind to miR-21
    """

    id: str
    protein: tuple[str, ...]
    mrna: str = ""
    synthesis: tuple[str, ...] = ()
    site: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What stands in a model's `.toml`: words and defaults, no mathematics."""

    id: str
    title: str = ""
    description: str = ""
    cell_compartment: str = ""
    equilibrate: bool = False
    default_context: str = ""
    references: tuple[tuple[str, str], ...] = ()
    inputs: Mapping[str, Input] = field(default_factory=dict)
    observables: Mapping[str, Observable] = field(default_factory=dict)
    genes: Mapping[str, Gene] = field(default_factory=dict)
    modules: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    end_h: float = 24.0
    doses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class CompiledModel:
    """One reaction network with its kernels, ready to integrate.

    Immutable; built by ``library.load``. Whatever varies between runs is an argument
    of the run and is never stored here.

    Attributes
    ----------
    info : labels, inputs and defaults of the model
    context : str, id of the context whose values are in ``y0`` and ``p0``, or ""
    network : the network as read, with the context's values
    state_names, param_names, assigned_names, rate_names : axis orders
    y0 : float array, shape (n_state,), in the model's unit of substance (molecules)
    p0 : float array, shape (n_param,), in the model's units
    atol : float array, shape (n_state,), from each state's scale, for rtol 1e-6
    cell_volume_pL : float, pL, the one volume that turns nM into molecules and back
    volumes_pL : volume of every compartment of constant size, pL
    seconds_per_time : float, seconds in one model unit of time
    molecules_per_amount : float or None, molecules in one model unit of substance
    source : mapping of file name to text, enough to load the model again
    digest : str, SHA-256 of the network with its values
    kernel_key : str, hash of what the kernels depend on: structure, generator, machine
    """

    info: ModelInfo
    context: str
    network: Network
    kernels: Kernels
    state_names: tuple[str, ...]
    param_names: tuple[str, ...]
    assigned_names: tuple[str, ...]
    rate_names: tuple[str, ...]
    y0: FloatArray
    p0: FloatArray
    atol: FloatArray
    cell_volume_pL: float
    volumes_pL: Mapping[str, float]
    seconds_per_time: float
    molecules_per_amount: float | None
    source: Mapping[str, str]
    digest: str
    kernel_key: str

    def __post_init__(self) -> None:
        for label, array, names in (
            ("y0", self.y0, self.state_names),
            ("atol", self.atol, self.state_names),
            ("p0", self.p0, self.param_names),
        ):
            if array.shape != (len(names),):
                raise InputError(
                    f"`{label}` must have shape ({len(names)},), got {array.shape}."
                )
            array.setflags(write=False)  # frozen must hold for the contents too

    @property
    def id(self) -> str:
        """The model's id."""
        return self.info.id

    def state_index(self, name: str) -> int:
        """Return the row of a species; an unknown name raises UnknownNameError."""
        if name not in self.state_names:
            raise UnknownNameError("species", name, self.state_names)
        return self.state_names.index(name)

    def start_values(
        self,
        n_run: int,
        parameters: Mapping[str, FloatArray],
        initials: Mapping[str, FloatArray],
    ) -> tuple[FloatArray, FloatArray]:
        """Return start values and parameters of every run, formulas evaluated.

        Parameters
        ----------
        parameters, initials : names to float arrays, shape (n_run,), in model units;
            they win over start formulas of the model

        Returns
        -------
        y0, p : float arrays, shapes (n_run, n_state) and (n_run, n_param), not to be
            written to
        """
        if not parameters and not initials:
            # Equal rows take no memory: dose sweeps of a million runs have one.
            return (
                np.broadcast_to(self.y0, (n_run, len(self.y0))),
                np.broadcast_to(self.p0, (n_run, len(self.p0))),
            )
        y = np.tile(self.y0, (n_run, 1))
        p = np.tile(self.p0, (n_run, 1))
        keep_y = np.zeros(len(self.state_names), dtype=bool)
        keep_p = np.zeros(len(self.param_names), dtype=bool)
        _fill(p, keep_p, self.param_names, parameters, "parameter")
        _fill(y, keep_y, self.state_names, initials, "species")
        for run in range(n_run):
            self.kernels.initial(0.0, y[run], p[run], keep_y, keep_p)
        return y, p


def _fill(
    matrix: FloatArray,
    keep: BoolArray,
    names: tuple[str, ...],
    values: Mapping[str, FloatArray],
    kind: str,
) -> None:
    """Write named columns into a (run, name) matrix, in place."""
    for name, column in values.items():
        if name not in names:
            raise UnknownNameError(kind, name, names)
        matrix[:, names.index(name)] = column
        keep[names.index(name)] = True


def unique(names: Iterable[str]) -> tuple[str, ...]:
    """Return names without repetition, in order."""
    return tuple(dict.fromkeys(names))
