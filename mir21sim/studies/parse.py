"""A study file → a Study that can be run; mistakes by file, line and near name."""

import dataclasses
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic

from mir21sim.assays.assay import Assay
from mir21sim.assays.experiment import Sample, check_sample
from mir21sim.assays.gates import Gates
from mir21sim.assays.noise import Noise
from mir21sim.compiler import cache
from mir21sim.compiler.card import html_rows, text_rows
from mir21sim.compiler.load import assemble
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, ModelError, UnknownNameError, hint
from mir21sim.files import slug
from mir21sim.model import files as model_files
from mir21sim.model import toml_lines
from mir21sim.model.info import unique
from mir21sim.simulation.population import Population
from mir21sim.simulation.varied import varied
from mir21sim.studies.schema import (
    ASSAYS,
    AssayTable,
    PopulationTable,
    ProteinTable,
    SampleTable,
    Study,
    Table,
)

Place = toml_lines.TomlPath

_PARTS: dict[str, type[Table]] = {"population": PopulationTable, "samples": SampleTable}


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """A study with all that its file names, ready to run.

    Attributes
    ----------
    study, text, name : content, text and name of the file
    files, model : the model in its cell line
    population : the cells
    assays : the table and the settings of each assay
    """

    study: Study
    text: str
    name: str
    files: model_files.ModelFiles
    model: CompiledModel
    population: Population
    assays: tuple[tuple[AssayTable, Assay[Any]], ...]

    def __repr__(self) -> str:
        return text_rows(f"Study {self.name}", self._card())

    def _repr_html_(self) -> str:
        """Return the card that notebooks show."""
        return html_rows(self.study.title, self.name, self._card())

    def _card(self) -> dict[str, str]:
        """Return cells, dishes, times and assays of the study, by title."""
        return {
            "model": f"{self.model.id}, {self.model.context or 'base'}",
            "dishes": ", ".join(dish.name for dish in self.dishes()),
            "cells": f"{self.population.n} a dish",
            "read at": ", ".join(f"{t:g} h" for t in self.study.times),
            "assays": ", ".join(assay.name for _, assay in self.assays),
        }

    def dishes(self) -> tuple[Sample, ...]:
        """Return every dish of the study, those that assays add behind the others."""
        dishes = {dish.name: dish for dish in self.study.dishes()}
        for table, assay in self.assays:
            plain = self.study.dishes(table.samples)
            dishes |= {dish.name: dish for dish in assay.dishes(plain, self.model)}
        return tuple(dishes.values())

    def noises(self) -> tuple[Noise, ...]:
        """Return the noise numbers in use, those that assays share once."""
        return tuple(dict.fromkeys(assay.noise for _, assay in self.assays))


