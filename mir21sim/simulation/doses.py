"""Dose and Protocol: amounts and times of the substances given."""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Literal, TypeAlias

from mir21sim.errors import InputError
from mir21sim.model.border import Border
from mir21sim.units import SECONDS_PER_HOUR, parse_quantity, seconds, time_unit

Mode: TypeAlias = Literal["bolus", "infusion", "set"]
Clock: TypeAlias = Literal["", "s", "h", "mixed", "own"]

_DOSE = re.compile(
    r"\s*(?P<target>[^=@\s][^=@]*?)\s*=\s*(?P<amount>[^@]+?)\s*@\s*(?P<time>[^/:]+?)\s*"
    r"(?::\s*(?P<duration>[^/]+?)\s*)?(?:/\s*(?P<every>.+?)\s*x\s*(?P<count>\d+)\s*)?"
)
MAX_SERIES = 10_000
"""Doses of one series; more are a mistake in the interval or the number."""
_FORM = "NAME=AMOUNT UNIT@TIME, with optional :DURATION and /EVERYxN"


@dataclass(frozen=True, slots=True)
class Dose:
    """One dose, or a series of equal ones.

    Parameters
    ----------
    time : float, when the first one is given, in h, or in `clock`
    amount : float, >= 0, in `unit`: added as a whole (bolus), over `duration`
        (infusion), or the level that the medium is set to (set; 0 is a washout)
    target : id of the species that receives it
    unit : e.g. "nM" or "ng/ml"; empty for the unit of the model's input
    interval : float, as `time`, between the doses of a series (NONMEM ``II``)
    additional : int, number of doses after the first (NONMEM ``ADDL``)
    duration : float, as `time`, of an infusion (``TINF``)
    mode : "bolus", "infusion" or "set"
    clock : how the times were given: "" for bare numbers (hours in our models, the
        file's own unit in a guest's), "s" or "h" for times with units (all in seconds;
        any), "mixed" for both; "own" for times in the unit of a guest's file

    Raises
    ------
    InputError
        For a negative or non-finite number, or an interval without a series.

    Examples
    --------
    >>> Dose.parse("TRAIL=50 ng/ml@24h")
    Dose(time=24.0, amount=50.0, target='TRAIL', unit='ng/ml', interval=0.0,
         additional=0, duration=0.0, mode='bolus')
    """

    # Of a record in a file: a name that this class does not know is a mistake.
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    time: float
    amount: float
    target: str
    unit: str = ""
    interval: float = 0.0
    additional: int = 0
    duration: float = 0.0
    mode: Mode = "bolus"
    clock: Clock = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        for label in ("time", "amount", "interval", "duration"):
            value = getattr(self, label)
            if not math.isfinite(value):
                raise InputError(
                    f"The {label} of dose `{self.target}` must be finite, got {value}."
                )
            if value < 0 and label != "time":
                raise InputError(
                    f"The {label} of dose `{self.target}` must not be negative, "
                    f"got {value:g}."
                )
        if self.mode not in ("bolus", "infusion", "set"):
            raise InputError(
                f"The mode of dose `{self.target}` must be bolus, infusion or set, got "
                f"`{self.mode}`."
            )
        if (self.mode == "infusion") != (self.duration > 0):
            raise InputError(
                f"Dose `{self.target}`: an infusion, and only an infusion, has a "
                f"duration above 0; got mode {self.mode}, duration {self.duration:g} h."
            )
        if self.additional < 0 or (self.additional and self.interval <= 0):
            raise InputError(
                f"Dose `{self.target}`: a series needs an interval above 0 h and "
                f"additional >= 0; got {self.interval:g} h and {self.additional}."
            )
        if self.additional >= MAX_SERIES:
            raise InputError(
                f"Dose `{self.target}`: a series has at most {MAX_SERIES} doses, got "
                f"{self.additional + 1}; an infusion gives without end."
            )
        if self.additional and self.duration > self.interval:
            raise InputError(
                f"Dose `{self.target}`: infusions of {self.duration:g} h every "
                f"{self.interval:g} h would overlap."
            )

    @classmethod
    def parse(cls, text: str) -> "Dose":
        """Read ``NAME=AMOUNT UNIT@TIME[:DURATION][/EVERYxN]``.

        ``NAME=set AMOUNT UNIT@TIME`` sets the level, ``NAME=wash@TIME`` sets it to
        none. N counts the doses of the series, the first one included.

        Raises
        ------
        InputError
            When the text does not have this form.
        """
        match = _DOSE.fullmatch(text)
        if match is None:
            raise InputError(f"A dose must read {_FORM}, got `{text}`.")
        what = f"dose `{match['target']}`"
        hours = {
            key: seconds(match[key], f"{key} of {what}") / SECONDS_PER_HOUR
            for key in ("time", "duration", "every")
            if match[key] is not None
        }
        count = int(match["count"] or 1)
        if count < 1:
            raise InputError(f"A series of doses needs 1 dose or more, got `{text}`.")
        amount, unit, mode = _amount(match["amount"], what)
        if match["duration"] is not None and mode == "bolus":
            mode = "infusion"
        return cls(
            time=hours["time"],
            amount=amount,
            target=match["target"],
            unit=unit,
            interval=hours.get("every", 0.0) if count > 1 else 0.0,
            additional=count - 1,
            duration=hours.get("duration", 0.0),
            mode=mode,
            clock=_clock([match[key] for key in hours]),
        )

    @classmethod
    def from_nonmem(
        cls,
        cmt: str,
        amt: float,
        *,
        time: float = 0.0,
        ii: float = 0.0,
        addl: int = 0,
        tinf: float = 0.0,
        unit: str = "",
    ) -> "Dose":
        """Return a dose from the words of NONMEM and mrgsolve (times in h)."""
        mode: Mode = "infusion" if tinf > 0 else "bolus"
        return cls(time, amt, cmt, unit, ii, addl, tinf, mode)

    def times(self) -> Iterator[float]:
        """Yield the time of every dose of the series, h."""
        for k in range(self.additional + 1):
            yield self.time + k * self.interval

    def __str__(self) -> str:
        amount = f"{_short(self.amount)} {self.unit}".strip()
        if self.mode == "set":
            amount = f"set {amount}" if self.amount else "wash"
        h = "" if self.clock == "own" else "h"
        duration = f":{_short(self.duration)}{h}" if self.duration else ""
        every = f"/{_short(self.interval)}{h}x{self.additional + 1}"
        series = every if self.additional else ""
        return f"{self.target}={amount}@{_short(self.time)}{h}{duration}{series}"

    def within(self, border: Border) -> "Dose":
        """Return the dose with its times in the unit of time of a model's border.

        Raises
        ------
        InputError
            For times that cannot be converted, since the file declares no unit.
        """
        if not border.is_guest or self.clock == "own":
            return self
        if self.clock == "mixed":
            raise InputError(
                f"Dose `{self}`: give all of its times with a unit or none."
            )
        factor = 1.0
        if self.clock:
            per_unit = 1.0 / SECONDS_PER_HOUR if self.clock == "s" else 1.0
            shown = f"{self.time / per_unit:.12g} {self.clock}"
            start = border.time(shown, f"the time of dose `{self.target}`")
            factor = start / self.time if self.time else border.time(f"1 {self.clock}")
            factor *= 1.0 if self.time else 1.0 / per_unit
        return replace(
            self,
            time=self.time * factor,
            interval=self.interval * factor,
            duration=self.duration * factor,
            clock="own",
        )


