"""The tables of a PEtab problem, checked line by line before the library reads them.

The library names a missing column or a word in place of a number by the error of a
package below it; here the file, the line and the column are named.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mir21sim.errors import InputError, UnsupportedFeatureError

_FLAGS = {1: ("0", "1"), 2: ("true", "false")}
"""Values of the column `estimate`; either version takes those of the other."""


@dataclass(frozen=True, slots=True)
class _Table:
    """The columns and values that one kind of table must have.

    Attributes
    ----------
    title : its name in messages
    keys : keys of the YAML file that name its files, of version 1 and version 2
    columns : those without which it means nothing, of version 1 and version 2
    numbers : columns of numbers; blank cells are allowed
    unique : columns whose values differ, of version 1 and version 2; "" for none
    """

    title: str
    keys: tuple[str, str]
    columns: tuple[tuple[str, ...], tuple[str, ...]]
    numbers: tuple[str, ...] = ()
    unique: tuple[str, str] = ("", "")


_TABLES = (
    _Table(
        "parameter table",
        ("parameter_file", "parameter_files"),
        (("parameterId", "parameterScale", "estimate"), ("parameterId", "estimate")),
        ("lowerBound", "upperBound", "nominalValue"),
        unique=("parameterId",) * 2,
    ),
    _Table(
        "observable table",
        ("observable_files", "observable_files"),
        (("observableId", "observableFormula", "noiseFormula"),) * 2,
        unique=("observableId",) * 2,
    ),
    _Table(
        "measurement table",
        ("measurement_files", "measurement_files"),
        (
            ("observableId", "simulationConditionId", "measurement", "time"),
            ("observableId", "measurement", "time"),
        ),
        ("measurement", "time"),
    ),
    _Table(
        "condition table",
        ("condition_files", "condition_files"),
        (("conditionId",), ("conditionId", "targetId", "targetValue")),
        unique=("conditionId", ""),
    ),
    _Table(
        "experiment table",
        ("", "experiment_files"),
        ((), ("experimentId", "time", "conditionId")),
        ("time",),
    ),
)
_NEEDED = ("parameter table", "observable table", "measurement table")


def one_line(error: Exception | str) -> str:
    """Return a message or an error of the library in one line.

    Of an error of its records: the table, the column, the reason and the value.
    """
    found = getattr(error, "errors", None)
    if not callable(found):
        return " ".join(str(error).split())
    first = found()[0]
    column = ".".join(str(part) for part in first["loc"])
    reason = str(first["msg"]).removeprefix("Value error, ")
    where = f"{getattr(error, 'title', '')} {f'`{column}`' if column else ''}".strip()
    value = first.get("input")
    got = f" (got `{value}`)" if column and isinstance(value, (str, int, float)) else ""
    return f"{where}: {' '.join(reason.split()).rstrip('.')}{got}"


def check_tables(path: Path, version: int) -> None:
    """Check that the tables of a problem can be read.

    Raises
    ------
    InputError
        For a missing file or column, a cell that must be a number and is none, an id
        that stands twice.
    UnsupportedFeatureError
        For several problems in one file, and for a model that is not SBML.
    """
    import yaml

    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        text = " ".join(str(error).split())
        raise InputError(f"`{path}` is not a YAML file: {text}") from error
    if version == 2:
        settings = config
        _check_languages(config, path)
    else:
        settings = {**config, **_only_problem(config, path)}
    for table in _TABLES:
        files = _files(settings.get(table.keys[version - 1]))
        if not files and table.title in _NEEDED:
            raise InputError(
                f"`{path}` names no {table.title}; `{table.keys[version - 1]}` must "
                "list at least one file."
            )
        seen: dict[str, str] = {}
        for name in files:
            _check_file(path.parent / name, table, version, seen)


def _check_languages(config: Any, path: Path) -> None:
    models = config.get("model_files")
    for name, entry in models.items() if isinstance(models, dict) else ():
        language = entry.get("language") if isinstance(entry, dict) else None
        if language != "sbml":
            raise UnsupportedFeatureError(
                f"`{path}`: the model `{name}` has `language: {language}`; only `sbml` "
                "is supported."
            )


def _only_problem(config: Any, path: Path) -> dict[str, Any]:
    problems = config.get("problems") if isinstance(config, dict) else None
    if not isinstance(problems, list) or not problems:
        raise InputError(f"`{path}` must have a list `problems` with one entry.")
    if len(problems) > 1:
        raise UnsupportedFeatureError(
            f"`{path}` has {len(problems)} problems; one is supported: write a file "
            "for each."
        )
    return dict(problems[0])


def _files(entry: Any) -> list[str]:
    if not entry:
        return []
    return [str(f) for f in entry] if isinstance(entry, list) else [str(entry)]


def _check_file(path: Path, table: _Table, version: int, seen: dict[str, str]) -> None:
    wanted, unique = table.columns[version - 1], table.unique[version - 1]
    for line, row in _rows(path, table, wanted):
        where = f"line {line} of the {table.title} `{path.name}`"
        for column in table.numbers:
            _check_number(row.get(column), column, where)
        if table.title == "parameter table":
            _check_flag(row.get("estimate"), version, where)
            _check_bounds(row, where)
        key = (row.get(unique) or "").strip()
        if unique and key in seen:
            raise InputError(
                f"`{key}` stands twice in the {table.title}: {seen[key]} and {where}."
            )
        seen[key] = f"line {line}"


def _rows(
    path: Path, table: _Table, wanted: Sequence[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield number and cells of each line; check the first one."""
    if not path.is_file():
        raise InputError(f"The {table.title} `{path}` does not exist.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t", restval="")
            names = [name.strip() for name in reader.fieldnames or ()]
            missing = [column for column in wanted if column not in names]
            if missing:
                raise InputError(_no_column(path, table, missing[0], names))
            for row in reader:
                if any(row.values()):
                    yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"The {table.title} `{path}` cannot be read: {error}; it must be text in "
            "UTF-8 with tabs between columns."
        ) from error


def _no_column(path: Path, table: _Table, column: str, names: list[str]) -> str:
    if not names:
        return f"The {table.title} `{path}` is empty; it needs a line of column names."
    if len(names) == 1:
        return (
            f"The {table.title} `{path}` has one column, `{names[0]}`; columns must be "
            "separated by tabs."
        )
    return (
        f"The {table.title} `{path}` has no column `{column}`. It has: "
        f"{', '.join(names)}."
    )


def _check_number(cell: str | None, column: str, where: str) -> None:
    text = (cell or "").strip()
    if not text:
        return
    if _number(text) is None:
        raise InputError(f"`{column}` must be a number, got `{text}` ({where}).")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _check_bounds(row: dict[str, str], where: str) -> None:
    lower, upper = (
        _number((row.get(name) or "").strip()) for name in ("lowerBound", "upperBound")
    )
    if lower is not None and upper is not None and lower > upper:
        raise InputError(
            f"The bounds of `{row['parameterId']}` are {lower:g} and {upper:g}; the "
            f"lower one must not be above the upper one ({where})."
        )


def _check_flag(cell: str | None, version: int, where: str) -> None:
    text = (cell or "").strip()
    known = text.lower() in (*_FLAGS[1], *_FLAGS[2])
    if not known and _number(text) not in (0.0, 1.0):
        first, second = _FLAGS[version]
        raise InputError(
            f"`estimate` must be {first} or {second}, got `{text}` ({where})."
        )
