"""The schema of study files: tables, keys, types and ranges.

Everything that can be judged without the model is judged here: names, times, doses in
the words of the command line, numbers in their range. `studies.read` adds the file and
line, and checks names against the model.
"""

import inspect
import re
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import reduce
from operator import or_
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    Self,
    TypeAlias,
    get_type_hints,
)

import pydantic
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    create_model,
    model_validator,
)

from mir21sim import units
from mir21sim._typing import FloatArray
from mir21sim.assays.assay import Assay
from mir21sim.assays.experiment import Sample, dose_series
from mir21sim.assays.kinds import KINDS
from mir21sim.assays.plate_map import PlateMap, read_plate_map
from mir21sim.assays.statistics import Test
from mir21sim.errors import InputError, hint
from mir21sim.model.files import DEFAULT_MODEL
from mir21sim.simulation.axes import parse_values
from mir21sim.simulation.doses import Dose
from mir21sim.simulation.perturbations import Clamp, Perturbations
from mir21sim.simulation.population import CV, LogNormal, Population
from mir21sim.simulation.treatment import Treatment
from mir21sim.units import SECONDS_PER_HOUR

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"
UNTREATED_NAMES = tuple(f"untreated{'_' * k}" for k in range(100))
"""Names of the sample that is added where no other is untreated, the first free one."""

NAME = re.compile(r"[^\s/\\:*?\"<>|.][^/\\:*?\"<>|\t\n]*")


def _hours(value: Any) -> float:
    """Return a time in h from a number of hours or text with a unit."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise InputError(f"A time is a number of hours or `48 h`, got {value!r}.")
    hours = units.seconds(value, "time") / SECONDS_PER_HOUR
    if hours < 0:
        raise InputError(f"A time must be 0 h or later, got `{value}`.")
    return hours


def _dose(value: Any) -> Dose:
    if not isinstance(value, str):
        raise InputError(f'A dose is text such as "TRAIL=50 ng/ml@24h", got {value!r}.')
    dose = Dose.parse(value)
    if dose.unit:
        units.dose_unit(dose.unit, f"dose `{dose.target}`")
    if dose.time < 0:
        raise InputError(f"A dose must be given at 0 h or later, got `{value}`.")
    return dose


def _clamp(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise InputError(f"A clamp is molecules or text such as `0.1x`, got {value!r}.")
    level = value if isinstance(value, str) else float(value)
    return str(Clamp.of(level, "clamp"))


def _name(value: Any) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise InputError(
            'A name is text without / \\ : * ? " < > | and does not start with a dot '
            f"or a space (files are called after it), got {value!r}."
        )
    return value


Hours: TypeAlias = Annotated[
    float,
    BeforeValidator(_hours),
    WithJsonSchema(
        {
            "anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}],
            "description": "hours, or text with a unit: 48, '48 h', '30 min'",
        }
    ),
]
DoseText: TypeAlias = Annotated[
    Dose,
    BeforeValidator(_dose),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": "^[^=]+=[^@]+@.+$",
            "description": "NAME=AMOUNT UNIT@TIME[:DURATION][/EVERYxN], as --dose",
        }
    ),
]
Level: TypeAlias = Annotated[
    str,
    BeforeValidator(_clamp),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}]}),
]
Name: TypeAlias = Annotated[str, BeforeValidator(_name)]
# TOML has types of its own: the text "3" or `true` is no number.
Number: TypeAlias = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Share: TypeAlias = Annotated[Number, Field(ge=0, le=1)]
Spread: TypeAlias = Annotated[Number, Field(ge=0, le=5)]
Positive: TypeAlias = Annotated[Number, Field(gt=0)]
Count: TypeAlias = Annotated[int, Field(strict=True)]
Replicates: TypeAlias = Annotated[Count, Field(ge=1, le=100)]
Switch: TypeAlias = Annotated[bool, Field(strict=True)]


class Table(pydantic.BaseModel):
    """A table of a study file: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class ProteinTable(Table):
    """How one protein differs between cells."""

    cv: Spread = Field(
        default=CV, description="coefficient of variation; 0: alike in all cells"
    )
    mean: Positive = Field(default=1.0, description="mean level, times the model's")


class PopulationTable(Table):
    """The cells that are treated: the cells of every sample are the same ones."""

    cells: Annotated[Count, Field(ge=1, le=1_000_000)] = Field(
        default=200, description="number of cells in each dish"
    )
    cv: Spread = Field(
        default=CV, description="coefficient of variation of every other protein"
    )
    proteins: dict[str, ProteinTable] = Field(
        default_factory=dict, description="proteins with a cv or mean of their own"
    )
    correlations: tuple[tuple[str, str, Annotated[Number, Field(gt=-1, lt=1)]], ...] = (
        Field(
            default=(), description='[["BCL2", "BAX", 0.5], …], of logarithms of levels'
        )
    )

    def population(self, seed: int, dishes: int) -> Population:
        """Return the cells of some dishes, each of other cells."""
        return Population(
            self.cells * dishes,
            cv=self.cv,
            distributions={
                name: LogNormal(protein.cv, protein.mean)
                for name, protein in self.proteins.items()
            },
            correlations={(a, b): r for a, b, r in self.correlations},
            seed=seed,
        )


