"""Every exception, warning and solver status of the package."""

import difflib
from collections.abc import Iterable, Sequence
from enum import IntEnum


class Mir21simError(Exception):
    """Base of all errors that mir21sim raises on purpose.

    Long values in the text are shortened, see ``shortened``.

    Examples
    --------
    >>> import mir21sim as ms
    >>> try:
    ...     ms.load("mir21_apoptosys")
    ... except ms.Mir21simError as error:
    ...     print(error)
    Unknown model `mir21_apoptosys`. Did you mean `mir21_apoptosis`? ...
    """

    def __init__(self, text: str = "", *rest: object) -> None:
        super().__init__(shortened(text), *rest)


class InputError(Mir21simError, ValueError):
    """A value typed by the user is not valid."""


class UnknownNameError(InputError):
    """A name that does not exist; the message suggests the near one and lists all.

    Parameters
    ----------
    kind : kind of name, e.g. ``"species"``
    name : the name given
    known : the names that exist
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, tuple(known)
        super().__init__(f"Unknown {kind} `{name}`. {hint(name, self.known)}")


class ModelError(Mir21simError, ValueError):
    """A model file says something that cannot be simulated as it stands."""


class UnsupportedFeatureError(ModelError, NotImplementedError):
    """A model uses constructs that are not supported; each is named with its id."""


class CodegenError(Mir21simError, RuntimeError):
    """An expression that cannot be turned into a kernel."""


class SolverError(Mir21simError, RuntimeError):
    """An integration failed.

    Attributes
    ----------
    status : SolverStatus, why
    run : int, index of the run in its sweep (0 for one trajectory)
    t : float, s, how far it came
    """

    def __init__(
        self, text: str, status: "SolverStatus", run: int = 0, t: float = float("nan")
    ) -> None:
        super().__init__(text)
        self.status, self.run, self.t = status, run, t


class FailedRunsWarning(UserWarning):
    """A sweep kept its good runs; some others failed or were never started."""


class ModelWarning(UserWarning):
    """A model is accepted, but something in it deserves a look."""


class SolverStatus(IntEnum):
    """How one run ended; ``message`` is the sentence a user reads."""

    NOT_RUN = -1
    OK = 0
    MAX_STEPS = 1
    STEP_TOO_SMALL = 2
    NON_FINITE = 3
    TIMEOUT = 4
    INTERRUPTED = 5
    NEGATIVE = 6
    NO_RESTING_STATE = 7
    EVENT_LOOP = 8
    EVENT_UNDEFINED = 9

    @property
    def message(self) -> str:
        """One sentence: the failure and its remedy."""
        return _MESSAGES[self]


_MESSAGES = {
    SolverStatus.NOT_RUN: "The run was never started.",
    SolverStatus.OK: "The run reached its end.",
    SolverStatus.MAX_STEPS: (
        "The maximum number of steps was reached; raise `max_steps` or loosen `rtol`."
    ),
    SolverStatus.STEP_TOO_SMALL: (
        "The step size became too small or the step could not be solved; "
        "try method Radau, or look at the rates near this time."
    ),
    SolverStatus.NON_FINITE: (
        "A rate or a state became infinite or not a number; look for a division by "
        "zero or an overflow in the reaction named."
    ),
    SolverStatus.TIMEOUT: "The time allowed for one run was used up; raise `timeout`.",
    SolverStatus.INTERRUPTED: "The run was interrupted.",
    SolverStatus.NEGATIVE: (
        "A species became negative by more than the tolerance allows; a reaction "
        "consumes it although it is not a factor of the rate. Where it stands for "
        "something that may be negative, such as a voltage, allow it "
        "(`allow_negative=True`, on the command line `--allow-negative`); otherwise "
        "make the rate zero where the species is."
    ),
    SolverStatus.NO_RESTING_STATE: (
        "No resting state was found: without any dose the cell may oscillate, or "
        "something grow without end; start from the given initial amounts instead "
        "(`equilibrate=False`, on the command line `--no-equilibrate`)."
    ),
    SolverStatus.EVENT_LOOP: (
        "Events trigger each other without end at one moment; look for an event whose "
        "assignments make its own trigger false and true again."
    ),
    SolverStatus.EVENT_UNDEFINED: (
        "The trigger, delay or priority of an event is not a number there, or its "
        "delay is negative."
    ),
}


_LONGEST_VALUE = 200
_LONGEST_TEXT = 4000


def shortened(text: str) -> str:
    """Return a message in which no value between backquotes is too long to read.

    Examples
    --------
    >>> len(shortened("Unknown species `" + "x" * 300 + "`."))
    140
    """
    if len(text) <= _LONGEST_VALUE:
        return text
    parts = text.split("`")
    for k in range(1, len(parts), 2):
        if len(parts[k]) > _LONGEST_VALUE:
            parts[k] = f"{parts[k][:80]}…{parts[k][-40:]}"
    text = "`".join(parts)
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"


def plain(name: str) -> str:
    """Return a name without case, spaces and signs, Greek letters spelled out.

    Examples
    --------
    >>> plain("anti-miR-21"), plain("TNF-α")
    ('antimir21', 'tnfalpha')
    """
    spelled = "".join(_GREEK.get(letter, letter) for letter in name.casefold())
    return "".join(letter for letter in spelled if letter.isalnum())


_GREEK = {"α": "alpha", "β": "beta", "γ": "gamma", "κ": "kappa", "µ": "u", "μ": "u"}
_SHORT = {"caspase": "casp", "procasp": "casp", "interleukin": "il"}
_NEAR = 0.6


def nearest(name: str, known: Iterable[str], n: int = 10) -> list[str]:
    """Return the most similar names, the nearest first."""
    wanted = as_symbol(name)

    def distance(candidate: str) -> tuple[float, int]:
        return -_similarity(wanted, as_symbol(candidate)), len(candidate)

    return sorted(known, key=distance)[:n]


def as_symbol(name: str) -> str:
    """Return a plain name with words of the field as gene symbols have them.

    Examples
    --------
    >>> as_symbol("Caspase 3"), as_symbol("procaspase-8")
    ('casp3', 'casp8')
    """
    short = plain(name[:100])
    for long, brief in _SHORT.items():
        short = short.replace(long, brief)
    return short


def _similarity(a: str, b: str) -> float:
    """Return the likeness of two plain names, 0 to 1."""
    if a == b:
        return 1.0
    ratio = difflib.SequenceMatcher(None, a, b).ratio()
    if len(a) < 3 or a not in b:
        return ratio
    return max(ratio, 0.85 if b.startswith(a) else 0.8)


def likely(name: str, known: Sequence[str]) -> str:
    """Return the name that is likely to be meant, "" where none is near enough."""
    near = nearest(name, known, 1)
    if not near or _similarity(as_symbol(name), as_symbol(near[0])) < _NEAR:
        return ""
    return near[0]


def hint(name: str, known: Sequence[str], limit: int = 40) -> str:
    """Return 'Did you mean …?' where a name is near, and the names that exist.

    Of more than `limit` names, the ten nearest are listed.
    """
    if not known:
        return "There are none."
    meant = likely(name, known)
    text = f"Did you mean `{meant}`? " if meant else ""
    if len(known) <= limit:
        return f"{text}Known: {', '.join(known)}."
    near = ", ".join(nearest(name, known))
    return f"{text}Nearest of {len(known)} names: {near}."
