"""A FitProblem → a PEtab v2 problem: one YAML file, tables, and the model as SBML."""

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from mir21sim import files
from mir21sim.errors import UnsupportedFeatureError
from mir21sim.estimation.priors import Prior
from mir21sim.estimation.problem import REST, Carry, FitProblem, Observable, Parameter
from mir21sim.estimation.starts import ModelValues, Values
from mir21sim.model import expressions as ex
from mir21sim.model.formats.sbml_writer import write_sbml


def write_petab(problem: FitProblem, folder: str | Path) -> Path:
    """Write a problem as PEtab v2 and return the path of its YAML file.

    A prior over the decimal logarithm of a parameter becomes the log-normal prior of
    PEtab, whose density is over the parameter: the posterior mode moves by its factor.

    Raises
    ------
    UnsupportedFeatureError
        For features that PEtab v2 lacks: a condition that sets an estimated
        parameter, a scale ``log10`` of residuals, parameters that start anew after a
        steady state.
    """
    if problem.terms:
        name = type(problem.terms[0]).__name__
        raise UnsupportedFeatureError(f"PEtab v2 cannot express the term `{name}`.")
    folder = Path(folder)
    words = _Words(problem)
    tables = {
        "parameters": _parameters(problem),
        "observables": _observables(problem, words),
        "measurements": _measurements(problem, words),
    }
    conditions, experiments = _experiments(problem, words)
    tables["experiments"] = experiments
    if len(conditions) > 1:
        tables["conditions"] = conditions
    for name, rows in tables.items():
        files.write_text(folder / f"{name}.tsv", _tsv(rows))
    files.write_text(folder / "model.xml", write_sbml(problem.model.network))
    path = folder / "problem.yaml"
    files.write_text(path, _yaml(problem, tables))
    return path


_Rows = list[Sequence[object]]


def _tsv(rows: _Rows) -> str:
    made = io.StringIO()
    csv.writer(made, delimiter="\t", lineterminator="\n").writerows(rows)
    return made.getvalue()


def _yaml(problem: FitProblem, tables: Iterable[str]) -> str:
    kinds = ("parameter", "observable", "measurement", "condition", "experiment")
    lines = ["format_version: 2.0.0", "model_files:", f"  {_id(problem.model.id)}:"]
    lines += ["    language: sbml", "    location: model.xml"]
    for kind in kinds:
        there = f"{kind}s" in tables
        lines.append(f"{kind}_files:" if there else f"{kind}_files: []")
        lines += [f"- {kind}s.tsv"] if there else []
    lines.append("mapping_files: []")
    return "\n".join(lines) + "\n"


def _id(text: str) -> str:
    """Return a text as an id of PEtab."""
    made = re.sub(r"\W", "_", text)
    return made if made and not made[0].isdigit() else f"_{made}"


class _Words:
    """Ids of PEtab for names that are no ids."""

    def __init__(self, problem: FitProblem) -> None:
        taken = {*problem.model.network.ids(), *(p.id for p in problem.parameters)}
        self.placeholders: dict[str, str] = {}
        for observable in problem.observables:
            names = (*observable.placeholders, *observable.noise_placeholders)
            for name in names:
                made = _id(name)
                while made in taken:
                    made += "_"
                taken.add(made)
                self.placeholders[name] = made
        used = dict.fromkeys(problem.data.experiment.tolist())
        self.experiments = {e: f"experiment_{k + 1}" for k, e in enumerate(used)}

    def text(self, expr: ex.Expr) -> str:
        """Return a formula in the syntax of PEtab."""
        renamed = {k: ex.Symbol(v) for k, v in self.placeholders.items()}
        return formula_text(ex.substitute(expr, renamed))


