"""Is this curve the model's, or the method's? One run, looked at from all sides.

The run is repeated at tighter tolerances, by every method and, where they are
installed, by other simulators; conservation and
non-negativity are checked in the numbers.
"""

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

from mir21sim import files
from mir21sim._typing import FloatArray
from mir21sim.analysis.text_tables import TextTable, lines_of
from mir21sim.compiler.card import html_rows, text_rows
from mir21sim.compiler.conservation import conserved_totals
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, SolverError, SolverStatus, UnknownNameError
from mir21sim.simulation import dataset
from mir21sim.simulation.doses import DosesLike
from mir21sim.simulation.options import Options
from mir21sim.simulation.perturbations import Perturbations
from mir21sim.simulation.plan import (
    Plan,
    doses_or_default,
    output_times,
)
from mir21sim.simulation.run import execute, prepare
from mir21sim.simulation.snapshot import snapshot
from mir21sim.simulation.translate import Translated
from mir21sim.simulation.treatment import Treatment
from mir21sim.solvers.methods import METHODS, NAMES
from mir21sim.validation import simulators

TIGHTER = 10.0
"""Both tolerances are divided by it for all runs but the one to be verified."""

TOLERANCE = 1e-3
"""Largest relative difference at which curves agree, unless another is asked for."""

FLOOR = 1e-3
"""Differences are relative to the value, or to this share of its peak if larger."""

FOR_TOOLS = 1e3
"""Factor by which `atol` is tightened for other simulators. They have one for all
species, and CVODE holds the mean error over these, where LSODA holds the largest."""

CONSERVED = 1e-6
"""Largest relative change of a total that reactions do not change."""


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison.

    Attributes
    ----------
    check : name of the comparison
    verdict : "agrees", "parts", "failed" or "not installed"
    difference : the largest one, relative; NaN where there is none
    quantity, time_h : where it is, in the model's unit of time
    parts_from_h : first output time at which it is above the tolerance; NaN for none
    note : message of a tool or solver
    """

    check: str
    verdict: str
    difference: float = float("nan")
    quantity: str = ""
    time_h: float = float("nan")
    parts_from_h: float = float("nan")
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the run."""
        return self.verdict in {"agrees", "not installed"}

    def text(self, time_unit: str) -> str:
        """Return the verdict, the largest difference and its place as words."""
        if math.isnan(self.difference):
            return f"{self.verdict} {self.note}".strip()
        place = f"`{self.quantity}` at {self.time_h:.4g} {time_unit}"
        return f"{self.verdict}; largest difference {self.difference:.2g}, {place}"


@dataclass(frozen=True, slots=True)
class Verification:
    """All checks of one run.

    Attributes
    ----------
    model, context, method, rtol : of the run that was verified
    tolerance : largest relative difference at which curves agree
    checks : in the order in which they were made
    time_unit : of the times in the checks
    """

    model: str
    context: str
    method: str
    rtol: float
    tolerance: float
    checks: tuple[Check, ...]
    time_unit: str = "h"

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    def __repr__(self) -> str:
        return text_rows(f"Verification of {self.model}", self._card())

    def _repr_html_(self) -> str:
        """Return the table of checks that notebooks show."""
        return html_rows(self.model, f"verified, {self.method}", self._card())

    def _card(self) -> dict[str, str]:
        """Return each check as words."""
        return {check.check: check.text(self.time_unit) for check in self.checks}


