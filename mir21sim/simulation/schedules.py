"""The same dose on several schedules: other times, intervals and numbers of doses."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import xarray as xr

from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.simulation.axes import SweptValues, axis_values
from mir21sim.simulation.doses import Dose, DosesLike, Protocol
from mir21sim.simulation.names import canonical, renamed
from mir21sim.simulation.sweep import sweep

MOST = 40
"""Schedules of one call at most; more are a mistake in a list."""

FORM = (
    "NAME=TIME[,TIME…], where TIME may be 12h, 0h/12hx3 (3 doses, one each 12 h), "
    "`0h every 12h x1..5` (1 to 5 doses), 0h:6h (over 6 h), or none"
)

_SERIES = re.compile(
    r"(?:(?P<start>.+?)\s+)?every\s+(?P<every>[^x]+?)\s*x\s*(?P<first>\d+)"
    r"(?:\s*\.\.\s*(?P<last>\d+))?"
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a substance is given.

    Attributes
    ----------
    label : in words, ``0 h, 3 doses each 12 h``
    dose : the times; its amount is 1 and does not matter. None for no dose
    """

    label: str
    dose: Dose | None

    @property
    def count(self) -> int:
        """Number of doses."""
        return 0 if self.dose is None else self.dose.additional + 1


def parse_schedules(text: str) -> tuple[str, tuple[Schedule, ...]]:
    """Return the substance and its schedules from ``NAME=TIME,TIME``.

    Raises
    ------
    InputError
        For another form, a repeated schedule, or more than ``MOST``.

    Examples
    --------
    >>> name, found = parse_schedules("anti_miR21=0h,0h/12hx3,every 24h x1..2")
    >>> [schedule.label for schedule in found]
    ['0 h', '0 h, 3 doses each 12 h', '0 h, 2 doses each 24 h']
    """
    name, equals, rest = text.partition("=")
    name = name.strip()
    parts = [part.strip() for part in rest.split(",") if part.strip()]
    if not equals or not name or not parts:
        raise InputError(f"A schedule must read {FORM}, got `{text}`.")
    found = [made for part in parts for made in _schedules(name, part)]
    unlike = {schedule.label: schedule for schedule in found}
    if len(unlike) > MOST:
        raise InputError(f"`{name}` has {len(unlike)} schedules; at most {MOST}.")
    return name, tuple(unlike.values())


def _schedules(name: str, part: str) -> list[Schedule]:
    """Return the schedules that one entry between commas stands for."""
    if part == "none":
        return [Schedule("none", None)]
    match = _SERIES.fullmatch(part)
    if match is None:
        try:
            dose = Dose.parse(f"{name}=1@{part}")
        except InputError as error:
            raise InputError(
                f"A schedule must read {FORM}, got `{part}` ({error})"
            ) from error
        return [Schedule(_label(dose), dose)]
    first, last = int(match["first"]), int(match["last"] or match["first"])
    if not 1 <= first <= last <= MOST:
        raise InputError(
            f"Numbers of doses must ascend from 1 to {MOST} at most, got `{part}`."
        )
    start = match["start"] or "0h"
    texts = [f"{name}=1@{start}/{match['every']}x{k}" for k in range(first, last + 1)]
    return [Schedule(_label(dose), dose) for dose in map(Dose.parse, texts)]


def _label(dose: Dose) -> str:
    """Return the times of a dose in words."""
    text = f"{dose.time:g} h"
    if dose.duration:
        text += f" for {dose.duration:g} h"
    if dose.additional:
        text += f", {dose.additional + 1} doses each {dose.interval:g} h"
    return text