def _parameters(problem: FitProblem) -> _Rows:
    rows: _Rows = [
        (
            *("parameterId", "lowerBound", "upperBound", "nominalValue"),
            *("estimate", "priorDistribution", "priorParameters"),
        )
    ]
    for p in problem.parameters:
        name, numbers = _prior(p)
        estimate = "true" if p.estimated else "false"
        bounds = (_number(p.lower), _number(p.upper)) if p.estimated else ("", "")
        rows.append((p.id, *bounds, _number(p.value), estimate, name, numbers))
    return rows


def _prior(parameter: Parameter) -> tuple[str, str]:
    """Return the name and the numbers of a prior in PEtab."""
    prior = parameter.prior
    if prior is None or not parameter.estimated:
        return "", ""
    numbers = prior.numbers
    name = prior.family
    if prior.base:
        name = f"log-{prior.family}"
        numbers = _natural(prior)
    return name, ";".join(map(_number, numbers))


def _natural(prior: Prior) -> tuple[float, ...]:
    """Return the numbers of a prior of a logarithm for the natural one."""
    factor = math.log(prior.base)
    if prior.family == "uniform":
        low, high = prior.numbers
        return prior.base**low, prior.base**high
    return tuple(factor * number for number in prior.numbers)


def _observables(problem: FitProblem, words: _Words) -> _Rows:
    rows: _Rows = [
        (
            *("observableId", "observableFormula", "noiseFormula"),
            *("noiseDistribution", "observablePlaceholders", "noisePlaceholders"),
        )
    ]
    for o in problem.observables:
        places = [words.placeholders[n] for n in o.placeholders]
        noise = [words.placeholders[n] for n in o.noise_placeholders]
        rows.append(
            (
                o.id,
                words.text(o.formula),
                words.text(o.noise),
                _distribution(o),
                ";".join(places),
                ";".join(noise),
            )
        )
    return rows


def _distribution(observable: Observable) -> str:
    if observable.scale == "log10":
        raise UnsupportedFeatureError(
            f"`{observable.id}` has residuals of decimal logarithms, which PEtab v2 "
            "does not have."
        )
    return ("log-" if observable.scale == "log" else "") + observable.family


def _measurements(problem: FitProblem, words: _Words) -> _Rows:
    data = problem.data
    rows: _Rows = [
        (
            *("observableId", "experimentId", "time", "measurement"),
            *("observableParameters", "noiseParameters"),
        )
    ]
    for k in range(len(data)):
        rows.append(
            (
                problem.observables[data.observable[k]].id,
                words.experiments[int(data.experiment[k])],
                _number(float(data.time[k])),
                _number(float(data.value[k])),
                ";".join(map(words.text, data.overrides[k])),
                ";".join(map(words.text, data.noise_overrides[k])),
            )
        )
    return rows


def _experiments(problem: FitProblem, words: _Words) -> tuple[_Rows, _Rows]:
    """Return the tables of conditions and of experiments."""
    conditions: _Rows = [("conditionId", "targetId", "targetValue")]
    experiments: _Rows = [("experimentId", "time", "conditionId")]
    known: dict[tuple[tuple[str, ex.Expr], ...], str] = {}
    estimated = {p.id for p in problem.parameters}
    for place, name in words.experiments.items():
        for period in problem.experiments[place].periods:
            if period.rates or period.held:
                driven = period.held[0] if period.held else period.rates[0][0]
                raise UnsupportedFeatureError(
                    f"`{driven}` is infused or held; PEtab v2 cannot express this."
                )
            if period.carry == Carry.STATES:
                raise UnsupportedFeatureError(
                    "PEtab v2 has no parameters that start anew after a steady state."
                )
            changes = period.changes
            if period.carry == Carry.NOTHING:
                changes = tuple((t, _at_start(problem, f)) for t, f in changes)
            for target, formula in changes:
                if target in estimated:
                    raise UnsupportedFeatureError(
                        f"`{target}` is a parameter of the problem and set by a "
                        f"condition ({ex.text(formula)}); PEtab v2 cannot express this."
                    )
            if changes and changes not in known:
                known[changes] = f"condition_{len(known) + 1}"
                conditions += [
                    (known[changes], target, words.text(formula))
                    for target, formula in changes
                ]
            start = "-inf" if period.start == REST else _number(period.start)
            experiments.append((name, start, known.get(changes, "")))
    return conditions, experiments


