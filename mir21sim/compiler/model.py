"""CompiledModel: kernels plus the names that give axes a meaning."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mir21sim._typing import BoolArray, FloatArray, IntArray
from mir21sim.compiler import cache
from mir21sim.compiler.card import html_card, text_card
from mir21sim.compiler.equation_terms import Equations
from mir21sim.compiler.equations import equations
from mir21sim.compiler.kernels import Kernels
from mir21sim.errors import CodegenError, InputError, UnknownNameError
from mir21sim.model import delays
from mir21sim.model.border import Border
from mir21sim.model.files import BASE, ModelFiles
from mir21sim.model.info import ModelInfo
from mir21sim.model.metadata import context_table
from mir21sim.model.network import Network
from mir21sim.model.numbers import source_rows

if TYPE_CHECKING:
    import pandas as pd

    from mir21sim.compiler.build_lane_kernels import LaneKernels
    from mir21sim.compiler.build_one_kernels import OneKernels


# No slots: cached properties need a __dict__.
class DelayPlaces(NamedTuple):
    """Places of delayed values; int arrays, shape (n_delay,), inner ones first.

    value : among the parameters; past, before, lag : among the assigned quantities.
    nested : bool array, whether the past value depends on delayed values itself
    in_slopes : whether any slope depends on delayed values
    """

    value: IntArray
    past: IntArray
    before: IntArray
    lag: IntArray
    nested: BoolArray
    in_slopes: bool


class ImplicitPlaces(NamedTuple):
    """Places of unknowns that the solver finds, and of the residuals.

    extent : fast reactions' extents among the parameters; rate : among the rates
    root : other unknowns among the parameters; rest : among the assigned quantities
    pool : among the states, amounts without fast reactions; whole : with them, among
        the assigned quantities
    """

    extent: IntArray
    rate: IntArray
    root: IntArray
    rest: IntArray
    pool: IntArray
    whole: IntArray


@dataclass(frozen=True, eq=False, repr=False)
class CompiledModel:
    """One reaction network with its kernels, ready to integrate.

    Immutable; built by ``load``. Values that vary between runs are arguments of the
    run and are never stored here. Derived quantities that depend on the model alone are
    properties, computed on first use and kept.

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
    kernel_key : str, hash of structure, generator and machine, which decide the kernels

    Examples
    --------
    >>> import mir21sim as ms
    >>> model = ms.load("earm_1_3", backend="numpy")
    >>> "CASP8_active" in model.info.observables, model.parameters.index.name
    (True, 'id')
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

    def __repr__(self) -> str:
        return text_card(self)

    def _repr_html_(self) -> str:
        """Return the card that notebooks show."""
        return html_card(self)

    @property
    def parameters(self) -> "pd.DataFrame":
        """Every number with its unit, status, source and origin, by id."""
        import pandas as pd  # most commands need no tables

        files = ModelFiles(self.id, self.source, self.context)
        return pd.DataFrame(source_rows(files)).set_index("id")

    @cached_property
    def chosen_numbers(self) -> int:
        """Count of the numbers of a cell line that is a sketch, else 0.

        A sketch is a context whose numbers are all ``assumed``: nothing that tells it
        from other lines was measured, derived, fitted or even recalled.
        """
        if not self.context or self.context == BASE:
            return 0
        files = ModelFiles(self.id, self.source, self.context)
        found = [row.status for row in context_table(files).values()]
        return len(found) if set(found) == {"assumed"} else 0

    @cached_property
    def checked_methods(self) -> set[str]:
        """Methods of which a single run was made again with smaller tolerances."""
        return set()

    @cached_property
    def equations(self) -> Equations:
        """The network as differential and explicit equations."""
        return equations(delays.expanded(self.network)[0])

    @cached_property
    def _lanes(self) -> "tuple[LaneKernels | None, str]":
        try:
            return cache.lane_kernels(self.network, self.kernel_key), ""
        except CodegenError as error:
            return None, str(error)

    @property
    def lane_kernels(self) -> "LaneKernels | None":
        """Vector kernels of the batch solver; None where a function has none."""
        return self._lanes[0]

    @property
    def lane_refusal(self) -> str:
        """Reason why there are no vector kernels; empty where there are."""
        return self._lanes[1]

    @cached_property
    def _one(self) -> "tuple[OneKernels | None, str]":
        try:
            return cache.one_kernels(self.network, self.kernel_key), ""
        except CodegenError as error:
            return None, str(error)

    @cached_property
    def delays(self) -> DelayPlaces | None:
        """Where delayed values are; None for a model without delay()."""
        _, found = delays.expanded(self.network)
        if not found:
            return None
        values = {d.value for d in found}
        rests = tuple(self.equations.roots.values())  # behind unknowns, anywhere
        needed = [self.equations.needs([d.past, d.before, *rests]) for d in found]
        return DelayPlaces(
            np.array([self.param_names.index(d.value) for d in found], np.int64),
            np.array([self.assigned_names.index(d.past) for d in found], np.int64),
            np.array([self.assigned_names.index(d.before) for d in found], np.int64),
            np.array([self.assigned_names.index(d.lag) for d in found], np.int64),
            np.array([bool(names & values) for names in needed]),
            bool(self.equations.needs([*self.rate_names, *rests]) & values),
        )

    @cached_property
    def implicit(self) -> ImplicitPlaces | None:
        """Where unknowns are that only the solver finds; None without any."""
        found = self.equations
        if not (found.roots or found.extents):
            return None

        def places(names: Iterable[str], known: tuple[str, ...]) -> IntArray:
            return np.array([known.index(name) for name in names], np.int64)

        return ImplicitPlaces(
            places(found.extents, self.param_names),
            places(found.extents.values(), self.rate_names),
            places(found.roots, self.param_names),
            places(found.roots.values(), self.assigned_names),
            places(found.pools, self.state_names),
            places(found.pools.values(), self.assigned_names),
        )

    @property
    def solver_fills(self) -> str:
        """Why only a solver with a memory can run the model; empty where any can."""
        if self.delays is not None:
            return "the model has delay()"
        if self.implicit is not None:
            return "the model has an equation without closed form"
        return ""

    @property
    def one_kernels(self) -> "OneKernels | None":
        """Scalar kernels of one run by our own method; None where one has no code."""
        return self._one[0]

    @property
    def one_refusal(self) -> str:
        """Reason why there are no scalar kernels; empty where there are."""
        return self._one[1]

    @cached_property
    def totals(self) -> FloatArray:
        """A basis of the conserved totals, shape (n_total, n_state)."""
        k = self.kernels
        n_total = int(k.total_row[-1]) + 1 if len(k.total_row) else 0
        totals = np.zeros((n_total, k.n_state))
        totals[k.total_row, k.total_state] = k.total_value
        totals.setflags(write=False)
        return totals

    @cached_property
    def _needed(self) -> dict[frozenset[str], IntArray]:
        return {}

    def needed_states(self, names: Iterable[str]) -> IntArray:
        """Return the indices of the states that some quantities depend on.

        Parameters
        ----------
        names : ids of states, rule variables, rates or parameters

        Returns
        -------
        int array, ascending; read-only, as it is kept for the next call
        """
        wanted = frozenset(names)
        if wanted not in self._needed:
            seen = self.equations.needs(wanted)
            found = [i for i, name in enumerate(self.state_names) if name in seen]
            index = np.array(found, dtype=np.int64)
            index.setflags(write=False)
            self._needed[wanted] = index
        return self._needed[wanted]

    @cached_property
    def border(self) -> Border:
        """The units in which times and amounts enter and leave."""
        return Border.of(self.network)

    @property
    def id(self) -> str:
        """The model's id."""
        return self.info.id

    def state_index(self, name: str) -> int:
        """Return the row of a species; an unknown name raises UnknownNameError."""
        if name not in self.state_places:
            raise UnknownNameError("species", name, self.state_names)
        return self.state_places[name]

    @cached_property
    def state_places(self) -> Mapping[str, int]:
        """Column of each species among the states."""
        return {name: k for k, name in enumerate(self.state_names)}

    @cached_property
    def param_places(self) -> Mapping[str, int]:
        """Column of each parameter."""
        return {name: k for k, name in enumerate(self.param_names)}

    def start_values(
        self,
        n_run: int,
        parameters: Mapping[str, FloatArray | float],
        initials: Mapping[str, FloatArray | float],
    ) -> tuple[FloatArray, FloatArray]:
        """Return start values and parameters of every run, formulas evaluated.

        Parameters
        ----------
        parameters, initials : names to float arrays, shape (n_run,), or to one number
            for all runs, in model units; they win over start formulas of the model

        Returns
        -------
        y0, p : float arrays, shapes (n_run, n_state) and (n_run, n_param), not to be
            written to
        """
        if not parameters and not initials:
            rows = self.y0[np.newaxis], self.p0[np.newaxis]
            if n_run == 1:
                return rows
            # Equal rows take no memory: dose sweeps of a million runs have one.
            y0, p0 = rows
            return (
                np.broadcast_to(y0, (n_run, y0.shape[1])),
                np.broadcast_to(p0, (n_run, p0.shape[1])),
            )
        y = np.tile(self.y0, (n_run, 1))
        p = np.tile(self.p0, (n_run, 1))
        keep_y = np.zeros(len(self.state_names), dtype=bool)
        keep_p = np.zeros(len(self.param_names), dtype=bool)
        _fill(p, keep_p, self.param_places, parameters, "parameter")
        _fill(y, keep_y, self.state_places, initials, "species")
        for run in range(n_run):
            self.kernels.initial(0.0, y[run], p[run], keep_y, keep_p)
        return y, p


def _fill(
    matrix: FloatArray,
    keep: BoolArray,
    places: Mapping[str, int],
    values: Mapping[str, FloatArray | float],
    kind: str,
) -> None:
    """Write named columns into a (run, name) matrix, in place."""
    for name in values:
        if name not in places:
            raise UnknownNameError(kind, name, tuple(places))
    columns = [places[name] for name in values]
    keep[columns] = True
    rows = matrix.T  # a view: one row a name
    for column, value in zip(columns, values.values(), strict=True):
        rows[column] = value
