"""A fit as text and files: parameter table, sentences, pictures, a JSON record."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from mir21sim import files
from mir21sim.analysis.tables import write_csv
from mir21sim.estimation import identifiability
from mir21sim.estimation.fit import FitResult
from mir21sim.estimation.hypotheses import record_of
from mir21sim.estimation.problem import FitProblem, Parameter
from mir21sim.estimation.profiles import Profile
from mir21sim.units import rounded

LEAST_LEARNED = 0.05
"""Share of the prior width that the data must take away, to have taught a value."""

MOST_LINES = 20
"""Parameters whose values are printed."""


def parameter_table(
    result: FitResult, profiles: Mapping[str, Profile] | None = None
) -> pd.DataFrame:
    """Return one row for each estimated parameter.

    Columns: value, unit, factor (e to one standard deviation of the logarithm, by
    Laplace; empty for a linear scale), sd (on the scale), learned (share of the prior
    width that the data took away), bounds, and the interval of a profile.
    """
    problem = result.problem
    widths = {w.name: w for w in identifiability.widths(result)}
    rows = []
    for parameter in problem.free:
        width = widths[parameter.id]
        row: dict[str, object] = {
            "id": parameter.id,
            "value": result.values[parameter.id],
            "unit": parameter.unit,
            "scale": parameter.scale,
            "sd": width.posterior_sd,
            "factor": _factor(parameter.scale, width.posterior_sd),
            "learned": round(width.learned, 3),
            "lower": parameter.lower,
            "upper": parameter.upper,
            "at_bound": width.at_bound,
        }
        profile = (profiles or {}).get(parameter.id)
        if profile is not None:
            row |= {
                "profile_low": -math.inf if profile.open_low else profile.low,
                "profile_high": math.inf if profile.open_high else profile.high,
            }
        rows.append(row)
    return pd.DataFrame(rows)


def _factor(scale: str, sd: float) -> float:
    if scale == "lin":
        return math.nan
    exponent = sd * (math.log(10.0) if scale == "log10" else 1.0)
    return math.exp(exponent) if exponent < 700 else math.inf


def summary(result: FitResult) -> str:
    """Return the outcome of a fit in lines of text."""
    problem = result.problem
    n = len(problem.data)
    failed = sum(result.failures.values())
    calls = result.n_new + result.n_replayed
    size = f"{n} data points and {len(problem.free)} parameters"
    way = f"{result.optimizer}, {result.gradient_way}"
    log = f"{result.n_replayed} from the log"
    lines = [
        f"{problem.id}: minus log-posterior {result.best.value:.6f}, {size}",
        f"{result.n_same} of {len(result.starts)} starts found it ({way})",
        f"{calls} evaluations ({log}), {failed} failed, {result.seconds:.1f} s",
    ]
    if problem.terms:
        names = ", ".join(type(term).__name__ for term in problem.terms)
        lines.append(f"with the terms {names} beside the data points")
    worst = sorted(result.failures.items(), key=lambda pair: -pair[1])[:3]
    lines += [f"  {count} times: {reason}" for reason, count in worst]
    if result.interrupted:
        lines.append("interrupted: not all starts were run; the same command goes on")
    lines += [f"note: {note}" for note in problem.notes]
    return "\n".join(lines + value_lines(result) + identifiability.words(result))


def value_lines(result: FitResult) -> list[str]:
    """Return the fitted values with unit and standard deviation, a line each.

    The standard deviation is that of the posterior by Laplace: of the logarithm where
    the scale is one.
    """
    widths = {w.name: w for w in identifiability.widths(result)}
    shown = result.problem.free[:MOST_LINES]
    named = max((len(p.id) for p in shown), default=0)
    lines = [
        f"  {p.id:{named}}  {result.values[p.id]:.4g}{f' {p.unit}' * bool(p.unit)}, "
        f"{_spread(p, widths[p.id])}"
        for p in shown
    ]
    more = len(result.problem.free) - len(shown)
    return lines + [f"  and {more} more, in parameters.csv"] * (more > 0)


def _spread(parameter: Parameter, width: identifiability.Width) -> str:
    """Return the width of a fitted value in words."""
    if width.at_bound:
        return f"at its {width.at_bound} bound"
    if width.learned < LEAST_LEARNED:
        return "not learned: as wide as before the fit"
    if parameter.scale == "lin":
        return f"±{rounded(width.posterior_sd, 2)}"
    factor = _factor(parameter.scale, width.posterior_sd)
    if factor < 1.3:
        return f"±{rounded(100 * math.log(factor), 2)} %"
    return f"a factor of {rounded(factor)} either way"


def write_fit(
    result: FitResult,
    folder: str | Path,
    profiles: Mapping[str, Profile] | None = None,
) -> list[Path]:
    """Write tables, pictures and a record of a fit into a folder."""
    from mir21sim.analysis.plots import save
    from mir21sim.estimation import fit_plots

    folder = Path(folder)
    table = parameter_table(result, profiles)
    made = [write_csv(table, folder / "parameters.csv")]
    record = json.dumps(to_record(result), indent=1)
    made.append(files.write_text(folder / "result.json", record + "\n"))
    pictures = {
        "waterfall": fit_plots.plot_waterfall,
        "parameters": fit_plots.plot_parameters,
        "fit": fit_plots.plot_fit,
    }
    made += [save(draw(result), folder / f"{n}.png") for n, draw in pictures.items()]
    if profiles:
        figure = fit_plots.plot_profiles(profiles)
        made.append(save(figure, folder / "profiles.png"))
    return made


def to_record(result: FitResult) -> dict[str, object]:
    """Return a fit as plain values for JSON."""
    return {
        "problem": result.problem.id,
        "problem_sha256": result.problem.digest(),
        "model": result.problem.model.id,
        "optimizer": result.optimizer,
        "gradient": result.gradient_way,
        "objective": result.best.value,
        "values": result.values,
        "starts": [
            {
                "objective": s.value if math.isfinite(s.value) else None,
                "evaluations": s.n_evaluations,
                "failed": s.n_failed,
                "message": s.message,
                "values": dict(
                    zip(
                        result.problem.names,
                        map(float, result.problem.natural(s.x)),
                        strict=True,
                    )
                ),
            }
            for s in result.starts
        ],
        "failures": result.failures,
        "comparison": record_of(result),
        "seconds": result.seconds,
    }


def check_text(problem: FitProblem) -> str:
    """Return the size of a problem, in lines of text."""
    data = problem.data
    estimated = len(problem.free)
    fixed = len(problem.parameters) - estimated
    size = f"{len(data)} data points of {len(problem.observables)} observables"
    lines = [
        f"{problem.id}: {size} in {len(problem.experiments)} experiments",
        f"{estimated} parameters are estimated, {fixed} are fixed",
        f"model {problem.model.id}: {len(problem.model.state_names)} states",
    ]
    return "\n".join(lines + [f"note: {note}" for note in problem.notes])
