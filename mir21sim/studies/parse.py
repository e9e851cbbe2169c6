"""A study file → a Study that can be run; mistakes by file, line and near name."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mir21sim.assays.assay import Assay
from mir21sim.assays.experiment import Sample, check_sample
from mir21sim.assays.noise import Noise
from mir21sim.compiler import cache
from mir21sim.compiler.card import html_rows, text_rows
from mir21sim.compiler.load import assemble
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, ModelError, UnknownNameError
from mir21sim.model import files as model_files
from mir21sim.model import toml_lines
from mir21sim.model.info import unique
from mir21sim.simulation.names import canonical
from mir21sim.simulation.population import Population
from mir21sim.simulation.varied import varied
from mir21sim.studies import form
from mir21sim.studies.contradictions import contradictions
from mir21sim.studies.mistakes import Mistakes
from mir21sim.studies.schema import (
    AssayTable,
    PopulationTable,
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
            "cells": f"{self.study.population.cells} in each dish",
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
    r"""Read a study file and check all that can be checked before it runs.

    Raises
    ------
    InputError
        When the file does not exist or is no text.
    ModelError
        For the mistakes in the file, by line and near name (``StudyError``).

    Examples
    --------
    >>> import mir21sim as ms
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name) / "study.toml"
    >>> _ = path.write_text(
    ...     'model = "mir21_core"\ntimes = [4]\n[population]\ncells = 2\n'
    ...     '[[samples]]\nname = "control"\n'
    ...     '[[assays]]\nkind = "western"\nproteins = ["PTEN"]\n'
    ... )
    >>> study = ms.read_study(path)
    >>> folder.cleanup()
    >>> study.study.population.cells
    2
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
    mistakes = Mistakes(text, path.name)
    study = _read(text, mistakes)
    made = _with_model(study, mistakes, path, backend) if study else None
    mistakes.stop()
    assert made is not None
    return made


def parse(text: str, name: str = "study.toml") -> Study:
    """Return the study that a text describes; `name` is used in messages.

    Raises
    ------
    StudyError
        For all mistakes, by line.
    """
    mistakes = Mistakes(text, name)
    study = _read(text, mistakes)
    mistakes.stop()
    assert study is not None
    return study


def _read(text: str, mistakes: Mistakes) -> Study | None:
    """Return the study of a text, as far as it can be read, and note its mistakes."""
    table = toml_lines.parse(text, mistakes.name)
    if not table:
        raise ModelError(
            f"{mistakes.name} says nothing; `mir21sim study new` writes an example."
        )
    study = form.read(table, mistakes)
    if study is not None:
        for place, sentence in contradictions(study, mistakes.doubtful):
            mistakes.add(place, sentence)
    return study


def _with_model(
    study: Study, mistakes: Mistakes, path: Path, backend: cache.Backend
) -> Planned | None:
    """Return the study with its model, and note the mistakes of its parts.

    None where there is a part that cannot be made.
    """
    models = _models(study, mistakes, path, backend)
    assays = list(_assays(study, mistakes, path.parent))
    populations: list[Population] = []
    with mistakes.at("population"):
        populations.append(study.population.population(study.seed, study.dishes_each()))
    if not models or not populations:
        return None
    (files, model), population = models[0], populations[0]
    made = Planned(
        study,
        mistakes.text,
        mistakes.name,
        files,
        model,
        population,
        tuple((table, assay) for _, table, assay in assays),
    )
    _check_population(made, mistakes)
    wrong = _check_samples(made, mistakes)
    _check_assays(made, mistakes, assays, wrong)
    return made


def _models(
    study: Study, mistakes: Mistakes, path: Path, backend: cache.Backend
) -> list[tuple[model_files.ModelFiles, CompiledModel]]:
    """Return the model with its files; none where there is a mistake in its name."""
    source, found = study.model, list[tuple[model_files.ModelFiles, CompiledModel]]()
    if mistakes.unknown(("model",)) or mistakes.unknown(("context",)):
        return []
    if source not in model_files.shipped() and (path.parent / source).is_file():
        source = str(path.parent / source)
    with mistakes.at("model"):
        model_files.find(source, model_files.BASE)
        with mistakes.at("context" if study.context else "model"):
            files = model_files.find(source, study.context)
            found.append((files, assemble(files, backend=backend)))
    return found