def verify(
    model: CompiledModel,
    end: float | str | None = None,
    *,
    start: float | str = 0.0,
    points: int = 201,
    doses: DosesLike | None = None,
    parameters: Mapping[str, float] | None = None,
    initials: Mapping[str, float] | None = None,
    perturb: Perturbations | None = None,
    options: Options | None = None,
    tools: Sequence[str] | None = None,
    tolerance: float = TOLERANCE,
) -> Verification:
    """Repeat a run in other ways and tell where the curves part, if they do.

    The reference is the run by its own method with both tolerances a tenth. Everything
    that is integrated is compared, whatever is observed otherwise. Other
    simulators get the model as SBML with the values, the start state and the doses of
    the run in it.

    Parameters
    ----------
    model, end, start, points, doses, parameters, initials, perturb, options : as in
        ``simulate``
    tools : of "roadrunner" and "copasi"; by default those that are installed
    tolerance : largest relative difference at which curves agree

    Raises
    ------
    InputError
        For a tool that does not exist or, asked for by name, is not installed.
    SolverError
        When no method can run the model.

    Examples
    --------
    >>> from mir21sim.compiler.load import load
    >>> model = load("earm_1_3", backend="numpy")
    >>> found = verify(model, "10 min", points=3, tools=[])
    >>> found.passed
    True
    """
    options = replace(options or Options(), allow_negative=True)
    if not 0 < tolerance < 1:
        raise InputError(f"`tolerance` must be between 0 and 1, got {tolerance}.")
    _check_tools(tools)
    names = _quantities(model)
    treatment = Treatment.of(
        doses_or_default(model, doses),
        parameters=parameters,
        initials=initials,
        perturb=perturb,
    )
    times = output_times(model, start, end, points)
    plan = Plan.of(model, treatment, times, observe=names)
    settings = options.resolved(model, many=False)
    method = settings.method
    views = _Views(model, plan, names, options, tolerance)
    reference, checks = views.reference(method)
    translated, _ = prepare(model, plan, options)
    checks.append(views.tightened(method, reference))
    checks += [
        views.by_method(other.name, reference)
        for other in METHODS
        if other.name != method and other.supports(model) is None
    ]
    checks += [
        views.by_tool(tool, translated, reference)
        for tool in (simulators.TOOLS if tools is None else tools)
    ]
    checks += [views.conserved(translated, reference), views.not_negative(reference)]
    return Verification(
        model=model.id,
        context=model.context,
        method=method,
        rtol=settings.rtol,
        tolerance=tolerance,
        checks=tuple(checks),
        time_unit=model.border.time_unit,
    )


def _check_tools(tools: Sequence[str] | None) -> None:
    """Stop for a tool that does not exist, or was asked for and is not installed."""
    for tool in tools or ():
        if tool not in simulators.TOOLS:
            raise UnknownNameError("tool", tool, tuple(simulators.TOOLS))
        if not simulators.installed(tool):
            raise InputError(simulators.how_to_install(tool))


def _quantities(model: CompiledModel) -> tuple[str, ...]:
    """Return all that is integrated and has an id; without any, the rule variables.

    Rule variables follow from these, and have no scale that tells noise from value.
    """
    known = {*model.network.ids()}
    states = tuple(n for n in model.state_names if n in known)
    return states or tuple(n for n in model.assigned_names if n in known)


def _homes(model: CompiledModel, names: Sequence[str]) -> dict[str, str]:
    """Return the compartments of the species that are shown by their concentration."""
    sized = {*model.param_names, *model.state_names, *model.assigned_names}
    return {
        s.id: s.compartment
        for s in model.network.species
        if s.id in names
        and s.compartment in sized
        and model.border.means_concentration(s)
    }


