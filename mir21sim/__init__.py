"""Simulate miR-21-regulated apoptosis: doses, cell lines, populations, assays.

>>> import mir21sim as ms
>>> model = ms.load("earm_1_3", backend="numpy")
>>> result = ms.simulate(model, "30 min", observe="CASP8_active")
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mir21sim.analysis.cell_death import death_times as death_times
    from mir21sim.analysis.cell_death import fraction_dead as fraction_dead
    from mir21sim.analysis.cell_death import kill_curve as kill_curve
    from mir21sim.analysis.combination import combination as combination
    from mir21sim.analysis.combination_plot import plot_combination as plot_combination
    from mir21sim.analysis.comparison_plot import plot_comparison as plot_comparison
    from mir21sim.analysis.continuation_plot import (
        plot_continuation as plot_continuation,
    )
    from mir21sim.analysis.curves import compare as compare
    from mir21sim.analysis.death_plots import plot_population as plot_population
    from mir21sim.analysis.dish import dish as dish
    from mir21sim.analysis.dish import resample as resample
    from mir21sim.analysis.dish_plot import plot_dish as plot_dish
    from mir21sim.analysis.export import export as export
    from mir21sim.analysis.export import save as save
    from mir21sim.analysis.exposure import exposure as exposure
    from mir21sim.analysis.exposure import plot_exposure as plot_exposure
    from mir21sim.analysis.feature_bands import compare_bands as compare_bands
    from mir21sim.analysis.growth_inhibition import (
        growth_inhibition as growth_inhibition,
    )
    from mir21sim.analysis.plots import plot_curves as plot_curves
    from mir21sim.analysis.plots import plot_dose_response as plot_dose_response
    from mir21sim.analysis.plots import plot_overlay as plot_overlay
    from mir21sim.analysis.plots import plot_sweep as plot_sweep
    from mir21sim.analysis.schedule_dishes import scheduled_dishes as scheduled_dishes
    from mir21sim.analysis.schedule_plot import plot_schedules as plot_schedules
    from mir21sim.analysis.trust import trust as trust
    from mir21sim.assays.assay import run_assays as run_assays
    from mir21sim.assays.experiment import Experiment as Experiment
    from mir21sim.assays.experiment import Sample as Sample
    from mir21sim.assays.experiment import dose_series as dose_series
    from mir21sim.assays.flow import FlowCytometry as FlowCytometry
    from mir21sim.assays.luciferase import LuciferaseAssay as LuciferaseAssay
    from mir21sim.assays.plate import PlateAssay as PlateAssay
    from mir21sim.assays.western import WesternBlot as WesternBlot
    from mir21sim.assays.which_measurement import experiments as experiments
    from mir21sim.compiler.load import load as load
    from mir21sim.compiler.model import CompiledModel as CompiledModel
    from mir21sim.errors import Mir21simError as Mir21simError
    from mir21sim.estimation.build import Problem as Problem
    from mir21sim.estimation.fit import fit as fit
    from mir21sim.estimation.hypotheses import compare_fits as compare_fits
    from mir21sim.estimation.hypotheses import part_most as part_most
    from mir21sim.estimation.petab_read import read_petab as read_petab
    from mir21sim.estimation.profiles import profiles as profiles
    from mir21sim.estimation.sampling import laplace as laplace
    from mir21sim.estimation.sampling import mcmc as mcmc
    from mir21sim.estimation.terms import CellDeathTimes as CellDeathTimes
    from mir21sim.estimation.terms import DeathTime as DeathTime
    from mir21sim.estimation.terms import NormalisedCurve as NormalisedCurve
    from mir21sim.estimation.terms import ShareDead as ShareDead
    from mir21sim.estimation.terms import ThresholdDose as ThresholdDose
    from mir21sim.model.catalogue import contexts as contexts
    from mir21sim.model.catalogue import models as models
    from mir21sim.model.lines import lines as lines
    from mir21sim.simulation.dataset import read as open  # noqa: A004, F401
    from mir21sim.simulation.doses import Dose as Dose
    from mir21sim.simulation.doses import Protocol as Protocol
    from mir21sim.simulation.ensemble import Ensemble as Ensemble
    from mir21sim.simulation.ensemble import bands as bands
    from mir21sim.simulation.ensemble import carriers as carriers
    from mir21sim.simulation.global_sensitivity import (
        global_sensitivities as global_sensitivities,
    )
    from mir21sim.simulation.omex import save_archive as save_archive
    from mir21sim.simulation.options import Options as Options
    from mir21sim.simulation.perturbations import Perturbations as Perturbations
    from mir21sim.simulation.population import Population as Population
    from mir21sim.simulation.population import (
        simulate_population as simulate_population,
    )
    from mir21sim.simulation.rerun import rerun as rerun
    from mir21sim.simulation.schedules import sweep_schedules as sweep_schedules
    from mir21sim.simulation.sensitivity import sensitivities as sensitivities
    from mir21sim.simulation.simulate import simulate as simulate
    from mir21sim.simulation.steady import continuation as continuation
    from mir21sim.simulation.steady import steady_state as steady_state
    from mir21sim.simulation.sweep import sweep as sweep
    from mir21sim.simulation.treatment import Treatment as Treatment
    from mir21sim.studies.parse import plan as read_study  # noqa: F401
    from mir21sim.studies.run import run as run_study  # noqa: F401
    from mir21sim.validation.prior_posterior import prior_posterior as prior_posterior
    from mir21sim.validation.verify import verify as verify

__version__ = "0.2.0"

_HOMES = {
    "CellDeathTimes": "estimation.terms",
    "CompiledModel": "compiler.model",
    "DeathTime": "estimation.terms",
    "Dose": "simulation.doses",
    "Ensemble": "simulation.ensemble",
    "Experiment": "assays.experiment",
    "FlowCytometry": "assays.flow",
    "LuciferaseAssay": "assays.luciferase",
    "Mir21simError": "errors",
    "NormalisedCurve": "estimation.terms",
    "Options": "simulation.options",
    "Perturbations": "simulation.perturbations",
    "PlateAssay": "assays.plate",
    "Population": "simulation.population",
    "Problem": "estimation.build",
    "Protocol": "simulation.doses",
    "Sample": "assays.experiment",
    "ShareDead": "estimation.terms",
    "ThresholdDose": "estimation.terms",
    "Treatment": "simulation.treatment",
    "WesternBlot": "assays.western",
    "bands": "simulation.ensemble",
    "carriers": "simulation.ensemble",
    "combination": "analysis.combination",
    "compare": "analysis.curves",
    "compare_bands": "analysis.feature_bands",
    "compare_fits": "estimation.hypotheses",
    "contexts": "model.catalogue",
    "continuation": "simulation.steady",
    "death_times": "analysis.cell_death",
    "dish": "analysis.dish",
    "dose_series": "assays.experiment",
    "experiments": "assays.which_measurement",
    "export": "analysis.export",
    "exposure": "analysis.exposure",
    "fit": "estimation.fit",
    "fraction_dead": "analysis.cell_death",
    "global_sensitivities": "simulation.global_sensitivity",
    "growth_inhibition": "analysis.growth_inhibition",
    "kill_curve": "analysis.cell_death",
    "laplace": "estimation.sampling",
    "lines": "model.lines",
    "load": "compiler.load",
    "mcmc": "estimation.sampling",
    "models": "model.catalogue",
    "open": "simulation.dataset:read",
    "part_most": "estimation.hypotheses",
    "plot_combination": "analysis.combination_plot",
    "plot_curves": "analysis.plots",
    "plot_continuation": "analysis.continuation_plot",
    "plot_dish": "analysis.dish_plot",
    "plot_dose_response": "analysis.plots",
    "plot_exposure": "analysis.exposure",
    "plot_overlay": "analysis.plots",
    "plot_comparison": "analysis.comparison_plot",
    "plot_population": "analysis.death_plots",
    "plot_schedules": "analysis.schedule_plot",
    "plot_sweep": "analysis.plots",
    "prior_posterior": "validation.prior_posterior",
    "profiles": "estimation.profiles",
    "read_petab": "estimation.petab_read",
    "read_study": "studies.parse:plan",
    "rerun": "simulation.rerun",
    "resample": "analysis.dish",
    "run_assays": "assays.assay",
    "run_study": "studies.run:run",
    "save": "analysis.export",
    "save_archive": "simulation.omex",
    "scheduled_dishes": "analysis.schedule_dishes",
    "sensitivities": "simulation.sensitivity",
    "simulate": "simulation.simulate",
    "simulate_population": "simulation.population",
    "steady_state": "simulation.steady",
    "sweep": "simulation.sweep",
    "sweep_schedules": "simulation.schedules",
    "trust": "analysis.trust",
    "verify": "validation.verify",
}
"""Public name → module, with another name there after a colon.

Modules are imported on first use, so that ``import mir21sim`` is quick."""

__all__ = sorted([*_HOMES, "__version__"])  # noqa: PLE0605 - all entries are strings


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mir21sim' has no attribute {name!r}")
    module, _, own = _HOMES[name].partition(":")
    return getattr(importlib.import_module(f"mir21sim.{module}"), own or name)


def __dir__() -> list[str]:
    return list(__all__)
