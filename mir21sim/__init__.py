"""Simulate what happens to a cell if miR-21 is blocked.

>>> import mir21sim as ms
>>> model = ms.load("earm_1_3", backend="numpy")
>>> result = ms.simulate(model, "30 min", observe="CASP8_active")
"""

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mir21sim.archive import save_archive as save_archive
    from mir21sim.assays.assay import run_assays as run_assays
    from mir21sim.assays.flow import FlowCytometry as FlowCytometry
    from mir21sim.assays.luciferase import LuciferaseAssay as LuciferaseAssay
    from mir21sim.assays.plate import PlateAssay as PlateAssay
    from mir21sim.assays.western import WesternBlot as WesternBlot
    from mir21sim.bench import Experiment as Experiment
    from mir21sim.bench import Sample as Sample
    from mir21sim.bench import dose_series as dose_series
    from mir21sim.compare import compare as compare
    from mir21sim.compiled import CompiledModel as CompiledModel
    from mir21sim.deaths import death_times as death_times
    from mir21sim.deaths import fraction_dead as fraction_dead
    from mir21sim.deaths import kill_curve as kill_curve
    from mir21sim.errors import Mir21simError as Mir21simError
    from mir21sim.execute import Options as Options
    from mir21sim.library import load as load
    from mir21sim.perturb import Perturbations as Perturbations
    from mir21sim.plotting import plot_curves as plot_curves
    from mir21sim.plotting import plot_dose_response as plot_dose_response
    from mir21sim.plotting import plot_overlay as plot_overlay
    from mir21sim.plotting import plot_population as plot_population
    from mir21sim.plotting import plot_sweep as plot_sweep
    from mir21sim.population import Population as Population
    from mir21sim.population import simulate_population as simulate_population
    from mir21sim.protocol import Dose as Dose
    from mir21sim.protocol import Protocol as Protocol
    from mir21sim.rerun import rerun as rerun
    from mir21sim.simulate import simulate as simulate
    from mir21sim.sweep import sweep as sweep
    from mir21sim.verify import verify as verify

__version__ = "0.1.0"

_HOMES = {
    "CompiledModel": "compiled",
    "Dose": "protocol",
    "Experiment": "bench",
    "FlowCytometry": "assays.flow",
    "LuciferaseAssay": "assays.luciferase",
    "Mir21simError": "errors",
    "Options": "execute",
    "Perturbations": "perturb",
    "PlateAssay": "assays.plate",
    "Population": "population",
    "Protocol": "protocol",
    "Sample": "bench",
    "WesternBlot": "assays.western",
    "compare": "compare",
    "death_times": "deaths",
    "dose_series": "bench",
    "fraction_dead": "deaths",
    "kill_curve": "deaths",
    "load": "library",
    "plot_curves": "plotting",
    "plot_dose_response": "plotting",
    "plot_overlay": "plotting",
    "plot_population": "plotting",
    "plot_sweep": "plotting",
    "rerun": "rerun",
    "run_assays": "assays.assay",
    "save_archive": "archive",
    "simulate": "simulate",
    "simulate_population": "population",
    "sweep": "sweep",
    "verify": "verify",
}
"""Public name → module; imported on first use, so that ``import mir21sim`` is quick."""

__all__ = sorted([*_HOMES, "__version__"])  # noqa: PLE0605 - all entries are strings


class _Package(types.ModuleType):
    """Gives out the public functions; `simulate` stays one when its module loads.

    Python binds a submodule to its package under its name. Four of ours are named after
    the function they hold, and `mir21sim.simulate` must mean that function.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'mir21sim' has no attribute {name!r}")
        return getattr(importlib.import_module(f"mir21sim.{_HOMES[name]}"), name)

    def __dir__(self) -> list[str]:
        return list(__all__)


sys.modules[__name__].__class__ = _Package
