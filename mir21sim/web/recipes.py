"""Show me the code: the command line, the Python lines and the study file of a view.

The three say the same as the page: they are written from the settings that the page
ran with, and the tests run them.
"""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mir21sim.simulation.stored_features import FEATURES
from mir21sim.simulation.treatment import Treatment
from mir21sim.web.models import Facts
from mir21sim.web.settings import POINTS, Look, Settings
from mir21sim.web.views import CONTROL, NOW, REPLICATES, cells_of


@dataclass(frozen=True, slots=True)
class Recipe:
    """Three ways to get the contents of a view, as texts.

    Attributes
    ----------
    command, python : run as they stand, in the folder of the model file
    study : text of a study file, or why there is none
    has_study : whether `study` is one
    """

    command: str
    python: str
    study: str
    has_study: bool


def recipe(view: str, settings: Settings, look: Look, facts: Facts) -> Recipe:
    """Return the code of a view."""
    done = settings.without_empty_doses(look.target if view == "response" else "")
    command, python = _WRITERS[view](done, look, facts)
    kept, study = _study(done, look, facts)
    head = "import mir21sim as ms\n"
    if "shipped(model)" in python:
        head += "from mir21sim.simulation.ensemble import shipped\n"
    return Recipe(command, f"{head}\n{python}", study, kept)


# ---------------------------------------------------------------------------- commands
def _command(name: str, settings: Settings, facts: Facts, *more: str) -> str:
    """Return a command, broken into lines where it is long."""
    words = [f"mir21sim {name} {shlex.quote(facts.name)}"]
    if settings.context:
        words.append(f"--context {shlex.quote(settings.context)}")
    words += _treatment_words(settings.treatment)
    words.append(f"--end {shlex.quote(settings.end.replace(' ', ''))}")
    words += more
    line = " ".join(words)
    return line if len(line) <= 88 else " \\\n    ".join(words)


def _treatment_words(done: Treatment) -> list[str]:
    """Return the options of a treatment."""
    changes = done.perturbations
    words = [f"--dose {shlex.quote(str(dose))}" for dose in done.doses]
    words = words or ["--dose none"]
    for option, given in (
        ("--set", done.parameters),
        ("--init", done.initials),
        ("--clamp", changes.clamp),
        ("--knockdown", changes.knockdown),
        ("--overexpress", changes.overexpress),
    ):
        words += [
            f"{option} {shlex.quote(f'{n}={_text(v)}')}" for n, v in given.items()
        ]
    return words + [f"--no-site {shlex.quote(gene)}" for gene in changes.no_site]


def _text(value: Any) -> str:
    return f"{value!r}" if isinstance(value, float) else str(value)


def _cells(settings: Settings) -> list[str]:
    return [
        f"--cells {settings.cells}",
        f"--cv {settings.cv:g}",
        f"--seed {settings.seed}",
    ]


def _no_sets(settings: Settings, facts: Facts) -> list[str]:
    """Return the option that leaves the parameter sets of a model aside."""
    return ["--no-ensemble"] if facts.has_sets and not settings.sets else []


# ------------------------------------------------------------------------------ Python
def _sets(settings: Settings, facts: Facts) -> dict[str, str]:
    """Return the argument that spreads cells over the parameter sets of a model."""
    return {"ensemble": "shipped(model)"} if facts.has_sets and settings.sets else {}


def _call(name: str, first: list[str], named: Mapping[str, str]) -> str:
    """Return a call with one argument a line."""
    lines = [f"    {text}," for text in first]
    lines += [f"    {key}={value}," for key, value in named.items()]
    return "\n".join([f"ms.{name}(", *lines, ")"])


def _load(settings: Settings, facts: Facts) -> str:
    context = f", {settings.context!r}" if settings.context else ""
    return f"model = ms.load({facts.name!r}{context})\n"


def _treatment_arguments(done: Treatment) -> dict[str, str]:
    """Return the arguments of a treatment, as source text."""
    found = {"doses": repr([str(dose) for dose in done.doses])}
    if done.parameters:
        found["parameters"] = repr(dict(done.parameters))
    if done.initials:
        found["initials"] = repr(dict(done.initials))
    if done.perturbations:
        found["perturb"] = _perturbations(done)
    return found


