"""Trial: the treatment of a claim, how long it lasts and on how many cells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mir21sim import units
from mir21sim.errors import InputError
from mir21sim.simulation.treatment import (
    OPTIONS,
    UNTREATED,
    Treatment,
    names,
    split_options,
)

POINTS = 361
"""Default number of output times from the last dose to the end."""

_OPTIONS = (*OPTIONS, "--end", "--points", "--cells", "--uniform")


@dataclass(frozen=True, slots=True)
class Trial:
    """A treatment with its end, output times and cells.

    Attributes
    ----------
    end_h : h; None for the default end of the model
    points : output times from the last dose to the end
    cells : size of a population, 0 for one average cell
    uniform : genes in which the cells of the population are alike
    searched : place of the ``?`` of a threshold: ``("dose", k)`` for the k-th dose, or
        ``("overexpress", gene)``
    """

    treatment: Treatment = UNTREATED
    end_h: float | None = None
    points: int = POINTS
    cells: int = 0
    uniform: tuple[str, ...] = ()
    searched: tuple[str, int | str] | None = None

    def __str__(self) -> str:
        words = [str(self.treatment)] if self.treatment != UNTREATED else []
        words += [f"--uniform {gene}" for gene in self.uniform]
        words += [f"--end {self.end_h:g}h"] if self.end_h is not None else []
        words += [f"--points {self.points}"] if self.points != POINTS else []
        words += [f"--cells {self.cells}"] if self.cells else []
        return " ".join(words) or "untreated"

    @classmethod
    def parse(cls, text: str) -> "Trial":
        """Read ``--dose "TRAIL=50 ng/ml@24h" --clamp PTEN=0.1x --end 48h``."""
        given = split_options(text, _OPTIONS)
        searched = _searched(given)
        if searched is not None:
            option = f"--{searched[0]}"
            given[option] = [value.replace("?", "1") for value in given[option]]
        end = given.get("--end")
        return cls(
            treatment=Treatment.from_options(given),
            end_h=units.seconds(end[-1], "end") / 3600.0 if end else None,
            points=int(given.get("--points", [str(POINTS)])[-1]),
            cells=int(given.get("--cells", ["0"])[-1]),
            uniform=names(given.get("--uniform", ())),
            searched=searched,
        )

    def with_amount(self, value: float) -> "Trial":
        """Return the trial with a number in place of its ``?``."""
        assert self.searched is not None
        kind, key = self.searched
        done = self.treatment
        if kind == "dose":
            doses = tuple(
                replace(dose, amount=value) if k == key else dose
                for k, dose in enumerate(done.doses)
            )
            changed = replace(done, doses=doses)
        else:
            factors = {**done.perturbations.overexpress, str(key): value}
            perturbations = replace(done.perturbations, overexpress=factors)
            changed = replace(done, perturbations=perturbations)
        return replace(self, treatment=changed, searched=None)

    def joined(self, other: "Trial") -> "Trial":
        """Return both trials at once; the other's end wins where it has one."""
        return replace(
            self,
            treatment=self.treatment.joined(other.treatment),
            end_h=self.end_h if other.end_h is None else other.end_h,
            cells=max(self.cells, other.cells),
            uniform=(*self.uniform, *other.uniform),
        )

    @property
    def last_dose_h(self) -> float:
        """Time of the last dose, h; 0 without doses."""
        return self.treatment.last_dose_h

    def names(self) -> dict[str, tuple[str, ...]]:
        """Return the names used, by their kind in the model."""
        used = self.treatment.names()
        return {**used, "gene": (*used["gene"], *self.uniform)}


def _searched(given: Mapping[str, Sequence[str]]) -> tuple[str, int | str] | None:
    """Return the place of the ``?``: one dose or one over-expression."""
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
