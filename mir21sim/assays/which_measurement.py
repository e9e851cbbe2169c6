"""Which experiment would tell: measurements ranked by how they narrow a prediction.

Candidates are quantity × time × dose, with the noise of the assay that reads them. A
blot reads a protein relative to the untreated cells on the same blot; a plate reads
caspase activity; a quantity with a CV of its own may be named. The linear algebra is in
``analysis.design``, the derivatives are those of ``simulation.sensitivity``.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from mir21sim._typing import FloatArray
from mir21sim.analysis.design import (
    Candidate,
    best_set,
    variance_removed,
)
from mir21sim.analysis.trust import Numbers, Trust, shares, uncertain_numbers
from mir21sim.assays.antibodies import antibodies
from mir21sim.assays.measurement_weights import (
    Readout,
    SharedRuns,
    shares_by_weights,
)
from mir21sim.assays.noise import PlateNoise, WesternNoise
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.model.aliases import Names
from mir21sim.simulation.axes import SweptValues, axis_values
from mir21sim.simulation.curve_features import parse_feature
from mir21sim.simulation.doses import Dose, DosesLike, Protocol
from mir21sim.simulation.ensemble import Ensemble
from mir21sim.simulation.names import canonical, canonical_feature, renamed
from mir21sim.simulation.plan import output_times
from mir21sim.simulation.sensitivity import sensitivities
from mir21sim.units import rounded

TRACE = 1e-3
"""Share of a quantity's largest value below which it is taken as not measurable."""

POINTS = 121
"""Output times of the runs, besides those of the measurements."""

TIMES = 9
"""Times at which candidates are measured by default, evenly from start to end."""

MOST_DOSES = 8
"""Doses of candidates at most: each is one run with all derivatives."""

WIDEST = 1000.0
"""Factor beyond which a linear estimate of a width is not given as a number."""


def readouts(model: CompiledModel) -> dict[str, Readout]:
    """Return the read-outs of the virtual assays of a model, by name.

    Blots of whole proteins and their forms, and caspase-3/7 activity of a plate. Noise
    that both lanes of one blot share cancels in their ratio.
    """
    blot, plate = WesternNoise(), PlateNoise()
    ratio = math.sqrt(2.0 * (blot.loading_cv**2 + blot.transfer_cv**2))
    found = {
        name: Readout(name, "western", antibody.binds, ratio, relative=True)
        for name, antibody in antibodies(model).items()
    }
    known = {*model.state_names, *model.assigned_names}
    active = tuple(n for n in ("CASP3_active", "CASP7_active") if n in known)
    if active:
        parts = (plate.seeding_cv, plate.pipetting_cv, plate.reader_cv)
        cv = math.sqrt(sum(part**2 for part in parts))
        found["caspase-3/7 activity"] = Readout(
            "caspase-3/7 activity", "caspase", active, cv
        )
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Experiments:
    """Measurements ranked by the share of a prediction's variance that they remove.

    Attributes
    ----------
    predict : the prediction, as it was asked for
    value : its value
    log_sd : standard deviation of its logarithm before any measurement, to first order
    records : name, assay, quantity, time_h, dose, removed (share, linear), by_weighting
        (share by weights of draws, NaN without them), the best first: by weighting
        where there are draws, else linear
    together : names, and share removed by all up to each, one after the other
    carried_by : the numbers that carry the width
    """

    predict: str
    value: float
    log_sd: float
    records: tuple[Mapping[str, Any], ...]
    together: tuple[tuple[str, float], ...]
    carried_by: Trust

    def text(self) -> list[str]:
        """Return the finding as sentences."""
        if not self.records:
            return [f"No candidate says anything about {self.predict}."]
        best = self.records[0]
        factor = _factor(1.96 * self.log_sd)
        width = f"its numbers leave {factor} to each side (95 %, linear)"
        lines = [
            f"{self.predict} = {self.value:.4g}; {width}.",
            f"Most would tell {best['name']}: {_removed_words(best)}.",
        ]
        if len(self.together) > 1:
            steps = "; then ".join(
                f"{name} ({100 * share:.0f} %)" for name, share in self.together
            )
            lines.append(f"Together, by linear algebra: {steps}.")
        return lines


def _factor(log: float) -> str:
    """Return a factor in words; beyond `WIDEST` the linear estimate has no number."""
    if log > math.log(WIDEST):
        return f"more than a factor of {WIDEST:g}"
    return f"a factor of {rounded(math.exp(log))}"


def _removed_words(record: Mapping[str, Any]) -> str:
    """Return the share that a measurement removes, and how it was found."""
    linear, share = 100 * record["removed"], 100 * record["by_weighting"]
    if math.isnan(share):
        return f"it removes {linear:.0f} % of the variance (linear, not checked)"
    return (
        f"it removes {share:.0f} % of the variance by weights of draws, which rank the "
        f"candidates ({linear:.0f} % by linear algebra)"
    )


