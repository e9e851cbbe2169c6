"""The contract of every assay: how it is set up, read, drawn, exported and claimed.

A replicate is a well, a blot or a tube from a dish of its own, treated alike; the
variation between such dishes is part of the noise of each assay. Cells and events are
no replicates.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from mir21sim._typing import FloatArray
from mir21sim.analysis.tables import write_csv
from mir21sim.assays.experiment import Experiment, Sample, run_experiment
from mir21sim.assays.noise import Noise
from mir21sim.assays.signals import of_replicate, replicates_of
from mir21sim.assays.statistics import Scale, Test
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError
from mir21sim.model.info import unique
from mir21sim.simulation.options import Options
from mir21sim.solvers.problem import Progress


# ---------------------------------------------------------------------------- a reading
@dataclass(frozen=True, slots=True)
class Conditions:
    """How an assay is read.

    Attributes
    ----------
    noise : whether measurement noise is added
    seed : fixes the noise
    replicates : of each sample; 1 without noise, as all would be equal
    test : statistical test of the summary; "none" without noise
    """

    noise: bool
    seed: int
    replicates: int
    test: Test

    def dishes(self, cells: xr.Dataset) -> list[xr.Dataset]:
        """Return the cells of each replicate: without noise all cells, once."""
        if not self.noise:
            return [cells]
        return [of_replicate(cells, k + 1) for k in range(self.replicates)]


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """The result of reading an assay.

    Attributes
    ----------
    assay : name of the assay
    raw : one row a replicate, lane or well, as an instrument would write it
    summary : one row a group: mean, sd, n, relative, test, p
    notes : sentences that a reader of the tables must see
    """

    assay: str
    raw: pd.DataFrame
    summary: pd.DataFrame
    notes: tuple[str, ...] = ()

    def tables(self) -> tuple["NamedTable", ...]:
        """Return further tables of the reading, for its report and its folder."""
        return ()


@dataclass(frozen=True, slots=True)
class NamedTable:
    """A further table of a reading: name of its file, caption and records."""

    name: str
    caption: str
    records: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Exported:
    """Files written from a reading, and notes on files that could not be written."""

    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()


# ------------------------------------------------------------------------------ a claim
Take: TypeAlias = Callable[[pd.DataFrame, str, tuple[str, ...]], FloatArray]


@dataclass(frozen=True, slots=True)
class AssayClaim:
    """How one assay is set up for a claim, and which numbers are compared.

    Attributes
    ----------
    make : assay from arguments and the time of reading, h
    take : replicates from raw table, sample and arguments, float array (n_replicate,)
    arguments : names of the arguments, for messages
    scale, blocks : how replicates are compared, as in ``compare_groups``
    floor : least absolute difference that counts, in the unit of the replicates
    """

    make: Callable[[tuple[str, ...], float], "Assay[Any]"]
    take: Take
    arguments: tuple[str, ...] = ()
    scale: Scale = "log"
    blocks: bool = False
    floor: float = 0.0


def take_column(name: str, **keys: str | int) -> Take:
    """Return the function that takes a column of the rows of a sample.

    Parameters
    ----------
    name : the column with the numbers
    keys : column to "sample", or to the place of the argument that it must equal
    """

    def take(raw: pd.DataFrame, sample: str, given: tuple[str, ...]) -> FloatArray:
        chosen = np.ones(len(raw), dtype=bool)
        for column, value in keys.items():
            wanted = sample if value == "sample" else given[int(value)]
            chosen &= (raw[column] == wanted).to_numpy()
        return np.asarray(raw.loc[chosen, name], dtype=float)

    return take


# ---------------------------------------------------------------------------- the assay
ReadingType = TypeVar("ReadingType", bound=Reading)


class Assay(ABC, Generic[ReadingType]):
    """An assay: a frozen dataclass of settings that can read, draw and describe itself.

    A new assay is a subclass, and one line in ``assays.kinds``.

    Attributes
    ----------
    kinds : names of the class in study files and claims, mostly one
    reading_type : class of its readings
    replicate_word : plural noun for replicates, e.g. "wells"
    """

    __slots__ = ()

    kinds: ClassVar[tuple[str, ...]]
    reading_type: ClassVar[type[Reading]] = Reading
    replicate_word: ClassVar[str]

    @property
    @abstractmethod
    def name(self) -> str:
        """The assay's name, one of ``kinds``."""

    @property
    @abstractmethod
    def heading(self) -> str:
        """Heading of its section in a report."""

    @property
    @abstractmethod
    def caption(self) -> str:
        """Caption of its picture."""

    @property
    @abstractmethod
    def noise(self) -> Noise:
        """The numbers of its noise."""

    @property
    def death_level(self) -> float | None:
        """Share of PS exposed from which a cell counts as dead; None: not counted."""
        return None

    @classmethod
    @abstractmethod
    def claim(cls, kind: str) -> AssayClaim:
        """Return how a claim is shown by one of ``kinds``."""

    @abstractmethod
    def needs(self, model: CompiledModel) -> tuple[str, ...]:
        """Return the model quantities that must be kept.

        Raises
        ------
        InputError
            For a model without them.
        """

    def dishes(
        self, samples: Sequence[Sample], model: CompiledModel
    ) -> tuple[Sample, ...]:
        """Return the dishes it needs besides the samples of the experiment."""
        return ()

    def group_names(self, samples: Sequence[Sample]) -> tuple[str, ...]:
        """Return the names that its control may have."""
        return tuple(sample.name for sample in samples)

    def check_samples(self, samples: Sequence[Sample], replicates: int) -> None:
        """Stop where it cannot hold some samples, before they are run."""
        return

    def read(
        self,
        cells: xr.Dataset,
        *,
        noise: bool = True,
        seed: int = 0,
        replicates: int = 3,
        test: Test = "auto",
    ) -> ReadingType:
        """Return the reading of the cells of an experiment.

        The columns of the tables are described at ``measure``.

        Parameters
        ----------
        cells : result of ``run_assays``
        noise : without it the reading is the model's exactly, with n = 1 and no test
        seed : fixes the noise, whatever other assays or samples are read before
        replicates : of each sample
        test : statistical test of the summary

        Raises
        ------
        InputError
            For dishes, times or quantities that the experiment does not have.
        """
        count = replicates_of(noise, replicates)
        chosen = Conditions(noise, seed, count, test if noise else "none")
        return self.measure(cells, chosen)

    @abstractmethod
    def measure(self, cells: xr.Dataset, conditions: Conditions) -> ReadingType:
        """Return the reading of the cells of an experiment, see ``read``."""

    def plot(self, reading: Reading) -> Figure:
        """Return the picture of a reading of this assay.

        Raises
        ------
        InputError
            For a reading of another assay.
        """
        if not isinstance(reading, self.reading_type) or reading.assay != self.name:
            raise InputError(
                f"The assay `{self.name}` draws its own readings, got one of "
                f"`{reading.assay}`."
            )
        return self.draw(reading)

    @abstractmethod
    def draw(self, reading: Any) -> Figure:
        """Return the picture of a reading of ``reading_type``."""

    def export(self, reading: ReadingType, folder: Path) -> Exported:
        """Write the tables of a reading and the files of its instrument."""
        tables = {"raw": reading.raw, "summary": reading.summary}
        for extra in reading.tables():
            tables[extra.name] = pd.DataFrame.from_records(list(extra.records))
        written = [
            write_csv(table, folder / f"{name}.csv") for name, table in tables.items()
        ]
        more = self.export_instrument(reading, folder)
        return Exported((*written, *more.files), more.notes)

    def export_instrument(self, reading: ReadingType, folder: Path) -> Exported:
        """Write the files that only this kind of instrument has; by default none."""
        return Exported(())


def run_assays(
    model: CompiledModel,
    experiment: Experiment,
    assays: Sequence[Assay[Any]],
    *,
    options: Options | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Run an experiment with all dishes and quantities that some assays need.

    Returns
    -------
    Dataset of ``run_experiment``

    Examples
    --------
    >>> import mir21sim as ms
    >>> model = ms.load("mir21_core", "HeLa")
    >>> samples = (ms.Sample("control"), ms.Sample("TRAIL", "TRAIL=50 ng/ml@0h"))
    >>> experiment = ms.Experiment(samples, ms.Population(3), times_h=(8.0,))
    >>> assay = ms.PlateAssay("caspase", time_h=8.0)
    >>> cells = ms.run_assays(model, experiment, [assay])
    >>> sorted(map(str, assay.read(cells, seed=1).summary["sample"].unique()))
    ['TRAIL', 'control']
    """
    extra = [
        dish for assay in assays for dish in assay.dishes(experiment.samples, model)
    ]
    observe = unique(name for assay in assays for name in assay.needs(model))
    whole = replace(experiment, samples=(*experiment.samples, *extra))
    return run_experiment(model, whole, observe, options=options, progress=progress)
