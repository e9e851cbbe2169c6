"""Properties of every model in the collection, in each of its contexts."""

import functools
import tomllib

import numpy as np
import pytest

from mir21sim.compiler import conservation as moieties
from mir21sim.compiler.load import check, load
from mir21sim.errors import SolverStatus
from mir21sim.model import files as model_files
from mir21sim.model import metadata as model_metadata
from mir21sim.model.formats import antimony
from mir21sim.simulation import ensemble as ensembles
from mir21sim.simulation import steady_state as resting
from mir21sim.simulation.options import Options
from mir21sim.simulation.population import Population, simulate_population
from mir21sim.simulation.simulate import simulate

NAMES = sorted(model_files.shipped())
CASES = [
    (name, context)
    for name in NAMES
    for context in (model_files.BASE, *model_files.contexts(name))
]
IDS = ["-".join(case) for case in CASES]
OPTIONS = Options(rtol=1e-6)


def words(name):
    """Return a model's `.toml`; a model is not loaded to know which tests it has."""
    path = model_files.shipped()[name].with_suffix(".toml")
    return tomllib.loads(path.read_text()) if path.is_file() else {}


RESTING = [case for case in CASES if words(case[0]).get("equilibrate")]

each_model = pytest.mark.parametrize("name", NAMES)
each_case = pytest.mark.parametrize(("name", "context"), CASES, ids=IDS)


@functools.cache
def loaded(name, context):
    """Return a model, the largest one compiled: 14 contexts share its kernels."""
    backend = "numba" if name == "mir21_apoptosis" else "numpy"
    return load(name, context, backend=backend)


@functools.cache
def run(name, context):
    """Return the default experiment of a model with every state and rule."""
    model = loaded(name, context)
    observe = [*model.state_names, *model.assigned_names]
    return simulate(model, observe=observe, options=OPTIONS)


@functools.cache
def states(name, context):
    """Return every state over the default experiment, shape (n_time, n_state)."""
    result, model = run(name, context), loaded(name, context)
    return np.stack([result[s].values for s in model.state_names], axis=1)


def test_the_collection_is_there():
    assert {"earm_1_3", "earm2_m1a", "mir21_core"} <= set(NAMES)


@each_model
def test_a_model_has_its_four_files(name):
    sbml = model_files.shipped()[name]
    suffixes = (".ant", ".toml", ".parameters.tsv")
    assert [s for s in suffixes if not sbml.with_name(name + s).is_file()] == []


@each_model
def test_the_sbml_is_that_of_the_antimony(name):
    pytest.importorskip("antimony", reason="the optional converter")
    sbml = model_files.shipped()[name]
    made = antimony.antimony_to_sbml(sbml.with_suffix(".ant").read_text(), name)

    def lines(text):
        # The second line names the version of the converter.
        return [x for x in text.splitlines() if "Created by libAntimony" not in x]

    assert lines(made) == lines(sbml.read_text())


@each_case
def test_lint_finds_no_error(name, context):
    issues = check(model_files.find(name, context))
    assert [i.message for i in issues if i.severity == "error"] == []


@pytest.mark.parametrize("name", ["mir21_core", "mir21_apoptosis"])
def test_every_species_stands_in_a_module(name):
    model = loaded(name, next(iter(model_files.contexts(name))))
    listed = [s for members in model.info.modules.values() for s in members]
    assert sorted(listed) == sorted(s.id for s in model.network.species)


@each_model
def test_every_number_has_a_source(name):
    files = model_files.find(name, model_files.BASE)
    rows = model_metadata.parameter_table(files)
    assert len(rows) > 50
    assert {"measured", "derived", "assumed", "fitted"} & {
        r.status for r in rows.values()
    }


@each_case
def test_the_default_experiment_runs_to_its_end(name, context):
    result = run(name, context)
    model = loaded(name, context)
    assert int(result["status"]) == SolverStatus.OK
    assert float(result["time"][-1]) == model.info.end_h
    assert all(np.isfinite(result[s]).all() for s in model.info.observables)


@each_case
def test_no_amount_is_negative_beyond_the_tolerance(name, context):
    model = loaded(name, context)
    lowest = (states(name, context) / model.atol).min(axis=0)
    below = {s: v for s, v in zip(model.state_names, lowest, strict=True) if v < -1000}
    assert below == {}