def _perturbations(done: Treatment) -> str:
    changes = done.perturbations
    parts = {
        "clamp": {n: str(level) for n, level in changes.clamp.items()},
        "knockdown": dict(changes.knockdown),
        "overexpress": dict(changes.overexpress),
        "no_site": changes.no_site,
    }
    inside = ", ".join(f"{k}={v!r}" for k, v in parts.items() if v)
    return f"ms.Perturbations({inside})"


def _population(settings: Settings) -> str:
    return f"ms.Population({settings.cells}, {settings.cv:g}, seed={settings.seed})"


# --------------------------------------------------------------------------- the views
def _curves(settings: Settings, look: Look, facts: Facts) -> tuple[str, str]:
    names = list(dict.fromkeys([*settings.observe, *filter(None, [facts.death])]))
    command = _command(
        "simulate",
        settings,
        facts,
        f"--points {POINTS}",
        *([f"--observe {shlex.quote(','.join(names))}"] if names else []),
        "-o curves.csv",
    )
    named = {"points": str(POINTS)}
    if names:
        named["observe"] = repr(names)
    run = _call(
        "simulate",
        ["model", repr(settings.end)],
        {**named, **_treatment_arguments(settings.treatment)},
    )
    drawn = f"\nms.plot_curves(result, {names[0]!r})" if names else ""
    lines = (
        f"{_load(settings, facts)}result = {run}\n"
        f"print(result.attrs['summary'])\n"
        f"ms.save(result, 'curves.csv'){drawn}\n"
    )
    if facts.has_sets and settings.sets:
        more = _command("simulate", settings, facts, "--ensemble shipped -o bands.csv")
        command += f"\n{more}"
        treated = _treatment_arguments(settings.treatment)
        named = {"ensemble": "shipped(model)", **named, **treated}
        spread = _call("simulate", ["model", repr(settings.end)], named)
        lines += f"bands = ms.bands({spread})\n"
    return command, lines


def _population_view(settings: Settings, look: Look, facts: Facts) -> tuple[str, str]:
    death = facts.death or "PS_exposed"
    command = _command(
        "population",
        settings,
        facts,
        *_cells(settings),
        *_no_sets(settings, facts),
        f"--death {death}",
        "-o cells.csv",
    )
    run = _call(
        "simulate_population",
        ["model", _population(settings), repr(settings.end)],
        {
            "observe": repr(death),
            **_treatment_arguments(settings.treatment),
            **_sets(settings, facts),
        },
    )
    since = settings.treatment.last_dose_h
    return command, (
        f"{_load(settings, facts)}result = {run}\n"
        f"died = ms.death_times(result, {death!r}, since={since:g})\n"
        f"print(died.to_series())\n"
        f"dishes = ms.dish(result, [{death!r}], {death!r}, since={since:g})\n"
        "print(dishes[['dead', 'dead_low', 'dead_high']].to_dataframe())\n"
        f"ms.plot_population(result, {death!r}, since={since:g})\n"
    )


def _response(settings: Settings, look: Look, facts: Facts) -> tuple[str, str]:
    dishes = settings.cells > 1 and facts.death
    name = settings.observe[0] if settings.observe else ""
    over = f"--over {shlex.quote(f'{look.target}={look.values}')}"
    more = [over, f"--points {POINTS}"]
    named = {"points": str(POINTS)}
    if dishes:
        more += [*_cells(settings), f"--response {look.response}"]
        more += _no_sets(settings, facts)
        named |= _sets(settings, facts)
        named["cells"] = _population(settings)
        shown = (
            "active = [n for n in ('CASP3_active', 'CASP7_active')\n"
            "          if n in (*model.state_names, *model.assigned_names)]\n"
        )
        named["observe"] = f"[*active, {facts.death!r}]"
        since = settings.treatment.last_dose_h
        ending = (
            f"dishes = ms.dish(result, active, {facts.death!r}, since={since:g})\n"
            f"ms.plot_dish(dishes, {look.response!r})\n"
            "print(dishes[['peak', 'integrated', 'dead_end']].to_dataframe())\n"
        )
    else:
        more += ["--cells 1", f"--observe {shlex.quote(name)}"]
        named["observe"] = repr(name)
        shown = ""
        ending = (
            f"features = ms.compare(result, {name!r}, over={look.target!r},\n"
            f"                      since={settings.treatment.last_dose_h:g},\n"
            f"                      response={_feature(look)!r})\n"
            f"print(features[{_feature(look)!r}].to_series())\n"
            "ms.plot_dose_response(features)\n"
        )
    run = _call(
        "sweep",
        ["model", repr({look.target: look.values}), repr(settings.end)],
        {**named, **_treatment_arguments(settings.treatment)},
    )
    command = _command("sweep", settings, facts, *more, "-o response.csv")
    return command, f"{_load(settings, facts)}{shown}result = {run}\n{ending}"