def sweep_schedules(
    model: CompiledModel,
    schedules: str | Mapping[str, str],
    end: float | str | None = None,
    *,
    doses: DosesLike,
    over: Mapping[str, SweptValues] | None = None,
    split: bool = False,
    **arguments: Any,
) -> dict[Schedule, xr.Dataset]:
    """Run the same dishes on every schedule of one substance.

    Parameters
    ----------
    schedules : ``"anti_miR21=0h,12h,24h"``, see ``parse_schedules``; or name to times
    doses : all doses; the amount and unit of the scheduled substance are taken from its
        dose here, the times from each schedule
    over : swept names as in ``sweep``; without, the amount of the dose alone
    split : whether the amount is that of all doses together; by default of each
    arguments : `cells`, `observe`, `options`, … as in ``sweep``

    Returns
    -------
    schedule → Dataset, in the order given, each with the swept dimensions; the
    amount of the scheduled substance is a dimension, of length 1 without `over`

    Raises
    ------
    InputError
        For another form, or a substance without one dose in `doses`.

    Examples
    --------
    >>> from mir21sim.compiler.load import load
    >>> model = load("earm_1_3", backend="numpy")
    >>> found = sweep_schedules(model, "L=0h,30 min", "1h", doses="L=10@0h", points=5)
    >>> [float(run["CASP8_active"].values[0, -1] > 0) for run in found.values()]
    [1.0, 1.0]
    """
    text = schedules if isinstance(schedules, str) else _written(schedules)
    name, found = parse_schedules(text)
    target = canonical(model, name)
    found = tuple(
        Schedule(s.label, s.dose and replace(s.dose, target=target)) for s in found
    )
    protocol = Protocol.of(doses)
    own = [dose for dose in protocol.doses if canonical(model, dose.target) == target]
    others = tuple(dose for dose in protocol.doses if dose not in own)
    axes = _amounts(model, target, own, over)
    made = {}
    for schedule in found:
        pattern = _pattern(target, own, schedule)
        values, unit = axis_values(target, axes[target])
        factor = _factor(schedule, split)
        run = sweep(
            model,
            {**axes, target: _with_unit(values * factor, unit)},
            end,
            doses=Protocol((*others, pattern)),
            **arguments,
        )
        attributes = dict(run[target].attrs)
        made[schedule] = run.assign_coords({target: values})
        made[schedule][target].attrs = attributes
    return made


def _written(schedules: Mapping[str, str]) -> str:
    """Return the text of a mapping with one name."""
    if len(schedules) != 1:
        raise InputError(
            f"Schedules are of one substance, got {', '.join(schedules) or 'none'}."
        )
    return "".join(f"{name}={times}" for name, times in schedules.items())


def _amounts(
    model: CompiledModel,
    target: str,
    own: list[Dose],
    over: Mapping[str, SweptValues] | None,
) -> dict[str, SweptValues]:
    """Return the swept names with the amounts of the scheduled substance."""
    axes = renamed(model, over or {})
    if target in axes:
        return axes
    if target not in {*model.info.inputs, *model.state_names}:
        raise UnknownNameError("input", target, tuple(model.info.inputs))
    if len(own) != 1 or own[0].mode == "set":
        raise InputError(
            f"`{target}` needs one dose whose amount is given on each schedule, such "
            f'as --dose "{target}=50@0h", got {len(own)}; or sweep it with --over.'
        )
    return {**axes, target: f"{own[0].amount!r} {own[0].unit}".strip()}


def _pattern(target: str, own: list[Dose], schedule: Schedule) -> Dose:
    """Return the dose of a schedule, with the unit of the dose that was given."""
    unit = own[0].unit if own else ""
    dose = schedule.dose or Dose(0.0, 0.0, target)
    return replace(dose, target=target, unit=unit)


def _factor(schedule: Schedule, split: bool) -> float:
    """Return the amount of one dose over the amount asked for."""
    if schedule.dose is None:
        return 0.0
    return 1.0 / schedule.count if split else 1.0


def _with_unit(values: Any, unit: str) -> SweptValues:
    """Return amounts as a sweep takes them, with their unit where they have one."""
    if not unit:
        return list(values)
    return ",".join(repr(float(v)) for v in values) + f" {unit}"