class _Views:
    """One plan, run in many ways."""

    def __init__(
        self,
        model: CompiledModel,
        plan: Plan,
        names: tuple[str, ...],
        options: Options,
        tolerance: float,
    ) -> None:
        self.model, self.plan, self.names = model, plan, names
        self.options, self.tolerance = options, tolerance
        settings = options.resolved(model, many=False)
        self.rtol = settings.rtol
        self.tight = replace(options, rtol=self.rtol / TIGHTER)
        # Values far below the scale of a state are rounding errors.
        self.least = np.zeros(len(names))
        self.homes = _homes(model, names)
        if model.border.is_guest:
            self.tight = replace(self.tight, atol=None)  # from the sizes of the run
        else:
            self.tight = replace(self.tight, atol=settings.atol / TIGHTER)
            least = dict(zip(model.state_names, 1e4 * settings.atol, strict=True))
            self.least = np.array([least.get(n, 0.0) for n in names])

    def reference(self, method: str) -> tuple[FloatArray, list[Check]]:
        """Return the curves by the method, or by the first other one that can."""
        failed: list[Check] = []
        for name in (method, *(m for m in NAMES if m != method)):
            try:
                curves = self._run(replace(self.tight, method=name))
            except SolverError as error:
                last = error
                failed.append(Check(f"reference by {name}", "failed", note=str(error)))
            else:
                return curves, failed
        raise last

    def tightened(self, method: str, reference: FloatArray) -> Check:
        """Compare the run as asked for with the tight one."""
        rtol = self.rtol
        return self._against(
            f"{method}, rtol {rtol:g} against {rtol / TIGHTER:g}",
            lambda: self._run(replace(self.options, method=method)),
            reference,
        )

    def by_method(self, method: str, reference: FloatArray) -> Check:
        """Compare another method with the reference, both tight."""
        return self._against(
            method, lambda: self._run(replace(self.tight, method=method)), reference
        )

    def by_tool(
        self, tool: str, translated: Translated, reference: FloatArray
    ) -> Check:
        """Compare another simulator with the reference."""
        if not simulators.installed(tool):
            return Check(tool, "not installed", note=simulators.how_to_install(tool))

        sizes = tuple(dict.fromkeys(self.homes.values()))

        def curves() -> FloatArray:
            made = simulators.run(
                tool,
                snapshot(self.model, translated),
                (*self.names, *sizes),
                translated.problem.times,
                rtol=self.rtol / TIGHTER,
                atol=self._atol_of_tools(reference),
            )
            columns = {name: made[:, k] for k, name in enumerate(self.names)}
            volumes = dict(zip(sizes, made.T[len(columns) :], strict=True))
            for name, home in self.homes.items():
                columns[name] = columns[name] / volumes[home]
            return np.stack([columns[name] for name in self.names], axis=1)

        return self._against(tool, curves, reference)

    def _atol_of_tools(self, reference: FloatArray) -> float:
        """Return one absolute tolerance for all species, from the smallest of them."""
        given = self.tight.atol
        if given is None:
            amounts = np.abs(reference).max(axis=0)
            for k, name in enumerate(self.names):
                amounts[k] *= np.nan_to_num(self._size(name), nan=1.0)
            least = float(amounts[amounts > 0].min(initial=1.0))
            return max(least * self.rtol / TIGHTER * 1e-5, 1e-300)
        return float(np.min(given, initial=1.0)) / FOR_TOOLS

    def conserved(self, translated: Translated, reference: FloatArray) -> Check:
        """Look at the totals that reactions do not change; doses and events may."""
        model, kernels = self.model, self.model.kernels
        changed = {model.state_names[k] for k in translated.problem.schedule.state}
        changed |= {a.variable for e in model.network.events for a in e.assignments}
        entries = zip(kernels.n_row, kernels.n_col, kernels.n_value, strict=True)
        totals = conserved_totals(
            len(model.state_names), {(int(i), int(j)): float(v) for i, j, v in entries}
        )
        columns = {name: k for k, name in enumerate(self.names)}
        worst = Check("conserved totals", "agrees", 0.0)
        for total in totals:
            members = [model.state_names[i] for i in total]
            if len(members) < 2 or not set(members) <= columns.keys() - changed:
                continue
            if any(math.isnan(self._size(m)) for m in members):
                continue
            weights = [
                w * self._size(m) for m, w in zip(members, total.values(), strict=True)
            ]
            parts = reference[:, [columns[m] for m in members]] * weights
            drift = np.abs(parts.sum(axis=1) - parts[0].sum())
            drift /= np.abs(parts).sum(axis=1).max() or 1.0
            k = int(np.argmax(drift))
            if drift[k] > worst.difference:
                worst = self._judged(
                    worst.check, drift[:, None], [" + ".join(members)], CONSERVED
                )
        return worst

    def _size(self, name: str) -> float:
        """Return the factor from a curve to amounts; NaN for a size that changes."""
        home = self.homes.get(name)
        if home is None:
            return 1.0
        model = self.model
        if home not in model.param_names:
            return math.nan
        return float(model.p0[model.param_names.index(home)])

    def not_negative(self, reference: FloatArray) -> Check:
        """Look at amounts below zero, in shares of the largest that they were."""
        pools = {s.id for s in self.model.network.species}
        below = np.where(reference[0] >= 0, np.maximum(-reference, 0.0), 0.0)
        below[:, [name not in pools for name in self.names]] = 0.0
        share = below / (np.abs(reference).max(axis=0) + self.least + 1e-300)
        return self._judged("no negative amounts", share, self.names, self.tolerance)

    def _run(self, options: Options) -> FloatArray:
        """Return curves, shape (n_time, n_name); a run that fails raises."""
        done = execute(self.model, self.plan, options, "simulate")
        if done.interrupted:
            raise KeyboardInterrupt
        status = SolverStatus(done.status[0])
        if status != SolverStatus.OK:
            raise SolverError(done.messages[0], status, t=float(done.t_end[0]))
        columns = [done.dataset[dataset.variable_name(n)].values for n in self.names]
        return np.stack(columns, axis=1)

    def _against(
        self, what: str, curves: Callable[[], FloatArray], reference: FloatArray
    ) -> Check:
        """Compare curves, made on the call, with the reference."""
        try:
            got = curves()
        except SolverError as error:
            return Check(what, "failed", note=str(error))
        scale = np.maximum(np.abs(reference), FLOOR * np.abs(reference).max(axis=0))
        scale += self.least
        with np.errstate(all="ignore"):
            apart = np.where(got == reference, 0.0, np.abs(got - reference) / scale)
        apart[np.isnan(got) & np.isnan(reference)] = 0.0
        return self._judged(what, apart, self.names, self.tolerance)

    def _judged(
        self, what: str, apart: FloatArray, names: Sequence[str], limit: float
    ) -> Check:
        """Return the check of differences, shape (n_time, n_name)."""
        apart = np.where(np.isnan(apart), np.inf, apart)
        if not apart.size:
            return Check(what, "agrees", 0.0)
        row, column = np.unravel_index(int(np.argmax(apart)), apart.shape)
        over = np.flatnonzero((apart > limit).any(axis=1))
        return Check(
            check=what,
            verdict="parts" if over.size else "agrees",
            difference=float(apart[row, column]),
            quantity=names[int(column)],
            time_h=float(self.plan.times_h[row]),
            parts_from_h=float(self.plan.times_h[over[0]]) if over.size else np.nan,
        )