def _assays(
    study: Study, mistakes: Mistakes, folder: Path
) -> Iterator[tuple[int, AssayTable, Assay[Any]]]:
    """Yield the assays that can be made, and note the mistakes of the others."""
    for k, table in enumerate(study.assays):
        before = len(mistakes.places)
        if len(table.model_fields_set) > 1:
            for part in _alone(table):
                with mistakes.at("assays", k):
                    part.assay(folder)
        if len(mistakes.places) == before:
            with mistakes.at("assays", k):
                yield k, table, table.assay(folder)


def _alone(table: AssayTable) -> Iterator[AssayTable]:
    """Yield tables with one key each, so that no mistake hides another."""
    values = {name: getattr(table, name) for name in type(table).model_fields}
    for key in table.model_fields_set:
        yield table.model_construct({key}, **values)


# ---------------------------------------------------- checks that need the model
def _check_population(made: Planned, mistakes: Mistakes) -> None:
    """Note each protein that the model lacks."""
    groups = tuple(varied(made.model))
    table = made.study.population
    pairs = (protein for row in table.correlations for protein in row[:2])
    for protein in unique((*table.proteins, *pairs)):
        if canonical(made.model, str(protein), groups) not in groups:
            with mistakes.at("population", "proteins", str(protein)):
                raise UnknownNameError("protein or pool", str(protein), groups)


def _check_samples(made: Planned, mistakes: Mistakes) -> set[str]:
    """Note the mistakes of samples, and return the names of those that have any."""
    times = (0.0, *sorted({t for t in made.study.times if t > 0}))
    wrong = set()
    for k, sample in enumerate(made.study.samples):
        before = len(mistakes.places)
        for part in _parts(sample):
            with mistakes.at("samples", k):
                check_sample(made.model, part.dishes()[0], times)
        if len(mistakes.places) == before:
            with mistakes.at("samples", k):
                for dish in sample.dishes():
                    check_sample(made.model, dish, times)
        if len(mistakes.places) > before or mistakes.unknown(("samples", k)):
            wrong.add(sample.name)
    return wrong


def _parts(sample: SampleTable) -> Iterator[SampleTable]:
    """Yield samples with one entry each, so that no mistake hides another."""
    empty = SampleTable(name=sample.name)
    for dose in sample.doses:
        yield empty.model_copy(update={"doses": (dose,)})
    for key in ("clamp", "knockdown", "overexpress", "parameters"):
        for name, value in getattr(sample, key).items():
            yield empty.model_copy(update={key: {name: value}})
    for gene in sample.no_site:
        yield empty.model_copy(update={"no_site": (gene,)})


def _check_assays(
    made: Planned,
    mistakes: Mistakes,
    assays: Sequence[tuple[int, AssayTable, Assay[Any]]],
    wrong: set[str],
) -> None:
    """Note each assay that cannot be read from the model or from its samples.

    Parameters
    ----------
    wrong : samples with mistakes; their assays are not held against them
    """
    known = {sample.name for sample in made.study.samples}
    for k, table, assay in assays:
        before = len(mistakes.places)
        for part in _of_one_name(assay):
            with mistakes.at("assays", k):
                part.needs(made.model)
        if len(mistakes.places) == before:
            with mistakes.at("assays", k):
                assay.needs(made.model)
        read = set(table.samples) or known
        in_doubt = any(place[:2] == ("assays", k) for place in mistakes.places)
        if in_doubt or mistakes.unknown(("assays", k)) or wrong & read or read - known:
            continue
        with mistakes.at("assays", k):
            dishes = made.study.dishes(table.samples)
            assay.dishes(dishes, made.model)
            replicates = table.replicates or made.study.replicates
            assay.check_samples(dishes, replicates if made.study.noise else 1)


def _of_one_name(assay: Assay[Any]) -> Iterator[Assay[Any]]:
    """Yield an assay with one name of each list, so that no mistake hides another."""
    settings: Any = assay
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, tuple) and len(value) > 1 and isinstance(value[0], str):
            for name in value:
                with contextlib.suppress(InputError):  # it may need several
                    yield replace(settings, **{field.name: (name,)})
