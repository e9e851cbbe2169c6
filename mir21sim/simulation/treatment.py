"""What is done to a cell, in the words of the command line."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mir21sim import units
from mir21sim.errors import InputError, hint
from mir21sim.simulation.doses import Dose
from mir21sim.simulation.perturbations import Perturbations

POINTS = 361
"""Output times from the last dose to the end, where a treatment does not say."""


@dataclass(frozen=True, slots=True)
class Treatment:
    """What is done to a cell, in the words of the command line.

    ``cells`` is the size of a population, whose cells are alike in the genes that are
    ``uniform``. ``searched`` is what carries the ``?`` of a threshold: ``("dose", k)``
    for the k-th dose, or an option's name and the gene.
    """

    doses: tuple[Dose, ...] = ()
    parameters: Mapping[str, float] = field(default_factory=dict)
    initials: Mapping[str, float] = field(default_factory=dict)
    perturb: Perturbations = field(default_factory=Perturbations)
    end_h: float | None = None
    points: int = POINTS
    cells: int = 0
    uniform: tuple[str, ...] = ()
    searched: tuple[str, int | str] | None = None

    def __str__(self) -> str:
        perturb = self.perturb
        words = [f'--dose "{dose}"' for dose in self.doses]
        for option, given in (
            ("--set", self.parameters),
            ("--init", self.initials),
            ("--clamp", perturb.clamp),
            ("--knockdown", perturb.knockdown),
            ("--overexpress", perturb.overexpress),
        ):
            words += [f"{option} {name}={value}" for name, value in given.items()]
        words += [f"--no-site {gene}" for gene in perturb.no_site]
        words += [f"--uniform {gene}" for gene in self.uniform]
        words += [f"--end {self.end_h:g}h"] if self.end_h is not None else []
        words += [f"--points {self.points}"] if self.points != POINTS else []
        words += [f"--cells {self.cells}"] if self.cells else []
        return " ".join(words) or "untreated"

    @classmethod
    def parse(cls, text: str) -> "Treatment":
        """Read ``--dose "TRAIL=50 ng/ml@24h" --clamp PTEN=0.1x --end 48h``."""
        words = shlex.split(text)
        if len(words) % 2 or any(not w.startswith("--") for w in words[::2]):
            raise InputError(f"A treatment is a list of --option VALUE, got `{text}`.")
        given: dict[str, list[str]] = {}
        for option, value in zip(words[::2], words[1::2], strict=True):
            if option not in _OPTIONS:
                raise InputError(
                    f"Unknown option `{option}` of a treatment. "
                    f"{hint(option, _OPTIONS)}"
                )
            given.setdefault(option, []).append(value)
        searched = _searched(given)
        end = given.get("--end")
        return cls(
            doses=tuple(
                Dose.parse(d.replace("?", "1")) for d in given.get("--dose", ())
            ),
            parameters=_numbers(given, "--set"),
            initials=_numbers(given, "--init"),
            perturb=Perturbations(
                clamp=dict(map(_pair, given.get("--clamp", ()))),
                knockdown=_numbers(given, "--knockdown"),
                overexpress=_numbers(given, "--overexpress"),
                no_site=tuple(given.get("--no-site", ())),
            ),
            end_h=units.seconds(end[-1], "end") / 3600.0 if end else None,
            points=int(given.get("--points", [str(POINTS)])[-1]),
            cells=int(given.get("--cells", ["0"])[-1]),
            uniform=tuple(given.get("--uniform", ())),
            searched=searched,
        )

    def with_amount(self, value: float) -> "Treatment":
        """Return the treatment with a number in place of its ``?``."""
        assert self.searched is not None
        kind, key = self.searched
        if kind == "dose":
            doses = tuple(
                replace(dose, amount=value) if k == key else dose
                for k, dose in enumerate(self.doses)
            )
            return replace(self, doses=doses, searched=None)
        perturb = replace(
            self.perturb,
            overexpress={**self.perturb.overexpress, str(key): value},
        )
        return replace(self, perturb=perturb, searched=None)

    def joined(self, other: "Treatment") -> "Treatment":
        """Return both treatments at once; the other's end wins where it has one."""
        mine, its = self.perturb, other.perturb
        return replace(
            self,
            doses=(*self.doses, *other.doses),
            parameters={**self.parameters, **other.parameters},
            initials={**self.initials, **other.initials},
            perturb=Perturbations(
                {**mine.clamp, **its.clamp},
                {**mine.knockdown, **its.knockdown},
                {**mine.overexpress, **its.overexpress},
                (*mine.no_site, *its.no_site),
            ),
            end_h=self.end_h if other.end_h is None else other.end_h,
            cells=max(self.cells, other.cells),
            uniform=(*self.uniform, *other.uniform),
        )

    @property
    def stimulus_h(self) -> float:
        """Time of the last dose, h: what features count from."""
        return max((t for dose in self.doses for t in dose.times()), default=0.0)

    def names(self) -> dict[str, tuple[str, ...]]:
        """Return the names it uses, by what they must be in the model."""
        p = self.perturb
        return {
            "species": (*(d.target for d in self.doses), *self.initials),
            "parameter": tuple(self.parameters),
            "species or gene": tuple(p.clamp),
            "gene": (*p.knockdown, *p.overexpress, *p.no_site, *self.uniform),
        }


_OPTIONS = (
    "--dose", "--set", "--init", "--clamp", "--knockdown", "--overexpress", "--no-site",
    "--end", "--points", "--cells", "--uniform",
)  # fmt: skip


def _searched(given: Mapping[str, list[str]]) -> tuple[str, int | str] | None:
    """Return what carries the ``?``; it must be one dose or over-expression."""
    found: list[tuple[str, int | str]] = [
        ("dose", k) for k, d in enumerate(given.get("--dose", ())) if "?" in d
    ]
    found += [
        ("overexpress", item.removesuffix("=?"))
        for item in given.get("--overexpress", ())
        if item.endswith("=?")
    ]
    if len(found) > 1:
        raise InputError("A treatment can have one `?`.")
    return found[0] if found else None


def _pair(item: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not equals:
        raise InputError(f"An option of a treatment reads NAME=VALUE, got `{item}`.")
    return name.strip(), value.strip()


def _numbers(given: Mapping[str, list[str]], option: str) -> dict[str, float]:
    values = {}
    for item in given.get(option, ()):
        name, text = _pair(item)
        try:
            values[name] = float(text.replace("?", "1"))
        except ValueError as error:
            raise InputError(f"{option} {name} must be a number: `{text}`.") from error
    return values