def text(found: Verification) -> str:
    """Return a verification as a table to read."""
    context = f", {found.context}" if found.context else ""
    head = (
        f"{found.model}{context}: {found.method} at rtol {found.rtol:g}; tolerance of "
        f"the comparison {found.tolerance:g}"
    )
    rows = [(c.check, c.verdict, *_where(c, found.time_unit)) for c in found.checks]
    titles = ("check", "verdict", "difference", "place")
    table = lines_of(TextTable(titles, tuple(rows), frozenset([2])))
    verdict = "all agree" if found.passed else "NOT all agree"
    return "\n".join([head, *table, verdict])


def _where(check: Check, unit: str) -> tuple[str, str]:
    """Return the difference of a check, and where it is or why there is none."""
    if check.note or np.isnan(check.difference):
        return "–", check.note
    words = f"{check.quantity} at {check.time_h:g} {unit}" * (check.difference > 0)
    if not np.isnan(check.parts_from_h):
        words += f"; above the tolerance from {check.parts_from_h:g} {unit}"
    return f"{check.difference:.2g}", words


def save(found: Verification, path: str | Path) -> Path:
    """Write a verification as ``.json`` or ``.csv``, in one move.

    Raises
    ------
    InputError
        When the path cannot be written.
    """
    path = files.check_writable(Path(path), (".json", ".csv"))
    if path.suffix == ".json":
        return files.write_text(path, json.dumps(_plain(asdict(found)), indent=1))
    with (
        files.writing(path) as part,
        part.open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.DictWriter(file, [field.name for field in fields(Check)])
        table.writeheader()
        table.writerows(
            {key: files.no_formula(value) for key, value in asdict(check).items()}
            for check in found.checks
        )
    return path


def _plain(value: object) -> object:
    """Return values with None for NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