def _feature(look: Look) -> str:
    """Return the feature of a curve that is the response of the average cell."""
    return look.response if look.response in FEATURES else "peak"


def _assay(settings: Settings, look: Look, facts: Facts) -> tuple[str, str]:
    made = _assay_text(look, facts)
    count = cells_of(settings)
    run = _call(
        "run_assays",
        ["model", "experiment", "[assay]"],
        {},
    )
    return "mir21sim study run study.toml -o results", (
        f"{_load(settings, facts)}"
        f"{_sample_lines(settings)}"
        f"experiment = ms.Experiment(\n"
        f"    samples,\n"
        f"    ms.Population({count}, {settings.cv:g}, seed={settings.seed}),\n"
        f"    ({_read_hours(settings, look):g},),\n"
        f"    replicates={REPLICATES},\n"
        f")\n"
        f"assay = {made}\n"
        f"cells = {run}\n"
        f"reading = assay.read(cells, seed={settings.seed}, replicates={REPLICATES})\n"
        f"print(reading.summary)\n"
        f"ms.export\n".replace("ms.export\n", "")
        + "assay.plot(reading)\n"
    )


def _sample_lines(settings: Settings) -> str:
    """Return the samples of an assay, as source text."""
    done = settings.treatment
    control = _treatment_text(settings.untreated().treatment)
    return (
        "samples = (\n"
        f"    ms.Sample({CONTROL!r}, {control}),\n"
        f"    ms.Sample({NOW!r}, {_treatment_text(done)}),\n"
        ")\n"
    )


def _treatment_text(done: Treatment) -> str:
    """Return a treatment as source text."""
    arguments = _treatment_arguments(done)
    doses = arguments.pop("doses")
    inside = "".join(f", {key}={value}" for key, value in arguments.items())
    return f"ms.Treatment.of({doses}{inside})"


def _assay_text(look: Look, facts: Facts) -> str:
    if look.assay == "western":
        return f"ms.WesternBlot(proteins={look.proteins or facts.blot!r})"
    if look.assay == "flow":
        return "ms.FlowCytometry()"
    return f"ms.PlateAssay(kind={look.assay!r})"


def _read_hours(settings: Settings, look: Look) -> float:
    from mir21sim.web.views import read_hours

    return read_hours(settings, look)


def _network(settings: Settings, look: Look, facts: Facts) -> tuple[str, str]:
    run = _call(
        "simulate",
        ["model", repr(settings.end)],
        {
            "points": str(POINTS),
            "observe": "[*model.state_names, *model.rate_names]",
            **_treatment_arguments(settings.treatment),
        },
    )
    context = f" --context {shlex.quote(settings.context)}" if settings.context else ""
    command = f"mir21sim info {shlex.quote(facts.name)}{context} --plot network.svg"
    names = ",".join(facts.modules.get(look.module) or _all_drawn(facts))
    seen = [f"--observe {shlex.quote(names)}"] if names else []
    amounts = _command("simulate", settings, facts, f"--points {POINTS}", *seen)
    return f"{command}\n{amounts} -o network.csv", (
        f"{_load(settings, facts)}result = {run}\n"
        f"k = round({look.at:g} * (result.sizes['time'] - 1))\n"
        "print(result.isel(time=k).to_pandas().to_string())\n"
    )


def _all_drawn(facts: Facts) -> list[str]:
    """Return the species of all modules."""
    return [name for names in facts.modules.values() for name in names]


