"""Hill fits of measured dose–responses, with intervals from their scatter.

For simulated curves without scatter see ``dose_response``.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import scipy.optimize
import scipy.special

from mir21sim._typing import FloatArray
from mir21sim.units import rounded

MIN_RESPONSE = 0.01
"""Least change of a response over the doses, of its largest value, worth a fit."""


MIN_R2 = 0.9
"""Below this share of variance explained, a Hill curve does not describe the points."""


@dataclass(frozen=True, slots=True)
class HillFit:
    """A Hill curve through a dose–response, or the reason why there is none.

    ``response = E0 + (Emax − E0)·dose^Hill / (EC50^Hill + dose^Hill)``; the interval
    of EC50 has 95 % coverage under the scatter of the points around the curve. An end
    that lies outside the doses tested is infinite or 0: then only the other is a bound.
    """

    ec50: float = math.nan
    ec50_low: float = math.nan
    ec50_high: float = math.nan
    e0: float = math.nan
    emax: float = math.nan
    hill: float = math.nan
    r2: float = math.nan
    reason: str = ""

    @property
    def has_interval(self) -> bool:
        """Whether the points have scatter, and so the EC50 an interval."""
        return not math.isnan(self.ec50_low)

    def interval_text(self) -> str:
        """Return the 95 % interval of the EC50, or the bound that it has."""
        if not math.isfinite(self.ec50_high):
            return f"95 % CI: above {rounded(self.ec50_low, 2)}"
        if not self.ec50_low > 0:
            return f"95 % CI: below {rounded(self.ec50_high, 2)}"
        return f"95 % CI {rounded(self.ec50_low, 2)} to {rounded(self.ec50_high, 2)}"

    def __call__(self, dose: FloatArray) -> FloatArray:
        """Return the fitted response at some doses."""
        return hill_curve(dose, self.e0, self.emax, math.log(self.ec50), self.hill)


def hill_curve(
    dose: FloatArray, e0: float, emax: float, log_ec50: float, hill: float
) -> FloatArray:
    """Return ``E0 + (Emax − E0)·d^h/(EC50^h + d^h)``, E0 at dose 0."""
    dose = np.asarray(dose, dtype=float)
    with np.errstate(divide="ignore"):
        x = hill * (np.log(dose) - log_ec50)
    share = scipy.special.expit(x)
    curve: FloatArray = e0 + (emax - e0) * share
    return curve


def fit_hill(
    doses: FloatArray, responses: FloatArray, *, scatter: bool = True
) -> HillFit:
    """Fit a Hill curve by least squares, or say why none exists.

    Parameters
    ----------
    doses : float array, shape (n_dose,), 0 or more
    responses : float array, shape (n_dose,); NaN (failed runs) are left out
    scatter : whether the points were measured; without scatter there is no interval

    References
    ----------
    The 95 % interval of EC50 is the linearised one in log dose: estimate ± t·SE, with
    SE from the Jacobian at the optimum (``scipy.optimize.curve_fit``).
    """
    kept = np.isfinite(responses) & np.isfinite(doses)
    d, r = np.asarray(doses[kept], float), np.asarray(responses[kept], float)
    reason = _no_fit_reason(d, r)
    if reason:
        return HillFit(reason=reason)
    positive = np.sort(d[d > 0])
    by_dose = np.argsort(d)
    first, last = float(r[by_dose[0]]), float(r[by_dose[-1]])
    middle = float(
        np.log(
            positive[
                np.argmin(np.abs(r[d > 0][np.argsort(d[d > 0])] - (first + last) / 2))
            ]
        )
    )
    span = float(np.ptp(r))
    low = [r.min() - span, r.min() - span, math.log(positive[0]) - 7, 0.05]
    high = [r.max() + span, r.max() + span, math.log(positive[-1]) + 7, 20.0]
    try:
        best, covariance = scipy.optimize.curve_fit(
            hill_curve,
            d,
            r,
            p0=[first, last, middle, 1.0],
            bounds=(low, high),
            x_scale=[span, span, 1.0, 1.0],
            max_nfev=2000,
        )
    except RuntimeError:
        return HillFit(reason="the Hill fit did not converge")
    fit = _judged(d, r, best, covariance)
    return fit if scatter else replace(fit, ec50_low=math.nan, ec50_high=math.nan)


def _judged(
    d: FloatArray, r: FloatArray, best: FloatArray, covariance: FloatArray
) -> HillFit:
    """Return a fit after checking that it describes the points within the doses."""
    e0, emax, log_ec50, hill = (float(value) for value in best)
    residual = r - hill_curve(d, *best)
    r2 = 1.0 - float(residual @ residual) / float(np.sum((r - r.mean()) ** 2))
    positive = d[d > 0]
    if r2 < MIN_R2:
        return HillFit(
            r2=r2, reason=f"a Hill curve does not describe the response (R² = {r2:.2f})"
        )
    ec50 = math.exp(log_ec50)
    if not positive.min() <= ec50 <= positive.max():
        return HillFit(
            r2=r2,
            reason=(
                f"half of the effect lies at {rounded(ec50)}, outside the doses tested "
                f"({positive.min():g} to {positive.max():g})"
            ),
        )
    width = scipy.special.stdtrit(len(d) - 4, 0.975) * math.sqrt(covariance[2, 2])
    low, high = _exp(log_ec50 - width), _exp(log_ec50 + width)
    if low < positive.min() and high > positive.max():
        return HillFit(r2=r2, reason="the scatter of the points leaves the EC50 open")
    return HillFit(
        ec50=ec50,
        ec50_low=low if low >= positive.min() else 0.0,
        ec50_high=high if high <= positive.max() else math.inf,
        e0=e0,
        emax=emax,
        hill=hill,
        r2=r2,
    )


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf


def _no_fit_reason(d: FloatArray, r: FloatArray) -> str:
    """Return why a dose–response cannot be fitted at all, "" where it can."""
    if len(np.unique(d)) < 5 or len(np.unique(d[d > 0])) < 4:
        return (
            "a Hill fit needs 5 doses or more, 4 of them above 0; "
            f"{len(np.unique(d))} usable"
        )
    if (d < 0).any():
        return "a Hill fit needs doses of 0 or more"
    change = float(np.ptp(r))
    largest = float(np.max(np.abs(r)))
    if change <= MIN_RESPONSE * largest:
        return (
            f"the response changes by less than {100 * MIN_RESPONSE:g} % over the doses"
        )
    return ""