@each_case
def test_conserved_totals_stand_still(name, context):
    """Doses of a conserved species would move its total: none is in a default."""
    model, y = loaded(name, context), states(name, context)
    kernels = model.kernels
    places = zip(kernels.n_row, kernels.n_col, strict=True)
    entries = dict(zip(places, kernels.n_value, strict=True))
    totals = moieties.conserved_totals(kernels.n_state, entries)
    dosed = {d.split("=")[0] for d in model.info.doses}
    for total in totals:
        index, weight = list(total), np.array(list(total.values()))
        assert not dosed & {model.state_names[i] for i in index}
        along = y[:, index] @ weight
        scale = max(np.abs(y[:, index]) @ np.abs(weight))
        # A pool that is not there holds rounding, 1e-52 or so.
        assert np.abs(along - along[0]).max() <= max(1e-9 * scale, 1e-30)


@pytest.mark.parametrize(("name", "context"), RESTING, ids=map("-".join, RESTING))
def test_a_cell_without_doses_rests_and_the_rest_is_stable(name, context):
    model = loaded(name, context)
    y, p = model.start_values(1, {}, {})
    rest, status = resting.resting_states(model, y, p)
    assert status[0] == SolverStatus.OK
    assert (rest[0] >= -1000 * model.atol).all()
    assert resting.drift(model, rest[0], p[0]) < 1e-10 * model.seconds_per_time
    assert resting.leading_eigenvalue(model, rest[0], p[0]) < 0


@pytest.mark.parametrize("context", model_files.contexts("mir21_apoptosis"))
def test_untreated_cells_live(context):
    """The average cell for 30 days; of 1,000 unlike cells, fewer than 1 % die."""
    model = loaded("mir21_apoptosis", context)
    average = simulate(model, "30 d", points=2, observe="MOMP_fraction", doses=())
    assert float(average["MOMP_fraction"][-1]) < 1e-3
    cells = Population(1000, seed=1).cells(model)
    fates = simulate_population(
        model, cells, times=[0.0, 72.0], observe="MOMP_fraction", doses=()
    )
    assert (fates["status"] == SolverStatus.OK).all()
    dead = (fates["MOMP_fraction"] >= 0.5).any("time")
    assert float(dead.mean()) < 0.01


@pytest.mark.parametrize("context", model_files.contexts("mir21_apoptosis"))
def test_untreated_cells_of_the_shipped_parameter_sets_live(context):
    """Each of 62 sets with 16 unlike cells: of 992, fewer than 1 % die in 72 h.

    A cell without a state of rest counts as one that dies.
    """
    model = loaded("mir21_apoptosis", context)
    sets = ensembles.shipped(model)
    chosen = np.linspace(0, len(sets) - 1, 62).astype(int)
    cells = Population(len(chosen) * 16, seed=3).cells(model)
    own = sets.cells(model)
    start = dict(zip(model.param_names, model.p0, strict=True))
    for name, values in own.items():
        if start[name] == 0:
            continue
        drawn = np.repeat(values[chosen], 16)
        cells[name] = drawn * cells[name] / start[name] if name in cells else drawn
    fates = simulate_population(
        model, cells, times=[0.0, 72.0], observe="MOMP_fraction", doses=()
    )
    dead = (fates["MOMP_fraction"] >= 0.5).any("time")
    assert float((dead | (fates["status"] != SolverStatus.OK)).mean()) < 0.01


@each_case
def test_every_input_takes_a_dose_in_its_unit(name, context):
    model = loaded(name, context)
    for target, entry in model.info.inputs.items():
        dose = f"{target}=1 {entry.unit}@0h"
        result = simulate(
            model, "1 min", points=2, observe=target, doses=dose,
            options=Options(equilibrate=False),
        )  # fmt: skip
        start = model.y0[model.state_index(target)]
        assert float(result[target][0]) > start


@pytest.mark.parametrize(
    "path",
    sorted((model_files.models_folder() / "contexts").glob("*.toml")),
    ids=lambda path: path.stem,
)
def test_a_context_states_how_much_of_it_is_data(path):
    """The last line of the description counts the numbers by status."""
    table = tomllib.loads(path.read_text())
    status = [e["status"] for t in table["models"].values() for e in t.values()]
    words = {"assumed": "chosen"}
    parts = [
        f"{status.count(s)} {words.get(s, s)}"
        for s in ("measured", "derived", "fitted", "recalled", "assumed")
        if s in status
    ]
    stated = table["description"].strip().splitlines()[-1]
    if set(status) == {"assumed"}:
        count = len(status)
        assert stated == f"Data: none, a sketch: all of its {count} numbers are chosen."
    else:
        assert stated == f"Data: {', '.join(parts)}, of {len(status)} numbers."