class SampleTable(Table):
    """One dish, or a series of dishes, and their treatment."""

    name: Name = Field(description="name in tables, pictures and assays")
    doses: tuple[DoseText, ...] = Field(
        default=(), description="doses in the words of --dose"
    )
    over: str = Field(
        default="",
        description="NAME=VALUES as --over: one dish for each amount of that dose",
    )
    clamp: dict[str, Level] = Field(
        default_factory=dict, description="species or gene to `0.1x` or molecules"
    )
    knockdown: dict[str, Share] = Field(
        default_factory=dict, description="gene to the share of its synthesis lost"
    )
    overexpress: dict[str, Positive] = Field(
        default_factory=dict, description="gene to the factor on its synthesis"
    )
    no_site: tuple[str, ...] = Field(
        default=(), description="genes whose 3'UTR miR-21 cannot bind"
    )
    parameters: dict[str, Number] = Field(
        default_factory=dict, description="parameter to its value, in model units"
    )

    @model_validator(mode="after")
    def _over_names_a_dose(self) -> Self:
        if self.over:
            self.series()
        return self

    def series(self) -> tuple[Dose, FloatArray] | None:
        """Return the dose that differs within the series, and its amounts."""
        if not self.over:
            return None
        target, equals, text = self.over.partition("=")
        target = target.strip()
        if not equals:
            raise InputError(f"`over` must read NAME=VALUES, got `{self.over}`.")
        mine = [dose for dose in self.doses if dose.target == target]
        if len(mine) != 1:
            known = [dose.target for dose in self.doses]
            raise InputError(
                f"`over` names `{target}`, which must have one dose in `doses` (its "
                f"amount does not matter), got {len(mine)}. {hint(target, known)}"
            )
        amounts, unit = parse_values(text, target)
        if (amounts < 0).any() or len(set(amounts)) != len(amounts):
            raise InputError(
                f"The amounts of `{target}` must be 0 or more and differ: `{text}`."
            )
        unit = units.dose_unit(unit, f"dose `{target}`") if unit else mine[0].unit
        return replace(mine[0], unit=unit), amounts

    def dishes(self) -> tuple[Sample, ...]:
        """Return the dishes of the table: one, or one for each amount of a series."""
        perturbations = Perturbations(
            self.clamp, self.knockdown, self.overexpress, self.no_site
        )
        done = Treatment(
            self.doses, parameters=self.parameters, perturbations=perturbations
        )
        series = self.series()
        if series is None:
            return (Sample(self.name, done),)
        pattern, amounts = series
        return dose_series(
            self.name,
            pattern,
            amounts.tolist(),
            treatment=replace(
                done, doses=tuple(d for d in self.doses if d.target != pattern.target)
            ),
        )


# ------------------------------------------------------------------------------ assays
class AssayTable(Table):
    """Keys that the tables of all assays share."""

    name: Name | None = Field(
        default=None, description="its folder and heading; by default its kind"
    )
    samples: tuple[str, ...] = Field(
        default=(), description="samples to read; by default all"
    )
    replicates: Replicates | None = Field(
        default=None, description="by default those of the study"
    )
    test: Test | None = Field(default=None, description="by default that of the study")

    @property
    def title(self) -> str:
        """Name of the assay in files and headings."""
        return self.name or self.kind_name

    @property
    def kind_name(self) -> str:
        """Kind of the assay, a key of ``KINDS``."""
        return str(getattr(self, "kind", ""))

    def assay(self, folder: Path) -> Assay[Any]:
        """Return the assay with the settings of the table; others are its own.

        Files that it names lie in `folder`, that of the study file.
        """
        kind = self.kind_name
        given: dict[str, Any] = {}
        for setting, key in _keys(KINDS[kind]).items():
            if key in self.model_fields_set:
                value = getattr(self, key)
                if isinstance(value, Table):  # noise: missing keys take their defaults
                    numbers = get_type_hints(KINDS[kind])[setting]
                    value = numbers(**value.model_dump(exclude_unset=True))
                elif isinstance(value, Path):
                    value = read_plate_map(folder / value)
                given[setting] = value
        return KINDS[kind](**given)


_TIMES: dict[Any, Any] = {
    float: Hours,
    float | None: Hours | None,
    tuple[float, ...]: tuple[Hours, ...],
}
"""Type of a setting that is a time in h → its type in a study file."""

_SETTINGS: dict[Any, Any] = {
    int: Count,
    float: Number,
    tuple[float, ...]: tuple[Number, ...],
    PlateMap | None: Path | None,
}
"""Type of any other setting → its type in a study file, where that differs."""


def hour_keys(kind: str) -> tuple[str, ...]:
    """Return the keys of an assay's table that are times, h."""
    return tuple(key for name, key in _keys(KINDS[kind]).items() if key != name)