def experiments(
    model: CompiledModel,
    predict: str,
    *,
    end: float | str | None = None,
    doses: DosesLike | None = None,
    since: float | str | None = None,
    measure: Sequence[str] | Mapping[str, float] = (),
    over: Mapping[str, SweptValues] | None = None,
    times: Sequence[float] | None = None,
    replicates: int = 3,
    draws: Ensemble | int = 0,
) -> Experiments:
    """Rank measurements by how much of a prediction's variance each removes.

    Parameters
    ----------
    predict : a feature, ``peak(CASP3_active)``, ``crossing(PS_exposed, 0.5)``
    doses : of the prediction, and of the candidates but for `over`
    since : h or text, reference time of the feature
    measure : names of ``readouts``, by default all; or quantities of the model with
        the CV of one replicate
    over : one dose with the amounts at which candidates are measured; by default the
        doses of the prediction, and no dose at all
    times : h, when candidates are measured; by default ``TIMES`` of them
    replicates : of each candidate
    draws : an ensemble, whose covariance is that of the numbers; or how many draws to
        take from the ranges of the parameter table. With them all candidates are
        checked by weights of draws and ranked by that: the linear share can be far off;
        by default nothing is checked

    Raises
    ------
    InputError
        For a prediction that is no feature, a model without numbers that have ranges,
        too many doses, …
    UnknownNameError
        For a readout that the model does not have.

    Examples
    --------
    >>> import mir21sim as ms
    >>> model = ms.load("mir21_core", "HeLa")
    >>> found = ms.experiments(
    ...     model, "peak(CASP8_active)", doses="TRAIL=50 ng/ml@0h", end="4 h",
    ...     measure=["XIAP", "caspase-3/7 activity"], times=[1, 4],
    ... )
    >>> 0 <= found.records[0]["removed"] <= 1
    True
    """
    predict = canonical_feature(model, predict)
    feature = parse_feature(predict)
    if feature is None:
        raise InputError(
            f"`{predict}` is a curve; name a feature of it, such as `peak({predict})`."
        )
    if replicates < 1:
        raise InputError(f"`replicates` must be 1 or more, got {replicates}.")
    numbers = uncertain_numbers(model)
    if not numbers.names:
        raise InputError(f"{model.id} has no number with a status and a range.")
    protocol = Protocol.of(model.info.doses if doses is None else doses)
    wanted = _wanted(model, measure)
    settings = _Run(model, numbers, _grid(model, end, times), since)
    covariance = _covariance(model, numbers, draws)
    slopes, value = settings.prediction(predict, protocol)
    at = _moments(settings.times_h, times)
    candidates, about = settings.candidates(
        wanted, _treatments(model, protocol, over), at, replicates
    )
    removed = variance_removed(slopes, candidates, covariance)
    checked = shares_by_weights(
        (model, settings, feature, protocol),
        [one | {"noise": c.noise} for one, c in zip(about, candidates, strict=True)],
        draws,
    )
    order = np.argsort(
        np.where(np.isfinite(checked), -checked, 1.0 - removed), kind="stable"
    )
    records = [
        {
            **{key: value for key, value in about[k].items() if key in _COLUMNS},
            "removed": float(removed[k]),
            "by_weighting": float(checked[k]),
        }
        for k in order
    ]
    steps = best_set(slopes, candidates, covariance) if candidates else []
    return Experiments(
        predict,
        value,
        math.sqrt(float(slopes @ covariance @ slopes)),
        tuple(records),
        tuple((candidates[k].name, share) for k, share in steps),
        shares(slopes, numbers, predict, covariance),
    )


_COLUMNS = ("name", "assay", "quantity", "time_h", "dose")


@dataclass(frozen=True, slots=True, eq=False)
class _Run(SharedRuns):
    """The runs of which derivatives are taken."""

    def prediction(self, predict: str, doses: Protocol) -> tuple[FloatArray, float]:
        """Return the log derivatives of the prediction, and its value."""
        found = sensitivities(
            self.model,
            [predict],
            list(self.numbers.names),
            times=self.times_h,
            since=self.since,
            doses=doses,
        )
        row = found.sel(feature=predict)
        slopes = row["log_derivative"].values.astype(float)
        if not np.isfinite(slopes).any():
            note = str(row["note"].item()) or "its value is 0"
            raise InputError(f"`{predict}` has no derivative: {note}")
        return np.where(np.isfinite(slopes), slopes, 0.0), float(row["value"])

    def candidates(
        self,
        wanted: Sequence[Readout],
        treatments: Mapping[str, Protocol],
        moments: Sequence[int],
        replicates: int,
    ) -> tuple[list[Candidate], list[dict[str, Any]]]:
        """Return the candidates with their log derivatives, each described."""
        names = list(dict.fromkeys(n for readout in wanted for n in readout.binds))
        made: list[Candidate] = []
        about: list[dict[str, Any]] = []
        for words, protocol in treatments.items():
            found = sensitivities(
                self.model,
                names,
                list(self.numbers.names),
                times=self.times_h,
                doses=protocol,
            )
            for readout in wanted:
                for k in moments:
                    slopes = _slopes(found, readout, k, self.numbers.values)
                    if slopes is None:
                        continue
                    time = float(self.times_h[k])
                    label = f"{readout.name} at {time:g} h, {words} ({readout.assay})"
                    noise = readout.cv / math.sqrt(replicates)
                    made.append(Candidate(label, slopes, noise))
                    about.append(
                        {
                            "name": label,
                            "assay": readout.assay,
                            "quantity": readout.name,
                            "time_h": time,
                            "dose": words,
                            "readout": readout,
                            "moment": k,
                            "protocol": protocol,
                        }
                    )
        return made, about