def _parameters(settings: Settings, look: Look, facts: Facts) -> tuple[str, str]:
    context = f" --context {shlex.quote(settings.context)}" if settings.context else ""
    if not look.of:
        command = f"mir21sim sources {shlex.quote(facts.name)}{context}"
        return command, f"{_load(settings, facts)}print(model.parameters.to_string())\n"
    command = _command("sensitivities", settings, facts, f"--of {shlex.quote(look.of)}")
    run = _call(
        "sensitivities",
        ["model", repr([look.of])],
        {"end": repr(settings.end), **_treatment_arguments(settings.treatment)},
    )
    return command, (
        f"{_load(settings, facts)}result = {run}\n"
        "print(result['log_derivative'].to_pandas().T)\n"
        if "(" in look.of
        else f"{_load(settings, facts)}result = {run}\nprint(result)\n"
    )


_WRITERS: dict[str, Callable[[Settings, Look, Facts], tuple[str, str]]] = {
    "curves": _curves,
    "response": _response,
    "population": _population_view,
    "assay": _assay,
    "network": _network,
    "parameters": _parameters,
}


# ------------------------------------------------------------------------------- study
def _study(settings: Settings, look: Look, facts: Facts) -> tuple[bool, str]:
    """Return whether there is a study of the settings, and its text or the reason."""
    assays = _study_assays(settings, look, facts)
    if not assays:
        return False, (
            "# A study file says what assays read, and this model has no quantity that "
            "one can read:\n# use the command line or Python.\n"
        )
    if settings.treatment.initials:
        return False, (
            "# A study file has no initial amounts: use the command line or Python.\n"
        )
    lines = [
        f'title = "Explored: {facts.key if ":" not in facts.key else facts.name}"',
        f"model = {_toml(facts.name)}",
        *([f"context = {_toml(settings.context)}"] if settings.context else []),
        f"times = [{_toml(look.read_at or settings.end)}]",
        f"replicates = {REPLICATES}",
        f"seed = {settings.seed}",
        "",
        "[population]",
        f"cells = {cells_of(settings) // REPLICATES}",
        f"cv = {settings.cv:g}",
        "",
        *_study_sample(CONTROL, settings.untreated().treatment),
        *_study_sample(NOW, settings.without_empty_doses().treatment),
        *assays,
    ]
    return True, "\n".join(lines)


def _study_assays(settings: Settings, look: Look, facts: Facts) -> list[str]:
    """Return the tables of the assays that a model supports."""
    at = _toml(look.read_at or settings.end)
    known = facts.quantities
    found: list[str] = []
    if facts.proteins:
        chosen = look.proteins or facts.blot
        names = ", ".join(_toml(p) for p in chosen)
        found += ["[[assays]]", 'kind = "western"', f"proteins = [{names}]"]
        found += [f"time = {at}", ""]
    for kind, needed in (
        ("flow", ("PS_exposed", "membrane_ruptured")),
        ("caspase", ("CASP3_active",)),
        ("viability", ("PS_exposed", "membrane_ruptured")),
    ):
        if all(name in known for name in needed):
            found += ["[[assays]]", f'kind = "{kind}"', f"time = {at}", ""]
    return found


def _study_sample(name: str, done: Treatment) -> list[str]:
    """Return the table of one sample."""
    changes = done.perturbations
    lines = ["[[samples]]", f"name = {_toml(name)}"]
    if done.doses:
        lines.append(f"doses = [{', '.join(_toml(str(d)) for d in done.doses)}]")
    for key, given in (
        ("clamp", {n: str(level) for n, level in changes.clamp.items()}),
        ("knockdown", changes.knockdown),
        ("overexpress", changes.overexpress),
        ("parameters", done.parameters),
    ):
        if given:
            inside = ", ".join(f"{_toml(n)} = {_toml(v)}" for n, v in given.items())
            lines.append(f"{key} = {{ {inside} }}")
    if changes.no_site:
        lines.append(f"no_site = [{', '.join(_toml(g) for g in changes.no_site)}]")
    return [*lines, ""]


def _toml(value: Any) -> str:
    """Return a text or number of TOML."""
    if isinstance(value, float):
        return repr(value)
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