def _keys(settings: Any) -> dict[str, str]:
    """Return the key of each field: a time in h is written as a time, with a unit."""
    return {f.name: f.name.removesuffix("_h") for f in fields(settings)}


def _table_of(kind: str, settings: type) -> type[AssayTable]:
    """Return the table of an assay: the fields, defaults and words of its class."""
    types, words = get_type_hints(settings), _words(settings)
    own: dict[str, Any] = {"kind": (Literal[kind], Field(description=_title(settings)))}
    for entry in fields(settings):
        key, annotation = _keys(settings)[entry.name], types[entry.name]
        if key == "kind":
            continue
        if entry.name == "noise":
            made = _noise_table(kind, annotation)
            about = Field(default_factory=made, description=_title(annotation))
            own[key] = (made, about)
            continue
        if entry.name != key:
            annotation = _TIMES[annotation]
        annotation = _SETTINGS.get(annotation, annotation)
        own[key] = (
            annotation,
            Field(default=entry.default, description=words.get(entry.name)),
        )
    made_table: type[AssayTable] = create_model(
        f"{kind.capitalize()}Table",
        __base__=AssayTable,
        __doc__=_title(settings),
        **own,
    )
    return made_table


def _noise_table(kind: str, noise: type) -> type[Table]:
    """Return the table of an assay's noise numbers, each with its unit and status."""
    numbers: dict[str, Any] = {
        entry.name: (
            Annotated[Number, Field(ge=0)],
            Field(
                default=entry.default,
                description=f"{entry.metadata['meaning']} [{entry.metadata['unit']}], "
                f"{entry.metadata['status']}",
            ),
        )
        for entry in fields(noise)
    }
    return create_model(f"{kind.capitalize()}Noise", __base__=Table, **numbers)


def _title(described: type) -> str:
    return (described.__doc__ or "").strip().partition("\n")[0]


def _words(settings: type) -> dict[str, str]:
    """Return the description of each parameter in a docstring, ``name : words``."""
    text = inspect.getdoc(settings) or ""
    _, _, listed = text.partition("Parameters\n----------\n")
    found = re.findall(r"^(\w+) : (.*(?:\n    .*)*)", listed, flags=re.MULTILINE)
    return {name: " ".join(words.split()) for name, words in found}


ASSAYS: dict[str, type[AssayTable]] = {
    kind: _table_of(kind, settings) for kind, settings in KINDS.items()
}
"""Kind of assay → its table in a study file."""

if TYPE_CHECKING:
    _AnyAssay: TypeAlias = AssayTable
else:
    _AnyAssay = Annotated[reduce(or_, ASSAYS.values()), Field(discriminator="kind")]


# ------------------------------------------------------------------------------- study
class Study(Table):
    """A study: cells, treatments, reading times and assays."""

    title: str = Field(default="A study", description="heading of the report")
    description: str = Field(default="", description="purpose of the study")
    model: str = Field(default=DEFAULT_MODEL, description="name or file, as `simulate`")
    context: str | None = Field(
        default=None, description="cell line; by default the model's own"
    )
    times: tuple[Hours, ...] = Field(min_length=1, description="when cells are read")
    seed: Annotated[Count, Field(ge=0)] = Field(
        default=1, description="fixes cells and noise"
    )
    noise: Switch = Field(default=True, description="measurement noise on or off")
    replicates: Replicates = Field(
        default=3, description="wells, lanes or tubes of each sample"
    )
    test: Test = Field(default="auto", description="statistical test")
    population: PopulationTable = Field(default_factory=PopulationTable)
    samples: tuple[SampleTable, ...] = Field(
        min_length=1, description="treatments of the cells; the first is the control"
    )
    assays: tuple[_AnyAssay, ...] = Field(min_length=1, description="how they are read")
    untreated: Switch = Field(
        default=True,
        description="add a sample without treatment, last, where none is one",
    )

    @model_validator(mode="after")
    def _with_untreated_sample(self) -> Self:
        if self.untreated and all(map(_is_treated, self.dishes())):
            taken = {sample.name for sample in self.samples}
            name = next(n for n in UNTREATED_NAMES if n not in taken)
            samples = (*self.samples, SampleTable(name=name))
            object.__setattr__(self, "samples", samples)  # the record is frozen
        return self

    def dishes_each(self) -> int:
        """Return the dishes of each sample: one a replicate, each of other cells."""
        if not self.noise:
            return 1
        return max(self.replicates, *(a.replicates or 0 for a in self.assays))

    def dishes(self, names: Sequence[str] = ()) -> tuple[Sample, ...]:
        """Return the dishes of some samples, by default of all."""
        return tuple(
            dish
            for sample in self.samples
            if not names or sample.name in names
            for dish in sample.dishes()
        )


def _is_treated(dish: Sample) -> bool:
    """Return whether anything is done to the cells of a dish."""
    done = dish.done
    dosed = any(dose.amount > 0 for dose in done.doses)
    return dosed or replace(done, doses=()) != Treatment()


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of study files."""
    return {"$schema": SCHEMA_DIALECT, **Study.model_json_schema()}