def _slopes(
    found: xr.Dataset, readout: Readout, k: int, values: FloatArray
) -> FloatArray | None:
    """Return d ln z/d ln p of a readout at one time; None where there is no signal."""
    total = sum(found[name].values for name in readout.binds)
    change = sum(found[f"d_{name}"].values for name in readout.binds)
    curve, tangents = np.asarray(total), np.asarray(change) * values[:, np.newaxis]
    if not curve[k] > TRACE * curve.max():
        return None
    slopes = tangents[:, k] / curve[k]
    if readout.relative:
        if k == 0 or not curve[0] > TRACE * curve.max():
            return None  # no untreated lane to compare with, or nothing on it
        slopes = slopes - tangents[:, 0] / curve[0]
    return np.where(np.isfinite(slopes), slopes, 0.0)


def _wanted(
    model: CompiledModel, measure: Sequence[str] | Mapping[str, float]
) -> list[Readout]:
    """Return the readouts that are asked for."""
    known = readouts(model)
    if isinstance(measure, Mapping):
        quantities = {*model.state_names, *model.assigned_names}
        measure = renamed(model, measure, quantities)
        for name in measure:
            if name not in quantities:
                raise UnknownNameError("quantity", name, sorted(quantities))
        return [Readout(n, "given", (n,), float(cv)) for n, cv in measure.items()]
    names = Names(known)
    measure = [names.find(name) for name in measure]
    for name in measure:
        if name not in known:
            raise UnknownNameError("readout", name, tuple(known))
    return [known[name] for name in measure] if measure else list(known.values())


def _grid(
    model: CompiledModel, end: float | str | None, wanted: Sequence[float] | None
) -> FloatArray:
    """Return the output times of the runs, with those of the measurements."""
    times = output_times(model, 0.0, end, POINTS)
    inside = [t for t in wanted or () if times[0] <= t <= times[-1]]
    return np.union1d(times, inside)


def _moments(times_h: FloatArray, wanted: Sequence[float] | None) -> list[int]:
    """Return the places of the times at which candidates are measured."""
    if wanted is None:
        places = np.linspace(0, len(times_h) - 1, TIMES).round()
        return [int(place) for place in places]
    if not wanted or min(wanted) < times_h[0] or max(wanted) > times_h[-1]:
        raise InputError(
            f"Times of measurement must lie in the run, {times_h[0]:g} to "
            f"{times_h[-1]:g} h, got {', '.join(f'{t:g}' for t in wanted) or 'none'}."
        )
    return sorted({int(np.abs(times_h - time).argmin()) for time in wanted})


def _treatments(
    model: CompiledModel, protocol: Protocol, over: Mapping[str, SweptValues] | None
) -> dict[str, Protocol]:
    """Return the treatments under which candidates are measured, by their words."""
    if not over:
        if not protocol.doses:
            return {"untreated": protocol}
        return {"same doses": protocol, "untreated": Protocol()}
    if len(over) != 1:
        raise InputError(f"Candidates take one swept dose, got {', '.join(over)}.")
    ((name, values),) = over.items()
    target = canonical(model, name)
    amounts, unit = axis_values(target, values)
    if len(amounts) > MOST_DOSES:
        raise InputError(
            f"Candidates take {MOST_DOSES} doses at most, got {len(amounts)}."
        )
    own = [d for d in protocol.doses if canonical(model, d.target) == target]
    others = tuple(d for d in protocol.doses if d not in own)
    pattern = own[0] if own else Dose(0.0, 0.0, target)
    made = {}
    for amount in amounts.tolist():
        dose = Dose(
            pattern.time,
            amount,
            target,
            unit or pattern.unit,
            pattern.interval,
            pattern.additional,
            pattern.duration,
            pattern.mode,
        )
        shown = unit or pattern.unit or model.info.inputs[target].unit
        words = f"{target} {amount:g} {shown}"
        made[words] = Protocol((*others, dose))
    return made


def _covariance(
    model: CompiledModel, numbers: Numbers, draws: Ensemble | int
) -> FloatArray:
    """Return the covariance of the logarithms: of the ranges, or of the draws."""
    widths = np.diag(numbers.widths**2)
    if not isinstance(draws, Ensemble):
        return widths
    drawn = draws.cells(model)
    known = [k for k, name in enumerate(numbers.names) if name in drawn]
    logs = np.log(np.array([drawn[numbers.names[k]] for k in known]))
    found = np.zeros_like(widths)  # numbers that the ensemble does not draw are known
    found[np.ix_(known, known)] = np.cov(logs)
    return found