def plan(path: str | Path, *, backend: cache.Backend = "numba") -> Planned:
    """Read a study file and check all that can be checked before it runs.

    Raises
    ------
    InputError
        When the file does not exist or is no text.
    ModelError
        For the first mistake in the file, with line and near name.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"`{path}` is a folder; a study is a file (.toml).")
    if not path.is_file():
        raise InputError(
            f"The study file `{path}` does not exist; `mir21sim study new` writes one."
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"`{path}` is not UTF-8 text: {error}.") from error
    except OSError as error:
        raise InputError(f"`{path}` cannot be read: {error.strerror}.") from error
    study = _form(text, path.name)
    mistakes = Mistakes(text, path.name)
    for place, sentence in _contradictions(study):
        mistakes.add(place, sentence)
    made = _with_model(study, mistakes, path, backend)
    mistakes.stop()
    assert made is not None
    return made


def _with_model(
    study: Study, mistakes: "Mistakes", path: Path, backend: cache.Backend
) -> Planned | None:
    """Return the study with its model, and note the mistakes of its parts.

    None where there is a part that cannot be made.
    """
    source = study.model
    if source not in model_files.shipped() and (path.parent / source).is_file():
        source = str(path.parent / source)
    models: list[tuple[model_files.ModelFiles, CompiledModel]] = []
    with mistakes.at("model"):
        model_files.find(source, model_files.BASE)
        with mistakes.at("context" if study.context else "model"):
            files = model_files.find(source, study.context)
            models.append((files, assemble(files, backend=backend)))
    wrong = {place[1] for place in mistakes.places if place[:1] == ("assays",)}
    assays, places = [], []
    for k, table in enumerate(study.assays):
        with mistakes.at("assays", k):
            assays.append((table, table.assay(path.parent)))
            places.append(k)
    populations: list[Population] = []
    with mistakes.at("population"):
        populations.append(study.population.population(study.seed, study.dishes_each()))
    if not models or not populations:
        return None
    (files, model), population = models[0], populations[0]
    made = Planned(
        study, mistakes.text, mistakes.name, files, model, population, tuple(assays)
    )
    checked = [(k, *a) for k, a in zip(places, assays, strict=True) if k not in wrong]
    _check_with_model(made, mistakes, checked)
    return made


@contextmanager
def at(text: str, name: str, *path: str | int) -> Iterator[None]:
    """Put file and line before the errors of a part of a study."""
    try:
        yield
    except (InputError, ModelError) as error:
        place = toml_lines.place(text, name, _within(text, name, path, error))
        raise ModelError(f"{place}: {error}") from error


class StudyError(ModelError):
    """A study file with mistakes.

    Attributes
    ----------
    mistakes : a sentence each, in the order of their lines
    """

    def __init__(self, mistakes: Sequence[str]) -> None:
        self.mistakes = tuple(mistakes)
        more = len(mistakes) - 1
        tail = f" ({more} more mistake{'s' if more > 1 else ''} in the file)"
        super().__init__(mistakes[0] + (tail if more else ""))


class Mistakes:
    """The mistakes found so far in a study file.

    Attributes
    ----------
    text, name : of the file
    places : the keys that lead to each mistake
    """

    def __init__(self, text: str, name: str) -> None:
        self.text, self.name = text, name
        self.places: list[Place] = []
        self._sentences: list[str] = []

    def add(self, place: Place, sentence: str) -> None:
        """Note a mistake."""
        self.places.append(place)
        self._sentences.append(sentence)

    @contextmanager
    def at(self, *path: str | int) -> Iterator[None]:
        """Note the error of a part of a study, and go on behind it."""
        try:
            yield
        except (InputError, ModelError) as error:
            self.add(_within(self.text, self.name, path, error), str(error))

    def stop(self) -> None:
        """Raise all mistakes, where there are any.

        Raises
        ------
        StudyError
            With the mistakes in the order of their lines, each once; without line last.
        """
        found = sorted(
            zip(self.places, self._sentences, strict=True),
            key=lambda item: toml_lines.line_of(self.text, item[0]) or math.inf,
        )
        if found:
            raise StudyError(
                list(
                    dict.fromkeys(
                        f"{toml_lines.place(self.text, self.name, place)}: {sentence}"
                        for place, sentence in found
                    )
                )
            )


def parse(text: str, name: str = "study.toml") -> Study:
    """Return the study that a text describes; `name` is used in messages.

    Raises
    ------
    StudyError
        For all mistakes, by line.
    """
    study = _form(text, name)
    mistakes = Mistakes(text, name)
    for place, sentence in _contradictions(study):
        mistakes.add(place, sentence)
    mistakes.stop()
    return study


def _form(text: str, name: str) -> Study:
    """Return the study of a text; its parts may contradict each other.

    Raises
    ------
    StudyError
        For all keys and values that do not fit, by line.
    """
    table = toml_lines.parse(text, name)
    if not table:
        raise ModelError(
            f"{name} says nothing; `mir21sim study new` writes an example."
        )
    try:
        return Study.model_validate(table)
    except pydantic.ValidationError as error:
        found = [m for m in error.errors(include_url=False) if not _follows(m)]
    # A misspelt key is missing as well: first the one that is there.
    found.sort(key=lambda m: m["type"] not in _UNKNOWN_KEY)
    mistakes = Mistakes(text, name)
    for mistake in found:
        mistakes.add(_path(table, mistake["loc"]), _sentence(table, mistake))
    mistakes.stop()
    raise AssertionError("pydantic named no mistake")


# ---------------------------------------------------- values that do not fit their keys
def _path(table: Any, loc: Sequence[str | int]) -> Place:
    """Return the keys of a place in a file, without the names of alternatives."""
    path: Place = ()
    for key in loc:
        there = isinstance(table, dict) and key in table
        if isinstance(table, list) and isinstance(key, int):
            there = key < len(table)
        if there:
            path, table = (*path, key), table[key]
    return path


def _follows(mistake: Any) -> bool:
    """Whether a list is only short because of a mistake in one of its entries."""
    return mistake["type"] == "too_short" and len(mistake["input"]) > 0


def _sentence(table: Any, mistake: Any) -> str:
    """Return the mistake and its remedy in one sentence."""
    kind, loc, came = mistake["type"], mistake["loc"], mistake["input"]
    key = str(loc[-1]) if loc else ""
    where = _called(_path(table, loc))
    if kind in _UNKNOWN_KEY:
        return f"unknown key `{key}`. {hint(key, _known(loc[:-1]))}"
    if kind == "missing":
        missing = f"entry {loc[-1] + 1}" if isinstance(loc[-1], int) else f"`{key}`"
        return f"{missing}{f' of {where}' if where else ''} is missing."
    if kind == "union_tag_not_found":
        return f"`kind` of {where} is missing. {hint('', tuple(ASSAYS))}"
    if kind == "union_tag_invalid":
        tag = str(came["kind"])
        return f"unknown kind of assay `{tag}`. {hint(tag, tuple(ASSAYS))}"
    if kind == "value_error":
        return str(mistake["ctx"]["error"])
    if kind == "too_short":
        return f"`{key}` needs {mistake['ctx']['min_length']} or more, got none."
    if kind == "literal_error":
        known = [word.strip(" '") for word in _words(mistake["ctx"]["expected"])]
        return f"unknown {key} `{came}`. {hint(str(came), known)}"
    shape = next((f"be {_SHAPES[word]}" for word in _SHAPES if word in kind), "")
    what = shape or mistake["msg"].removeprefix("Input should ")
    return f"{where} must {what}, got {came!r}."


_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")
_SHAPES = {
    "tuple": "a list",
    "model_type": "a table",
    "dataclass_type": "a table",
    "dict_type": "a table",
    "path_type": "the name of a file",
}
"""Name of a type in pydantic → its name in TOML."""


def _words(listed: str) -> list[str]:
    return listed.replace(" or ", ", ").split(",")


def _known(loc: Sequence[str | int]) -> tuple[str, ...]:
    """Return the keys that the table at a place may have."""
    names = [key for key in loc if isinstance(key, str)]
    if not names:
        return tuple(Study.model_fields)
    if names[0] != "assays":
        table = ProteinTable if "proteins" in names else _PARTS[names[0]]
        return tuple(table.model_fields)
    fields = ASSAYS[names[1]].model_fields
    if names[2:] == ["noise"]:
        return tuple(fields["noise"].annotation.model_fields)  # type: ignore[union-attr]
    if "gates" in names:
        return tuple(field.name for field in dataclasses.fields(Gates))
    return tuple(fields)


def _called(loc: Sequence[str | int]) -> str:
    """Return the words for a place: ``samples 2, doses 1``."""
    words: list[str] = []
    for key in loc:
        if isinstance(key, int) and words:
            words[-1] += f" {key + 1}"
        else:
            words.append(str(key))
    return f"`{', '.join(words)}`" if words else ""


# --------------------------------------------------- contradictions between parts
def _contradictions(study: Study) -> Iterator[tuple[Place, str]]:
    """Yield contradictions between the parts of a study, with their places."""
    yield from _twice([s.name for s in study.samples], "samples", "sample")
    yield from _twice([a.title for a in study.assays], "assays", "assay")
    if len(set(study.times)) < len(study.times):
        yield ("times",), "a time stands twice."
    yield from _late_doses(study)
    for k, table in enumerate(study.assays):
        yield from _in_assay(study, table, k)


def _twice(names: Sequence[str], key: str, what: str) -> Iterator[tuple[Place, str]]:
    """Yield names that would give files of one name, upper and lower case alike."""
    seen: dict[str, str] = {}
    for k, name in enumerate(names):
        first = seen.setdefault(slug(name).lower(), name)
        if list(map(slug, names[: k + 1])).count(slug(name)) > 1 or first != name:
            called = f"called `{name}`" if first == name else f"`{first}` and `{name}`"
            sentence = (
                f"two {key} are {called}, and files are called after them, in upper "
                f"or lower case; give each {what} a `name` of its own."
            )
            yield (key, k, "name"), sentence


def _late_doses(study: Study) -> Iterator[tuple[Place, str]]:
    last = max(study.times)
    for k, sample in enumerate(study.samples):
        for j, dose in enumerate(sample.doses):
            if dose.time >= last:
                sentence = (
                    f"the dose `{dose}` of `{sample.name}` comes at or after the last "
                    f"of `times` ({last:g} h), so nothing of it could be seen: read "
                    "later, or dose earlier."
                )
                yield ("samples", k, "doses", j), sentence


def _in_assay(study: Study, table: AssayTable, k: int) -> Iterator[tuple[Place, str]]:
    """Yield contradictions of an assay to samples, times and replicates."""
    names = [sample.name for sample in study.samples]
    for j, name in enumerate(table.samples):
        if name not in names:
            error = UnknownNameError("sample", name, names)
            yield ("assays", k, "samples", j), str(error)
            return
        if name in table.samples[:j]:
            sentence = f"the sample `{name}` stands twice in `{table.title}`."
            yield ("assays", k, "samples", j), sentence
    dishes = study.dishes(table.samples)
    known = [dish.name for dish in dishes]
    if isinstance(table, (ASSAYS["caspase"], ASSAYS["viability"])):
        known += [dish.group for dish in dishes]  # first of its doses
    for role in ("control", "positive"):
        wanted = getattr(table, role, None)
        if wanted is not None and wanted not in known:
            error = UnknownNameError(
                f"{role} of `{table.title}`", wanted, unique(known)
            )
            yield ("assays", k, role), str(error)
    yield from _in_time(study, table, k, dishes)
    replicates = table.replicates or study.replicates
    if replicates < 2 and study.noise and (table.test or study.test) != "none":
        place: Place = ("assays", k) if table.replicates else ()
        sentence = (
            f"the assay `{table.title}` has 1 replicate, and a test needs 2 or more: "
            'raise `replicates`, or ask for no test (`test = "none"`).'
        )
        yield (*place, "replicates"), sentence


def _in_time(
    study: Study, table: AssayTable, k: int, dishes: Sequence[Sample]
) -> Iterator[tuple[Place, str]]:
    """Yield mistakes in the times at which an assay reads."""
    times = _times(table) or (max(study.times),)
    for time in times:
        if time not in study.times:
            kept = ", ".join(f"{t:g} h" for t in sorted(study.times))
            sentence = (
                f"the assay `{table.title}` reads at {time:g} h, which is none of the "
                f"study's `times`: {kept}."
            )
            yield ("assays", k), sentence
    given = [dose.time for dish in dishes for dose in dish.done.doses]
    if given and max(times) <= min(given):
        sentence = (
            f"the assay `{table.title}` reads at {max(times):g} h, before anything is "
            f"given (first dose at {min(given):g} h): all samples would be alike."
        )
        yield ("assays", k), sentence


def _times(table: AssayTable) -> tuple[float, ...]:
    """Return when an assay reads, h; () for the last time of the study."""
    time = getattr(table, "time", None)
    return getattr(table, "times", ()) if time is None else (float(time),)


# ---------------------------------------------------- checks that need the model
def _check_with_model(
    made: Planned,
    mistakes: Mistakes,
    assays: Sequence[tuple[int, AssayTable, Assay[Any]]],
) -> None:
    """Note each name that the model lacks, and each assay that cannot be read."""
    model = made.model
    groups = tuple(varied(model))
    table = made.study.population
    for protein in (
        *table.proteins,
        *(p for row in table.correlations for p in row[:2]),
    ):
        if protein not in groups:
            with mistakes.at("population", "proteins", str(protein)):
                raise UnknownNameError("protein or pool", str(protein), groups)
    times = (0.0, *sorted(t for t in made.study.times if t > 0))
    wrong = set()
    for k, sample in enumerate(made.study.samples):
        before = len(mistakes.places)
        with mistakes.at("samples", k):
            for dish in sample.dishes():
                check_sample(model, dish, times)
        if len(mistakes.places) > before:
            wrong.add(sample.name)
    for k, entry, assay in assays:
        with mistakes.at("assays", k):
            assay.needs(model)
        if wrong & {*(entry.samples or [s.name for s in made.study.samples])}:
            continue
        with mistakes.at("assays", k):
            dishes = made.study.dishes(entry.samples)
            assay.dishes(dishes, model)
            replicates = entry.replicates or made.study.replicates
            assay.check_samples(dishes, replicates if made.study.noise else 1)


def _within(text: str, name: str, path: Place, error: Exception) -> Place:
    """Return the entry below a place that an error is about, as far as it tells.

    That is the entry that is, or holds, the unknown name, or the key that the message
    begins with.
    """
    part: Any = toml_lines.parse(text, name)
    for key in path:
        try:
            part = part[key]
        except (KeyError, IndexError, TypeError):
            return path
    wanted = error.name if isinstance(error, UnknownNameError) else ""
    for below, value in toml_lines.entries(part):
        said = isinstance(value, str) and wanted in re.split(r"[/=\s]", value)
        if wanted and (said or value == wanted or wanted in below[-1:]):
            return (*path, *below)
    opening = re.match(r"`(\w+)`", str(error))
    if opening and isinstance(part, dict) and opening[1] in part:
        return (*path, opening[1])
    return path
