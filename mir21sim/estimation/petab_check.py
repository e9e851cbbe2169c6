"""Checks of a PEtab problem: those of the library, then those of this package."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mir21sim.errors import Mir21simError
from mir21sim.estimation import petab_read
from mir21sim.estimation.engine import Engine
from mir21sim.estimation.objective import Objective
from mir21sim.estimation.petab_tables import check_tables, one_line
from mir21sim.estimation.problem import FitProblem

_SAYS_NOTHING = ("Not OK", "Visualization table not available", "Validation task <")
"""Beginnings of remarks of the library that name no fault of a problem."""

MOST = 300
"""Characters of a remark of the library that are shown."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One remark on a problem; an ``error`` stops every use of it."""

    severity: str
    message: str


def check(
    path: str | Path, backend: str = "numba"
) -> tuple[FitProblem | None, list[Finding]]:
    """Return a problem, None where it cannot be used, and all remarks on it."""
    path = Path(path)
    number = petab_read.version(path)
    try:
        check_tables(path, number)
    except Mir21simError as error:
        return None, [Finding("error", str(error))]
    findings = _lint_v1(path) if number == 1 else _lint_v2(path)
    try:
        problem = petab_read.read_petab(path, backend)  # type: ignore[arg-type]
        objective = Objective(problem, Engine.of(problem.model))
    except Mir21simError as error:
        # Where the library cannot read the problem either, its words are in this error.
        new = [
            f for f in findings if f.message.removeprefix("petab: ") not in str(error)
        ]
        return None, [*new, Finding("error", str(error))]
    findings.append(Finding("note", f"gradients: {objective.engine.gradient_way}"))
    if not objective.engine.exact:
        reason = problem.model.lane_refusal
        findings.append(Finding("note", f"not in the batch solver: {reason}"))
    return problem, findings


def _lint_v2(path: Path) -> list[Finding]:
    import petab.v2 as petab

    try:
        with _quiet():
            results = petab.Problem.from_yaml(path).validate()
    except Exception as error:  # noqa: BLE001 - the library raises many kinds
        return [Finding("error", f"petab: {one_line(error)}")]
    return [
        Finding(
            "error" if result.level.name in ("ERROR", "CRITICAL") else "warning",
            f"petab: {one_line(result.message)[:MOST]}",
        )
        for result in results
        if not one_line(result.message).startswith(_SAYS_NOTHING)
    ]


def _lint_v1(path: Path) -> list[Finding]:
    import petab.v1 as petab

    try:
        with _quiet() as caught:
            problem = petab.Problem.from_yaml(path)
            failed = petab.lint.lint_problem(problem)
    except Exception as error:  # noqa: BLE001 - the library raises many kinds
        return [Finding("error", f"petab: {one_line(error)}")]
    found = [
        Finding("error" if level >= logging.ERROR else "warning", f"petab: {text}")
        for level, text in caught.found
        if level >= logging.WARNING and not text.startswith(_SAYS_NOTHING)
    ]
    if failed and not any(f.severity == "error" for f in found):
        found.append(Finding("error", "petab: the problem is not valid"))
    return found


@contextmanager
def _quiet() -> "Iterator[_Messages]":
    """Keep messages and warnings of the library from the screen."""
    caught = _Messages()
    logger = logging.getLogger("petab")
    before = logger.propagate
    logger.addHandler(caught)
    logger.propagate = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield caught
    finally:
        logger.removeHandler(caught)
        logger.propagate = before


class _Messages(logging.Handler):
    """Keeps the messages of a library."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        self.found.append((record.levelno, one_line(record.getMessage())[:MOST]))
