"""Treatment: doses, overrides and perturbations of a cell, and their one parser.

The command line, claims and studies use the same words: ``--dose``, ``--set``,
``--init``, ``--clamp``, ``--knockdown``, ``--overexpress`` and ``--no-site``.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mir21sim.errors import InputError, UnknownNameError
from mir21sim.simulation.doses import Dose, DosesLike, Protocol
from mir21sim.simulation.perturbations import NONE, Perturbations

OPTIONS = (
    "--dose", "--set", "--init", "--clamp", "--knockdown", "--overexpress", "--no-site",
)  # fmt: skip
"""Options of the command line that describe a treatment."""


@dataclass(frozen=True, slots=True)
class Treatment:
    """Doses, overrides and perturbations of a cell.

    Parameters
    ----------
    doses : in the order in which equal times act
    parameters, initials : overrides by name, in the units of the model
    perturbations : clamps, knock-downs, over-expression, missing miR-21 sites

    Examples
    --------
    >>> treatment = Treatment.parse('--dose "TRAIL=50 ng/ml@24h" --knockdown XIAP=0.5')
    >>> treatment.last_dose_h, dict(treatment.perturbations.knockdown)
    (24.0, {'XIAP': 0.5})
    """

    doses: tuple[Dose, ...] = ()
    parameters: Mapping[str, float] = field(default_factory=dict)
    initials: Mapping[str, float] = field(default_factory=dict)
    perturbations: Perturbations = NONE

    @classmethod
    def of(
        cls,
        doses: DosesLike = (),
        *,
        parameters: Mapping[str, float] | None = None,
        initials: Mapping[str, float] | None = None,
        perturb: Perturbations | None = None,
    ) -> "Treatment":
        """Return a treatment from doses, dose texts and optional overrides."""
        return cls(
            Protocol.of(doses).doses,
            dict(parameters or {}),
            dict(initials or {}),
            perturb or NONE,
        )

    @classmethod
    def parse(cls, text: str) -> "Treatment":
        """Read ``--dose "TRAIL=50 ng/ml@24h" --clamp PTEN=0.1x``."""
        return cls.from_options(split_options(text, OPTIONS))

    @classmethod
    def from_options(cls, given: Mapping[str, Sequence[str]]) -> "Treatment":
        """Return a treatment from option values: ``{"--clamp": ["PTEN=0.1x"]}``.

        Raises
        ------
        InputError
            When a value does not have the form of its option.
        """
        clamps = [split_pair(c, "--clamp", "LEVEL") for c in given.get("--clamp", ())]
        clamped = [name for name, _ in clamps]
        twice = next((name for name in clamped if clamped.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"--clamp names `{twice}` twice; give it once.")
        return cls(
            tuple(Dose.parse(dose) for dose in given.get("--dose", ())),
            numbers(given.get("--set", ()), "--set"),
            numbers(given.get("--init", ()), "--init"),
            Perturbations(
                clamp=dict(clamps),
                knockdown=numbers(given.get("--knockdown", ()), "--knockdown"),
                overexpress=numbers(given.get("--overexpress", ()), "--overexpress"),
                no_site=names(given.get("--no-site", ())),
            ),
        )

    def __str__(self) -> str:
        done = self.perturbations
        words = [f'--dose "{dose}"' for dose in self.doses]
        for option, given in (
            ("--set", self.parameters),
            ("--init", self.initials),
            ("--clamp", done.clamp),
            ("--knockdown", done.knockdown),
            ("--overexpress", done.overexpress),
        ):
            words += [f"{option} {name}={value}" for name, value in given.items()]
        words += [f"--no-site {gene}" for gene in done.no_site]
        return " ".join(words) or "untreated"

    def joined(self, other: "Treatment") -> "Treatment":
        """Return both treatments at once; `other` wins where both set one name."""
        return Treatment(
            (*self.doses, *other.doses),
            {**self.parameters, **other.parameters},
            {**self.initials, **other.initials},
            self.perturbations.joined(other.perturbations),
        )

    @property
    def last_dose_h(self) -> float:
        """Time of the last dose, h; 0 without doses."""
        return max((t for dose in self.doses for t in dose.times()), default=0.0)

    def names(self) -> dict[str, tuple[str, ...]]:
        """Return the names used, by their kind in the model."""
        done = self.perturbations
        return {
            "species": (*(d.target for d in self.doses), *self.initials),
            "parameter": tuple(self.parameters),
            "species or gene": tuple(done.clamp),
            "gene": (*done.knockdown, *done.overexpress, *done.no_site),
        }

    def to_record(self) -> dict[str, Any]:
        """Return plain values, for a file."""
        return {
            "doses": Protocol(self.doses).to_records(),
            "parameters": dict(self.parameters),
            "initials": dict(self.initials),
            "perturb": self.perturbations.to_record(),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Treatment":
        """Return the treatment that ``to_record`` wrote."""
        return cls(
            Protocol.from_records(record["doses"]).doses,
            record["parameters"],
            record["initials"],
            Perturbations.from_record(record.get("perturb", {})),
        )


UNTREATED = Treatment()


def split_options(text: str, known: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of each option of ``--option VALUE --option VALUE``.

    Raises
    ------
    InputError
        For a text of another form or an unknown option.
    """
    words = shlex.split(text)
    if len(words) % 2 or any(not w.startswith("--") for w in words[::2]):
        raise InputError(f"A treatment is a list of --option VALUE, got `{text}`.")
    given: dict[str, list[str]] = {}
    for option, value in zip(words[::2], words[1::2], strict=True):
        if option not in known:
            raise UnknownNameError("option of a treatment", option, known)
        given.setdefault(option, []).append(value)
    return given


def split_pair(text: str, option: str, form: str = "VALUE") -> tuple[str, str]:
    """Return name and value of ``NAME=VALUE``."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise InputError(f"{option} must read NAME={form}, got `{text}`.")
    return name.strip(), value.strip()


def numbers(items: Sequence[str], option: str) -> dict[str, float]:
    """Return numbers by name from ``NAME=NUMBER`` items."""
    values = {}
    for item in items:
        name, text = split_pair(item, option)
        if name in values:
            raise InputError(f"{option} names `{name}` twice; give it once.")
        try:
            values[name] = float(text)
        except ValueError as error:
            raise InputError(
                f"{option} {name} must be a number, got `{text}`."
            ) from error
    return values


def names(items: Sequence[str]) -> tuple[str, ...]:
    """Return names from repeated options and comma lists."""
    return tuple(
        name.strip() for item in items for name in item.split(",") if name.strip()
    )