def _clock(times: list[str]) -> Clock:
    """Return how the times of a dose are given; zero is the same in every unit."""
    found = {parse_quantity(t, "time") for t in times}
    names = {unit and time_unit(unit, "time") for value, unit in found if value != 0.0}
    if len(names) > 1 and "" in names:
        return "mixed"
    if not names - {""}:
        return ""
    return "s" if names == {"s"} else "h"


def _amount(text: str, what: str) -> tuple[float, str, Mode]:
    """Return amount, unit and mode of the text between ``=`` and ``@``."""
    if text.lower() in ("wash", "washout"):
        return 0.0, "", "set"
    kind, _, rest = text.partition(" ")
    if kind == "set":
        return *parse_quantity(rest, f"level of {what}"), "set"
    return *parse_quantity(text, f"amount of {what}"), "bolus"


def _short(value: float) -> str:
    """Return a number as short as it reads back the same."""
    text = f"{value:g}"
    return text if float(text) == value else repr(value)


@dataclass(frozen=True, slots=True)
class Protocol:
    """All doses of one experiment, in the order in which equal times act.

    Examples
    --------
    >>> import mir21sim as ms
    >>> protocol = ms.Protocol((ms.Dose(24, 50, "TRAIL", "ng/ml"),))
    >>> len(protocol.doses)
    1
    """

    doses: tuple[Dose, ...] = ()

    @classmethod
    def of(cls, doses: "DosesLike") -> "Protocol":
        """Return a Protocol from doses, dose texts, or a Protocol."""
        if isinstance(doses, Protocol):
            return doses
        if isinstance(doses, (str, Dose)):
            doses = [doses]
        return cls(tuple(d if isinstance(d, Dose) else Dose.parse(d) for d in doses))

    def within(self, border: Border) -> "Protocol":
        """Return the protocol in the unit of time of a model's border."""
        if not border.is_guest:
            return self
        return Protocol(tuple(dose.within(border) for dose in self.doses))

    def targets(self) -> tuple[str, ...]:
        """Return the species dosed, in order, without repetition."""
        return tuple(dict.fromkeys(dose.target for dose in self.doses))

    def to_records(self) -> list[dict[str, Any]]:
        """Return plain dictionaries, for a file."""
        return [asdict(dose) for dose in self.doses]

    @classmethod
    def from_records(cls, records: Iterable[dict[str, Any]]) -> "Protocol":
        """Return the protocol that ``to_records`` wrote."""
        return cls(tuple(Dose(**record) for record in records))


DosesLike: TypeAlias = Protocol | Dose | str | Iterable[Dose | str]