def _at_start(problem: FitProblem, formula: ex.Expr) -> ex.Expr:
    """Return a formula in which ids of the model are the numbers it starts with.

    The first condition of an experiment must not use values of the model in PEtab.
    """
    model = ModelValues(problem.model)
    own = {p.id for p in problem.parameters}
    used = {n for n in ex.symbols(formula) if n not in own and model.has(n)}
    if not used:
        return formula
    homes = {model.equations.homes[n] for n in used if model.is_density(n)}
    starts = model.equations.starts
    waiting, seen = [*used, *homes], set[str]()
    while waiting:
        name = waiting.pop()
        if name not in seen and name in starts:
            waiting.extend(ex.symbols(starts[name]))
        seen.add(name)
    if seen & own:
        raise UnsupportedFeatureError(
            f"`{ex.text(formula)}` uses a start value that depends on "
            f"`{min(seen & own)}`; PEtab v2 cannot express this."
        )
    theta = Values.of(problem, problem.natural(problem.nominal), slopes=False)
    cells = model.start({}, theta, 1)
    lookup = model.lookup(cells, theta, np.zeros(1), {})
    return ex.substitute(
        formula, {name: ex.Number(float(lookup(name).value[0])) for name in used}
    )


def _number(value: float) -> str:
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return repr(float(value))


# ----------------------------------------------------------------------- formulas
def formula_text(expr: ex.Expr) -> str:
    """Return a formula in the syntax of PEtab; every number keeps all its digits.

    Examples
    --------
    >>> formula_text(ex.Call("times", (ex.Symbol("k"), ex.Number(0.1))))
    '(k * 0.1)'
    """
    if isinstance(expr, ex.Number):
        return f"({expr.value!r})" if expr.value < 0 else repr(expr.value)
    if isinstance(expr, ex.Symbol):
        return expr.name
    if expr.op == ex.TIME:
        return "time"
    arguments = [formula_text(arg) for arg in expr.args]
    if expr.op == "minus" and len(arguments) == 1:
        return f"(-{arguments[0]})"
    if expr.op in _INFIX:
        return f"({f' {_INFIX[expr.op]} '.join(arguments)})"
    if expr.op == "log":
        return f"log({arguments[1]}, {arguments[0]})"
    if expr.op == "not":
        return f"(!{arguments[0]})"
    if expr.op in ("max", "min"):
        return _nested(expr.op, arguments)
    if expr.op not in _FUNCTIONS:
        raise UnsupportedFeatureError(
            f"`{ex.text(expr)}`: PEtab has no function `{expr.op}`."
        )
    return f"{expr.op}({', '.join(arguments)})"


def _nested(name: str, arguments: list[str]) -> str:
    made = arguments[0]
    for other in arguments[1:]:
        made = f"{name}({made}, {other})"
    return made


_INFIX: Mapping[str, str] = {
    "plus": "+",
    "minus": "-",
    "times": "*",
    "divide": "/",
    "power": "^",
    "eq": "==",
    "neq": "!=",
    "lt": "<",
    "leq": "<=",
    "gt": ">",
    "geq": ">=",
    "and": "&&",
    "or": "||",
}

_FUNCTIONS = frozenset(
    [
        *("exp", "ln", "sqrt", "abs", "sign", "piecewise"),
        *("sin", "cos", "tan", "sec", "csc", "cot"),
        *("sinh", "cosh", "tanh", "sech", "csch", "coth"),
        *("arcsin", "arccos", "arctan", "arcsec", "arccsc", "arccot"),
        *("arcsinh", "arccosh", "arctanh", "arcsech", "arccsch", "arccoth"),
    ]
)
